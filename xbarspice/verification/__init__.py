"""Verification of models on arrays and of single arrays; `xb.verify` and `xb.verify_array`."""

from xbarspice.verification import (
    array_detectors,
    circuit_detectors,
    current_detectors,
    detectors,
    matrix_detectors,
    weight_detectors,
)
from xbarspice.verification.array import ArrayVerification, verify_array
from xbarspice.verification.circuit import Verification, verify
from xbarspice.verification.corners import CORNERS
from xbarspice.verification.results import Gates
from xbarspice.verification.statistics import agreement_interval, sample_size
from xbarspice.verification.worst import Search

__all__ = [
    "CORNERS",
    "ArrayVerification",
    "Gates",
    "Search",
    "Verification",
    "agreement_interval",
    "array_detectors",
    "circuit_detectors",
    "current_detectors",
    "detectors",
    "matrix_detectors",
    "sample_size",
    "verify",
    "verify_array",
    "weight_detectors",
]
