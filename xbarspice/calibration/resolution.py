"""Resolution of measured values: the step of their last digit, below which nothing is known.

Scatter smaller than half a step of the values shows the rounding of the file, not the noise:
repeats that are equal tell that the noise is below the resolution, and no more (Widrow and Kollar
2008, doi:10.1017/CBO9780511754661, chapter 4: from a standard deviation of half a step on, rounding
is as good as independent noise).
"""

from __future__ import annotations

import numpy as np

from xbarspice.core.types import Array
from xbarspice.report.units import quantity

__all__ = ["below_resolution", "is_rounding", "resolution_of"]

DIGITS = 15
"""Significant digits that a double always carries."""
ROUNDING = 4e-15
"""Relative rounding of a value that a file gave in another unit."""


def resolution_of(values: Array) -> Array:
    """Step of the last digit of each value, in its unit, of the shape of `values`.

    Looked at are the significant digits that all values need, the decimals that all values need,
    and both of 1/values, for conductances that a file gave as resistances; the coarsest counts.

    Args:
        values: finite; zeros have the step of the smallest other value.
    """
    size = np.abs(values)
    if not size.any():
        return np.zeros_like(size)
    size = np.where(size > 0, size, size[size > 0].min())
    return np.maximum(_step_of(size), _step_of(1 / size) * size**2)


def is_rounding(squares: float, freedom: Array, step: Array) -> bool:
    """Whether a sum of squares shows a scatter of no more than half a step.

    Args:
        squares: of residuals.
        freedom: its degrees of freedom, by group.
        step: resolution of the values of each group, in the unit of the residuals.
    """
    return bool(squares <= (freedom * step**2).sum() / 4)


def below_resolution(most: float, unit: str = "") -> str:
    """What to say of noise that is not seen.

    Args:
        most: its upper bound.
        unit: of the bound.
    """
    return f"repeats are equal to the resolution of the file: noise below {quantity(most, unit, 2)}"


def _step_of(size: Array) -> Array:
    """The coarser of the steps of significant digits and of decimals."""
    exponent = np.floor(np.log10(size))
    step = 10.0 ** (exponent - DIGITS + 1)
    for digits in range(1, DIGITS + 1):
        coarser = 10.0 ** (exponent - digits + 1)
        if _are_multiples(size, coarser):
            step = coarser
            break
    for decimals in range(-int(exponent.min()), DIGITS - int(exponent.max())):
        if _are_multiples(size, np.full_like(size, 10.0**-decimals)):
            return np.maximum(step, 10.0**-decimals)
    return step


def _are_multiples(size: Array, step: Array) -> bool:
    ratio = size / step
    return bool(np.all(np.abs(ratio - np.round(ratio)) <= ROUNDING * ratio))
