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
    Above,
    Activation,
    Below,
    Calibration,
    Config,
    Draws,
    Factory,
    Inputs,
    Json,
    RunFolder,
    Seed,
    Settings,
    Unit,
)
from xbarspice.cli.runs import run_folder
from xbarspice.cli.table_options import reads_table
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.calibration.measured import MeasuredArray
    from xbarspice.calibration.placement import Points, Served
    from xbarspice.config import RunConfig
    from xbarspice.deployment.opening import Opened
    from xbarspice.tables import Options as TableOptions

__all__ = ["register"]


NetworkOption = Annotated[
    Path | None, typer.Option(help="Model or deployment that the die shall serve.")
]
ArrayOption = Annotated[
    str | None,
    typer.Option(
        help="Its array for the die, which may have more lines; else the only one of the die's "
        "size, or the only one that fits."
    ),
]
TrialsOption = Annotated[int, typer.Option(min=0, help="Placements tried beside the assigned one.")]
UnusedOption = Annotated[
    str, typer.Option(help="Lines of a larger die that carry nothing: driven (at 0 V) or floating.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the group."""
    app.command(
        epilog="Example: xbarspice calibrate die measured.csv --network net.h5 --inputs x.npz "
        "--array 'fc1[0,0,0]'"
    )(die)


@reads_table("die")
def die(
    data: Annotated[Path, typer.Argument(help="Table of resistances or conductances.")],
    *,
    table: TableOptions,
    network: NetworkOption = None,
    array: ArrayOption = None,
    out: RunFolder = Path("runs/die"),
    unit: Unit = None,
    above: Above = 1.1,
    below: Below = 0.9,
    transfers: Draws = 100,
    trials: TrialsOption = 200,
    unused: UnusedOption = "driven",
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
    """Twin of a measured die: stuck map, spread, a crossbar; a model on it, and on which lines.

    With --network every other point of --inputs searches and chooses the lines, the rest judges the
    choice once. The die may have more lines than the array. The deployment that is written holds
    the model as recommended: stuck devices as they were measured, all others on target.
    """
    from xbarspice import calibration as study
    from xbarspice.calibration import die_page as report
    from xbarspice.calibration import twin
    from xbarspice.cli import steps
    from xbarspice.core import crossbar_file
    from xbarspice.deployment.cards import card_in_file, card_text_of, card_to_keep

    steps.need("jinja2")
    if network is None and (array, inputs, factory, activation) != (None, None, None, None):
        raise broken_rule(
            "--array, --inputs, --model and --activation belong to a model that the die serves",
            "no --network",
            "Give --network, or leave them out.",
        )
    if unused not in ("driven", "floating"):
        raise broken_rule("--unused must be driven or floating", repr(unused), "Use one of them.")
    reads, base = _reads(network, inputs), steps.start_config(network)
    run = steps.configuration(
        config, settings, base, reads=reads, calibration=calibration, mapped=network, seed=seed
    )
    measured = study.read_die(data, unit, table)
    job = Job(
        data=data,
        out=out,
        run=run,
        reads=reads,
        earlier=calibration,
        title=title,
        date=None,
        json=json,
    )
    factors = {"above": above, "below": below}
    opened = served = None
    if network is None:
        limits = study.Thresholds(G_min=run.mapping.G_min, G_max=run.mapping.G_max, **factors)
        crossbar = twin.make_twin(measured, run.array.arguments())
    else:
        from xbarspice.calibration.die_site import find_site
        from xbarspice.deployment.opening import open_model
        from xbarspice.deployment.settings import circuit_settings

        with screens.waiting("reading the model", quiet=json):
            opened = open_model(
                network, inputs, run, factory, activation, random=1, calibration=calibration
            )
        site = find_site(opened.circuit, measured, array, **factors)
        limits, on = site.limits, site.array.crossbar
        arguments = {name: getattr(on, name) for name in run.array.arguments()}
        crossbar = twin.make_twin(measured, arguments)
        halves = _halves(opened, inputs, run)
        served = _serve(opened, site, halves, run, transfers, trials, unused, json)
        job = dataclasses.replace(job, values=circuit_settings(opened.circuit, run))
    record = twin.record_of_die(measured, limits, crossbar)
    with run_folder(out) as folder:
        if opened is not None and served is not None:
            record["notices"] += opened.notes
            record["network_on_die"] = _plain(served)
            _save(folder / "placed.h5", opened, served, factory, data)
        record = job.write(folder, None, record)
        card_of_network = card_in_file(network) if network is not None else None
        card = card_text_of(card_to_keep(run, calibration, card_of_network))
        crossbar_file.save(folder / "crossbar.h5", crossbar, card)
        report.write_die(record, measured.G, measured.stuck(limits), folder / "report.html")
    screens.show(record if json else _die_short(record, out), json, "Measured die")


def _reads(network: Path | None, inputs: Path | None) -> tuple[str, ...]:
    """Settings that the command reads, by its options."""
    if network is None:
        return ("array", "mapping.G_min", "mapping.G_max")
    if inputs is not None:
        return ("seed", "variability", *models.reads_of(network))
    names = [name for name in models.reads_of(network) if name != "convert"]
    uncalibrated = ("convert.exclude", "convert.fold_batchnorm")  # no range comes from inputs
    return ("seed", "variability", "data", *names, *uncalibrated)


def _halves(opened: Opened, inputs: Path | None, run: RunConfig) -> tuple[Points, Points]:
    """Points that choose the lines, and points that judge.

    Of a model of two inputs those of the half moons, where the user gives none.
    """
    from xbarspice.calibration.die_site import split_points
    from xbarspice.calibration.placement import Points
    from xbarspice.training import data

    specs = opened.model.inputs
    if inputs is not None or len(specs) != 1 or specs[0].shape[1:] != (2,):
        return split_points(opened.arguments if inputs else (), opened.y)
    split = data.half_moons(run.data)
    x = np.concatenate([split.x_train, split.x_validation])
    y = np.concatenate([split.y_train, split.y_validation])
    tensor = opened.arguments[0].new_tensor
    return (
        Points(arguments=(tensor(x),), y=y),
        Points(arguments=(tensor(split.x_test),), y=split.y_test),
    )


def _serve(
    opened: Opened,
    site: MeasuredArray,
    halves: tuple[Points, Points],
    run: RunConfig,
    transfers: int,
    trials: int,
    unused: Any,
    json: bool,
) -> Served:
    """The model on the lines of the die that serve it."""
    from xbarspice.calibration import placement
    from xbarspice.transfer.errors import variation_of

    with screens.progress("forward passes", quiet=json) as report:
        return placement.serve(
            opened.circuit,
            site,
            *halves,
            errors=variation_of(opened.circuit, run),
            transfers=transfers,
            trials=trials,
            unused=unused,
            seed=run.seed,
            progress=report,
        )


def _plain(served: Served) -> dict[str, Any]:
    """How the model fares, as plain values."""
    names = [f.name for f in dataclasses.fields(served) if f.name != "circuit"]
    values = {name: getattr(served, name) for name in names}
    for name in ("accuracy", "first_accuracy", "test_gain"):
        values[name] = dataclasses.asdict(values[name])
    values["candidates"] = [dataclasses.asdict(c) for c in served.candidates]
    return values


def _save(path: Path, opened: Opened, served: Served, factory: str | None, data: Path) -> None:
    """The deployment of the model as recommended."""
    from xbarspice import deployment
    from xbarspice.calibration.die_page import UNUSED

    choice = served.choice
    partners = ", partners of stuck ones tuned" if choice.partners else ""
    spare = f"; {UNUSED[served.unused]}" if served.unused else ""
    note = (
        f"{served.array} stands on the die in {data.name}, {choice.name}: stuck devices as "
        f"measured, all others on target{partners}{spare}."
    )
    deployment.save(
        path, served.circuit, inputs=opened.arguments, model=factory, notes=(*opened.notes, note)
    )


def _die_short(record: dict[str, Any], out: Path) -> dict[str, Any]:
    from xbarspice.calibration.die_page import points_with_interval, spread_rows
    from xbarspice.report.units import percent

    rows = {
        "shape": "x".join(map(str, record["shape"])),
        "read voltage": "-" if record["V_read"] is None else f"{record['V_read']:g} V",
        "stuck at low ohm": _list(record["stuck_low_ohm"]),
        "stuck at high ohm": _list(record["stuck_high_ohm"]),
        "healthy": [f"{name} {value}" for name, value in spread_rows(record)],
    }
    if on_die := record.get("network_on_die"):
        rows["array"] = on_die["array"]
        rows["exact products"] = percent(on_die["exact_products"])
        rows["as the weights ask for"] = percent(on_die["on_target"])
        rows["with the measured conductances"] = percent(on_die["as_measured"])
        for c in on_die["candidates"]:
            gain = f", gain {points_with_interval(c['gain'])}"
            rows[c["name"]] = points_with_interval(c["accuracy"]) + (
                gain if c is not on_die["candidates"][0] else " on tuning points"
            )
        choice = on_die["candidates"][on_die["recommended"]]
        rows["recommended"] = choice["name"]
        rows["because"] = on_die["reason"]
        rows["on the test points"] = (
            f"{points_with_interval(on_die['accuracy'])}; lines as they come "
            f"{points_with_interval(on_die['first_accuracy'])}"
        )
    for k, text in enumerate(record["notices"], 1):
        rows[f"notice {k}"] = text
    if on_die:
        rows["deployment"] = str(out / "placed.h5")
    return {**rows, "crossbar": str(out / "crossbar.h5"), "report": str(out / "report.html")}


def _list(cells: list[list[int]]) -> str:
    return ", ".join(f"({r}, {c})" for r, c in cells) or "none"
