"""What remedies do to the transfers of a circuit: the study beside training with them in the loop.

Every transfer is programmed once, its remedy is fitted on calibration points as a tester would, and
the other points are judged, as they are and mended.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xbarspice.campaign import CircuitModel
from xbarspice.core.errors import broken_rule
from xbarspice.core.seeds import child_rng
from xbarspice.core.values import whole_number_of
from xbarspice.nn import copy_circuit, program_each, through
from xbarspice.nn.origin import outputs_of
from xbarspice.training.procedures import Procedure, get
from xbarspice.transfer.budget import check_metric, judge_of
from xbarspice.transfer.circuits import LEVELS, at_level, check_errors, with_seed
from xbarspice.transfer.intervals import Interval
from xbarspice.transfer.outcomes import Judge
from xbarspice.transfer.scores import Metric, Outcomes, Scores, difference
from xbarspice.transfer.workers import Workers

__all__ = ["Remedied", "check_remedies", "remedy_item", "study_remedies"]

BEFORE = "as programmed"
CALIBRATION = 256
"""Points that a remedy is fitted on, at most; never more than half of all."""


@dataclass(frozen=True, kw_only=True)
class Remedied:
    """What one remedy does, by the metric of the study.

    Attributes:
        remedy: its name.
        metric: "mean" or "consistent"; see `transfer.scores.Metric`.
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
    remedies: Sequence[str] | Mapping[str, Procedure],
    transfers: int = 200,
    seed: int | None = None,
    metric: Metric = "mean",
    engine: str = "surrogate",
    workers: Workers | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Remedied]:
    """Mend every transfer of a circuit and judge it on points that the remedy has not seen.

    A remedy has calibration points, at most `CALIBRATION` and half of all, chosen at random: the
    answers of the transfer for them, those of the same circuit without errors, and the classes.
    What is done to devices draws the same random numbers as the transfer without it, as far as they
    go. Intervals are those of paired differences (`transfer.scores.difference`).

    Args:
        circuit: from `nn.convert`, with `ArrayConfig.variation`, that answers with one tensor,
            points first; it is left as it is.
        x: inputs, a tensor or array, or a tuple of the model's arguments.
        y: classes, (points,); None judges against exact products.
        remedies: names of `training.procedures.names()`, several joined by "+"; or procedures, each
            under a name.
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
    procedures = {
        name: get(remedies[name] if isinstance(remedies, Mapping) else name) for name in remedies
    }
    transfers = whole_number_of("transfers", transfers, low=1, remedy="200 are usual.")
    check_errors(circuit, engine)
    if engine in LEVELS:
        circuit, engine = at_level(circuit, engine), "surrogate"
    whole = with_seed(circuit, seed)
    arguments, exact = judge_of(whole, x, y)
    check_metric(metric, exact)
    check_remedies(procedures.values(), exact)
    options = {"remedies": procedures, "seed": seed or 0, "engine": engine}
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
        name: Outcomes(
            score=np.concatenate([part[name] for part in parts]), classifies=exact.classifies
        )
        for name in (BEFORE, *mending.remedies)
    }
    judge, count = mending.judge, len(mending.calibration)
    return [
        _remedied(name, metric, judge, count, scores[BEFORE], scores[name])
        for name in mending.remedies
    ]


def check_remedies(remedies: Iterable[Procedure], exact: Judge) -> None:
    """Raise if a remedy needs classes of a model that has none.

    Args:
        remedies: what is to be done.
        exact: judge of the model.

    Raises:
        InputError: one of them weighs devices, and the model does not classify.
    """
    weighing = [procedure for procedure in remedies if procedure.weighs]
    if weighing and not exact.classifies:
        raise broken_rule(
            "a remedy that weighs devices needs a model that classifies",
            f"{weighing[0]} of outputs that are numbers",
            'Use "partners", or a remedy of the outputs.',
        )


def remedy_item(
    parameters: Mapping[str, Any],
    *,
    model: CircuitModel,
    x: Any,
    labels: Any,
    remedies: Mapping[str, Procedure],
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
        remedies: what is done, by name.
        seed: of the choice of points.
        engine: who solves the arrays.
    """

    def __init__(
        self,
        circuit: nn.Module,
        arguments: tuple[Any, ...],
        exact: Judge,
        *,
        remedies: Mapping[str, Procedure],
        seed: int,
        engine: str,
    ) -> None:
        points = _count_points(exact.wanted)
        order = child_rng(seed, "calibration points").permutation(points)
        count = min(CALIBRATION, points // 2)
        calibration, others = order[:count], order[count:]
        self.circuit, self.arguments, self.engine = circuit, arguments, engine
        self.calibration, self.others = torch.as_tensor(calibration), torch.as_tensor(others)
        self.remedies = dict(remedies)
        labels = None if exact.labels is None else np.asarray(exact.labels)[others]
        self.judge = Judge((exact.wanted[0][self.others],), labels)
        self.classes: Tensor | None = None
        self.targets = exact.wanted[0][self.calibration]  # numbers, where there are no classes
        if exact.classifies and exact.classes is not None:
            self.classes = torch.as_tensor(np.asarray(exact.classes))[self.calibration]
            self.targets = self.classes

    def scores(self, numbers: Mapping[str, int]) -> dict[str, Any]:
        """Scores (transfers, points) as programmed, and by each remedy."""
        each = range(numbers["first"], numbers["end"])
        with through(self.engine), torch.no_grad():
            out = self._of_outputs(each)
            for name, procedure in self.remedies.items():
                if not procedure.on_outputs_alone:
                    out[name] = self._of_arrays(procedure, each)
        return {name: np.stack(scores) for name, scores in out.items()}

    def _of_outputs(self, numbers: Sequence[int]) -> dict[str, list[Scores]]:
        """Scores as programmed, and by the remedies that only correct outputs."""
        corrections = {
            name: procedure.correction
            for name, procedure in self.remedies.items()
            if procedure.on_outputs_alone
        }
        out: dict[str, list[Scores]] = {BEFORE: [], **{name: [] for name in corrections}}
        (clean,) = outputs_of(self.circuit, self.arguments)
        wanted = clean.reshape(len(clean), -1)[self.calibration]
        for _ in program_each(self.circuit, numbers):
            (answers,) = outputs_of(self.circuit, self.arguments)
            flat, shape = answers.reshape(1, len(answers), -1), answers[self.others].shape
            for name, correction in (BEFORE, None), *corrections.items():
                mended = flat[:, self.others]
                if correction is not None:
                    fitted = correction(flat[:, self.calibration], wanted, self.targets)
                    mended = fitted.apply(mended)
                out[name].append(self.judge.score((mended.reshape(shape),)))
        return out

    def _of_arrays(self, procedure: Procedure, numbers: Sequence[int]) -> list[Scores]:
        """Scores of transfers that a procedure has programmed."""
        take = self.calibration
        calibration = (tuple(a[take] for a in self.arguments), self.classes)
        scores = []
        for mend in procedure.each(self.circuit, numbers, calibration):
            (answers,) = mend(outputs_of(self.circuit, self.arguments))
            scores.append(self.judge.score((answers[self.others],)))
        return scores


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
