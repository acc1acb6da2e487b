"""The honest setting: recipes and encodings, judged on fresh draws of the half moons.

Every row is one network, chosen on training and validation data. It is transferred with the same
errors as all others and classifies the points of every fresh draw. The figure of a row is the
median over the draws; the old 200 test points stand beside it for comparison only.

The bias of the output is digital and has no errors, with every recipe (see `ArrayConfig.layout`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from papers.drolet2023 import batched
from papers.drolet2023.batched import Batch
from papers.drolet2023.chain import Chain, circuit_of
from papers.drolet2023.encodings import ENCODINGS, Encoding
from papers.drolet2023.fresh_recipes import FRESH, FULL, PLAIN, QUICK, Effort, Recipes
from papers.drolet2023.hardware import Hardware, keep_card
from papers.drolet2023.remedies import Procedure, Tester, program
from papers.drolet2023.settings import SETTINGS
from papers.drolet2023.transfers import CHUNK, metric, transfer
from xbarspice.config import DataConfig
from xbarspice.config.card import CalibrationCard
from xbarspice.core.files import write_whole
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.importers import perceptron
from xbarspice.importers.perceptron import Perceptron
from xbarspice.training.data import Split, fresh_half_moons, half_moons, half_moons_posterior
from xbarspice.variability import Variation, other_reading
from xbarspice.variability.bse import tail_of

__all__ = ["Plan", "reproduce"]

OURS, IN_THE_LOOP = "ours", "ours, bias correction in the loop"
REMEDIES = {name: Procedure(**values) for name, values in FRESH["remedies"].items()}
"""What the tester may do after programming."""
Say = Callable[[str], None]
Points = tuple[Array, Indices]
MOONS = SETTINGS["moons"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do.

    Attributes:
        draws: numbers of the fresh draws.
        points: of each.
        transfers: of each network.
        circuit_points: of each draw, through the circuit; 0 leaves the circuit out.
        confirm: transfers that ngspice repeats; 0 leaves it out.
        encodings: names out of `ENCODINGS`.
        effort: of the training.
    """

    draws: tuple[int, ...] = tuple(FRESH["draws"])
    points: int = FRESH["points"]
    transfers: int = FRESH["transfers"]
    circuit_points: int = FRESH["circuit_points"]
    confirm: int = 0
    encodings: tuple[str, ...] = tuple(e.name for e in ENCODINGS)
    effort: Effort = FULL

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
            effort=QUICK,
        )


@dataclass(frozen=True, kw_only=True)
class _Study:
    """What all rows share: points as they are in the unit square, errors and hardware."""

    folder: Path
    plan: Plan
    split: Split
    draws: tuple[Points, ...]
    hardware: Hardware
    say: Say

    def network(self, name: str, encoding: Encoding, make: Callable[[], Perceptron]) -> Perceptron:
        """A network from its file, or trained now."""
        words = f"{name} {encoding.name}".replace(" ", "_").replace(",", "")
        path = self.folder / "networks" / f"{words}.npz"
        if not path.is_file():
            self.say(f"training: {name}, inputs {encoding.name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            perceptron.save(path, make())
        return perceptron.load(path)

    def row(
        self, name: str, encoding: Encoding, net: Perceptron, remedy: str = "", *, more: bool
    ) -> dict[str, Any]:
        """A row from its file, or measured now; see `_measure`."""
        procedure = REMEDIES[remedy] if remedy else Procedure()
        words = f"{name} {encoding.name} {remedy}".strip().replace(" ", "_").replace(",", "")
        path = self.folder / "rows" / f"{words}.json"
        plan = self.plan
        size = plan.draws, plan.points, plan.transfers, plan.circuit_points
        told = repr((size, procedure, SEED, self.hardware, [w.tobytes() for w in (*net.W, *net.b)]))
        key = hashlib.sha256(told.encode()).hexdigest()
        if path.is_file():
            stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if stored["key"] == key:
                return stored["row"]  # type: ignore[no-any-return]
        row = self._measure(name, encoding, net, remedy, procedure, more=more)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole({path: json.dumps({"key": key, "row": row}, indent=1)})
        return row

    def _measure(
        self,
        name: str,
        encoding: Encoding,
        net: Perceptron,
        remedy: str,
        procedure: Procedure,
        *,
        more: bool,
    ) -> dict[str, Any]:
        """A network on all draws; `more`: through the circuit and with the other reading too."""
        self.say(f"judging: {name}, inputs {encoding.name}{', ' * bool(remedy)}{remedy}")
        seen = Recipes(
            split=self.split,
            encoding=encoding,
            variation=self.hardware.variation,
            effort=self.plan.effort,
        ).seen()
        judge = _Judge(
            encoding=encoding,
            network=net,
            seen=seen,
            procedure=procedure,
            transfers=self.plan.transfers,
        )
        errors = self.hardware.variation
        old = self.split.x_test, self.split.y_test
        *fresh, test = judge.on((*self.draws, old), errors)
        row: dict[str, Any] = {
            "recipe": name,
            "inputs": encoding.name,
            "remedy": remedy,
            "transfers": self.plan.transfers,
            "by_draw": fresh,
            "median": _median(fresh),
            "test": test,
        }
        other = other_reading(errors)
        if more and other is not None:
            figures = judge.on(self.draws, other)
            row["other_reading"] = {"tail": tail_of(other), "metric": _median(figures)["metric"]}
        if more and self.plan.circuit_points:
            few = self.plan.circuit_points
            x = np.concatenate([x[:few] for x, _ in self.draws])
            together = x, np.concatenate([y[:few] for _, y in self.draws])
            (ideal,) = judge.on((together,), errors)
            (circuit,) = judge.on((together,), errors, self.hardware)
            row["circuit"] = {"points": len(together[0]), "ideal": ideal, "circuit": circuit}
        return row


@dataclass(frozen=True, kw_only=True)
class _Judge:
    """One network under one procedure."""

    encoding: Encoding
    network: Perceptron
    seen: Points
    procedure: Procedure
    transfers: int

    def on(
        self, parts: tuple[Points, ...], errors: Variation, hardware: Hardware | None = None
    ) -> list[dict[str, float]]:
        """Figures on each of several sets of points, all with the same transfers."""
        config = self.encoding.config(hardware=hardware)
        chain = Chain.of(circuit_of(self.network, config, self.seen[0]))
        engine = "ideal" if hardware is None else "surrogate"
        points = [(self.encoding.points(x), y) for x, y in parts]
        right: list[list[Flags]] = [[] for _ in parts]
        for batch in self._programmed(chain, errors, engine):
            for part, (x, y) in zip(right, points, strict=True):
                logits = batched.logits(chain, x, batch, engine)
                part.append((logits[..., 0] > 0) == (y > 0))
        wanted = Batch(G=tuple(G[None] for G in chain.wanted))
        out = []
        for part, (x, y) in zip(right, points, strict=True):
            clean = batched.logits(chain, x, wanted, engine)[0, :, 0] > 0
            flags = np.concatenate(part)
            out.append(
                {
                    "metric": metric(flags),
                    "noise_free": float(np.mean(clean == (y > 0))),
                    "mean": float(flags.mean()),
                    "worst": float(flags.mean(axis=1).min()),
                }
            )
        return out

    def _programmed(self, chain: Chain, errors: Variation, engine: str) -> Iterator[Batch]:
        calibration = self.seen if self.procedure.looks else None
        tester = Tester.of(chain, self.procedure, calibration, circuit=engine != "ideal")
        for start in range(0, self.transfers, CHUNK):
            batch = program(tester, errors, count=CHUNK, seed=SEED, chunk=start // CHUNK)
            yield batch.part(0, min(CHUNK, self.transfers - start))


SEED = 9000
"""Of the transfers; those that networks are chosen with have another."""


def _median(figures: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.median([f[key] for f in figures])) for key in figures[0]}


def reproduce(
    folder: Path,
    plan: Plan = Plan(),
    *,
    say: Say = lambda text: None,
    card: CalibrationCard | None = None,
) -> dict[str, Any]:
    """Train, judge and confirm in a folder; networks that are there already are taken.

    Args:
        folder: where networks are kept.
        plan: how much to do.
        say: told what begins.
        card: calibrated wires, device and errors, in the place of the published ones.

    Returns:
        The record that `fresh_report.section` draws.

    Raises:
        InputError: the folder was begun with another card.
        EngineError: ngspice failed.
    """
    keep_card(folder, card, begun=(folder / "networks").exists())
    data = DataConfig()
    study = _Study(
        folder=folder,
        plan=plan,
        split=half_moons(data),
        draws=tuple(fresh_half_moons(data, plan.points, draw=number) for number in plan.draws),
        hardware=Hardware.of(card, wire=MOONS["wire"], device=MOONS["device"]),
        say=say,
    )
    rows: list[dict[str, Any]] = []
    for encoding in ENCODINGS:
        if encoding.name in plan.encodings:
            rows += _rows(study, encoding)
    record: dict[str, Any] = {
        "plan": asdict(plan),
        "less_than_full": plan.less_than_full(),
        "hardware": study.hardware.record(),
        "rows": rows,
        "law": _law(data, study.draws),
    }
    if plan.confirm:
        record["ngspice"] = _confirm(study)
    return record


def _rows(study: _Study, encoding: Encoding) -> Iterator[dict[str, Any]]:
    """All recipes with one encoding."""
    recipes = Recipes(
        split=study.split,
        encoding=encoding,
        variation=study.hardware.variation,
        effort=study.plan.effort,
    )
    ours = study.network(OURS, encoding, recipes.ours)
    yield study.row(OURS, encoding, ours, more=True)
    yield study.row(OURS, encoding, ours, "bias correction", more=False)
    mended = study.network(IN_THE_LOOP, encoding, lambda: recipes.with_remedy(ours))
    for remedy in REMEDIES:
        yield study.row(IN_THE_LOOP, encoding, mended, remedy, more=remedy == "bias correction")
    for name in PLAIN if encoding.placement == "low" else ():
        net = study.network(name, encoding, lambda name=name: recipes.plain(name))
        yield study.row(name, encoding, net, more=False)
        yield study.row(name, encoding, net, "bias correction", more=False)


def _law(data: DataConfig, draws: tuple[Points, ...]) -> dict[str, float]:
    """What the best classifier of the law does on the draws; medians."""
    accuracy, undecidable = [], []
    for x, y in draws:
        p = half_moons_posterior(data, x)
        accuracy.append(float(np.mean((p > 0.5) == (y > 0))))
        undecidable.append(float(np.mean(np.minimum(p, 1 - p) > FRESH["undecidable"])))
    return {
        "accuracy": float(np.median(accuracy)),
        "least": min(accuracy),
        "most": max(accuracy),
        "undecidable": float(np.median(undecidable)),
        "probability": FRESH["undecidable"],
    }


def _confirm(study: _Study) -> dict[str, Any]:
    """The first transfers of ours with the last encoding, again in ngspice."""
    encoding, plan = ENCODINGS[-1], study.plan
    words = f"{OURS} {encoding.name}".replace(" ", "_").replace(",", "")
    net = perceptron.load(study.folder / "networks" / f"{words}.npz")
    few = FRESH["confirm_points"]
    x = encoding.points(np.concatenate([x[:few] for x, _ in study.draws]))
    y = np.concatenate([y[:few] for _, y in study.draws])
    seen = encoding.points(np.concatenate([study.split.x_train, study.split.x_validation]))
    chain = Chain.of(circuit_of(net, encoding.config(hardware=study.hardware), seen))
    studies = {}
    for engine in ("surrogate", "ngspice"):
        study.say(f"confirmation: {plan.confirm} transfers with {engine}")
        studies[engine] = transfer(
            chain,
            x,
            y,
            variation=study.hardware.variation,
            transfers=plan.confirm,
            seed=SEED,
            engine=engine,
        )
    surrogate, golden = studies["surrogate"], studies["ngspice"]
    scale = float(np.abs(golden.logits).max())
    return {
        "inputs": encoding.name,
        "transfers": plan.confirm,
        "points": len(x),
        "predictions": int(golden.predictions.size),
        "differ": int(np.sum(surrogate.predictions != golden.predictions)),
        "worst_logit_error": float(np.abs(surrogate.logits - golden.logits).max()) / scale,
    }
