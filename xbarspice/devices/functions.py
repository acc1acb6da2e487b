"""Elementary functions that accept NumPy arrays and torch tensors alike, without importing torch."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["cosh", "sinh"]


def _apply(name: str, x: Any) -> Any:
    method = getattr(x, name, None)  # torch tensors carry their functions; arrays and floats do not
    return method() if callable(method) else getattr(np, name)(x)


def sinh(x: Any) -> Any:
    """Hyperbolic sine."""
    return _apply("sinh", x)


def cosh(x: Any) -> Any:
    """Hyperbolic cosine."""
    return _apply("cosh", x)
