"""Verification of models on arrays; `xb.verify` is its front door."""

from xbarspice.verification.corners import CORNERS
from xbarspice.verification.library import Verification, verify
from xbarspice.verification.records import Gates
from xbarspice.verification.statistics import agreement_interval, sample_size

__all__ = ["CORNERS", "Gates", "Verification", "agreement_interval", "sample_size", "verify"]
