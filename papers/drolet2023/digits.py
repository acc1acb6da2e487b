"""Digits with ten classes: a perceptron and a convolutional network on tiled arrays.

The recipes of the half moons again: ours goes on from the regular network, on drawn transfers
through the wires. All networks are judged on test points that no training saw, with the same
transfers. Every split of the data is a run of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

import xbarspice as xb
import xbarspice.training
import xbarspice.transfer
from papers.drolet2023.hardware import Hardware
from papers.drolet2023.judging import CALIBRATION, SEED, Drawn, figures_of
from papers.drolet2023.kept import Kept
from papers.drolet2023.moons import confirmed
from papers.drolet2023.recipes import OURS, drawn
from papers.drolet2023.settings import SETTINGS
from xbarspice.core.seeds import child_seed
from xbarspice.training.data import digits
from xbarspice.training.draws import Circuit
from xbarspice.variability import Variation, other_reading
from xbarspice.variability.bse import tail_of

__all__ = ["Plan", "reproduce"]

DIGITS = SETTINGS["digits"]
RECIPES: dict[str, dict[str, Any]] = DIGITS["recipes"]
REMEDY: str = DIGITS["remedy"]
"""In the loop of training."""
REMEDIES: tuple[str, ...] = tuple(DIGITS["remedies"])
"""While and after the arrays are programmed."""
TOGETHER = 20
"""Transfers that are computed in one forward pass."""
Data = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do.

    Attributes:
        splits: seeds of the splits of the data.
        transfers: of each network.
        points: test points.
        plain, tune: steps from random weights, and of what goes on from them.
        confirm: transfers that ngspice repeats; 0 leaves it out.
    """

    splits: tuple[int, ...] = tuple(DIGITS["splits"])
    transfers: int = DIGITS["transfers"]
    points: int = DIGITS["points"]
    plain: int = DIGITS["plain"]
    tune: int = DIGITS["tune"]
    confirm: int = 0

    def less_than_full(self) -> dict[str, tuple[int, int]]:
        """What is smaller than in the full study: name -> (this run, full run)."""
        full = Plan()
        names = ("transfers", "points", "plain", "tune")
        pairs = {name: (getattr(self, name), getattr(full, name)) for name in names}
        pairs["splits"] = (len(self.splits), len(full.splits))
        return {name: pair for name, pair in pairs.items() if pair[0] < pair[1]}

    @classmethod
    def quick(cls, *, confirm: int = 0) -> Plan:
        """One split and few steps, transfers and points."""
        return cls(splits=(1,), transfers=20, points=100, plain=60, tune=8, confirm=confirm)


def perceptron() -> nn.Sequential:
    """64-32-10 with ReLU."""
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def convolutional() -> nn.Sequential:
    """Two convolutions and a linear layer, without padding."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


MODELS: dict[str, Callable[[], nn.Sequential]] = {
    "64-32-10": perceptron,
    "convolutional": convolutional,
}
INPUTS = {"[0, 1]": lambda x: x, "[-1, 1]": lambda x: 2 * x - 1}


def reproduce(kept: Kept, hardware: Hardware, plan: Plan) -> dict[str, Any]:
    """Train, judge and confirm all models; what is kept already is taken.

    Args:
        kept: where networks and figures are kept.
        hardware: wires and errors of the arrays, whose devices are linear.
        plan: how much to do.

    Returns:
        The record that `digits_report.section` draws.

    Raises:
        EngineError: ngspice failed.
    """
    by_row: dict[tuple[Any, ...], list[dict[str, float]]] = {}
    golden = []
    for model in MODELS:
        cases = [
            _Case(kept=kept, hardware=hardware, model=model, inputs=inputs, split=split, plan=plan)
            for inputs in INPUTS
            for split in plan.splits
        ]
        for case in cases:
            for key, figures in case.rows():
                by_row.setdefault((model, case.inputs, *key), []).append(figures)
        if plan.confirm:
            last = cases[-1]
            golden.append({"model": model, "inputs": last.inputs, **last.confirm()})
    rows = [
        {
            **dict(zip(("model", "inputs", "recipe", "loop", "remedy"), key, strict=True)),
            "median": {name: float(np.median([f[name] for f in all_])) for name in all_[0]},
            "splits": all_,
        }
        for key, all_ in by_row.items()
    ]
    other = other_reading(hardware.variation)
    return {
        "plan": asdict(plan),
        "less_than_full": plan.less_than_full(),
        "hardware": hardware.record(),
        "other_reading": None if other is None else tail_of(other),
        "rows": rows,
        "ngspice": golden,
    }


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One model, way of driving the inputs, and split."""

    kept: Kept
    hardware: Hardware
    model: str
    inputs: str
    split: int
    plan: Plan

    @cached_property
    def data(self) -> tuple[Data, Data, Data]:
        """Training, validation and test points as they are driven, and classes."""
        s = digits(self.split)
        few = self.plan.points
        parts = (
            (s.x_train, s.y_train),
            (s.x_validation, s.y_validation),
            (s.x_test[:few], s.y_test[:few]),
        )
        train, validation, test = (
            (torch.as_tensor(INPUTS[self.inputs](x)).float(), torch.as_tensor(y)) for x, y in parts
        )
        return train, validation, test

    @property
    def name(self) -> str:
        return f"digits, {self.model}, inputs {self.inputs}, split {self.split}"

    def converted(self, dtype: Literal["float32", "float64"]) -> nn.Module:
        """The model with random weights, on arrays with the errors of the hardware."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            plain = MODELS[self.model]()
        x = self.data[0][0].to(getattr(torch, dtype))
        return xb.nn.convert(plain.to(x.dtype), self.config(dtype), calibrate=x)

    @property
    def seed(self) -> int:
        """Of everything that is drawn in training."""
        return child_seed(self.split, self.model) % 2**31

    def config(self, dtype: Literal["float32", "float64"]) -> xb.ArrayConfig:
        """How the model stands on arrays."""
        return xb.ArrayConfig(
            tile_rows=DIGITS["tile"],
            tile_cols=DIGITS["tile"],
            bias="digital",
            dtype=dtype,
            variation=self.hardware.variation,
            **self.hardware.wires,
        )

    def rows(self) -> Iterator[tuple[tuple[str, bool, str], dict[str, float]]]:
        """Figures by recipe, whether the remedy was in the loop, and remedy."""
        for recipe, settings in RECIPES.items():
            for loop in (False, True) if settings["draws"] else (False,):
                model, key = self.network(recipe, loop=loop)
                size = self.plan.transfers, self.plan.points, CALIBRATION, REMEDIES, SEED
                name = f"judging: {self.name}, {recipe}{', remedy in the loop' * loop}"
                make = lambda model=model: self.figures(model)  # noqa: E731
                figures = self.kept.value(name, (key, size), make)
                for remedy in REMEDIES if loop else ("", *REMEDIES):
                    yield (recipe, loop, remedy), figures[remedy]

    def network(self, recipe: str, *, loop: bool) -> tuple[nn.Module, str]:
        """A converted and trained model, and what it depends on."""
        train, validation, _ = self.data
        goes_on = recipe == OURS
        steps = self.plan.tune if goes_on else self.plan.plain
        told: dict[str, Any] = drawn(RECIPES[recipe], self.hardware.variation) | {
            "steps": steps,
            "look_every": max(1, steps // 4),
            "seed": self.seed,
            "remedy": REMEDY if loop else None,
        }
        model, begun = self.converted("float32"), ""
        if goes_on:
            regular, begun = self.network("regular", loop=False)
            model.load_state_dict(regular.state_dict())
        key = repr((self.name, told, self.hardware, begun))

        def make() -> dict[str, Any]:
            settings = xb.training.Settings(**told)
            return _numbers(xb.training.fit(model, train, validation, settings).model)

        name = f"training: {self.name}, {recipe}{', remedy in the loop' * loop}"
        state = self.kept.value(name, key, make)
        model.load_state_dict({name: torch.tensor(values) for name, values in state.items()})
        return model.eval(), key

    def figures(self, model: nn.Module) -> dict[str, dict[str, float]]:
        """Figures by the remedy, "" for none."""
        x, y = self.data[2]
        with torch.no_grad(), xb.nn.exact_products():
            software = float((model(x).argmax(-1) == y).double().mean())
        errors = self.hardware.variation
        out = self._judged(model, errors, "exact")
        ideal = self._judged(model, errors, "ideal")
        other = other_reading(errors)
        read = None if other is None else self._judged(model, other, "exact")
        for remedy, figures in out.items():
            figures["software"] = software
            figures["lost"] = software - figures["mean"]
            figures["ideal_metric"] = ideal[remedy]["metric"]
            figures["ideal_mean"] = ideal[remedy]["mean"]
            if read is not None:
                figures["other_mean"] = read[remedy]["mean"]
        return out

    def _judged(
        self, model: nn.Module, variation: Variation, circuit: Circuit
    ) -> dict[str, dict[str, float]]:
        """Figures on the test points by the remedy, which training points are looked at for."""
        (seen, classes), _, (x, y) = self.data
        calibration = seen[:CALIBRATION], classes[:CALIBRATION]
        circuit_model = xb.transfer.with_variation(model, variation)
        right: dict[str, list[Tensor]] = {remedy: [] for remedy in ("", *REMEDIES)}
        without_errors = torch.zeros(len(y), dtype=torch.bool)
        for start in range(0, self.plan.transfers, TOGETHER):
            some = min(TOGETHER, self.plan.transfers - start)
            for remedy, flags in right.items():
                # the same label is the same errors in every case
                drawn = Drawn(
                    circuit_model, remedy, calibration, draws=some, seed=SEED, circuit=circuit
                )
                with torch.no_grad():
                    clean, answers = drawn.answers(x, f"judged transfers from {start}")
                flags.append(answers.argmax(-1) == y)
                without_errors = clean.argmax(-1) == y
        return {
            remedy: figures_of(torch.cat(flags).numpy(), without_errors.numpy())
            for remedy, flags in right.items()
        }

    def confirm(self) -> dict[str, Any]:
        """The first transfers of ours, again in ngspice."""
        network, key = self.network(OURS, loop=False)
        model = self.converted("float64")
        model.load_state_dict(network.state_dict())
        few = DIGITS["confirm_points"]
        x, y = (part[:few] for part in self.data[2])
        count = self.plan.confirm
        return self.kept.value(  # type: ignore[no-any-return]
            f"ngspice: {count} transfers of {self.name}, {OURS}",
            (key, count, few),
            lambda: confirmed(model.eval(), x.double(), y.numpy(), count),
        )


def _numbers(model: nn.Module) -> dict[str, Any]:
    """The state of a model as values of JSON."""
    return {name: values.tolist() for name, values in model.state_dict().items()}
