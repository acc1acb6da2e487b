"""Studies: training, inference through an engine, and the cross-check of engines."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xbarspice.studies import (
        batched,
        budget,
        calibrate,
        campaign,
        crosscheck,
        data,
        digits,
        folded,
        hardware_aware,
        inference,
        program,
        recipes,
        remedies,
        reproduce,
        train,
        transfer,
    )

__all__ = [
    "batched", "budget", "calibrate", "campaign", "crosscheck", "data", "digits", "folded",
    "hardware_aware", "inference", "program", "recipes", "remedies", "reproduce", "train",
    "transfer",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"xbarspice.studies.{name}")
    raise AttributeError(f"module 'xbarspice.studies' has no attribute {name!r}")
