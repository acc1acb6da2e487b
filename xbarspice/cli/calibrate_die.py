"""`xbarspice calibrate die`: the twin of a measured die."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from xbarspice.cli import models, screens
from xbarspice.cli.calibrate_job import Job, Title
from xbarspice.cli.options import (
    Activation,
    Calibration,
    Config,
    Factory,
    Inputs,
    Json,
    RunFolder,
    Seed,
    Settings,
)
from xbarspice.cli.runs import run_folder
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.calibration import Die, Thresholds
    from xbarspice.calibration.measured import MeasuredArray
    from xbarspice.calibration.placement import Points, Served
    from xbarspice.config import RunConfig
    from xbarspice.core.array import Crossbar

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the group."""
    app.command(
        epilog="Example: xbarspice calibrate die measured.csv --network net.h5 --inputs x.npz "
        "--array 'fc1[0,0,0]'"
    )(die)


def die(
    data: Annotated[Path, typer.Argument(help="Table of resistances or conductances, .csv.")],
    network: Annotated[
        Path | None, typer.Option(help="Model or deployment that the die shall serve.")
    ] = None,
    array: Annotated[
        str | None,
        typer.Option(help="Its array that the die is; else the only one of the die's size."),
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
    transfers: Annotated[int, typer.Option(min=0, help="Draws of tuning errors.")] = 100,
    trials: Annotated[
        int, typer.Option(min=0, help="Random placements beside the assigned one.")
    ] = 200,
    inputs: Inputs = None,
    factory: Factory = None,
    activation: Activation = None,
    title: Title = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Twin of a measured die: stuck map, spread, a crossbar; a model on it, and its best lines.

    With --network every other point of --inputs chooses the lines, the rest judges. The deployment
    that is written holds the model on the best lines: stuck devices as they were measured, all
    others on target.
    """
    from xbarspice import calibration as study
    from xbarspice.calibration import page as report
    from xbarspice.cli import steps
    from xbarspice.core import crossbar_file

    steps.need("matplotlib", "jinja2")
    if network is None and (array, inputs, factory, activation) != (None, None, None, None):
        raise broken_rule(
            "--array, --inputs, --model and --activation belong to a model that the die serves",
            "no --network", "Give --network, or leave them out.",
        )  # fmt: skip
    reads, base = _reads(network, inputs), steps.measured_base(network)
    run = steps.configuration(
        config, settings, base, reads=reads, calibration=calibration, mapped=network, seed=seed
    )
    measured = study.read_die(data, unit)
    job = Job(data, out, run, reads, calibration, title, None, json)
    factors = {"above": above, "below": below}
    opened = served = None
    if network is None:
        limits = study.Thresholds(G_min=run.mapping.G_min, G_max=run.mapping.G_max, **factors)
        crossbar = _twin(measured, run.array.arguments())
    else:
        with screens.waiting("reading the model", quiet=json):
            opened = models.open_model(
                network, inputs, run, factory, activation, random=1, calibration=calibration
            )
        site = _site(opened.circuit, measured, array, factors)
        limits, on = site.limits, site.array.crossbar
        crossbar = _twin(measured, {name: getattr(on, name) for name in run.array.arguments()})
        halves = _halves(opened, inputs, run)
        served = _served(opened, site, halves, run, transfers, trials, json)
        job = dataclasses.replace(job, said=models.said_of(opened.circuit, run))
    record = _die_record(measured, limits, crossbar)
    with run_folder(out) as folder:
        if opened is not None and served is not None:
            record["notices"] += opened.notes
            record["network_on_die"] = _said(served)
            _save(folder / "placed.h5", opened, served, factory, data)
        record = job.write(folder, None, record)
        crossbar_file.save(folder / "crossbar.h5", crossbar)
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


def _site(
    circuit: Any, measured: Die, name: str | None, factors: dict[str, float]
) -> MeasuredArray:
    """The array that the die is.

    Raises:
        InputError: there is none of its name and size, or several of its size and no name.
    """
    from xbarspice.calibration import Thresholds
    from xbarspice.calibration.measured import MeasuredArray
    from xbarspice.nn import arrays

    rows, cols = measured.G.shape
    known = {a.name: a for a in arrays(circuit) if a.crossbar.G.shape == (rows, cols)}
    chosen = list(known) if name is None else [n for n in known if n == name]
    if len(chosen) != 1:
        sizes = [f"{a.name} {a.crossbar.rows}x{a.crossbar.cols}" for a in arrays(circuit)[:10]]
        raise broken_rule(
            f"a die of {rows} x {cols} must be one array of the model, of the same size",
            f"{len(chosen)} of {name or 'its arrays'} among {', '.join(sizes)}",
            "Name one with --array, or map the model onto arrays of that size.",
        )
    array = known[chosen[0]]
    mapping = array.tiles[0].config
    limits = Thresholds(G_min=mapping.G_min, G_max=mapping.G_max, **factors)
    return MeasuredArray(array=array, die=measured, limits=limits, file="")


def _twin(measured: Die, arguments: dict[str, Any]) -> Crossbar:
    """The die as a crossbar; its conductances hold at the read voltage of the head."""
    from xbarspice import devices
    from xbarspice.core.array import Crossbar

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


def _halves(opened: models.Opened, inputs: Path | None, run: RunConfig) -> tuple[Points, Points]:
    """Points that choose the lines, and points that judge.

    Of a model of two inputs those of the half moons, where the user gives none.
    """
    from xbarspice.calibration.placement import Points
    from xbarspice.training import data

    specs = opened.model.inputs
    if inputs is None and len(specs) == 1 and specs[0].shape[1:] == (2,):
        split = data.half_moons(run.data)
        tuning, test = (
            Points(arguments=(opened.arguments[0].new_tensor(np.concatenate(x)),),
                   y=np.concatenate(y))
            for x, y in (
                ([split.x_train, split.x_validation], [split.y_train, split.y_validation]),
                ([split.x_test], [split.y_test]),
            )
        )  # fmt: skip
        return tuning, test
    count = len(opened.arguments[0]) if opened.arguments[0].ndim else 1
    usual = all(a.ndim and len(a) == count for a in opened.arguments)
    if inputs is None or opened.y is None or count < 4 or not usual:
        raise broken_rule(
            "a model on a die is judged by points with classes, 4 or more",
            f"{0 if inputs is None else count} points, "
            f"classes {'missing' if opened.y is None else 'given'}",
            "Give --inputs with x and y: every other point chooses the lines, the rest judges.",
        )
    tuning, test = (
        Points(arguments=tuple(a[k::2] for a in opened.arguments), y=opened.y[k::2]) for k in (0, 1)
    )
    return tuning, test


def _served(
    opened: models.Opened,
    site: MeasuredArray,
    halves: tuple[Points, Points],
    run: RunConfig,
    transfers: int,
    trials: int,
    json: bool,
) -> Served:
    from xbarspice.calibration import placement
    from xbarspice.cli.transfer import variation_of

    with screens.progress("forward passes", quiet=json) as report:
        return placement.serve(
            opened.circuit, site, *halves, errors=variation_of(opened.circuit, run, {}),
            transfers=transfers, trials=trials, seed=run.seed, progress=report,
        )  # fmt: skip


def _said(served: Served) -> dict[str, Any]:
    """How the model fares, as plain values."""
    names = [f.name for f in dataclasses.fields(served) if f.name != "circuit"]
    return {name: getattr(served, name) for name in names}


def _save(
    path: Path, opened: models.Opened, served: Served, factory: str | None, data: Path
) -> None:
    """The deployment of the model on the best lines."""
    from xbarspice import deployment

    said = (
        f"{served.array} stands on the best lines of the die in {data.name}: stuck devices as "
        "measured, all others on target, partners of stuck ones tuned."
    )
    deployment.save(
        path, served.circuit, inputs=opened.arguments, model=factory, notes=(*opened.notes, said)
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
        rows["array"] = found["array"]
        rows["exact products"] = f"{100 * found['exact_products']:.1f} %"
        rows["as the weights ask for"] = f"{100 * found['wanted']:.1f} %"
        rows["with the measured conductances"] = f"{100 * found['as_measured']:.1f} %"
        for name, exact in found["exact"].items():
            mean = found["mean"].get(name)
            tuned = "" if mean is None else f", with tuning errors {100 * mean:.1f} %"
            rows[name] = f"{100 * exact:.1f} %{tuned}"
        rows["lines chosen by"] = found["method"]
    for k, text in enumerate(record["notices"], 1):
        rows[f"notice {k}"] = text
    if found:
        rows["deployment"] = str(out / "placed.h5")
    return {**rows, "crossbar": str(out / "crossbar.h5"), "report": str(out / "report.html")}


def _named(cells: list[list[int]]) -> str:
    return ", ".join(f"({r}, {c})" for r, c in cells) or "none"
