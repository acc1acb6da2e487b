"""Elementary functions of NumPy arrays and torch tensors alike, without importing torch."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["cosh", "exp", "expm1", "is_tensor", "log1p", "sinh", "tanh", "where"]


def is_tensor(x: Any) -> bool:
    """Whether `x` is a torch tensor."""
    return hasattr(x, "requires_grad")


def _apply(name: str, x: Any) -> Any:
    method = getattr(x, name, None)  # torch tensors carry their functions; arrays and floats do not
    return method() if callable(method) else getattr(np, name)(x)


def sinh(x: Any) -> Any:
    """Hyperbolic sine."""
    return _apply("sinh", x)


def cosh(x: Any) -> Any:
    """Hyperbolic cosine."""
    return _apply("cosh", x)


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return _apply("tanh", x)


def exp(x: Any) -> Any:
    """Exponential."""
    return _apply("exp", x)


def expm1(x: Any) -> Any:
    """Exponential minus one, exact for small arguments."""
    return _apply("expm1", x)


def log1p(x: Any) -> Any:
    """Logarithm of one plus the argument, exact for small arguments."""
    return _apply("log1p", x)


def where(condition: Any, yes: Any, no: Any) -> Any:
    """Choose by condition, in the array kind of the condition."""
    if is_tensor(condition):
        import torch

        kind = next((x for x in (yes, no) if is_tensor(x)), None)
        options = {} if kind is None else {"dtype": kind.dtype, "device": kind.device}
        return torch.where(
            condition,
            yes if is_tensor(yes) else torch.as_tensor(yes, **options),
            no if is_tensor(no) else torch.as_tensor(no, **options),
        )
    return np.where(condition, yes, no)
