"""What a transfer study gives: decisions and output errors of every transfer, and their figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from xbarspice.core.types import Array, Flags, Indices
from xbarspice.transfer.intervals import Interval, interval_of_numbers
from xbarspice.transfer.scores import THRESHOLD, Outcomes

__all__ = ["Golden", "TransferStudy"]


BINS = 20


@dataclass(frozen=True, kw_only=True)
class Golden:
    """Transfers that were solved by ngspice too.

    Attributes:
        transfers: their numbers.
        error: largest difference of an output, over the largest of its kind.
        differing: decisions that differ; None where the model does not classify.
        decisions: decisions compared.
    """

    transfers: tuple[int, ...]
    error: float
    differing: int | None
    decisions: int


@dataclass(frozen=True, kw_only=True, eq=False)
class TransferStudy:
    """What was seen of every transfer; transfer k is draw k of the variation, from 0.

    Attributes:
        engine: who solved the arrays.
        points: how many inputs each transfer was given.
        labels: classes of the points, (points,); None where unknown.
        predictions: decisions, (transfers, points); None of a model that does not classify.
        clean: decisions of the same circuit without transfer errors, (points,), or None.
        exact: decisions with exact products, (points,), or None.
        rms: change of the outputs by the errors of each transfer, rms over the largest output
            without them, (transfers,).
        golden: transfers that were repeated by ngspice; None where none were.
        layers: for every matrix its name, and what its errors alone do: "rms" (mean of `rms`),
            "accuracy" (mean) and "lowest" accuracy, None without labels.
        procedure: how every transfer was programmed, in words; "" for every device once.
    """

    engine: str
    points: int
    labels: Indices | None
    predictions: Indices | None = field(repr=False)
    clean: Indices | None = field(repr=False)
    exact: Indices | None = field(repr=False)
    rms: Array = field(repr=False)
    golden: Golden | None = None
    layers: tuple[dict[str, Any], ...] = ()
    procedure: str = ""

    @property
    def transfers(self) -> int:
        """How many."""
        return len(self.rms)

    @property
    def right(self) -> Flags | None:
        """Whether each point was classified right, (transfers, points).

        By its label, or as without transfer errors where labels are unknown; None of a model that
        does not classify.
        """
        if self.predictions is None:
            return None
        return self.predictions == (self.clean if self.labels is None else self.labels)

    @property
    def scores(self) -> Array:
        """Share of right points of each transfer, or else minus `rms`: more is better."""
        return -self.rms if self.right is None else self.right.mean(axis=1)

    @property
    def worst(self) -> int:
        """Number of the worst transfer; among equals that of the larger change of the outputs."""
        return int(np.lexsort((self.rms, -self.scores))[-1])

    @property
    def best(self) -> int:
        """Number of the best transfer; among equals that of the smaller change of the outputs."""
        return int(np.lexsort((-self.rms, self.scores))[-1])

    @property
    def by_point(self) -> Array | None:
        """Share of the transfers in which each point is right, (points,)."""
        return None if self.right is None else self.right.mean(axis=0)

    def metric(self, threshold: float = THRESHOLD) -> float | None:
        """Share of points that are right in at least `threshold` of the transfers."""
        right = self.right
        if right is None:
            return None
        return float(np.mean(right.sum(axis=0) >= threshold * len(right) - 1e-9))

    def intervals(self) -> dict[str, Interval]:
        """95 % intervals over transfers and points (`transfer.intervals`).

        Returns:
            "mean" (share of right points, mean over the transfers) and "metric" of a model that
            classifies; else "mean" of `rms`, over transfers alone.
        """
        if self.right is None:
            return {"mean": interval_of_numbers(self.rms)}
        outcomes = Outcomes(score=self.right.astype(np.float32), classifies=True)
        return {"mean": outcomes.interval("mean"), "metric": outcomes.interval("consistent")}

    def record(self) -> dict[str, Any]:
        """The figures as plain values; shares are 0..1."""
        out: dict[str, Any] = {
            "engine": self.engine,
            "transfers": self.transfers,
            "points": self.points,
            "judged": self._judged,
            **({} if self.right is None else self._shares(self.right)),
            "output_change": {
                "mean": float(self.rms.mean()),
                "median": float(np.median(self.rms)),
                "largest": float(self.rms.max()),
            },
            "worst_transfer": self._one(self.worst),
            "best_transfer": self._one(self.best),
            "histogram": self._histogram(),
            "layers": list(self.layers),
            "golden": None if self.golden is None else asdict(self.golden),
        }
        if self.procedure:
            out["procedure"] = self.procedure
        if self.right is None:
            out["output_change"]["interval"] = asdict(self.intervals()["mean"])
        return out

    @property
    def _judged(self) -> str:
        if self.right is None:
            return "outputs, against the same circuit without transfer errors"
        if self.labels is None:
            return "decisions, against those of the same circuit without transfer errors"
        return "decisions, against the labels"

    def _shares(self, right: Flags) -> dict[str, Any]:
        of, intervals = right.mean(axis=1), self.intervals()
        return {
            "metric": intervals["metric"].value,
            "metric_low": intervals["metric"].low,
            "metric_high": intervals["metric"].high,
            "noise_free": _share(self.clean, self.labels),
            "exact": _share(self.exact, self.labels),
            "mean": intervals["mean"].value,
            "mean_low": intervals["mean"].low,
            "mean_high": intervals["mean"].high,
            "low_5_percent": float(np.quantile(of, 0.05)),
            "worst": float(of.min()),
            "best": float(of.max()),
        }

    def _one(self, number: int) -> dict[str, Any]:
        right = self.right
        share = {} if right is None else {"right": float(right[number].mean())}
        return {"transfer": number, **share, "output_change": float(self.rms[number])}

    def _histogram(self) -> dict[str, Any]:
        values = self.rms if self.right is None else self.right.mean(axis=1)
        counts, edges = np.histogram(values, bins=BINS)
        return {
            "of": "output change" if self.right is None else "share of right points",
            "edges": edges.tolist(),
            "transfers": counts.tolist(),
        }


def _share(decided: Any, labels: Any) -> float | None:
    return None if decided is None or labels is None else float(np.mean(decided == labels))
