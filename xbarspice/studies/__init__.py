"""Studies: training, inference through an engine, and the cross-check of engines."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xbarspice.studies import (
        batched,
        calibrate,
        campaign,
        crosscheck,
        data,
        inference,
        program,
        remedies,
        train,
        transfer,
    )

__all__ = [
    "batched",
    "calibrate",
    "campaign",
    "crosscheck",
    "data",
    "inference",
    "program",
    "remedies",
    "train",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"xbarspice.studies.{name}")
    raise AttributeError(f"module 'xbarspice.studies' has no attribute {name!r}")
