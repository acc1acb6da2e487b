"""The honest setting: recipes and encodings, judged on fresh draws of the half moons.

Every row is one network, chosen on training and validation data. It is transferred with the same
errors as all others and classifies the points of every fresh draw. The figure of a row is the
median over the draws; the old 200 test points stand beside it for comparison only.

The bias of the output is digital and has no errors, with every recipe (see `ArrayConfig.layout`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

import xbarspice as xb
import xbarspice.transfer
from papers.drolet2023.encodings import ENCODINGS, Encoding
from papers.drolet2023.hardware import Hardware
from papers.drolet2023.judging import SEED, Judge, Points
from papers.drolet2023.kept import Kept
from papers.drolet2023.recipes import EFFORTS, LOOPS, OURS, RECIPES, REMEDIES, Effort, Recipes
from papers.drolet2023.settings import SETTINGS
from xbarspice.config import DataConfig
from xbarspice.importers.perceptron import Perceptron
from xbarspice.importers.perceptron_model import perceptron_module
from xbarspice.training.data import Split, fresh_half_moons, half_moons, half_moons_posterior
from xbarspice.variability import other_reading
from xbarspice.variability.bse import tail_of

__all__ = ["Plan", "reproduce"]

MOONS = SETTINGS["moons"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do.

    Attributes:
        draws: numbers of the fresh draws.
        points: of each.
        transfers: of each network.
        circuit_points: of each draw, through the circuit.
        confirm: transfers that ngspice repeats; 0 leaves it out.
        encodings: names out of `ENCODINGS`.
        effort: of the training.
    """

    draws: tuple[int, ...] = tuple(MOONS["draws"])
    points: int = MOONS["points"]
    transfers: int = MOONS["transfers"]
    circuit_points: int = MOONS["circuit_points"]
    confirm: int = 0
    encodings: tuple[str, ...] = tuple(e.name for e in ENCODINGS)
    effort: Effort = EFFORTS["full"]

    def less_than_full(self) -> dict[str, tuple[int, int]]:
        """What is smaller than in the full study: name -> (this run, full run)."""
        full = Plan()
        names = ("points", "transfers", "circuit_points")
        pairs = {name: (getattr(self, name), getattr(full, name)) for name in names}
        for name in ("draws", "encodings"):
            pairs[name] = (len(getattr(self, name)), len(getattr(full, name)))
        pairs |= {
            f"training_{name}": (value, getattr(full.effort, name))
            for name, value in asdict(self.effort).items()
        }
        return {name: pair for name, pair in pairs.items() if pair[0] < pair[1]}

    @classmethod
    def quick(cls, *, confirm: int = 0) -> Plan:
        """Draws of other numbers than the full study's, and a few transfers."""
        return cls(
            draws=(1, 2),
            points=200,
            transfers=100,
            circuit_points=20,
            confirm=confirm,
            effort=EFFORTS["quick"],
        )


def reproduce(kept: Kept, hardware: Hardware, plan: Plan) -> dict[str, Any]:
    """Train, judge and confirm; what is kept already is taken.

    Args:
        kept: where networks and rows are kept.
        hardware: wires, device and errors of the arrays.
        plan: how much to do.

    Returns:
        The record that `moons_report.section` draws.

    Raises:
        EngineError: ngspice failed.
    """
    data = DataConfig()
    draws = tuple(fresh_half_moons(data, plan.points, draw=number) for number in plan.draws)
    study = _Study(kept=kept, plan=plan, split=half_moons(data), draws=draws, hardware=hardware)
    encodings = [e for e in ENCODINGS if e.name in plan.encodings]
    rows = [row for encoding in encodings for row in study.rows(encoding)]
    record: dict[str, Any] = {
        "plan": asdict(plan),
        "less_than_full": plan.less_than_full(),
        "hardware": hardware.record(),
        "rows": rows,
        "law": _law(data, draws),
    }
    if plan.confirm:
        record["ngspice"] = study.confirm(encodings[-1])
    return record


@dataclass(frozen=True, kw_only=True)
class _Study:
    """What all rows share: points as they are in the unit square, errors and hardware."""

    kept: Kept
    plan: Plan
    split: Split
    draws: tuple[Points, ...]
    hardware: Hardware

    def recipes(self, encoding: Encoding) -> Recipes:
        """The recipes with one encoding."""
        return Recipes(
            kept=self.kept,
            split=self.split,
            encoding=encoding,
            variation=self.hardware.variation,
            effort=self.plan.effort,
        )

    def rows(self, encoding: Encoding) -> Iterator[dict[str, Any]]:
        """All recipes with one encoding: alone, mended afterwards, and mended in the loop."""
        recipes = self.recipes(encoding)
        for recipe in RECIPES:
            network = recipes.network(recipe)
            for remedy in ("", *(MOONS["remedies"] if recipe == OURS else REMEDIES)):
                yield self.row(recipe, encoding, network, remedy, loop=False)
            for remedy in [name for name, changes in LOOPS.items() if recipe in changes]:
                network = recipes.mended(recipe, remedy)
                yield self.row(recipe, encoding, network, remedy, loop=True)

    def row(
        self, recipe: str, encoding: Encoding, network: Perceptron, remedy: str, *, loop: bool
    ) -> dict[str, Any]:
        """A row from its file, or measured now."""
        plan = self.plan
        size = plan.draws, plan.points, plan.transfers, plan.circuit_points
        weights = [w.tobytes() for w in (*network.W, *network.b)]
        depends = size, "float64", encoding, remedy, SEED, self.hardware, weights
        where = f"{recipe}{', remedy in the loop' * loop}, inputs {encoding.name}"
        name = f"judging: {where}{f', {remedy}' * bool(remedy)}"
        head = {"recipe": recipe, "inputs": encoding.name, "loop": loop, "remedy": remedy}
        figures = self.kept.value(name, depends, lambda: self._measure(encoding, network, remedy))
        return head | figures

    def _measure(self, encoding: Encoding, network: Perceptron, remedy: str) -> dict[str, Any]:
        """One network on all draws, with both readings, and through the circuit."""
        plan, errors = self.plan, self.hardware.variation
        seen = self.recipes(encoding).seen()
        judge = Judge(network=network, encoding=encoding, seen=seen, transfers=plan.transfers)
        draws = [(encoding.points(x), y) for x, y in self.draws]
        old = encoding.points(self.split.x_test), self.split.y_test
        *fresh, test = judge.on([*draws, old], errors, remedy=remedy)
        few = plan.circuit_points
        together = (
            np.concatenate([x[:few] for x, _ in draws]),
            np.concatenate([y[:few] for _, y in draws]),
        )
        # double precision for both: the errors of a transfer are those of its dtype
        (ideal,), (circuit,) = (
            judge.on([together], errors, hardware=hardware, remedy=remedy, dtype="float64")
            for hardware in (None, self.hardware)
        )
        figures = {
            "by_draw": fresh,
            "median": _median(fresh),
            "test": test,
            "circuit": {"points": len(together[0]), "ideal": ideal, "circuit": circuit},
        }
        other = other_reading(errors)
        if other is not None:
            read = _median(judge.on(draws, other, remedy=remedy))
            figures["other_reading"] = {"tail": tail_of(other), "metric": read["metric"]}
        return figures

    def confirm(self, encoding: Encoding) -> dict[str, Any]:
        """The first transfers of ours, again in ngspice."""
        plan, few = self.plan, MOONS["confirm_points"]
        recipes = self.recipes(encoding)
        network, (seen, _) = recipes.network(OURS), recipes.seen()
        config = encoding.config(hardware=self.hardware, variation=self.hardware.variation)
        circuit = xb.nn.convert(
            perceptron_module(network), config, calibrate=torch.as_tensor(seen)
        ).eval()
        x = encoding.points(np.concatenate([x[:few] for x, _ in self.draws]))
        y = np.concatenate([y[:few] for _, y in self.draws])
        weights = [w.tobytes() for w in (*network.W, *network.b)]
        depends = plan.confirm, encoding, self.hardware, weights, x.tobytes()
        name = f"ngspice: {plan.confirm} transfers of {OURS}, inputs {encoding.name}"
        figures = self.kept.value(name, depends, lambda: confirmed(circuit, x, y, plan.confirm))
        return {"inputs": encoding.name, **figures}


def confirmed(circuit: Any, x: Any, y: Any, transfers: int) -> dict[str, Any]:
    """What ngspice says of the first transfers of a circuit.

    Args:
        circuit: a converted model with errors, in evaluation.
        x, y: points and classes.
        transfers: how many.
    """
    study = xb.transfer.transfer(
        circuit, x, y, transfers=transfers, seed=SEED, engine="surrogate", golden=transfers
    )
    golden = study.golden
    if golden is None or golden.differing is None:
        raise AssertionError("a study of a model that classifies has compared predictions")
    return {
        "transfers": transfers,
        "points": len(y),
        "predictions": golden.decisions,
        "differ": golden.differing,
        "worst_logit_error": golden.error,
    }


def _median(figures: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.median([f[key] for f in figures])) for key in figures[0]}


def _law(data: DataConfig, draws: tuple[Points, ...]) -> dict[str, float]:
    """What the best classifier of the law does on the draws; medians."""
    accuracy, undecidable = [], []
    for x, y in draws:
        p = half_moons_posterior(data, x)
        accuracy.append(float(np.mean((p > 0.5) == (y > 0))))
        undecidable.append(float(np.mean(np.minimum(p, 1 - p) > MOONS["undecidable"])))
    return {
        "accuracy": float(np.median(accuracy)),
        "least": min(accuracy),
        "most": max(accuracy),
        "undecidable": float(np.median(undecidable)),
        "probability": MOONS["undecidable"],
    }
