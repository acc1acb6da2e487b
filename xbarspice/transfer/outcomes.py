"""What circuits score in the same transfers, and how two of them differ, with intervals.

Two circuits are compared with common random numbers: transfer k draws the same numbers for every
device of both, so that their difference over the transfers is less noisy than either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xbarspice.core.errors import broken_rule
from xbarspice.core.seeds import child_seed
from xbarspice.nn import copy_circuit, through
from xbarspice.nn.origin import decisions_of, outputs_of
from xbarspice.transfer.programming import Calibration, Programming, each_transfer
from xbarspice.transfer.results import THRESHOLD, Interval, interval_of, multiplicities
from xbarspice.transfer.study import (
    LEVELS,
    at_level,
    matrices_of,
)

__all__ = ["METRICS", "Judge", "Metric", "Outcomes", "Scores", "difference", "run_transfers"]

Metric = Literal["mean", "consistent"]
METRICS = get_args(Metric)
"""Of a model that classifies: "mean", the share of points that are right, as mean over the
transfers; "consistent", the share of points that are right in at least 95 % of them. Of any other
model "mean" is minus the change of its outputs."""

Outputs = tuple[Tensor, ...]
Scores = npt.NDArray[np.float32]


class Judge:
    """Scores the outputs of a model; more is better.

    Args:
        wanted: outputs that a circuit should have.
        labels: classes, (points,); None where unknown.

    Attributes:
        classifies: whether points are right or wrong; else the change of the outputs counts.
        judged: in words.
    """

    def __init__(self, wanted: Outputs, labels: Any = None) -> None:
        self.wanted, self.labels = wanted, labels
        self.largest = [float(t.abs().max()) or 1.0 if t.numel() else 1.0 for t in wanted]
        decided = decisions_of(wanted, labels)
        self.classifies = decided is not None
        self.classes = decided if labels is None else np.asarray(labels)
        if not self.classifies:
            self.judged = "outputs, against the exact ones (rms over the largest)"
        elif labels is None:
            self.judged = "decisions, against the exact ones"
        else:
            self.judged = "decisions, against the labels"

    def score(self, outputs: Outputs) -> Scores:
        """Whether each point is right (0 or 1), (points,); else minus the rms change, (1,)."""
        if self.classifies:
            decided = decisions_of(outputs, self.labels)
            return np.asarray(decided == self.classes, dtype=np.float32)
        squares = [
            ((a.double() - b.double()) / size).square().flatten()
            for a, b, size in zip(outputs, self.wanted, self.largest, strict=True)
        ]
        return np.array([-float(torch.cat(squares).mean().sqrt())], dtype=np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcomes:
    """Scores of a circuit, (transfers, points); (transfers, 1) of a model that does not classify.

    Attributes:
        score: as of `Judge.score`; transfer k is draw k.
    """

    score: Scores = field(repr=False)

    def value(self, metric: Metric = "mean") -> float:
        """The metric over the transfers."""
        if metric == "mean":
            return float(self.score.mean(dtype=np.float64))
        return float(np.mean(self.score.mean(axis=0, dtype=np.float64) >= THRESHOLD - 1e-9))

    def interval(self, metric: Metric = "mean", *, samples: int = 1000, seed: int = 0) -> Interval:
        """The metric with its 95 % interval; see `difference`."""
        nothing = Outcomes(score=np.zeros_like(self.score))
        return difference(self, nothing, metric, samples=samples, seed=seed)


def difference(
    one: Outcomes,
    other: Outcomes,
    metric: Metric = "mean",
    *,
    samples: int = 1000,
    seed: int = 0,
) -> Interval:
    """By how much the metric of `one` exceeds that of `other`, paired.

    Percentile bootstrap, 95 %, over transfers and points, drawn independently and the same for both
    (Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13).

    Raises:
        InputError: they saw other numbers of transfers or points.
    """
    if one.score.shape != other.score.shape:
        raise broken_rule(
            "outcomes are compared transfer by transfer and point by point",
            f"{one.score.shape} and {other.score.shape} transfers and points",
            "Run both with the same.",
        )
    transfers, points = one.score.shape
    rng = np.random.default_rng(seed)
    by_transfer = multiplicities(rng, transfers, samples)
    by_point = multiplicities(rng, points, samples)
    value = one.value(metric) - other.value(metric)
    if metric == "mean":
        drawn = by_transfer @ (one.score - other.score)
    else:
        held = [by_transfer @ each.score >= THRESHOLD - 1e-5 for each in (one, other)]
        drawn = held[0].astype(np.float32) - held[1]
    return interval_of(value, (drawn * by_point).sum(axis=1))


def run_transfers(
    circuit: nn.Module,
    arguments: tuple[Any, ...],
    judge: Judge,
    numbers: Sequence[int],
    *,
    seed: int | None = None,
    engine: str = "surrogate",
    procedure: Programming | None = None,
    calibration: Calibration | None = None,
) -> Outcomes:
    """Score a circuit in some transfers of its errors.

    Args:
        circuit: a converted model; one without errors on its arrays runs once.
        arguments: of the model.
        judge: of its outputs.
        numbers: of the transfers.
        seed: of all errors; None keeps the seeds of the circuit.
        engine, procedure, calibration: as of `transfer`.
    """
    if engine in LEVELS:
        circuit, engine = at_level(circuit, engine), "surrogate"
    whole = copy_circuit(circuit).eval()
    if seed is not None:
        for matrix in matrices_of(whole):
            matrix.seed = child_seed(seed, matrix.name)
    with through(engine), torch.no_grad():
        if all(matrix.config.variation is None for matrix in matrices_of(whole)):
            score = judge.score(outputs_of(whole, arguments))
            return Outcomes(score=np.repeat(score[None], len(numbers), axis=0))
        each = each_transfer(whole, arguments, numbers, procedure, calibration)
        scores = [judge.score(outputs) for outputs in each]
    return Outcomes(score=np.stack(scores))
