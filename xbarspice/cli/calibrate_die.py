"""`xbarspice calibrate die`: the twin of a measured die."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarspice.cli import models, screens
from xbarspice.cli.calibrate_job import Job, Title
from xbarspice.cli.options import (
    Activation,
    Calibration,
    Config,
    Inputs,
    Json,
    RunFolder,
    Seed,
    Settings,
)
from xbarspice.cli.runs import run_folder
from xbarspice.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.array import Crossbar
    from xbarspice.config import RunConfig
    from xbarspice.studies.calibrate import Die, Thresholds

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the group."""
    app.command(
        epilog="Example: xbarspice calibrate die measured.csv --network network.npz "
        "--set mapping.layout=folded"
    )(die)


def die(
    data: Annotated[Path, typer.Argument(help="Table of resistances or conductances, .csv.")],
    network: Annotated[
        Path | None, typer.Option(help="Trained network, or a deployment, to put on the die.")
    ] = None,
    out: RunFolder = Path("runs/die"),
    unit: Annotated[
        str | None, typer.Option(help="ohm, kohm, Mohm, S, mS, uS or nS, if the head says none.")
    ] = None,
    above: Annotated[
        float, typer.Option(help="Stuck at low ohm: G above so many times mapping.G_max.")
    ] = 1.1,
    below: Annotated[
        float, typer.Option(help="Stuck at high ohm: G below so many times mapping.G_min.")
    ] = 0.9,
    transfers: Annotated[int, typer.Option(help="Draws of tuning errors.")] = 100,
    trials: Annotated[int, typer.Option(help="Random placements beside the assigned one.")] = 200,
    inputs: Inputs = None,
    activation: Activation = None,
    title: Title = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Twin of a measured die: stuck map, spread, a crossbar, a network on it, the best lines."""
    import xbarspice as xb
    from xbarspice import store
    from xbarspice.cli import steps
    from xbarspice.report import calibration as report
    from xbarspice.studies import calibrate as study

    steps.need("matplotlib", "jinja2")
    reads = _reads(network, inputs)
    base = steps.measured_base(network)
    run = steps.configuration(
        config, settings, base, reads=reads, calibration=calibration, mapped=network, seed=seed
    )
    measured = study.read_die(data, unit)
    opened, arguments = None, run.array.arguments()
    low, high = (run.mapping.G_min, run.mapping.G_max)
    if network is not None:
        opened = models.open_model(
            network, inputs, run, None, activation, random=1, calibration=calibration
        )
        stands = xb.nn.arrays(opened.circuit)[0].tiles[0].config
        arguments |= {**stands.wires, "device": stands.model}
        low, high = stands.G_min, stands.G_max
    crossbar = _twin(measured, arguments)
    limits = study.Thresholds(G_min=low, G_max=high, above=above, below=below)
    record = _die_record(measured, limits, crossbar)
    job = Job(data, out, run, reads, calibration, title, None, json)
    if opened is not None:
        with screens.waiting("placing the network", quiet=json):
            served = _served(opened, measured, limits, run, inputs, transfers, trials)
        record["network_on_die"] = dataclasses.asdict(served)
    with run_folder(out) as folder:
        record = job.write(folder, None, record)
        store.write_tree(folder / "crossbar.h5", store.crossbar_to_tree(crossbar), "crossbar")
        report.write_die(record, measured.G, measured.stuck(limits), folder / "report.html")
    screens.show(record if json else _die_short(record, out), json, "Measured die")


def _reads(network: Path | None, inputs: Path | None) -> tuple[str, ...]:
    """Settings that the command reads, by its options."""
    if network is None:
        return ("array", "mapping.G_min", "mapping.G_max")
    stands = models.reads_of(network)
    if inputs is not None:
        return ("seed", "variability", *stands)
    known = ("convert.exclude", "convert.fold_batchnorm")  # no range comes from inputs
    return ("seed", "variability", "data", *(n for n in stands if n != "convert"), *known)


def _twin(measured: Die, arguments: dict[str, Any]) -> Crossbar:
    """The die as a crossbar; its conductances hold at the read voltage of the head."""
    from xbarspice import devices
    from xbarspice.array import Crossbar

    fields = [f.name for f in dataclasses.fields(arguments["device"])]
    if measured.V_read is not None and "V_read" in fields:
        arguments["device"] = devices.with_parameters(
            arguments["device"], {"V_read": measured.V_read}
        )
    return Crossbar(measured.G, **arguments)


def _die_record(measured: Die, limits: Thresholds, crossbar: Crossbar) -> dict[str, Any]:
    stuck = measured.stuck(limits)
    return {
        "shape": list(measured.G.shape),
        "unit": measured.unit,
        "V_read": measured.V_read,
        "settings": dict(measured.settings),
        "notices": list(measured.notices),
        "thresholds_S": [limits.below * limits.G_min, limits.above * limits.G_max],
        "stuck_low_ohm": [[int(r), int(c)] for r, c in zip(*(stuck > 0).nonzero(), strict=True)],
        "stuck_high_ohm": [[int(r), int(c)] for r, c in zip(*(stuck < 0).nonzero(), strict=True)],
        "spread": measured.spread(limits),
        "device": crossbar.device.name,
    }


def _served(
    opened: models.Opened,
    measured: Die,
    limits: Thresholds,
    run: RunConfig,
    inputs: Path | None,
    transfers: int,
    trials: int,
) -> Any:
    import numpy as np

    from xbarspice.cli import steps
    from xbarspice.studies import data
    from xbarspice.studies.calibrate import serve
    from xbarspice.variability import drolet_2023

    if inputs is None and opened.model.inputs[0].shape[1:] == (2,):
        split = data.half_moons(run.data)
        tuning = (
            np.concatenate([split.x_train, split.x_validation]),
            np.concatenate([split.y_train, split.y_validation]),
        )
        test = (split.x_test, split.y_test)
    else:
        x, y = opened.arguments[0].numpy(), opened.y
        if inputs is None or y is None or len(x) < 4:
            raise broken_rule(
                "a network on a die is judged by points with classes",
                "none",
                "Give --inputs with x and y: every other point chooses, the rest judges.",
            )
        tuning, test = (x[::2], y[::2]), (x[1::2], y[1::2])
    errors = steps.variation(run, drolet_2023())
    return serve(
        opened.circuit,
        measured,
        limits,
        tuning,
        test,
        errors=errors,
        transfers=transfers,
        trials=trials,
        seed=run.seed,
    )


def _die_short(record: dict[str, Any], out: Path) -> dict[str, Any]:
    rows = {
        "shape": "x".join(map(str, record["shape"])),
        "read voltage": "-" if record["V_read"] is None else f"{record['V_read']:g} V",
        "stuck at low ohm": _named(record["stuck_low_ohm"]),
        "stuck at high ohm": _named(record["stuck_high_ohm"]),
        "healthy": "; ".join(f"{k} {v:.4g}" for k, v in record["spread"].items()),
    }
    if found := record.get("network_on_die"):
        rows["software"] = f"{100 * found['software']:.1f} %"
        for name in found["exact"]:
            rows[name] = (
                f"{100 * found['exact'][name]:.1f} %, with tuning errors "
                f"{100 * found['mean'][name]:.1f} %"
            )
        rows["lines chosen by"] = found["method"]
    for k, text in enumerate(record["notices"], 1):
        rows[f"notice {k}"] = text
    return {
        **rows, "crossbar": str(out / "crossbar.h5"), "report": str(out / "report.html")
    }  # fmt: skip


def _named(cells: list[list[int]]) -> str:
    return ", ".join(f"({r}, {c})" for r, c in cells) or "none"
