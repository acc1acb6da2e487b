"""Intervals of what transfers score, over transfers and points together.

A share of right points is a mean over two things that were drawn, transfers and points. Its
variance is at most the sum of those of the means over either (Owen 2007, doi:10.1214/07-AOAS122);
with degrees of freedom by Satterthwaite (1946, doi:10.2307/3002019) it gives an effective number of
points, and the interval is Clopper and Pearson's for that number (Korn and Graubard 1998, Survey
Methodology 24, 193). It also holds the points of which not one may have been drawn: a share of
``1 - 0.025^(1/points)``. So it is never of width 0, not even where all is right. Where no two
transfers differ, nothing says how others would: then it is ``1 - 0.025^(1/transfers)`` if that is
more.

The difference of two shares is that of the points won and lost; its interval joins those of the
two (Zou and Donner 2008, doi:10.1002/sim.3095). There a point that was not drawn changes in a share
of the transfers up to the square root of the largest of those drawn: a rule by which 95 % intervals
hold the truth in at least 95 % of simulations (`tests/unit/transfer/test_intervals.py`). Numbers
have Student's t over transfers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from xbarspice.core.shares import share_interval
from xbarspice.core.types import Array

__all__ = [
    "INTERVALS",
    "Interval",
    "Shares",
    "difference_of_shares",
    "interval_of_numbers",
    "interval_of_share",
]

INTERVALS = (
    "over transfers and points, both drawn at random (Clopper-Pearson for the effective number of "
    "points; of numbers, Student's t over transfers)"
)
"""What the intervals are, in words."""

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Shares:
    """How often something is so, by point and by transfer.

    Attributes:
        by_point: share of the transfers in which it is so of each point, (points,).
        by_transfer: values of the share whose scatter is that of the transfers: of each transfer,
            or of samples of the transfers.
        weight: variance of the share over that of `by_transfer`; 0 of a single transfer.
        transfers: how many.
    """

    by_point: Array
    by_transfer: Array
    weight: float
    transfers: int

    @property
    def value(self) -> float:
        """Share of all."""
        return float(self.by_point.mean())

    @property
    def varies(self) -> bool:
        """Whether transfers differ."""
        return bool(np.ptp(self.by_transfer) > 0)

    def interval(self, *, varies: bool, step: float = 1.0) -> tuple[float, float]:
        """The interval of the share.

        Args:
            varies: whether it is known how transfers differ.
            step: largest share of the transfers by which a point that was not drawn may differ.
        """
        p, points = self.value, len(self.by_point)
        count = points if varies else min(points, self.transfers)
        unseen = step * share_interval(0.0, count, CONFIDENCE)[1]
        low, high = share_interval(p, self._count(), CONFIDENCE)
        return min(low, p * (1 - unseen)), max(high, p + (1 - p) * unseen)

    def _count(self) -> float:
        """Effective number of independent points; infinite where nothing differs."""
        p, points = self.value, len(self.by_point)
        parts = (
            (_variance(self.by_point) / points, points),
            (_variance(self.by_transfer) * self.weight, self.transfers),
        )
        total = sum(v for v, _ in parts)
        if not total > 0 or not 0 < p < 1:
            return math.inf
        freedom = total**2 / sum(v * v / (n - 1) for v, n in parts if v > 0)
        tail = (1 + CONFIDENCE) / 2
        ratio = float(special.ndtri(tail) / special.stdtrit(freedom, tail))
        return p * (1 - p) / total * ratio**2


def _variance(values: Array) -> float:
    """Variance of values; 0 of a single one."""
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0


def interval_of_share(shares: Shares) -> Interval:
    """A share with its interval."""
    low, high = shares.interval(varies=shares.varies)
    return Interval(value=shares.value, low=low, high=high)


def difference_of_shares(won: Shares, lost: Shares) -> Interval:
    """Share of what is won less that of what is lost, with its interval.

    Args:
        won, lost: of the same transfers and points, never both at once.
    """
    varies = won.varies or lost.varies
    value = won.value - lost.value
    largest = max(float(each.by_point.max()) for each in (won, lost))
    step = math.sqrt(largest) if largest else 1.0
    (a, b), (c, d) = (each.interval(varies=varies, step=step) for each in (won, lost))
    together = _correlation(won, lost)

    def half(of_won: float, of_lost: float) -> float:
        return math.sqrt(max(of_won**2 + of_lost**2 - 2 * together * of_won * of_lost, 0.0))

    return Interval(
        value=value,
        low=max(value - half(won.value - a, d - lost.value), -1.0),
        high=min(value + half(b - won.value, lost.value - c), 1.0),
    )


def _correlation(won: Shares, lost: Shares) -> float:
    """Of the two shares, over transfers and points; 0 where either does not vary."""
    whole = np.zeros((2, 2))
    for a, b, weight in (
        (won.by_point, lost.by_point, 1 / len(won.by_point)),
        (won.by_transfer, lost.by_transfer, won.weight),
    ):
        whole += np.cov(a, b) * weight if len(a) > 1 else 0.0
    scale = math.sqrt(whole[0, 0] * whole[1, 1])
    return float(np.clip(whole[0, 1] / scale, -1, 1)) if scale > 0 else 0.0


def interval_of_numbers(values: Array) -> Interval:
    """Mean of numbers, one a transfer, with Student's t; infinite of a single one."""
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(value=mean, low=-math.inf, high=math.inf)
    half = float(special.stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)) * math.sqrt(
        _variance(values) / len(values)
    )
    return Interval(value=mean, low=mean - half, high=mean + half)
