"""Verification of models on arrays and of single arrays; `xb.verify` and `xb.verify_array`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbarspice.core.lazy import names_on_first_use
from xbarspice.verification import (
    array_detectors,
    circuit_detectors,
    current_detectors,
    detectors,
    matrix_detectors,
    weight_detectors,
)
from xbarspice.verification.array import ArrayVerification, verify_array
from xbarspice.verification.results import Gates
from xbarspice.verification.statistics import agreement_interval, sample_size

if TYPE_CHECKING:
    from xbarspice.verification.circuit import Verification, verify
    from xbarspice.verification.corners import CORNERS
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

__getattr__ = names_on_first_use(
    __name__,
    {
        "CORNERS": "xbarspice.verification.corners",
        "Search": "xbarspice.verification.worst",
        "Verification": "xbarspice.verification.circuit",
        "verify": "xbarspice.verification.circuit",
    },
)
"""Single arrays need no torch."""


def __dir__() -> list[str]:
    return sorted(__all__)
