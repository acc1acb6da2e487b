"""Scores of circuits in the same transfers, and how two of them differ, with intervals.

Two circuits are compared with common random numbers: transfer k draws the same numbers for every
device of both, so that their difference over the transfers is less noisy than either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array
from xbarspice.transfer.intervals import (
    Interval,
    Shares,
    difference_of_shares,
    interval_of_numbers,
    interval_of_share,
)

__all__ = ["METRICS", "THRESHOLD", "Metric", "Outcomes", "Scores", "difference"]

Metric = Literal["mean", "consistent"]
METRICS = get_args(Metric)
"""Of a model that classifies: "mean", the share of points that are right, as mean over the
transfers; "consistent", the share of points that are right in at least 95 % of them. Of any other
model "mean" is minus the change of its outputs."""

THRESHOLD = 0.95
"""Share of the transfers in which a point must be right to count."""
SAMPLES = 1000
"""Of the transfers, for the scatter of what is not a mean over them."""
Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcomes:
    """Scores of a circuit, (transfers, points); (transfers, 1) of a model that does not classify.

    Attributes:
        score: as of `Judge.score`; transfer k is draw k.
        classifies: as of the `Judge`.
    """

    score: Scores = field(repr=False)
    classifies: bool

    def value(self, metric: Metric = "mean") -> float:
        """The metric over the transfers."""
        return float(self._by_point(metric).mean())

    def interval(self, metric: Metric = "mean", *, seed: int = 0) -> Interval:
        """The metric with its 95 % interval (`transfer.intervals`).

        Args:
            metric: which.
            seed: of the samples of the transfers, of "consistent".
        """
        if not self.classifies:
            return interval_of_numbers(self.score.mean(axis=1, dtype=np.float64))
        return interval_of_share(_shares([self.score], metric, seed)[0])

    def _by_point(self, metric: Metric) -> Array:
        shares = self.score.mean(axis=0, dtype=np.float64)
        return shares if metric == "mean" else _enough(shares)


def difference(
    one: Outcomes, other: Outcomes, metric: Metric = "mean", *, seed: int = 0
) -> Interval:
    """By how much the metric of `one` exceeds that of `other`, paired, with its 95 % interval.

    Args:
        one, other: in the same transfers; the same outcomes differ by 0 exactly.
        metric: which.
        seed: of the samples of the transfers, of "consistent".

    Raises:
        InputError: they saw other numbers of transfers or points.
    """
    if one.score.shape != other.score.shape or one.classifies != other.classifies:
        raise broken_rule(
            "outcomes are compared transfer by transfer and point by point",
            f"{one.score.shape} and {other.score.shape} transfers and points",
            "Run both with the same.",
        )
    if one is other:
        return Interval(value=0.0, low=0.0, high=0.0)
    if not one.classifies:
        of_each = (one.score - other.score).mean(axis=1, dtype=np.float64)
        return interval_of_numbers(of_each)
    return difference_of_shares(*_shares([one.score, other.score], metric, seed))


def _shares(scores: list[Scores], metric: Metric, seed: int) -> list[Shares]:
    """Where one circuit is right, or where the first of two alone is, and where the second."""
    transfers = len(scores[0])
    if metric == "mean":
        parts = _alone(scores)
        return [
            Shares(
                by_point=part.mean(axis=0, dtype=np.float64),
                by_transfer=part.mean(axis=1, dtype=np.float64),
                weight=1 / transfers,
                transfers=transfers,
            )
            for part in parts
        ]
    drawn = np.random.default_rng(seed).multinomial(
        transfers, np.full(transfers, 1 / transfers), size=SAMPLES
    )
    weights = drawn.astype(np.float32) / transfers
    by_point = _alone([_enough(score.mean(axis=0, dtype=np.float64)) for score in scores])
    sampled = _alone([_enough(weights @ score, 1e-5) for score in scores])
    return [
        Shares(
            by_point=whole,
            by_transfer=samples.mean(axis=1, dtype=np.float64),
            weight=transfers / max(transfers - 1, 1),
            transfers=transfers,
        )
        for whole, samples in zip(by_point, sampled, strict=True)
    ]


def _enough(shares: Array, rounding: float = 1e-9) -> Array:
    """1 of points that are right in enough of the transfers, else 0."""
    return (shares >= THRESHOLD - rounding).astype(np.float64)


def _alone(right: Sequence[npt.NDArray[Any]]) -> Sequence[npt.NDArray[Any]]:
    """Where one is right; of two, where the first alone is, and where the second."""
    if len(right) == 1:
        return right
    one, other = right
    return [one * (1 - other), other * (1 - one)]
