"""The experiment of Drolet et al. 2023 (arXiv:2305.18495), repeated, made honest, and confirmed.

Three settings: (a) the released protocol and error model, (b) an honest split of the data, (c) the
honest split through the circuit, with 1 ohm a wire segment and the TiO2 sinh device. Every network
and every transfer study is stored as soon as it is done; an interrupted run goes on from there.

Networks are trained and judged with the drift table as released; every row's metric is found with
the pooled reading of its last rows as well (see `variability.bse.bse_table`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import xbarspice as xb
from papers.drolet2023 import digits, recipes, trials
from papers.drolet2023.budget import loss_budget
from papers.drolet2023.chain import Chain, circuit_of
from papers.drolet2023.hardware import Hardware, keep_card
from papers.drolet2023.plan import Plan
from papers.drolet2023.remedies import Procedure
from papers.drolet2023.settings import PAPER, SETTINGS
from papers.drolet2023.training import Trained
from papers.drolet2023.transfers import TransferStudy, transfer
from xbarspice.config import DataConfig
from xbarspice.config.card import CalibrationCard
from xbarspice.core import hdf5
from xbarspice.core.errors import broken_rule
from xbarspice.importers import perceptron
from xbarspice.importers.perceptron import Perceptron
from xbarspice.training.data import Split, fresh_half_moons, half_moons
from xbarspice.variability import Compose, drolet_2023, other_reading
from xbarspice.variability.bse import tail_of

__all__ = ["Plan", "on_8x8", "reproduce"]

MOONS = SETTINGS["moons"]
REMEDIES = {name: Procedure(**settings) for name, settings in MOONS["remedies"].items()}
"""What the tester may do."""

MENDED = "ours, trained with the remedies"


Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class _Run:
    folder: Path
    plan: Plan
    variation: Compose
    hardware: Hardware
    say: Say

    def trained(self, name: str, make: Callable[[], Trained]) -> tuple[Perceptron, ...]:
        """Networks of all seeds, from their files or trained now."""
        paths = [self.folder / "networks" / f"{name}-seed{s}.npz" for s in self.plan.seeds]
        if not all(path.is_file() for path in paths):
            self.say(f"training: {name}")
            for path, net in zip(paths, make().networks, strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                perceptron.save(path, net)
        return tuple(perceptron.load(path) for path in paths)

    def row(
        self,
        setting: str,
        recipe: str,
        networks: Sequence[Perceptron],
        split: Split,
        *,
        remedy: str = "",
        procedure: Procedure = Procedure(),  # noqa: B008 - frozen
        copies: int = 1,
    ) -> tuple[dict[str, Any], list[TransferStudy]]:
        """Studies of all seeds under one setting."""
        circuit = setting == "c"
        self.say(f"transfers: ({setting}) {recipe} {remedy}".rstrip())
        studies = []
        for seed, net in zip(self.plan.seeds, networks, strict=True):
            name = f"{setting}-{recipe}-{remedy}-seed{seed}".replace(" ", "_")
            path = self.folder / "transfers" / f"{name}.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            studies.append(
                transfer(
                    self.chain(net, circuit=circuit).redundant(copies),
                    split.x_test,
                    split.y_test,
                    seed=1000 + seed,
                    variation=self.errors(circuit=circuit),
                    transfers=self.plan.circuit_transfers if circuit else self.plan.transfers,
                    engine="surrogate" if circuit else "ideal",
                    procedure=procedure,
                    calibration=_calibration(split) if procedure.looks else None,
                    path=path,
                )
            )
        row = _row(setting, recipe, remedy, studies)
        return row | {"other_reading": self.other_reading(row, networks, split, procedure)}, studies

    def other_reading(
        self,
        row: dict[str, Any],
        networks: Sequence[Perceptron],
        split: Split,
        procedure: Procedure,
    ) -> dict[str, Any] | None:
        """The metric of a row with the other reading of the drift table; None if it has no part."""
        circuit = row["setting"] == "c"
        variation = other_reading(self.errors(circuit=circuit))
        if variation is None:
            return None
        copies = 2 if row["remedy"] == "two pairs per weight" else 1
        count = min(MOONS["reading"], row["transfers"])
        metrics = []
        for seed, net in zip(self.plan.seeds, networks, strict=True):
            name = f"{row['setting']}-{row['recipe']}-{row['remedy']}-seed{seed}".replace(" ", "_")
            path = self.folder / "other_reading" / f"{name}.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            study = transfer(
                self.chain(net, circuit=circuit).redundant(copies),
                split.x_test,
                split.y_test,
                seed=1000 + seed,
                variation=variation,
                transfers=count,
                engine="surrogate" if circuit else "ideal",
                procedure=procedure,
                calibration=_calibration(split) if procedure.looks else None,
                path=path,
            )
            metrics.append(study.metric())
        return {"tail": tail_of(variation), "transfers": count, "metric": float(np.median(metrics))}

    def chain(self, net: Perceptron, *, circuit: bool) -> Chain:
        """A network on its array; with `circuit` on that of setting (c)."""
        return on_8x8(net, circuit=circuit, hardware=self.hardware)

    def errors(self, *, circuit: bool) -> Compose:
        """Errors of a transfer: the published ones, or those of setting (c)."""
        return self.hardware.variation if circuit else self.variation


PUBLISHED = Hardware.of(None, wire=MOONS["wire"], device=MOONS["device"])
"""Setting (c) without a calibration card."""


def config_8x8(*, circuit: bool, hardware: Hardware = PUBLISHED) -> xb.ArrayConfig:
    """How a 2-8-1 network stands on one 8x8 array: with wires and devices, or ideal."""
    arguments = hardware.arguments() if circuit else {"R_wl": 0.0, "R_bl": 0.0, "device": "ohmic"}
    return xb.ArrayConfig(layout="folded", tile_rows=8, tile_cols=8, **arguments)


def on_8x8(net: Perceptron, *, circuit: bool, hardware: Hardware = PUBLISHED) -> Chain:
    """A 2-8-1 network on one 8x8 array, for many transfers at once."""
    return Chain.of(circuit_of(net, config_8x8(circuit=circuit, hardware=hardware)))


def _calibration(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Points that a tester may use: everything but the test points."""
    return (
        np.concatenate([split.x_train, split.x_validation]),
        np.concatenate([split.y_train, split.y_validation]),
    )


def _row(
    setting: str, recipe: str, remedy: str, studies: Sequence[TransferStudy]
) -> dict[str, Any]:
    seeds = [study.summary() for study in studies]
    middle = {
        key: float(np.median([s[key] for s in seeds]))
        for key in ("metric", "noise_free", "mean", "low_5_percent", "worst")
    }
    return {
        "setting": setting,
        "recipe": recipe,
        "remedy": remedy,
        "transfers": seeds[0]["transfers"],
        "median": middle,
        "metric_least": min(s["metric"] for s in seeds),
        "metric_most": max(s["metric"] for s in seeds),
        "seeds": seeds,
        "by_point": [study.by_point for study in studies],
    }


def reproduce(
    folder: Path,
    plan: Plan = Plan(),  # noqa: B008 - frozen
    *,
    say: Say = lambda text: None,
    data: DataConfig = DataConfig(),  # noqa: B008 - frozen
    card: CalibrationCard | None = None,
) -> dict[str, Any]:
    """Do the whole experiment in a folder, or go on with it.

    Args:
        folder: where networks and transfer studies are kept.
        plan: how much to do.
        say: told what begins.
        data: the half moons.
        card: calibrated wires, device and errors of (c) and the digits; the others stay published.

    Returns:
        The record that `report.reproduction` draws: numbers, lists and arrays.

    Raises:
        InputError: the folder holds studies of other networks or settings, or another card.
        EngineError: ngspice failed.
    """
    if not plan.seeds:
        raise broken_rule("`seeds` must name at least one seed", plan.seeds, "Six are usual.")
    keep_card(folder, card, begun=(folder / "networks").exists())
    hardware = Hardware.of(card, wire=MOONS["wire"], device=MOONS["device"])
    run = _Run(
        folder=folder, plan=plan, variation=drolet_2023(tail="released"), hardware=hardware, say=say
    )
    rows: list[dict[str, Any]] = []
    released, honest = recipes.released_split(data), half_moons(data)
    for setting, split in (("a", released), ("b", honest)):
        for recipe, nets in _networks(run, setting, split).items():
            rows.append(run.row(setting, recipe, nets, split)[0])
    ours = _networks(run, "b", honest)["ours"]
    mended = run.trained(
        "b-ours_with_remedies", lambda: _tune_with_remedies(run, honest, ours, None)
    )
    for remedy, procedure in REMEDIES.items():
        row, _ = run.row("b", "ours", ours, honest, remedy=remedy, procedure=procedure)
        rows.append(row)
    rows.append(run.row("b", "ours", ours, honest, remedy="two pairs per weight", copies=2)[0])
    all_ = REMEDIES["all remedies"]
    rows.append(run.row("b", MENDED, mended, honest, remedy="all remedies", procedure=all_)[0])
    array = config_8x8(circuit=True, hardware=hardware)
    through = run.trained(
        "c-ours",
        lambda: recipes.through_circuit(
            honest, ours, plan.seeds, run.errors(circuit=True), array, plan.effort
        ),
    )
    through_circuit = run.trained(
        "c-ours_with_remedies", lambda: _tune_with_remedies(run, honest, mended, array)
    )
    last: list[TransferStudy] = []
    for recipe, nets, remedy in (
        ("regular", _networks(run, "b", honest)["regular"], ""),
        ("ours", ours, ""),
        (f"{MENDED} through the circuit", through_circuit, "all remedies"),
        ("ours, trained through the circuit", through, "all remedies"),
        ("ours, trained through the circuit", through, ""),
    ):
        procedure = REMEDIES[remedy] if remedy else Procedure()
        row, last = run.row("c", recipe, nets, honest, remedy=remedy, procedure=procedure)
        rows.append(row)
    middle = _middle(last)
    record: dict[str, Any] = {
        "paper": PAPER["metric"],
        "plan": asdict(plan),
        "less_than_full": plan.less_than_full(),
        "hardware": hardware.record(),
        "overlap": _overlap(released),
        "rows": rows,
        "budget": _budget(run, through[middle], honest),
        "boundaries": _boundaries(run, honest, through, ours, middle),
        "points": {"x": honest.x_test, "y": honest.y_test},
    }
    # how much the 200 test points differ from the points that were seen, and from the law itself
    for name, points in (
        ("seen", _calibration(honest)),
        ("fresh", fresh_half_moons(data, plan.fresh)),
    ):
        record[name] = {
            "ours": _elsewhere(run, ours, honest, points, Procedure()),
            MENDED: _elsewhere(run, mended, honest, points, all_),
        }
    if plan.tried:
        record["tried"] = _trials(run, honest)
    if plan.confirm:
        record["ngspice"] = _confirm(run, through[middle], middle, honest)
    if plan.digits is not None:
        record["digits"] = digits.reproduce(folder / "digits", plan.digits, say=say, card=card)
    return record


def _networks(run: _Run, setting: str, split: Split) -> dict[str, tuple[Perceptron, ...]]:
    """The networks of every recipe under the data of one setting."""
    seeds, effort = run.plan.seeds, run.plan.effort
    recipes_by_name: dict[str, Callable[[], Trained]] = {
        "regular": lambda: recipes.regular(split, seeds, effort),
        "weight decay only": lambda: recipes.weight_decay(split, seeds, effort),
        "released technique": lambda: recipes.released_technique(
            split, seeds, run.variation, effort
        ),
        "ours": lambda: recipes.hardware_aware(split, seeds, run.variation, effort),
    }
    return {
        k: run.trained(f"{setting}-{k.replace(' ', '_')}", v) for k, v in recipes_by_name.items()
    }


def _elsewhere(
    run: _Run,
    networks: Sequence[Perceptron],
    split: Split,
    points: tuple[np.ndarray, np.ndarray],
    procedure: Procedure,
) -> dict[str, float]:
    """Medians of (b) on other points and classes than the test points."""
    x, y = points
    run.say(f"transfers: (b) on {len(x)} other points")
    studies = [
        transfer(
            on_8x8(net, circuit=False),
            x,
            y,
            variation=run.variation,
            seed=5000 + seed,
            transfers=min(500, run.plan.transfers),
            procedure=procedure,
            calibration=_calibration(split) if procedure.looks else None,
        )
        for seed, net in zip(run.plan.seeds, networks, strict=True)
    ]
    return {
        "points": len(x),
        "transfers": len(studies[0].logits),
        "metric": float(np.median([study.metric() for study in studies])),
        "noise_free": float(np.median([study.noise_free for study in studies])),
    }


def _tune_with_remedies(
    run: _Run, split: Split, start: Sequence[Perceptron], array: xb.ArrayConfig | None
) -> Trained:
    """Networks trained with all remedies in the loop, ideal or through the circuit."""
    errors = run.errors(circuit=array is not None)
    return recipes.with_remedies(
        split, start, run.plan.seeds, errors, REMEDIES["all remedies"], array, run.plan.effort
    )


def _middle(studies: Sequence[TransferStudy]) -> int:
    """Index of the study in the middle of its row by the metric."""
    order = np.argsort([study.metric() for study in studies], kind="stable")
    return int(order[(len(order) - 1) // 2])


def _overlap(split: Split) -> int:
    """Test points that are training points too."""
    trained_on = {tuple(p) for p in split.x_train}
    return sum(tuple(p) in trained_on for p in split.x_test)


def _trials(run: _Run, split: Split) -> list[dict[str, Any]]:
    """The table of what was tried, kept once it is made."""
    path = run.folder / "tried.h5"
    if not path.exists():
        plain = _networks(run, "b", split)["regular"]
        rows = trials.try_all(
            split,
            plain,
            run.variation,
            REMEDIES["all remedies"],
            steps=run.plan.tried,
            say=run.say,
        )
        hdf5.write_tree(path, {str(k): row for k, row in enumerate(rows)}, "table of trials")
    stored = hdf5.read_tree(path, "table of trials")
    return [stored[str(k)] for k in range(len(stored))]


def _budget(run: _Run, net: Perceptron, split: Split) -> list[dict[str, Any]]:
    run.say("loss budget")
    losses = loss_budget(
        run.chain(net, circuit=True),
        split.x_test,
        split.y_test,
        variation=run.hardware.variation,
        transfers=run.plan.budget_transfers,
        seed=77,
    )
    return [asdict(loss) for loss in losses]


def _boundaries(
    run: _Run,
    split: Split,
    through: Sequence[Perceptron],
    ours: Sequence[Perceptron],
    middle: int,
) -> dict[str, Any]:
    """Logits over the plane, noise-free, for one network of each recipe."""
    low, high = split.x_test.min(axis=0) - 0.05, split.x_test.max(axis=0) + 0.05
    x0, x1 = (np.linspace(a, b, 61) for a, b in zip(low, high, strict=True))
    grid = np.stack(np.meshgrid(x0, x1), axis=-1).reshape(-1, 2)
    nets = {k: v[0] for k, v in _networks(run, "b", split).items() if k != "ours"}
    nets["ours"] = ours[middle]
    by_network = {k: net.forward(grid)[-1].reshape(61, 61) for k, net in nets.items()}
    with torch.no_grad():
        logits = run.chain(through[middle], circuit=True).circuit(torch.from_numpy(grid))
    circuit = logits.numpy().reshape(61, 61)
    return {"x0": x0, "x1": x1, "logits": by_network | {"ours, through the circuit": circuit}}


def _confirm(run: _Run, net: Perceptron, middle: int, split: Split) -> dict[str, Any]:
    """Repeat the first transfers of (c) in ngspice, every test point, and compare."""
    count = run.plan.confirm
    seed = run.plan.seeds[middle]
    studies: dict[str, TransferStudy] = {}
    for engine in ("surrogate", "ngspice"):
        run.say(f"confirmation: {count} transfers with {engine}")
        path = run.folder / "transfers" / f"confirm-{engine}-seed{seed}.h5"
        studies[engine] = transfer(
            run.chain(net, circuit=True),
            split.x_test,
            split.y_test,
            seed=1000 + seed,
            variation=run.hardware.variation,
            transfers=count,
            engine=engine,
            path=path,
        )
    surrogate, golden = studies["surrogate"], studies["ngspice"]
    scale = float(np.abs(golden.logits).max())
    return {
        "seed": seed,
        "transfers": count,
        "predictions": int(golden.predictions.size),
        "differ": int(np.sum(surrogate.predictions != golden.predictions)),
        "worst_logit_error": float(np.abs(surrogate.logits - golden.logits).max()) / scale,
        "metric": {k: v.metric() for k, v in studies.items()},
        "accuracy": {k: v.by_transfer for k, v in studies.items()},
    }
