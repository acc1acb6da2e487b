"""Scatter that single outliers do not decide, and where residuals are cut by it.

The median size of normal values about 0 is their standard deviation over 1.4826 (Rousseeuw and
Croux 1993, doi:10.1080/01621459.1993.10476408).
"""

from __future__ import annotations

import numpy as np

from xbarspice.core.types import Array

__all__ = ["CUT", "cut_residuals", "robust_std"]

CUT = 3.5
"""Robust standard deviations at which residuals are cut, and beyond which they are outliers."""


def robust_std(values: Array, *, about_median: bool = False) -> float:
    """Standard deviation from the median size of values, in their unit.

    Args:
        values: of any shape, one or more.
        about_median: whether sizes are from the median; else from 0.
    """
    middle = np.median(values) if about_median else 0.0
    return 1.4826 * float(np.median(np.abs(values - middle)))


def cut_residuals(residual: Array, scatter: float) -> Array:
    """Residuals within `CUT` times a scatter; as they are where it is 0."""
    return np.clip(residual, -CUT * scatter, CUT * scatter) if scatter > 0 else residual
