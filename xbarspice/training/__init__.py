"""Hardware-aware training of converted models, data sets with honest splits, plain perceptrons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbarspice.core.lazy import names_on_first_use

if TYPE_CHECKING:
    from xbarspice.nn.corrections import Correction
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
    from xbarspice.training.selection import Look
    from xbarspice.training.settings import Settings
    from xbarspice.training.sums import correct_sums

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
    "correct_sums",
    "fit",
    "line_penalty",
    "procedures",
    "reexpress_inputs",
    "remedies",
    "study_remedies",
    "worst_share",
]

__getattr__ = names_on_first_use(
    __name__,
    {
        "Comparison": "xbarspice.training.designs_results",
        "Correction": "xbarspice.nn.corrections",
        "ErrorDraws": "xbarspice.training.draws",
        "Fitted": "xbarspice.training.fitting",
        "InputMap": "xbarspice.training.designs_inputs",
        "Look": "xbarspice.training.selection",
        "Multiplier": "xbarspice.training.multiplier",
        "Procedure": "xbarspice.training.procedures",
        "Remedied": "xbarspice.training.remedied",
        "Settings": "xbarspice.training.settings",
        "array_weights": "xbarspice.training.penalties",
        "compare_designs": "xbarspice.training.designs",
        "correct_sums": "xbarspice.training.sums",
        "fit": "xbarspice.training.fitting",
        "line_penalty": "xbarspice.training.penalties",
        "procedures": "xbarspice.training.procedures",
        "reexpress_inputs": "xbarspice.training.designs_inputs",
        "remedies": "xbarspice.training.remedies",
        "study_remedies": "xbarspice.training.remedied",
        "worst_share": "xbarspice.training.objectives",
    },
)
"""The data sets need no torch."""


def __dir__() -> list[str]:
    return sorted(__all__)
