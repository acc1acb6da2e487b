"""The second case: 8x8 digits through 64-32-10 on tiles of at most 32x32, 2 ohm a wire segment.

Three networks are compared over many transfers: a regular one, one trained on drawn transfers onto
ideal arrays, and one trained on drawn transfers through the arrays with their wires. Devices are
ohmic, so that a thousand transfers are a thousand effective matrices a tile; biases are digital.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from papers.drolet2023.chain import Chain, circuit_of
from papers.drolet2023.hardware import Hardware, keep_card
from papers.drolet2023.remedies import Procedure
from papers.drolet2023.settings import SETTINGS
from papers.drolet2023.transfers import TransferStudy, fingerprint, transfer
from xbarspice.config.card import CalibrationCard
from xbarspice.core import hdf5
from xbarspice.core.seeds import child_seed
from xbarspice.importers import perceptron
from xbarspice.importers.perceptron import Perceptron, from_state_dict
from xbarspice.mapping import ArrayConfig
from xbarspice.nn import convert, exact_products
from xbarspice.training import train as plain
from xbarspice.training.data import Split, digits
from xbarspice.variability import Variation, other_reading
from xbarspice.variability.bse import tail_of

__all__ = ["NETWORKS", "REMEDIES", "Plan", "on_tiles", "reproduce", "train"]

DIGITS = SETTINGS["digits"]
TILE, WIRE = DIGITS["tile"], DIGITS["wire"]

NETWORKS = ("regular", "trained on ideal arrays", "trained through the arrays")

REMEDIES = {name: Procedure(**settings) for name, settings in DIGITS["remedies"].items()}
"""What the tester may do; fixed on validation points."""

Say = Callable[[str], None]

PUBLISHED = Hardware.of(None, wire=WIRE, device=DIGITS["device"])
"""Wires, and the device of the row with nonlinear devices, without a calibration card."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do.

    Attributes:
        seeds: seeds of the networks.
        transfers: a network and remedy.
        nonlinear: transfers of the array-trained networks with the sinh device; 0 leaves them out.
        confirm: transfers that ngspice repeats; 0 leaves it out.
        points: test points that are looked at; None for all 400.
        steps, tune: optimiser steps of the regular network, and of the two that go on from it.
        draws: transfers drawn a step.
        remedies: names out of `REMEDIES`.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    transfers: int = 1000
    nonlinear: int = 100
    confirm: int = 0
    points: int | None = None
    steps: int = 600
    tune: int = 400
    draws: int = 2
    remedies: tuple[str, ...] = tuple(REMEDIES)

    def less_than_full(self) -> dict[str, tuple[int, int]]:
        """What is smaller than in the full experiment: name -> (this run, full run)."""
        full = Plan()
        names = ("transfers", "nonlinear", "steps", "tune", "draws")
        pairs = {name: (getattr(self, name), getattr(full, name)) for name in names}
        pairs |= {
            name: (len(getattr(self, name)), len(getattr(full, name)))
            for name in ("seeds", "remedies")
        }
        if self.points is not None:
            pairs["points"] = (self.points, 400)
        return {name: pair for name, pair in pairs.items() if pair[0] < pair[1]}

    @classmethod
    def quick(cls, *, confirm: int = 0) -> Plan:
        """One seed and a few transfers, for continuous integration."""
        return cls(
            seeds=(0,),
            transfers=30,
            nonlinear=2,
            confirm=min(confirm, 1),
            points=100,
            steps=150,
            tune=40,
            draws=2,
            remedies=("none", "bias correction", "partner"),
        )


def train(
    split: Split,
    variation: Variation,
    *,
    seed: int,
    plan: Plan = Plan(),
    hardware: Hardware = PUBLISHED,
    progress: Callable[[int, int], None] = lambda count, total: None,
) -> tuple[Perceptron, ...]:
    """Train the three networks of one seed, in the order of `NETWORKS`.

    The last state is kept: nothing is selected, so the validation points stay unused here.

    Args:
        split: the digits.
        variation: transfer errors, drawn `plan.draws` times a step for the second and third.
        seed: of the initial weights, the batches and the transfers.
        plan: numbers of steps and draws.
        hardware: its wires are those of the third network.
        progress: called with (steps done, steps in all).
    """
    total = plan.steps + 2 * plan.tune
    generator = torch.Generator().manual_seed(child_seed(seed, "digits"))
    model = plain.build(tuple(DIGITS["sizes"]), "relu", generator)
    _optimise(model, split, plan.steps, 0.01, 1, generator, lambda k: progress(k, total))
    out = [from_state_dict(model.state_dict(), "relu")]
    ideal: Mapping[str, Any] = dict.fromkeys(hardware.wires, 0.0)
    # the names of the generators are of the published experiment: a card changes no drawn number
    for k, (ohm, wires) in enumerate(((0.0, ideal), (WIRE, hardware.wires))):
        # generators of their own: each network comes out alike whatever was trained before it
        draws = child_seed(seed, f"digits through {ohm} ohm")
        drawn = torch.Generator().manual_seed(draws)
        config = ArrayConfig(
            tile_rows=TILE, tile_cols=TILE, **wires, bias="digital", variation=variation
        )
        first_step = plan.steps + k * plan.tune
        arrays = convert(model, config, seed=draws)
        _optimise(
            arrays,
            split,
            plan.tune,
            0.003,
            plan.draws,
            drawn,
            lambda step, first_step=first_step: progress(first_step + step, total),
        )
        out.append(from_state_dict(arrays.state_dict(), "relu"))
    return tuple(out)


def _optimise(
    model: nn.Module,
    split: Split,
    steps: int,
    rate: float,
    draws: int,
    generator: torch.Generator,
    progress: Callable[[int], None],
) -> None:
    """Adam on batches of 256, the learning rate falling to zero along a cosine."""
    x, y = torch.as_tensor(split.x_train), torch.as_tensor(split.y_train)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        part = torch.randperm(len(x), generator=generator)[:256]
        optimiser.zero_grad()
        for _ in range(draws):
            loss = nn.functional.cross_entropy(model(x[part]), y[part]) / draws
            loss.backward()
        optimiser.step()
        schedule.step()
        progress(step + 1)


def on_tiles(
    net: Perceptron, split: Split, *, nonlinear: bool = False, hardware: Hardware = PUBLISHED
) -> Chain:
    """A digits network on its five arrays; inputs scaled by the training points."""
    config = ArrayConfig(
        tile_rows=TILE,
        tile_cols=TILE,
        bias="digital",
        **hardware.wires,
        device=hardware.device if nonlinear else "ohmic",
    )
    return Chain.of(circuit_of(net, config, split.x_train))


def reproduce(
    folder: Path,
    plan: Plan = Plan(),
    *,
    say: Say = lambda text: None,
    card: CalibrationCard | None = None,
) -> dict[str, Any]:
    """Train, transfer and confirm the digits networks in a folder, or go on there.

    Args:
        folder: where networks and rows are kept.
        plan: how much to do.
        say: told what begins.
        card: calibrated wires, errors, and device of the row with nonlinear devices.

    Returns:
        The record that `report.digits` draws.

    Raises:
        InputError: the folder was begun with another card.
        EngineError: ngspice failed.
    """
    keep_card(folder, card, begun=any(folder.glob("*.npz")))
    folder.mkdir(parents=True, exist_ok=True)
    split, hardware = digits(), Hardware.of(card, wire=WIRE, device=DIGITS["device"])
    nets = {seed: _networks(folder, split, hardware, seed, plan, say) for seed in plan.seeds}
    rows = []
    for k, name in enumerate(NETWORKS):
        for remedy in plan.remedies:
            say(f"digits: {name}, {remedy}")
            rows.append(_row(folder, split, hardware, name, remedy, k, nets, plan))
    if plan.nonlinear:
        say(f"digits: {hardware.name}")
        rows.append(
            _row(folder, split, hardware, NETWORKS[2], "none", 2, nets, plan, nonlinear=True)
        )
    record: dict[str, Any] = {
        "plan": asdict(plan),
        "less_than_full": plan.less_than_full(),
        "hardware": hardware.record(),
        "rows": rows,
    }
    if plan.confirm:
        record["ngspice"] = _confirm(folder, nets[plan.seeds[0]][2], split, hardware, plan, say)
    return record


def _networks(
    folder: Path, split: Split, hardware: Hardware, seed: int, plan: Plan, say: Say
) -> tuple[Perceptron, ...]:
    paths = [folder / f"{name.replace(' ', '_')}-seed{seed}.npz" for name in NETWORKS]
    if not all(path.is_file() for path in paths):
        say(f"digits: training, seed {seed}")
        trained = train(split, hardware.variation, seed=seed, plan=plan, hardware=hardware)
        for path, net in zip(paths, trained, strict=True):
            perceptron.save(path, net)
    return tuple(perceptron.load(path) for path in paths)


def _row(
    folder: Path,
    split: Split,
    hardware: Hardware,
    name: str,
    remedy: str,
    which: int,
    nets: dict[int, tuple[Perceptron, ...]],
    plan: Plan,
    *,
    nonlinear: bool = False,
) -> dict[str, Any]:
    """One network and remedy over all seeds; figures that are there already are read."""
    seeds, metrics, count = [], [], 0
    other_variation = other_reading(hardware.variation)
    for seed, trained in nets.items():
        chain = on_tiles(trained[which], split, nonlinear=nonlinear, hardware=hardware)
        chain = chain.redundant(2 if remedy.startswith("two pairs") else 1)
        count = plan.nonlinear if nonlinear else plan.transfers
        path = folder / f"{which}-{remedy.replace(' ', '_')}{'-sinh' * nonlinear}-seed{seed}.h5"
        seeds.append(_figures(path, chain, split, hardware, seed, REMEDIES[remedy], count, plan))
        if other_variation is not None:
            path = path.with_name(f"{path.stem}-other_reading.h5")
            other_hardware = replace(hardware, variation=other_variation)
            count = min(DIGITS["reading"], count)
            read = _figures(path, chain, split, other_hardware, seed, REMEDIES[remedy], count, plan)
            metrics.append(float(read["metric"]))
    keys = ("software", "noise_free", "mean", "low_5_percent", "worst", "metric")
    return {
        "network": name,
        "remedy": remedy,
        "device": hardware.name if nonlinear else "ohmic",
        "transfers": plan.nonlinear if nonlinear else plan.transfers,
        "median": {key: float(np.median([s[key] for s in seeds])) for key in keys},
        "mean_least": min(s["mean"] for s in seeds),
        "mean_most": max(s["mean"] for s in seeds),
        "seeds": seeds,
        "other_reading": {
            "tail": tail_of(other_variation),
            "transfers": count,
            "metric": float(np.median(metrics)),
        }
        if other_variation is not None
        else None,
    }


def _figures(
    path: Path,
    chain: Chain,
    split: Split,
    hardware: Hardware,
    seed: int,
    procedure: Procedure,
    count: int,
    plan: Plan,
) -> dict[str, Any]:
    """Figures of one study. The logits (32 MB for 1000 transfers) are not kept."""
    x, y = split.x_test[: plan.points], split.y_test[: plan.points]
    # a tester who looks at 300 training points computes a tenth as long as with all points
    calibration = (split.x_train[:300], split.y_train[:300]) if procedure.looks else None
    engine = "matrix" if chain.config.model.linear else "surrogate"
    variation = hardware.variation
    key = fingerprint(chain, x, y, variation, seed, count, engine, procedure, calibration)
    if path.exists():
        stored = hdf5.read_tree(path, "digits row")
        if stored.pop("fingerprint") == key:
            return stored
    study = transfer(
        chain,
        x,
        y,
        variation=variation,
        transfers=count,
        seed=2000 + seed,
        engine=engine,
        procedure=procedure,
        calibration=calibration,
    )
    with exact_products(), torch.no_grad():
        software = np.mean(chain.circuit(torch.from_numpy(x)).argmax(dim=1).numpy() == y)
    figures = {**study.summary(), "software": float(software)}
    hdf5.write_tree(path, {**figures, "fingerprint": key}, "digits row")
    return figures


def _confirm(
    folder: Path, net: Perceptron, split: Split, hardware: Hardware, plan: Plan, say: Say
) -> dict[str, Any]:
    """The first transfers of the array-trained network again in ngspice, every test point."""
    chain = on_tiles(net, split, hardware=hardware)
    studies: dict[str, TransferStudy] = {}
    for engine in ("matrix", "ngspice"):
        say(f"digits: {plan.confirm} transfers with {engine}")
        studies[engine] = transfer(
            chain,
            split.x_test[: plan.points],
            split.y_test[: plan.points],
            variation=hardware.variation,
            transfers=plan.confirm,
            seed=2000 + plan.seeds[0],
            engine=engine,
            path=folder / f"confirm-{engine}.h5",
        )
    matrix, golden = studies["matrix"], studies["ngspice"]
    return {
        "transfers": plan.confirm,
        "predictions": int(golden.predictions.size),
        "differ": int(np.sum(matrix.predictions != golden.predictions)),
        "worst_logit_error": float(
            np.abs(matrix.logits - golden.logits).max() / np.abs(golden.logits).max()
        ),
        "mean": {k: float(v.by_transfer.mean()) for k, v in studies.items()},
    }
