"""Records as JSON text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["to_json"]


def to_json(record: Any) -> str:
    """JSON text; NumPy numbers become plain, NaN becomes null."""
    return json.dumps(_plain(record), indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    converters: list[tuple[Any, Callable[[Any], Any]]] = [
        (dict, lambda v: {str(k): _plain(w) for k, w in v.items()}),
        ((list, tuple), lambda v: [_plain(w) for w in v]),
        (np.ndarray, lambda v: _plain(v.tolist())),
        (np.generic, lambda v: _plain(v.item())),
        (float, lambda v: v if np.isfinite(v) else None),
        (Path, str),
    ]
    for kind, convert in converters:
        if isinstance(value, kind):
            return convert(value)
    return value
