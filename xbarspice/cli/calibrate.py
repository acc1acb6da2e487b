"""`xbarspice calibrate`: models from measured data, cards for all commands, twins of dies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarspice.cli import calibrate_arrays as arrays_command
from xbarspice.cli import calibrate_die as die_command
from xbarspice.cli import screens
from xbarspice.cli.calibrate_job import Job, Title
from xbarspice.cli.options import (
    Calibration,
    Config,
    Json,
    RunFolder,
    Seed,
    Settings,
)
from xbarspice.cli.runs import run_folder
from xbarspice.cli.table_options import reads_table
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.calibration import Fit, Options, Spread
    from xbarspice.config import RunConfig
    from xbarspice.config.card import CalibrationCard
    from xbarspice.core.array import Crossbar
    from xbarspice.tables import Options as TableOptions

__all__ = ["register"]

calibrate = typer.Typer(
    name="calibrate",
    help="Fit models to measured data; the card that is written goes into every command.",
    epilog="Example: xbarspice calibrate reads reads.csv --array G.csv --free R_wire,device.b",
    no_args_is_help=True,
)

Data = Annotated[
    Path, typer.Argument(help="Measured data: text, .xlsx, .ods, .parquet, .mat or .h5.")
]
Free = Annotated[str, typer.Option(help="What is fitted, comma-separated.")]
Bounds = Annotated[
    list[str] | None,
    typer.Option("--bound", metavar="NAME=LOW,HIGH", help="Bounds of a parameter; repeatable."),
]
Date = Annotated[str | None, typer.Option(help="Date for the card; left out without.")]
Loss = Annotated[str, typer.Option(help="linear, or soft_l1 or huber against outliers.")]
Relative = Annotated[float, typer.Option(help="Scatter of a measured value, relative.")]
Absolute = Annotated[
    float | None, typer.Option(help="Scatter in A (S for pulses); else 1e-3 of the largest.")
]
Accept = Annotated[
    bool, typer.Option("--accept", help="Write a card also of a model that does not hold.")
]
Branch = Annotated[
    str | None, typer.Option(help="Take one branch of each sweep: up or down (of |V|).")
]
DropCompliance = Annotated[
    bool, typer.Option("--drop-compliance", help="Leave points on compliance plateaus out.")
]
HeldOut = Annotated[float, typer.Option(help="Share of the reads that is predicted, not fitted.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    die_command.register(calibrate)
    arrays_command.register(calibrate)
    app.add_typer(calibrate)


@calibrate.command(
    epilog="Example: xbarspice calibrate sweeps iv.csv --free device.b,G --set array.R_driver=50"
)
@reads_table("sweeps")
def sweeps(
    data: Data,
    *,
    table: TableOptions,
    free: Free = "device.b,G",
    out: RunFolder = Path("runs/calibrate"),
    bound: Bounds = None,
    loss: Loss = "linear",
    relative: Relative = 0.01,
    absolute: Absolute = None,
    held_out: HeldOut = 0.2,
    accept: Accept = False,
    branch: Branch = None,
    drop_compliance: DropCompliance = False,
    title: Title = None,
    date: Date = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """I-V sweeps of single devices (device, V, I): device parameters, conductances, series ohm."""
    from xbarspice import calibration as study
    from xbarspice.calibration import starts
    from xbarspice.cli import steps

    steps.need("matplotlib", "jinja2")
    read = ("seed", "array")
    run = steps.configuration(
        config, settings, steps.start_config(None), reads=read, calibration=calibration, seed=seed
    )
    measured = study.read_sweeps(data, table)
    if drop_compliance:
        measured = study.drop_plateaus(measured)
    if branch is not None:
        measured = study.take_branch(measured, branch)
    seen = study.inspect_sweeps(measured)
    start = starts.crossbar_of_sweeps(measured, run)
    options = _options(loss, relative, absolute, held_out, run)
    with screens.waiting("fitting", quiet=json):
        fit, crossbar = study.fit_reads(
            start, measured, _list(free), bounds=_bounds(bound), options=options
        )
    job = Job(data, out, run, read, calibration, title, date, json, data_read=measured.notices)
    _finish(job, fit, crossbar, accept=accept, seen=[i.text for i in seen])


@calibrate.command(
    epilog="Example: xbarspice calibrate reads reads.csv --array mapped.h5 "
    "--free R_wl,R_bl,R_driver,device.b"
)
@reads_table("reads")
def reads(
    data: Data,
    *,
    table: TableOptions,
    array: Annotated[
        Path | None,
        typer.Option(help="Measured array: deployment of one or crossbar (.h5), or G (.csv)."),
    ] = None,
    free: Free = "R_wire,device.b",
    out: RunFolder = Path("runs/calibrate"),
    bound: Bounds = None,
    loss: Loss = "linear",
    relative: Relative = 0.01,
    absolute: Absolute = None,
    held_out: HeldOut = 0.2,
    accept: Accept = False,
    title: Title = None,
    date: Date = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Currents of an array for known inputs: wires, drivers, sense, device and conductances."""
    from xbarspice import calibration as study
    from xbarspice.calibration import starts
    from xbarspice.cli import steps
    from xbarspice.config import ArraySection
    from xbarspice.config.arrays import array_settings

    steps.need("matplotlib", "jinja2")
    read = ("seed", "array", *(() if array else ("mapping.G_min", "mapping.G_max")))
    run = steps.configuration(
        config,
        settings,
        steps.start_config(array),
        reads=read,
        calibration=calibration,
        mapped=array,
        seed=seed,
    )
    measured = study.read_reads(data, table)
    start = starts.crossbar_of_reads(array, run, (measured.rows, measured.cols), _list(free))
    run = run.model_copy(update={"array": ArraySection(**array_settings([start]))})
    options = _options(loss, relative, absolute, held_out, run)
    with screens.waiting("fitting", quiet=json):
        fit, crossbar = study.fit_reads(
            start, measured, _list(free), bounds=_bounds(bound), options=options
        )
    job = Job(
        data, out, run, read, calibration, title, date, json, array, data_read=measured.notices
    )
    _finish(job, fit, crossbar, accept=accept)


@calibrate.command(
    epilog="Example: xbarspice calibrate pulses pulses.csv --set array.device=o921c_4k "
    "--free A_p,r_p0,A_n"
)
@reads_table("pulses")
def pulses(
    data: Data,
    *,
    table: TableOptions,
    free: Free = "A_p,A_n",
    out: RunFolder = Path("runs/calibrate"),
    bound: Bounds = None,
    loss: Loss = "linear",
    relative: Relative = 0.01,
    absolute: Absolute = None,
    held_out: HeldOut = 0.2,
    accept: Accept = False,
    title: Title = None,
    date: Date = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Pulse trains (device, V, width, G or R): parameters of a dynamic device."""
    from xbarspice import calibration as study
    from xbarspice.cli import steps

    steps.need("matplotlib", "jinja2")
    read = ("seed", "array.device", "array.parameters")
    run = steps.configuration(
        config, settings, steps.start_config(None), reads=read, calibration=calibration, seed=seed
    )
    trains = study.read_pulses(data, table)
    options = _options(loss, relative, absolute, held_out, run)
    with screens.waiting("fitting", quiet=json):
        fit, device = study.fit_pulses(
            run.array.model(), trains, _list(free), bounds=_bounds(bound), options=options
        )
    job = Job(data, out, run, read, calibration, title, date, json, data_read=trains.notices)
    _finish(job, fit, device=device.name, unit="S", accept=accept)


@calibrate.command(epilog="Example: xbarspice calibrate spread writes.csv --out runs/spread")
@reads_table("programming")
def spread(
    data: Data,
    *,
    table: TableOptions,
    out: RunFolder = Path("runs/calibrate"),
    title: Title = None,
    date: Date = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Repeated programming (device, target, G): tuning spread, drift, stuck devices."""
    from xbarspice import calibration as study
    from xbarspice.cli import steps

    steps.need("matplotlib", "jinja2")
    read = ("array.device",)
    run = steps.configuration(
        config, settings, steps.start_config(None), reads=read, calibration=calibration
    )
    writes = study.read_programming(data, table)
    terms = study.fit_spread(writes)
    job = Job(data, out, run, read, calibration, title, date, json, data_read=writes.notices)
    _finish_spread(job, terms)


@calibrate.command(epilog="Example: xbarspice calibrate noise repeats.csv --out runs/noise")
@reads_table("repeats")
def noise(
    data: Data,
    *,
    table: TableOptions,
    array: Annotated[
        Path | None,
        typer.Option(help="Whole array: its G (.csv), crossbar or deployment of one array (.h5)."),
    ] = None,
    at: Annotated[
        float | None, typer.Option(help="Time in s that retention stands for; else the last read.")
    ] = None,
    out: RunFolder = Path("runs/calibrate"),
    title: Title = None,
    date: Date = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Repeated reads (device, G or R, perhaps t): read noise, and retention where t is known.

    With --array the data are currents of that array (V_in0 ..., I_out0 ...) under inputs that were
    applied several times. The terms of a card take the place of a command's own error model: give
    the card of `calibrate spread` as --calibration, and the new card has tuning and stuck devices
    as well.
    """
    from xbarspice import calibration as study
    from xbarspice.calibration import starts
    from xbarspice.cli import steps
    from xbarspice.config import ArraySection
    from xbarspice.config.arrays import array_settings

    steps.need("matplotlib", "jinja2")
    read = ("array.device",)
    run = steps.configuration(
        config,
        settings,
        steps.start_config(array),
        reads=read,
        calibration=calibration,
        mapped=array,
    )
    if array is None:
        repeats = study.read_repeats(data, table)
        understood = repeats.notices
        terms = study.fit_noise(repeats, at=at)
    elif at is not None:
        raise broken_rule(
            "retention is fitted to reads of single devices",
            f"--at {at:g} with --array",
            "Leave one of them out.",
        )
    else:
        measured = study.read_reads(data, table)
        start = starts.crossbar_of_reads(array, run, (measured.rows, measured.cols), [])
        run = run.model_copy(update={"array": ArraySection(**array_settings([start]))})
        understood = measured.notices
        terms = study.fit_read_noise(measured, start.G)
    job = Job(data, out, run, read, calibration, title, date, json, array, data_read=understood)
    _finish_spread(job, terms)


def _finish_spread(job: Job, terms: Spread) -> None:
    """Card, record, report and screen of terms of the variability."""
    from xbarspice import calibration as study

    card = study.card_of_spread(
        terms,
        job.run.array.device,
        [job.data],
        title=job.name,
        date=job.date,
        before=job.before(),
        data_read=job.data_read,
    )
    _write_folder(job, card, study.record_of_spread(terms))


def _finish(
    job: Job,
    fit: Fit,
    crossbar: Crossbar | None = None,
    *,
    device: str | None = None,
    unit: str = "A",
    accept: bool = False,
    seen: Sequence[str] = (),
) -> None:
    """Card, record, report and screen of a fit; no card of a model that does not hold."""
    from xbarspice import calibration as study

    name = device or (crossbar.device.name if crossbar is not None else job.run.array.device)
    card = study.card_of(
        fit,
        name,
        [job.data],
        title=job.name,
        date=job.date,
        before=job.before(),
        data_read=job.data_read,
    )
    fitted = crossbar if any(p.name.startswith("G[") for p in fit.parameters) else None
    points = (fit.measured, fit.predicted, fit.fitted, unit)
    record = study.record_of(fit)
    record["findings"] = [*seen, *record["findings"]]
    stands = fit.holds or accept
    record["card_written"] = stands
    _write_folder(job, card if stands else None, record, points=points, crossbar=fitted)
    if not stands:
        raise typer.Exit(1)


def _write_folder(
    job: Job,
    card: CalibrationCard | None,
    record: dict[str, Any],
    *,
    points: tuple[Any, ...] = (),
    crossbar: Crossbar | None = None,
) -> None:
    """Write the run folder of a calibration and show what was found."""
    from xbarspice.calibration import page as report
    from xbarspice.core import crossbar_file

    with run_folder(job.out) as folder:
        record = job.write(folder, card, record)
        if crossbar is not None:
            crossbar_file.save(folder / "crossbar.h5", crossbar)
        report.write_fit(record, card and card.to_toml(), folder / "report.html", *points)
    screens.show(record if job.json else _short(record, job.out), job.json, "Calibration")


def _list(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _bounds(texts: list[str] | None) -> dict[str, tuple[float, float]]:
    out = {}
    for text in texts or []:
        name, _, values = text.partition("=")
        try:
            low, high = (float(v) for v in values.split(","))
        except ValueError:
            raise broken_rule(
                "a bound must read NAME=LOW,HIGH", repr(text), "For example --bound R_wl=0,20."
            ) from None
        out[name.strip()] = (low, high)
    return out


def _options(
    loss: Any, relative: float, absolute: float | None, held_out: float, run: RunConfig
) -> Options:
    from xbarspice.calibration import Noise, Options

    noise = Noise(relative=relative, absolute=absolute)
    return Options(noise=noise, loss=loss, held_out=held_out, seed=run.seed)


def _short(record: dict[str, Any], out: Path) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for r in record["parameters"][:20]:
        low, high = ("-" if r[k] is None else f"{r[k]:.5g}" for k in ("low", "high"))
        rows[r["name"]] = f"{r['value']:.5g} {r['unit']} [{low}, {high}]"
    if len(record["parameters"]) > 20:
        rows["..."] = f"{len(record['parameters']) - 20} more in report.json"
    if held := record.get("held_out"):
        rows["held-out error"] = f"{100 * held['error']:.3g} % (fitted {100 * held['noise']:.3g} %)"
    if record.get("held"):
        rows["held"] = ", ".join(f"{h['name']} = {h['value']:g} ohm" for h in record["held"])
    if (scatter := record.get("scatter_over_noise")) is not None:
        rows["residuals over the stated scatter"] = scatter
        rows["intervals"] = "95 %, if the model holds"
    for k, text in enumerate(record["findings"], 1):
        rows[f"warning {k}"] = text
    rows["data read as"] = "; ".join(record["data_read"])
    written = record.get("card_written", True)
    card = str(out / "card.toml") if written else "none: the model does not hold (--accept)"
    return {**rows, "card": card, "report": str(out / "report.html")}
