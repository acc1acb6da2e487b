"""Hardware-aware training of converted models, data sets with honest splits, plain perceptrons."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xbarspice.training import procedures, remedies
    from xbarspice.training.designs import compare_designs
    from xbarspice.training.designs_inputs import InputMap, reexpress_inputs
    from xbarspice.training.designs_results import Comparison
    from xbarspice.training.draws import ErrorDraws
    from xbarspice.training.fitting import Fitted, fit
    from xbarspice.training.multiplier import Multiplier
    from xbarspice.training.objectives import worst_share
    from xbarspice.training.penalties import array_weights, line_penalty
    from xbarspice.training.procedures import Procedure
    from xbarspice.training.remedied import Remedied, study_remedies
    from xbarspice.training.remedies import Correction
    from xbarspice.training.selection import Look
    from xbarspice.training.settings import Settings

__all__ = [
    "Comparison",
    "Correction",
    "ErrorDraws",
    "Fitted",
    "InputMap",
    "Look",
    "Multiplier",
    "Procedure",
    "Remedied",
    "Settings",
    "array_weights",
    "compare_designs",
    "fit",
    "line_penalty",
    "procedures",
    "reexpress_inputs",
    "remedies",
    "study_remedies",
    "worst_share",
]

_MODULES = {
    "Comparison": "designs_results",
    "Correction": "remedies",
    "ErrorDraws": "draws",
    "Fitted": "fitting",
    "InputMap": "designs_inputs",
    "Look": "selection",
    "Multiplier": "multiplier",
    "Procedure": "procedures",
    "Remedied": "remedied",
    "Settings": "settings",
    "array_weights": "penalties",
    "compare_designs": "designs",
    "fit": "fitting",
    "line_penalty": "penalties",
    "reexpress_inputs": "designs_inputs",
    "study_remedies": "remedied",
    "worst_share": "objectives",
}
"""Where names stand that are loaded when they are used: the data sets need no torch."""


def __getattr__(name: str) -> Any:
    if name in ("procedures", "remedies"):
        return importlib.import_module(f"xbarspice.training.{name}")
    if name in _MODULES:
        return getattr(importlib.import_module(f"xbarspice.training.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'xbarspice.training' has no attribute {name!r}")
