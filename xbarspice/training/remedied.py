"""What remedies do to the transfers of a circuit: the study beside training with them in the loop.

Every transfer is programmed once, its remedy is fitted on calibration points as a tester would, and
the other points are judged, as they are and mended.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xbarspice.campaign import CircuitModel
from xbarspice.core.errors import broken_rule
from xbarspice.core.seeds import child_rng, child_seed
from xbarspice.core.values import whole_number_of
from xbarspice.nn import copy_circuit, program_each, through
from xbarspice.nn.origin import outputs_of
from xbarspice.training.remedies import Remedy, get
from xbarspice.transfer.budget import check_metric, judge_of
from xbarspice.transfer.outcomes import Judge, Metric, Outcomes, Scores, difference
from xbarspice.transfer.results import Interval
from xbarspice.transfer.study import LEVELS, at_level, check_errors, matrices_of
from xbarspice.transfer.workers import Workers

__all__ = ["Remedied", "remedy_item", "study_remedies"]

BEFORE = "as programmed"
CALIBRATION = 256
"""Points that a remedy is fitted on, at most; never more than half of all."""


@dataclass(frozen=True, kw_only=True)
class Remedied:
    """What one remedy does, by the metric of the study.

    Attributes:
        remedy: its name.
        metric: "mean" or "consistent"; see `transfer.outcomes.Metric`.
        judged: what is judged, in words.
        classifies: whether the metric is a share of points (0..1); else it is minus the change of
            the outputs.
        transfers: that were programmed.
        calibration, points: that the remedy was fitted on, and others that were judged.
        before, after: the metric without and with the remedy.
        gain: `after` less `before`, paired.
    """

    remedy: str
    metric: Metric
    judged: str
    classifies: bool
    transfers: int
    calibration: int
    points: int
    before: Interval
    after: Interval
    gain: Interval

    def record(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def study_remedies(
    circuit: nn.Module,
    x: Any,
    y: npt.ArrayLike | None = None,
    *,
    remedies: Sequence[str],
    transfers: int = 200,
    seed: int | None = None,
    metric: Metric = "mean",
    engine: str = "surrogate",
    workers: Workers | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Remedied]:
    """Mend every transfer of a circuit and judge it on points that the remedy has not seen.

    A remedy is fitted draw by draw on calibration points, at most `CALIBRATION` and half of all,
    chosen at random: on the answers of the transfer, those of the same circuit without errors, and
    the classes. Intervals are those of paired differences (`transfer.outcomes.difference`).

    Args:
        circuit: from `nn.convert`, with `ArrayConfig.variation`, that answers with one tensor,
            points first; it is left as it is.
        x: inputs, a tensor or array, or a tuple of the model's arguments.
        y: classes, (points,); None judges against exact products.
        remedies: names of `training.remedies.names()`.
        transfers: how many.
        seed: of all errors and of the choice of points; None keeps the seeds of the circuit, and 0.
        metric: "mean" or "consistent".
        engine: as of `transfer.transfer`.
        workers: other processes that compute the transfers.
        progress: called with (parts done, parts in all).

    Raises:
        InputError: there is no such remedy, no errors, fewer than 4 points, another answer than one
            tensor of points, or an argument breaks a rule.
    """
    for name in remedies:
        get(name)
    transfers = whole_number_of("transfers", transfers, low=1, remedy="200 are usual.")
    check_errors(circuit, engine)
    if engine in LEVELS:
        circuit, engine = at_level(circuit, engine), "surrogate"
    whole = copy_circuit(circuit).eval()
    if seed is not None:
        for matrix in matrices_of(whole):
            matrix.seed = child_seed(seed, matrix.name)
    arguments, exact = judge_of(whole, x, y)
    check_metric(metric, exact)
    options = {"remedies": list(dict.fromkeys(remedies)), "seed": seed or 0, "engine": engine}
    mending = _Mending(whole, arguments, exact, **options)
    items = (workers or Workers()).parts(0, transfers)
    parts: list[dict[str, Any]] = []
    if workers is None:
        for item in items:
            parts.append(mending.scores(item))
            progress(len(parts), len(items))
    else:
        packed = workers.pack(whole, arguments) | {"labels": exact.labels}
        function = functools.partial(remedy_item, **packed, **options)
        parts = workers.run(function, items, progress).complete()
    scores = {
        name: Outcomes(score=np.concatenate([part[name] for part in parts]))
        for name in (BEFORE, *mending.remedies)
    }
    judge, count = mending.judge, len(mending.calibration)
    return [
        _remedied(name, metric, judge, count, scores[BEFORE], scores[name])
        for name in mending.remedies
    ]


def remedy_item(
    parameters: Mapping[str, Any],
    *,
    model: CircuitModel,
    x: Any,
    labels: Any,
    remedies: Sequence[str],
    seed: int,
    engine: str,
) -> dict[str, Any]:
    """Some transfers and what remedies make of them, as an item of a campaign.

    Args:
        parameters: first transfer, and end, the one behind the last.
        model, x: of `Workers.pack`.
        labels, remedies, seed, engine: of the study.

    Returns:
        Scores (transfers, points) as programmed, and by each remedy.
    """
    circuit = copy_circuit(model.circuit()).eval()
    arguments, exact = judge_of(circuit, tuple(x), labels)
    mending = _Mending(circuit, arguments, exact, remedies=remedies, seed=seed, engine=engine)
    return mending.scores(parameters)


def _count_points(wanted: tuple[Tensor, ...]) -> int:
    """Points that can be divided into calibration points and others."""
    if len(wanted) != 1 or wanted[0].ndim < 1 or len(wanted[0]) < 4:
        raise broken_rule(
            "remedies need a model that answers with one tensor, (points, ...), for 4 points at "
            "least",
            f"outputs of {[tuple(t.shape) for t in wanted]}",
            "Give more inputs, or wrap the model in a module that answers so.",
        )
    return len(wanted[0])


class _Mending:
    """Fits remedies on some points of a transfer and applies them to others.

    Args:
        circuit: with its seeds.
        arguments: of it.
        exact: judge of all points.
        remedies: names.
        seed: of the choice of points.
        engine: who solves the arrays.
    """

    def __init__(
        self,
        circuit: nn.Module,
        arguments: tuple[Any, ...],
        exact: Judge,
        *,
        remedies: Sequence[str],
        seed: int,
        engine: str,
    ) -> None:
        points = _count_points(exact.wanted)
        order = child_rng(seed, "calibration points").permutation(points)
        count = min(CALIBRATION, points // 2)
        calibration, others = order[:count], order[count:]
        self.circuit, self.arguments, self.engine = circuit, arguments, engine
        self.calibration, self.others = torch.as_tensor(calibration), torch.as_tensor(others)
        self.remedies: dict[str, Remedy] = {name: get(name) for name in remedies}
        labels = None if exact.labels is None else np.asarray(exact.labels)[others]
        self.judge = Judge((exact.wanted[0][self.others],), labels)
        classes = exact.classes if exact.classifies else None
        if classes is None:  # numbers, which no remedy that needs classes takes
            self.targets = exact.wanted[0][self.calibration]
        else:
            self.targets = torch.as_tensor(np.asarray(classes)[calibration])

    def scores(self, numbers: Mapping[str, int]) -> dict[str, Any]:
        """Scores (transfers, points) as programmed, and by each remedy."""
        out: dict[str, list[Scores]] = {BEFORE: [], **{name: [] for name in self.remedies}}
        with through(self.engine), torch.no_grad():
            (clean,) = outputs_of(self.circuit, self.arguments)
            for _ in program_each(self.circuit, range(numbers["first"], numbers["end"])):
                (answers,) = outputs_of(self.circuit, self.arguments)
                out[BEFORE].append(self.judge.score((answers[self.others],)))
                for name, mended in self._apply(answers, clean):
                    out[name].append(self.judge.score((mended,)))
        return {name: np.stack(scores) for name, scores in out.items()}

    def _apply(self, answers: Tensor, clean: Tensor) -> list[tuple[str, Tensor]]:
        """The answers for the other points after each remedy."""
        flat, wanted = answers.reshape(1, len(answers), -1), clean.reshape(len(clean), -1)
        out = []
        for name, remedy in self.remedies.items():
            correction = remedy(flat[:, self.calibration], wanted[self.calibration], self.targets)
            mended = correction.apply(flat[:, self.others])
            out.append((name, mended.reshape(answers[self.others].shape)))
        return out


def _remedied(
    name: str, metric: Metric, judge: Judge, calibration: int, before: Outcomes, after: Outcomes
) -> Remedied:
    return Remedied(
        remedy=name,
        metric=metric,
        judged=judge.judged,
        classifies=judge.classifies,
        transfers=len(before.score),
        calibration=calibration,
        points=len(judge.wanted[0]),
        before=before.interval(metric),
        after=after.interval(metric),
        gain=difference(after, before, metric),
    )
