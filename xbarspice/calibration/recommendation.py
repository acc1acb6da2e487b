"""Which of some candidates to take, by the points that each classifies right: paired, one answer.

A figure is the share of points that are right, averaged over drawn tuning errors. Points and draws
are both samples, so that the variance of a mean over (draws, points) is taken as
``s_points^2 / points + s_draws^2 / draws`` of the means over the other axis, which counts what both
share twice: the intervals are rather too wide. All candidates have the same points and draws, so
that their differences are paired. Few points are counted as Agresti and Min do for two paired
shares (2005, doi:10.1002/sim.1781), a single share by Wilson's interval (1927,
doi:10.1080/01621459.1927.10502953) with the number of points that has the same variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from xbarspice.core.types import Array

__all__ = ["Interval", "choose", "gain", "share"]

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


def share(right: Array) -> Interval:
    """Accuracy from what is right, (draws, points) of 0 and 1."""
    p = float(right.mean())
    variance = _variance(right)
    count = p * (1 - p) / variance if variance > 0 and 0 < p < 1 else right.shape[1]
    count = min(count, right.size)
    z = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
    middle = (p + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    return Interval(value=p, low=min(p, middle - half), high=max(p, middle + half))


def gain(right: Array, baseline: Array, comparisons: int = 1) -> Interval:
    """By how much more is right than in `baseline`, with the same points and draws.

    Args:
        right, baseline: (draws, points) of 0 and 1.
        comparisons: intervals that shall hold together, by Bonferroni.
    """
    difference = right - baseline
    draws, points = difference.shape
    of_points = difference.mean(axis=0)
    middle = float(of_points.sum() / (points + 2))  # half a point more each way
    square = float((np.sum(of_points**2) + 1) / (points + 2))
    variance = (square - middle**2) / (points + 2)
    if draws > 1:
        variance += float(difference.mean(axis=1).var(ddof=1)) / draws
    quantile = 1 - (1 - CONFIDENCE) / (2 * comparisons)
    half = float(stats.norm.ppf(quantile)) * math.sqrt(variance)
    value = float(difference.mean())
    return Interval(
        value=value,
        low=min(value, max(middle - half, -1.0)),
        high=max(value, min(middle + half, 1.0)),
    )


def choose(right: Sequence[Array]) -> tuple[int, tuple[Interval, ...]]:
    """The candidate to take, and the gain of each over the first.

    The first one is taken unless others are better by more than their intervals, which hold
    together; of those the one that is best.

    Args:
        right: of every candidate, (draws, points) of 0 and 1.
    """
    gains = tuple(gain(r, right[0], comparisons=max(len(right) - 1, 1)) for r in right)
    better = [k for k, g in enumerate(gains) if k and g.low > 0]
    return max(better, key=lambda k: gains[k].value, default=0), gains


def _variance(right: Array) -> float:
    """Of the mean over draws and points."""
    out = 0.0
    for axis in (0, 1):
        means = right.mean(axis=axis)
        if len(means) > 1:
            out += float(means.var(ddof=1)) / len(means)
    return out
