"""Studies: training, campaigns, programming, calibration and inference through an engine."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xbarspice.studies import (
        calibrate,
        campaign,
        data,
        inference,
        program,
        train,
    )

__all__ = [
    "calibrate",
    "campaign",
    "data",
    "inference",
    "program",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"xbarspice.studies.{name}")
    raise AttributeError(f"module 'xbarspice.studies' has no attribute {name!r}")
