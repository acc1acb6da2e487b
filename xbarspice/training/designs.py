"""Designs compared: which choice of encoding and placement matters, by how much, and the best.

Every design is judged in the same transfers, with common random numbers where its arrays have the
shapes of the base: one choice at a time beside the base, then together as long as one more choice
wins (forward selection). The recommendation is judged again in transfers that chose nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.seeds import child_seed
from xbarspice.core.values import labels_of, whole_number_of
from xbarspice.mapping import ArrayConfig
from xbarspice.nn.layers import crossbar_layers
from xbarspice.nn.origin import arguments_of, outputs_of
from xbarspice.training.designs_build import Design, build, choice_names, value_of
from xbarspice.training.designs_results import Comparison, Effect
from xbarspice.training.fitting import Data, fit
from xbarspice.training.procedures import Procedure, get
from xbarspice.training.selection import CALIBRATION
from xbarspice.training.settings import Settings
from xbarspice.transfer.budget import check_metric
from xbarspice.transfer.circuits import check_errors
from xbarspice.transfer.outcomes import Judge, run_transfers
from xbarspice.transfer.programming import Calibration
from xbarspice.transfer.scores import Metric, Outcomes, difference

__all__ = ["compare_designs"]


def compare_designs(
    model: nn.Module,
    config: ArrayConfig,
    x: Tensor | npt.ArrayLike,
    y: npt.ArrayLike | None = None,
    *,
    choices: Mapping[str, Sequence[Any]],
    transfers: int = 200,
    seed: int = 0,
    metric: Metric = "mean",
    engine: str = "surrogate",
    settings: Settings | None = None,
    train_data: Data | None = None,
    validation_data: Data | None = None,
    remedy: str | Procedure | None = None,
    calibration: Calibration | None = None,
    progress: Callable[[str], None] = lambda design: None,
) -> Comparison:
    """Compare designs of a model on arrays under the errors of its devices, and recommend one.

    One choice after the other is changed beside the base (`config`, inputs as they are). Then the
    change that wins most is kept, and the others are tried beside it, as long as the interval of
    one more gain lies above 0. Choices that win only together with another one may be missed.
    Intervals are of paired differences over transfers and points (`transfer.scores.difference`),
    of one training run a design, and not corrected for their number: judge by `gain` and `parts`,
    which are of transfers that chose nothing. The points are the same: give validation points, and
    keep test points for the design that is recommended.

    Args:
        model: a plain torch module of one input, (points, ...); it is left as it is.
        config: the base design, with a `variation`.
        x: inputs that designs are judged on; ranges are taken from them too.
        y: classes, (points,); None judges against the model itself.
        choices: values to try by name: fields of `ArrayConfig` such as "placement", "bias",
            "w_scale", and those of `designs_build.CHOICES`: "input_range", "centring",
            "conductance_range", "write_order", "x_quantile" and "x_scale".
        transfers: of every design.
        seed: of all errors.
        metric: "mean" or "consistent".
        engine: who solves the arrays.
        settings: train every design so before it is judged; None judges the same function.
        train_data, validation_data: as of `training.fit`, with `settings`.
        remedy: what a tester does to every transfer of every design: a `Procedure`, or names of
            `training.procedures.names()` joined by "+"; `Procedure()` writes every device once.
            None: the remedy of `settings`, or nothing.
        calibration: inputs and classes that it may use, never those that designs are judged on.
            None: the training points that a remedy has in `training.fit`, where designs are
            trained.
        progress: called with the name of every design that is judged.

    Raises:
        InputError: there is no such choice, a value is none of its choice or cannot be had with
            this model, or an argument breaks a rule.
    """
    count = whole_number_of("transfers", transfers, low=2, remedy="200 are usual.")
    data = (train_data, validation_data)
    _check(model, config, choices, settings, data, y)
    (inputs,) = arguments_of(model, x)
    labels = None if y is None else labels_of("y", y, len(inputs))
    judge = Judge(outputs_of(model, (inputs,)), labels)
    check_metric(metric, judge)
    judging = _Judging(
        model=model,
        config=config,
        x=inputs,
        judge=judge,
        transfers=count,
        seed=seed,
        engine=engine,
        settings=settings,
        data=data,
        procedure=_procedure(remedy, settings),
        calibration=_calibration(calibration, train_data),
        progress=progress,
    )
    alternatives = [
        (name, value)
        for name, values in choices.items()
        for value in (tuple(v) if isinstance(v, list) else v for v in values)
        if value != value_of(name, config)
    ]
    return _compare(judging, alternatives, metric, {n: value_of(n, config) for n in choices})


def _procedure(remedy: str | Procedure | None, settings: Settings | None) -> Procedure | None:
    """What a tester does to every transfer that is judged."""
    if remedy is not None:
        return get(remedy)
    return None if settings is None else settings.procedure


def _calibration(stated: Calibration | None, train_data: Data | None) -> Calibration | None:
    """Inputs and classes that a remedy may use, by default those that it has in training."""
    if stated is not None or train_data is None:
        return stated
    x, y = (torch.as_tensor(part)[:CALIBRATION] for part in train_data)
    return x, y


def _check(
    model: nn.Module,
    config: ArrayConfig,
    choices: Mapping[str, Sequence[Any]],
    settings: Settings | None,
    data: tuple[Data | None, Data | None],
    y: Any,
) -> None:
    if not isinstance(model, nn.Module) or crossbar_layers(model):
        raise broken_rule(
            "`model` must be a plain torch module, which every design puts on arrays",
            type(model).__name__,
            "Pass xb.nn.to_torch(circuit).",
        )
    for name, values in choices.items():
        if name not in choice_names():
            close = difflib.get_close_matches(name, choice_names(), n=1)
            raise broken_rule(
                f"choices must be among {choice_names()}",
                name,
                f"Did you mean {close[0]!r}?" if close else "Correct the name.",
            )
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise broken_rule(f"`{name}` must be a list of values", repr(values), "List them.")
    if config.variation is None:
        raise broken_rule(
            "designs are compared under errors of the devices",
            "a configuration without a variation",
            "Use xb.ArrayConfig(variation=xb.variability.drolet_2023()).",
        )
    given = [part is not None for part in data]
    if given != [settings is not None] * 2 or (settings is not None and y is None):
        raise broken_rule(
            "training of designs needs `settings`, `train_data`, `validation_data` and `y`",
            f"settings {settings is not None}, data {given}, y {y is not None}",
            "Give all of them, or none of the first three.",
        )


@dataclass(kw_only=True, eq=False)
class _Judging:
    """Builds, trains and judges designs; each once."""

    model: nn.Module
    config: ArrayConfig
    x: Tensor
    judge: Judge
    transfers: int
    seed: int
    engine: str
    settings: Settings | None
    data: tuple[Data | None, Data | None]
    procedure: Procedure | None
    calibration: Calibration | None
    progress: Callable[[str], None]
    designs: dict[str, Design] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], Outcomes] = field(default_factory=dict)

    def build(self, values: Mapping[str, Any]) -> Design:
        """The design, not yet trained."""
        design = build(self.model, self.config, self.x, values)
        check_errors(design.circuit, self.engine)
        return design

    def design(self, values: Mapping[str, Any]) -> Design:
        """The design as it is judged."""
        key = repr(sorted(values.items()))
        if key not in self.designs:
            self.progress(", ".join(f"{k} {v}" for k, v in values.items()) or "base")
            design = self.build(values)
            if self.settings is not None:
                train, validation = (self._encoded(design, part) for part in self.data)
                fit(design.circuit, train, validation, self.settings)
            self.designs[key] = design
        return self.designs[key]

    def _encoded(self, design: Design, data: Data | Calibration | None) -> Any:
        if data is None:
            raise AssertionError("designs are trained with data")
        (points,) = arguments_of(self.model, torch.as_tensor(data[0]))
        return design.encode.apply(points), data[1]

    def _calibration(self, design: Design) -> Calibration | None:
        if self.calibration is None:
            return None
        x, y = self._encoded(design, self.calibration)
        return x, None if y is None else np.asarray(y)

    def run(self, values: Mapping[str, Any], part: str) -> Outcomes:
        """Scores in the transfers of this name."""
        key = (repr(sorted(values.items())), part)
        if key not in self.outcomes:
            design = self.design(values)
            self.outcomes[key] = run_transfers(
                design.circuit,
                (design.encode.apply(self.x),),
                self.judge,
                range(self.transfers),
                seed=child_seed(self.seed, part),
                engine=self.engine,
                procedure=self.procedure,
                calibration=self._calibration(design),
            )
        return self.outcomes[key]

    def effect(
        self, name: str, one: Mapping[str, Any], other: Mapping[str, Any], metric: Metric, part: str
    ) -> Effect:
        """What the value of a choice in `one` wins over `other`."""
        return Effect(
            choice=name,
            value=one[name],
            gain=difference(self.run(one, part), self.run(other, part), metric),
            same_devices=self.design(one).shapes == self.design(other).shapes,
        )


def _compare(
    judging: _Judging,
    alternatives: list[tuple[str, Any]],
    metric: Metric,
    base_values: dict[str, Any],
) -> Comparison:
    for name, value in alternatives:  # what cannot be built is refused before any work
        try:
            judging.build({name: value})
        except InputError as error:
            raise InputError(f"choice {name} = {value!r}: {error}") from None
    effects = [judging.effect(n, {n: v}, {}, metric, "choice") for n, v in alternatives]
    chosen, refused = _select(judging, alternatives, effects, metric)
    parts = [
        judging.effect(
            name, chosen, {k: v for k, v in chosen.items() if k != name}, metric, "fresh"
        )
        for name in chosen
    ]
    base, best = judging.run({}, "choice"), judging.design(chosen)
    return Comparison(
        metric=metric,
        judged=judging.judge.judged,
        classifies=judging.judge.classifies,
        trained=judging.settings is not None,
        remedy="" if judging.procedure is None else judging.procedure.words,
        transfers=judging.transfers,
        points=len(judging.x),
        base=base.interval(metric),
        base_values=base_values,
        effects=_most_first(effects),
        recommended=chosen,
        gain=difference(judging.run(chosen, "fresh"), judging.run({}, "fresh"), metric),
        parts=_most_first(parts),
        refused=tuple(refused),
        circuit=best.circuit,
        encode=best.encode,
    )


def _most_first(effects: list[Effect]) -> tuple[Effect, ...]:
    return tuple(sorted(effects, key=lambda effect: -effect.gain.value))


def _select(
    judging: _Judging,
    alternatives: list[tuple[str, Any]],
    effects: list[Effect],
    metric: Metric,
) -> tuple[dict[str, Any], list[str]]:
    """Forward selection from the effects beside the base: choices kept, combinations refused."""
    chosen: dict[str, Any] = {}
    refused: list[str] = []
    while effects and (best := max(effects, key=lambda e: e.gain.value)).gain.low > 0:
        chosen[best.choice] = best.value
        effects = []
        for name, value in alternatives:
            if name in chosen:
                continue
            try:
                effects.append(
                    judging.effect(name, {**chosen, name: value}, chosen, metric, "choice")
                )
            except InputError as error:
                refused.append(f"{ {**chosen, name: value} }: {error}")
    return chosen, refused
