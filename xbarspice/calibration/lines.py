"""Partners of stuck devices: the other ones of their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xbarspice.core.types import Indices
from xbarspice.mapping.reads import Read
from xbarspice.variability.base import where

__all__ = ["compensate", "partners"]


def partners(reads: Sequence[Read], shape: tuple[int, ...]) -> Indices:
    """Number ``row * cols + col`` of the other device of each pair, (rows, cols).

    A device that stands in no pair is its own partner.

    Args:
        reads: all read passes of the array.
        shape: rows and columns of the array.
    """
    numbers = np.arange(shape[0] * shape[1]).reshape(shape[0], shape[1])
    out = numbers.copy()
    for read in reads:
        pairs = read.take(numbers)
        swapped = pairs.reshape(len(pairs), -1, 2)[..., ::-1].reshape(pairs.shape)
        out = read.put(swapped, out)
    return out


def compensate(
    reads: Sequence[Read], target: Any, stuck: Any, value: Any, limits: tuple[float, float]
) -> Any:
    """Targets with the partners of stuck devices moved, so that the pairs' differences are kept.

    Args:
        reads: all read passes of the array.
        target: conductances, S, (..., rows, cols); NumPy array, or torch tensor with its gradient.
        stuck, value: stuck devices and their conductances, (..., rows, cols).
        limits: smallest and largest conductance of a target, S.
    """
    other = partners(reads, target.shape[-2:]).ravel()

    def of_partner(values: Any) -> Any:
        return values.reshape(*values.shape[:-2], -1)[..., other].reshape(values.shape)

    restored = (of_partner(value) - (of_partner(target) - target)).clip(*limits)
    return where(of_partner(stuck) & ~stuck, restored, target)
