"""Single values that noise does not explain, in repeats that are fitted by likelihood.

A value is far off where it lies beyond the quantile of Student's t that a share `LEVEL` of all data
sets without outliers reaches (Bonferroni). Values are left out, the farthest of each group first,
until none is far off: the largest hide others, and move the mean of their group, from which then
right values seem far. A deviation is taken in the standard deviation of all others, ``z sqrt((f -
1)/(f - z^2))`` with f degrees of freedom: with few values an outlier sets the whole scale (masking
and swamping; Barnett and Lewis 1994, Outliers in Statistical Data, chapter 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from xbarspice.calibration.goodness import LEVEL, Check
from xbarspice.core.types import Array, Flags, Indices

__all__ = ["Near", "judge_outliers", "keep_near"]

TINY = 1e-6
"""Least squared deviation that is left for all other values, in variances."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Near:
    """Values without outliers.

    Attributes:
        keep: which are left, (values,).
        limit: standard deviations from which a value was far off.
        p: probability of a largest deviation at least as that of all values, without outliers.
    """

    keep: Flags
    limit: float
    p: float


def keep_near(group: Indices, standardise: Callable[[Flags], Array]) -> Near:
    """Leave values out until none is far off.

    Args:
        group: number of the group of each value, around whose mean it is looked at, (values,).
        standardise: from which values are fitted, to the deviation of each in standard deviations,
            (values,); what is not fitted counts for nothing.
    """
    count, freedom = len(group), max(len(group) - len(np.unique(group)), 2)
    limit = float(stats.t.isf(LEVEL / 2 / count, freedom - 1))
    keep, p = np.ones(count, dtype=bool), None
    while True:
        size = np.where(keep, np.abs(standardise(keep)), 0.0)
        size = size * np.sqrt((freedom - 1) / np.maximum(freedom - size**2, TINY))
        if p is None:
            p = min(1.0, 2 * count * float(stats.t.sf(size.max(), freedom - 1)))
        farthest = np.zeros(int(group.max()) + 1)
        np.maximum.at(farthest, group, size)
        far = (size > limit) & (size == farthest[group])
        if not far.any():
            return Near(keep=keep, limit=limit, p=p)
        keep &= ~far


def judge_outliers(near: Near, name: str, dropped: bool) -> tuple[tuple[Check, ...], list[str]]:
    """A test that fails where outliers were not left out, and what to say.

    Args:
        near: from `keep_near`.
        name: of the values, plural.
        dropped: whether the fit left them out.
    """
    count, total = int((~near.keep).sum()), len(near.keep)
    if dropped:
        return (), [f"{name} left out as outliers: {count} of {total}"]
    check = Check("largest deviation", near.p, not count)
    if not count:
        return (check,), []
    return (check,), [
        f"{count} of {total} {name} lie more than {near.limit:.1f} standard deviations off: the "
        "normal noise that is fitted has none such (--drop-outliers leaves them out)"
    ]
