"""The loss budget of a circuit: what each source of error costs, alone and among all others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from xbarspice.campaign import CircuitModel
from xbarspice.core.errors import broken_rule
from xbarspice.core.values import labels_of, whole_number_of
from xbarspice.core.wires import IDEAL
from xbarspice.mapping import ArrayConfig
from xbarspice.nn import copy_circuit, exact_products
from xbarspice.nn.layers import matrices_of
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.nn.origin import arguments_of, outputs_of
from xbarspice.transfer.circuits import LEVELS, at_level, refuse_programmed
from xbarspice.transfer.intervals import Interval
from xbarspice.transfer.outcomes import Judge, run_transfers
from xbarspice.transfer.programming import Calibration, Programming, packed
from xbarspice.transfer.scores import METRICS, Metric, Outcomes, Scores, difference
from xbarspice.transfer.workers import Workers
from xbarspice.variability import Compose, Variation

__all__ = ["Budget", "Cost", "budget_item", "loss_budget", "only_sources", "sources_of"]

SOURCES: Mapping[str, str] = {
    "cti": "tuning error",
    "bse": "drift by later writes",
    "saf": "stuck devices",
    "retention": "retention drift",
}
"""Terms of a variation in words, where the words of their names do not say it."""
WIRES, CURVES, LEVEL, CLIP = "wires", "curves of devices", "levels", "cut weights"
CONVERTERS = "converters"


@dataclass(frozen=True)
class _Muted(Variation):
    """Draws the random numbers of a term and changes nothing, so that later terms draw the same."""

    name: ClassVar[str] = "muted"
    source: ClassVar[str] = "its term"

    term: Variation

    def _apply(self, G: Any, draws: Any) -> Any:
        self.term.apply(G, draws.rng)
        return G


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one source of error costs, by the metric of the budget.

    Attributes:
        source: in words.
        alone: lost by a circuit with exact products when it has this source and no other.
        among_all: won by the circuit with all sources when this one is taken away.
    """

    source: str
    alone: Interval
    among_all: Interval


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What the sources of error of a circuit cost. Parts do not add up exactly.

    Attributes:
        metric: "mean" or "consistent"; see `scores.Metric`.
        judged: what is judged, in words.
        classifies: whether the metric is a share of points (0..1); else it is minus the change of
            the outputs.
        transfers, points: that were judged.
        exact: the metric with exact products.
        all: the metric with all sources.
        lost: `exact` less `all`.
        costs: of every source, the largest cost among all first.
        procedure: how every transfer was programmed, in words; "" for every device once.
    """

    metric: Metric
    judged: str
    classifies: bool
    transfers: int
    points: int
    exact: float
    all: Interval
    lost: Interval
    costs: tuple[Cost, ...]
    procedure: str = ""

    def record(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"costs": [asdict(cost) for cost in self.costs]}


def loss_budget(
    circuit: nn.Module,
    x: Any,
    y: npt.ArrayLike | None = None,
    *,
    transfers: int = 200,
    seed: int | None = None,
    metric: Metric = "mean",
    engine: str = "surrogate",
    workers: Workers | None = None,
    procedure: Programming | None = None,
    calibration: Calibration | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Budget:
    """Which source of error costs how much: terms of the variation, wires, curves, rounding.

    Every source is switched on alone, and off among all others, in the same transfers with the same
    random numbers, point by point; intervals are those of the paired differences
    (`scores.difference`).

    Args:
        circuit: from `nn.convert`; it is left as it is.
        x: inputs, a tensor or array, or a tuple of the model's arguments.
        y: classes, (points,); None judges against exact products.
        transfers: for each of the 2 n + 1 circuits with errors, n the number of sources.
        seed: of all errors; None keeps the seeds of the circuit.
        metric: "mean" or "consistent".
        engine: as of `transfer`.
        workers: other processes that compute the transfers.
        procedure, calibration: as of `transfer`: what every source costs after what a tester does.
        progress: called with (parts done, parts in all).

    Raises:
        InputError: nothing to take away, "consistent" of a model that does not classify, or an
            argument breaks a rule.
    """
    transfers = whole_number_of("transfers", transfers, low=1, remedy="200 are usual.")
    refuse_programmed(circuit)
    if engine in LEVELS:
        circuit, engine = at_level(circuit, engine), "surrogate"
    arguments, judge = judge_of(circuit, x, y)
    check_metric(metric, judge)
    sources = sources_of(circuit)
    if not sources:
        raise broken_rule(
            "a loss budget needs a source of error",
            "arrays without wires, curves, rounding and variation",
            "Set ArrayConfig(variation=...).",
        )
    kept = [sources, *[[s] for s in sources], *[[s for s in sources if s != t] for t in sources]]
    options = {"seed": seed, "engine": engine, "procedure": procedure, "calibration": calibration}
    outcomes = _outcomes(kept, transfers, circuit, arguments, judge, options, workers, progress)
    score = np.repeat(judge.score(judge.wanted)[None], transfers, axis=0)
    exact = Outcomes(score=score, classifies=judge.classifies)
    budget = _budget(metric, judge, sources, exact, outcomes)
    return budget if procedure is None else replace(budget, procedure=procedure.words)


def _outcomes(
    kept: list[list[str]],
    transfers: int,
    circuit: nn.Module,
    arguments: tuple[Any, ...],
    judge: Judge,
    options: dict[str, Any],
    workers: Workers | None,
    progress: Callable[[int, int], None],
) -> list[Outcomes]:
    """Scores with the sources of each entry of `kept` alone, here or by workers."""
    numbers = (workers or Workers()).parts(0, transfers)
    items = [part | {"sources": names} for names in kept for part in numbers]
    parts: list[Scores] = []
    if workers is None:
        for item in items:
            parts.append(_score(item, circuit, arguments, judge, options))
            progress(len(parts), len(items))
    else:
        model = workers.pack(circuit, arguments) | {"labels": judge.labels}
        options = options | {"calibration": packed(options["calibration"])}
        function = functools.partial(budget_item, **model, **options)
        parts = [part["score"] for part in workers.run(function, items, progress).complete()]
    each = len(numbers)
    return [
        Outcomes(score=np.concatenate(parts[k : k + each]), classifies=judge.classifies)
        for k in range(0, len(parts), each)
    ]


def budget_item(
    parameters: Mapping[str, Any],
    *,
    model: CircuitModel,
    x: Any,
    labels: Any,
    seed: int | None,
    engine: str,
    procedure: Programming | None,
    calibration: Calibration | None,
) -> dict[str, Any]:
    """Some transfers with some sources of error, as an item of a campaign.

    Args:
        parameters: sources, first transfer, and end, the one behind the last.
        model, x: of `Workers.pack`.
        labels, seed, engine, procedure, calibration: of the budget.

    Returns:
        score (transfers, points), as of `scores.Outcomes`.
    """
    circuit = model.circuit()
    arguments, judge = judge_of(circuit, tuple(x), labels)
    options = {"seed": seed, "engine": engine, "procedure": procedure, "calibration": calibration}
    return {"score": _score(parameters, circuit, arguments, judge, options)}


def _score(
    parameters: Mapping[str, Any],
    circuit: nn.Module,
    arguments: tuple[Any, ...],
    judge: Judge,
    options: Mapping[str, Any],
) -> Scores:
    part = only_sources(circuit, parameters["sources"])
    numbers = range(parameters["first"], parameters["end"])
    return run_transfers(part, arguments, judge, numbers, **options).score


def judge_of(circuit: nn.Module, x: Any, y: npt.ArrayLike | None) -> tuple[tuple[Any, ...], Judge]:
    """Arguments of a converted model, and who judges its outputs by exact products and labels."""
    arguments = arguments_of(circuit, x)
    first = arguments[0]
    points = len(first) if isinstance(first, Tensor) and first.ndim else 1
    labels = None if y is None else labels_of("y", y, points)
    with exact_products():
        return arguments, Judge(outputs_of(circuit, arguments), labels)


def check_metric(metric: str, judge: Judge) -> None:
    """Raise unless the metric is one, and one of this model."""
    known = METRICS if judge.classifies else METRICS[:1]
    if metric not in known:
        raise broken_rule(
            f"`metric` must be one of {known} for a model that "
            f"{'classifies' if judge.classifies else 'does not classify'}",
            repr(metric),
            'Use "mean".',
        )


def _budget(
    metric: Metric,
    judge: Judge,
    sources: list[str],
    exact: Outcomes,
    outcomes: list[Outcomes],
) -> Budget:
    """The figures; `outcomes` are of all sources, of each alone, and of all others."""
    everything, count = outcomes[0], len(sources)
    costs = [
        Cost(
            source=source,
            alone=difference(exact, alone, metric),
            among_all=difference(others, everything, metric),
        )
        for source, alone, others in zip(
            sources, outcomes[1 : count + 1], outcomes[count + 1 :], strict=True
        )
    ]
    return Budget(
        metric=metric,
        judged=judge.judged,
        classifies=judge.classifies,
        transfers=len(exact.score),
        points=exact.score.shape[1] if judge.classifies else len(judge.wanted[0]),
        exact=exact.value(metric),
        all=everything.interval(metric),
        lost=difference(exact, everything, metric),
        costs=tuple(sorted(costs, key=lambda cost: -cost.among_all.value)),
    )


def sources_of(circuit: nn.Module) -> list[str]:
    """Sources of error of a circuit, in words; each is of all its arrays."""
    out: dict[str, None] = {}
    for matrix in matrices_of(circuit):
        config = matrix.config
        out |= dict.fromkeys(_word(term) for term in _terms(config.variation))
        if any(np.any(np.asarray(R) > 0) for R in _resistances(matrix)):
            out[WIRES] = None
        for name, present in (
            (CURVES, not config.model.linear),
            (LEVEL, config.levels is not None),
            (CLIP, config.clip is not None and config.clip < 100),
            (CONVERTERS, config.dac_bits is not None or config.adc_bits is not None),
        ):
            if present:
                out[name] = None
    return list(out)


def _resistances(matrix: ArrayMatrix) -> list[Any]:
    single = [R for wires in matrix.wires.values() for R in wires.values()]
    return [*matrix.config.wires.values(), *single]


def _terms(variation: Variation | None) -> list[Variation]:
    """The single causes of errors, in their order."""
    if variation is None:
        return []
    if isinstance(variation, Compose):
        return [term for part in variation.parts for term in _terms(part)]
    return [variation]


def _word(term: Variation) -> str:
    name = getattr(term, "name", type(term).__name__)  # only registered ones have a name
    return SOURCES.get(name, name.replace("_", " "))


def only_sources(circuit: nn.Module, names: Collection[str]) -> Any:
    """A copy of a converted model with these sources of error and no other.

    The random numbers of each term are the same whichever others there are.

    Args:
        circuit: a converted model.
        names: of `sources_of`.
    """
    out = copy_circuit(circuit)
    for matrix in matrices_of(out):
        if WIRES not in names:
            matrix.change(**IDEAL)
        matrix.config = _only(matrix.config, names)
    return out


def _only(config: ArrayConfig, names: Collection[str]) -> ArrayConfig:
    terms = _terms(config.variation)
    kept = [term if _word(term) in names else _Muted(term) for term in terms]
    silent = all(isinstance(term, _Muted) for term in kept)
    config = replace(config, variation=None if silent else Compose(kept))
    if CURVES not in names:
        config = config.without_curves()
    if CONVERTERS not in names:
        config = config.without_converters()
    if LEVEL not in names:
        clip = config.clip
        config = replace(config.without_levels(), clip=clip)
    return config if CLIP in names else replace(config, clip=None)
