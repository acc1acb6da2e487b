"""Inputs of a verification: labels, the one tensor that can be drawn or searched, its box."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xbarspice.core.errors import broken_rule
from xbarspice.nn.arguments import points_of

__all__ = ["box_of", "check_labels", "one_tensor"]

Box = tuple[Tensor, Tensor]


def check_labels(y: npt.ArrayLike | None, arguments: tuple[Any, ...]) -> np.ndarray | None:
    """Classes (points,), -1 where nobody knows; None without any.

    Raises:
        InputError: they are no whole numbers from -1, one a point.
    """
    if y is None:
        return None
    labels, points = np.asarray(y), points_of(arguments)
    whole = labels.shape == (points,) and labels.dtype.kind in "iu"
    if not whole or (points and labels.min() < -1):
        raise broken_rule(
            f"labels must be {points} whole numbers, one a point, -1 where it is unknown",
            f"shape {labels.shape}, {labels.dtype}",
            "Pass one class a point.",
        )
    return labels.astype(np.int64)


def one_tensor(arguments: Any) -> Tensor:
    """The one floating-point tensor (points, ...) that a model takes.

    Raises:
        InputError: it takes something else.
    """
    names = list(getattr(arguments, "keywords", {}))
    x = arguments[0] if len(arguments) == 1 else None
    if names or not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim < 2:
        kinds = [type(a).__name__ for a in arguments] + [f"{name}=" for name in names]
        raise broken_rule(
            "inputs are searched for models of one floating-point tensor, points first",
            ", ".join(kinds),
            "Verify this model without the search.",
        )
    return x


def box_of(x: Tensor, low: float | None = None, high: float | None = None) -> Box:
    """Smallest and largest inputs of a search, each of the shape of one point.

    Args:
        x: known inputs, (points, ...). Without `low` or `high` the search stays between the least
            and the largest value of each element; of a single point, of all its elements.
        low, high: bounds of all elements.

    Raises:
        InputError: the box holds one input only.
    """
    x = x.detach()
    ends = (x.amin(dim=0), x.amax(dim=0))
    if len(x) == 1:
        ends = (x.amin().expand(x.shape[1:]), x.amax().expand(x.shape[1:]))
    lower = ends[0] if low is None else torch.full_like(ends[0], low)
    upper = ends[1] if high is None else torch.full_like(ends[1], high)
    upper = torch.maximum(lower, upper)
    if torch.equal(lower, upper):
        raise broken_rule(
            "the search needs a box of inputs", "equal bounds", "Pass more inputs, or low and high."
        )
    return lower, upper
