"""`xbarspice calibrate`: models from measured data, cards for all commands, twins of dies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xbarspice.cli import calibrate_arrays as arrays_command
from xbarspice.cli import calibrate_die as die_command
from xbarspice.cli import calibrate_drift as drift_command
from xbarspice.cli import calibrate_joint as joint_command
from xbarspice.cli import calibrate_life as life_commands
from xbarspice.cli import calibrate_spread as spread_commands
from xbarspice.cli import screens
from xbarspice.cli.calibrate_finish import finish_fit
from xbarspice.cli.calibrate_job import (
    Accept,
    Data,
    Date,
    Job,
    Temperature,
    Title,
    range_of_data,
)
from xbarspice.cli.fit_options import (
    Absolute,
    Bounds,
    Free,
    HeldOut,
    Loss,
    Relative,
    bounds_of,
    fit_options,
    names_of,
)
from xbarspice.cli.handling_options import (
    Branch,
    DropCompliance,
    DropOutliers,
    Flip,
    MaxVoltage,
    MinCurrent,
    Polarity,
    RemoveDrift,
)
from xbarspice.cli.options import (
    Calibration,
    Config,
    Json,
    RunFolder,
    Seed,
    Settings,
)
from xbarspice.cli.table_options import reads_table

if TYPE_CHECKING:
    from xbarspice.tables import Options as TableOptions

__all__ = ["register"]

calibrate = typer.Typer(
    name="calibrate",
    help="Fit models to measured data; the card that is written goes into every command.",
    epilog="Example: xbarspice calibrate reads reads.csv --array G.csv --free R_wire,device.b",
    no_args_is_help=True,
)

AUTO = "auto"
"""The word for the device model that predicts best."""

Device = Annotated[
    str | None,
    typer.Option(
        help="Device model, as --set array.device; auto: the one that predicts left-out voltages "
        "best, all fields of its curve fitted."
    ),
]
Rank = Annotated[
    bool | None,
    typer.Option(
        "--rank/--no-rank",
        help="Rank all device models by left-out voltages; else only where it takes little time.",
    ),
]
Samples = Annotated[
    int | None,
    typer.Option(
        "--bootstrap",
        help="Draw the data anew so many times for intervals (100 or more; 0: never); else 400 "
        "times where the intervals of a single device are in doubt.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    die_command.register(calibrate)
    arrays_command.register(calibrate)
    joint_command.register(calibrate)
    spread_commands.register(calibrate)
    drift_command.register(calibrate)
    life_commands.register(calibrate)
    app.add_typer(calibrate)


@calibrate.command(
    epilog="Example: xbarspice calibrate sweeps iv.csv --free device,G --set array.R_driver=50"
)
@reads_table("sweeps")
def sweeps(
    data: Data,
    *,
    table: TableOptions,
    free: Free = "device,G",
    out: RunFolder = Path("runs/calibrate"),
    bound: Bounds = None,
    loss: Loss = "linear",
    relative: Relative = 0.01,
    absolute: Absolute = None,
    held_out: HeldOut = 0.2,
    accept: Accept = False,
    flip_current: Flip = None,
    device: Device = None,
    rank: Rank = None,
    bootstrap: Samples = None,
    drop_compliance: DropCompliance = False,
    max_voltage: MaxVoltage = None,
    min_current: MinCurrent = None,
    branch: Branch = None,
    polarity: Polarity = None,
    remove_drift: RemoveDrift = False,
    drop_outliers: DropOutliers = False,
    title: Title = None,
    date: Date = None,
    temperature: Temperature = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """I-V sweeps of single devices (device, V, I): device parameters, conductances, series ohm."""
    from xbarspice import calibration as study
    from xbarspice.calibration import inspection_page, starts
    from xbarspice.calibration.held import fixed_values
    from xbarspice.cli import steps

    steps.need("matplotlib", "jinja2")
    settings = _with_device(settings, device)
    read = ("seed", "array")
    run = steps.configuration(
        config,
        settings,
        steps.start_config(None),
        reads=read,
        calibration=calibration,
        seed=seed,
    )
    handling = study.Handling(
        flip_current=flip_current,
        drop_compliance=drop_compliance,
        max_voltage=max_voltage,
        min_current=min_current,
        branch=branch,
        polarity=polarity,
        remove_drift=remove_drift,
        drop_outliers=drop_outliers,
    )
    whole = study.read_sweeps(data, table)
    measured = study.prepare_sweeps(whole, handling)
    inspection = inspection_page.look(whole, measured)
    start = starts.crossbar_of_sweeps(measured, run)
    options = fit_options(loss, relative, absolute, held_out, run)
    with screens.waiting("fitting", quiet=json):
        fit, crossbar, comparisons = study.fit_and_compare(
            start,
            measured,
            names_of(free),
            bounds=bounds_of(bound),
            options=options,
            choose=device == AUTO,
            rank=rank,
            samples=bootstrap,
        )
    job = Job(
        data,
        out,
        run,
        read,
        calibration,
        title,
        date,
        json,
        data_read=measured.notices,
        config=config,
        settings=settings or (),
        valid=range_of_data(V=measured.V_in, G=crossbar.G, temperature=temperature),
    )
    fixed = fixed_values(crossbar, comparisons.free)
    finish_fit(
        job,
        fit,
        crossbar,
        accept=accept,
        comparisons=comparisons,
        inspection=inspection,
        fixed=fixed,
    )


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
    free: Free = "R_wire,device",
    out: RunFolder = Path("runs/calibrate"),
    bound: Bounds = None,
    loss: Loss = "linear",
    relative: Relative = 0.01,
    absolute: Absolute = None,
    held_out: HeldOut = 0.2,
    accept: Accept = False,
    flip_current: Annotated[
        str | None,
        typer.Option(help="Change the sign of all currents, or of some: I_out2,I_out3."),
    ] = None,
    drop_compliance: DropCompliance = False,
    remove_drift: RemoveDrift = False,
    device: Device = None,
    rank: Rank = None,
    bootstrap: Samples = None,
    title: Title = None,
    date: Date = None,
    temperature: Temperature = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Currents of an array for known inputs: wires, drivers, sense, device and conductances."""
    from xbarspice import calibration as study
    from xbarspice.calibration import array_inspection, array_inspection_page, starts
    from xbarspice.calibration.held import fixed_values
    from xbarspice.calibration.model import Model
    from xbarspice.cli import steps
    from xbarspice.config import ArraySection
    from xbarspice.config.arrays import array_settings

    steps.need("matplotlib", "jinja2")
    settings = _with_device(settings, device)
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
    whole = study.read_reads(data, table)
    start = starts.crossbar_of_reads(array, run, (whole.rows, whole.cols), names_of(free))
    run = run.model_copy(update={"array": ArraySection(**array_settings([start]))})
    handling = array_inspection.ArrayHandling(
        flip_current=flip_current, drop_compliance=drop_compliance, remove_drift=remove_drift
    )
    measured = array_inspection.prepare_reads(Model(start, [whole], names_of(free)), handling)
    inspection = array_inspection_page.look(Model(start, [measured], names_of(free)))
    options = fit_options(loss, relative, absolute, held_out, run)
    with screens.waiting("fitting", quiet=json):
        fit, crossbar, comparisons = study.fit_and_compare(
            start,
            measured,
            names_of(free),
            bounds=bounds_of(bound),
            options=options,
            choose=device == AUTO,
            rank=rank,
            samples=bootstrap,
        )
    job = Job(
        data,
        out,
        run,
        read,
        calibration,
        title,
        date,
        json,
        array,
        data_read=measured.notices,
        config=config,
        settings=settings or (),
        valid=range_of_data(V=measured.V_in, G=crossbar.G, temperature=temperature),
    )
    fixed = fixed_values(crossbar, comparisons.free)
    finish_fit(
        job,
        fit,
        crossbar,
        accept=accept,
        comparisons=comparisons,
        inspection=inspection,
        fixed=fixed,
    )


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
    temperature: Temperature = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Pulse trains (device, V, width, and G, R or I read back): parameters of a dynamic device."""
    from xbarspice import calibration as study
    from xbarspice.calibration.dynamic_page import pulse_items
    from xbarspice.calibration.held import fixed_values
    from xbarspice.cli import steps

    steps.need("matplotlib", "jinja2")
    read = ("seed", "array.device", "array.parameters")
    run = steps.configuration(
        config, settings, steps.start_config(None), reads=read, calibration=calibration, seed=seed
    )
    trains = study.read_pulses(data, table)
    options = fit_options(loss, relative, absolute, held_out, run)
    with screens.waiting("fitting", quiet=json):
        fit, device = study.fit_pulses(
            run.array.model(), trains, names_of(free), bounds=bounds_of(bound), options=options
        )
    job = Job(
        data,
        out,
        run,
        read,
        calibration,
        title,
        date,
        json,
        data_read=trains.notices,
        config=config,
        settings=settings or (),
        valid=range_of_data(V=trains.V, G=trains.G, temperature=temperature),
    )
    fixed = fixed_values(device, names_of(free))
    more = pulse_items(fit, trains)
    finish_fit(job, fit, device=device.name, unit="S", accept=accept, fixed=fixed, more=more)


def _with_device(settings: list[str] | None, device: str | None) -> list[str] | None:
    """The settings with the device that was named."""
    if device is None or device == AUTO:
        return settings
    return [*(settings or []), f"array.device={device}"]
