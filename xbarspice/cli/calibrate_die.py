"""`xbarspice calibrate die`: the twin of a measured die."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarspice.cli import screens
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
        Path | None, typer.Option(help="Trained network (or mapped .h5) to put on the die.")
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
    from xbarspice import store
    from xbarspice.cli import steps
    from xbarspice.report import calibration as report
    from xbarspice.studies import calibrate as study

    steps.need("matplotlib", "jinja2")
    reads = _reads(network, inputs)
    run = steps.configuration(
        config,
        settings,
        steps.measured_base(network),
        reads=reads,
        calibration=calibration,
        mapped=network,
        seed=seed,
    )
    measured = study.read_die(data, unit)
    mapped = None if network is None else steps.mapped_network(network, run, activation)
    arguments = run.array.arguments()
    if mapped is not None:
        arguments |= {name: getattr(mapped.arrays[0], name) for name in arguments}
    crossbar = _twin(measured, arguments)
    low, high = (run.mapping.G_min, run.mapping.G_max)
    if mapped is not None:
        low, high = mapped.G_min, mapped.G_max
    limits = study.Thresholds(G_min=low, G_max=high, above=above, below=below)
    record = _die_record(measured, limits, crossbar)
    job = Job(data, out, run, reads, calibration, title, None, json, solved=mapped)
    if mapped is not None:
        with screens.waiting("placing the network", quiet=json):
            served = _served(mapped, measured, limits, run, inputs, transfers, trials)
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
    data = () if inputs else ("data",)
    return ("seed", "array", "mapping", "variability", *data)


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
    mapped: Any, measured: Die, limits: Thresholds, run: RunConfig, inputs: Path | None,
    transfers: int, trials: int,
) -> Any:  # fmt: skip
    import numpy as np

    from xbarspice.cli import steps
    from xbarspice.studies import data
    from xbarspice.studies.calibrate import serve
    from xbarspice.variability import drolet_2023

    if inputs is None and (mapped.network.sizes[0], mapped.network.sizes[-1]) == (2, 1):
        split = data.half_moons(run.data)
        tuning = (np.concatenate([split.x_train, split.x_validation]),
                  np.concatenate([split.y_train, split.y_validation]))  # fmt: skip
        test = (split.x_test, split.y_test)
    else:
        x, y = steps.inputs(mapped.network, inputs, 0, run.seed)
        if y is None or len(x) < 4:
            raise broken_rule(
                "a network on a die is judged by points with classes", "none",
                "Give --inputs with x and y: every other point chooses, the rest judges.",
            )  # fmt: skip
        tuning, test = (x[::2], y[::2]), (x[1::2], y[1::2])
    errors = steps.variation(run, drolet_2023())
    return serve(
        mapped, measured, limits, tuning, test, errors=errors, transfers=transfers,
        trials=trials, seed=run.seed,
    )  # fmt: skip


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
