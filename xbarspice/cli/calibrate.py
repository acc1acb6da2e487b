"""`xbarspice calibrate`: models from measured data, cards for all commands, twins of dies."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    AUTO,
    Accept,
    Data,
    Job,
    Temperature,
    range_of_data,
    starts_job,
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
from xbarspice.cli.table_options import reads_table

if TYPE_CHECKING:
    from xbarspice.calibration import Reads
    from xbarspice.calibration.array_inspection_page import ArrayInspection
    from xbarspice.calibration.inspection_page import Inspection
    from xbarspice.core.array import Crossbar
    from xbarspice.tables import Options as TableOptions

__all__ = ["register"]

calibrate = typer.Typer(
    name="calibrate",
    help="Fit models to measured data; the card that is written goes into every command.",
    epilog="Example: xbarspice calibrate reads reads.csv --array G.csv --free R_wire,device.b",
    no_args_is_help=True,
)

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
@starts_job(("seed", "array"), seed=True)
def sweeps(
    data: Data,
    *,
    table: TableOptions,
    job: Job,
    free: Free = "device,G",
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
    temperature: Temperature = None,
) -> None:
    """I-V sweeps of single devices (device, V, I): device parameters, conductances, series ohm."""
    from xbarspice import calibration as study
    from xbarspice.calibration import inspection_page, starts

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
    start = starts.crossbar_of_sweeps(measured, job.run)
    options = fit_options(loss, relative, absolute, held_out, job.run)
    _fit(
        job,
        start,
        measured,
        inspection,
        temperature,
        accept,
        free=names_of(free),
        bounds=bounds_of(bound),
        options=options,
        choose=device == AUTO,
        rank=rank,
        samples=bootstrap,
    )


@calibrate.command(
    epilog="Example: xbarspice calibrate reads reads.csv --array mapped.h5 "
    "--free R_wl,R_bl,R_driver,device.b"
)
@reads_table("reads")
@starts_job(("seed", "array"), of_array=("mapping.G_min", "mapping.G_max"), seed=True)
def reads(
    data: Data,
    *,
    table: TableOptions,
    job: Job,
    array: Annotated[
        Path | None,
        typer.Option(help="Measured array: deployment of one or crossbar (.h5), or G (.csv)."),
    ] = None,
    free: Free = "R_wire,device",
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
    temperature: Temperature = None,
) -> None:
    """Currents of an array for known inputs: wires, drivers, sense, device and conductances."""
    from xbarspice import calibration as study
    from xbarspice.calibration import array_inspection, array_inspection_page, starts
    from xbarspice.calibration.model import Model
    from xbarspice.config import ArraySection
    from xbarspice.config.arrays import array_settings

    whole = study.read_reads(data, table)
    start = starts.crossbar_of_reads(array, job.run, (whole.rows, whole.cols), names_of(free))
    run = job.run.model_copy(update={"array": ArraySection(**array_settings([start]))})
    job = dataclasses.replace(job, run=run)
    handling = array_inspection.ArrayHandling(
        flip_current=flip_current, drop_compliance=drop_compliance, remove_drift=remove_drift
    )
    measured = array_inspection.prepare_reads(Model(start, [whole], names_of(free)), handling)
    inspection = array_inspection_page.look(Model(start, [measured], names_of(free)))
    options = fit_options(loss, relative, absolute, held_out, job.run)
    _fit(
        job,
        start,
        measured,
        inspection,
        temperature,
        accept,
        free=names_of(free),
        bounds=bounds_of(bound),
        options=options,
        choose=device == AUTO,
        rank=rank,
        samples=bootstrap,
    )


@calibrate.command(
    epilog="Example: xbarspice calibrate pulses pulses.csv --set array.device=o921c_4k "
    "--free A_p,r_p0,A_n"
)
@reads_table("pulses")
@starts_job(("seed", "array.device", "array.parameters"), seed=True)
def pulses(
    data: Data,
    *,
    table: TableOptions,
    job: Job,
    free: Free = "A_p,A_n",
    bound: Bounds = None,
    loss: Loss = "linear",
    relative: Relative = 0.01,
    absolute: Absolute = None,
    held_out: HeldOut = 0.2,
    accept: Accept = False,
    temperature: Temperature = None,
) -> None:
    """Pulse trains (device, V, width, and G, R or I read back): parameters of a dynamic device."""
    from xbarspice import calibration as study
    from xbarspice.calibration.dynamic_page import pulse_items
    from xbarspice.calibration.held import fixed_values

    trains = study.read_pulses(data, table)
    options = fit_options(loss, relative, absolute, held_out, job.run)
    with screens.waiting("fitting", quiet=job.json):
        fit, device = study.fit_pulses(
            job.run.array.model(), trains, names_of(free), bounds=bounds_of(bound), options=options
        )
    job = dataclasses.replace(
        job,
        data_read=trains.notices,
        valid=range_of_data(V=trains.V, G=trains.G, temperature=temperature),
    )
    fixed = fixed_values(device, names_of(free))
    more = pulse_items(fit, trains)
    finish_fit(job, fit, device=device.name, unit="S", accept=accept, fixed=fixed, more=more)


def _fit(
    job: Job,
    start: Crossbar,
    measured: Reads,
    inspection: Inspection | ArrayInspection,
    temperature: float | None,
    accept: bool,
    **options: Any,
) -> None:
    """Fit currents of devices or of an array, and finish.

    Args:
        job: without what the data covered.
        start: the array that the fit starts from.
        measured: what it is fitted to.
        inspection: of the data.
        temperature: of the measurement, deg C.
        accept: whether a model that does not hold gets a card.
        options: of `calibration.fit_and_compare`.
    """
    from xbarspice import calibration as study
    from xbarspice.calibration.held import fixed_values

    with screens.waiting("fitting", quiet=job.json):
        fit, crossbar, comparisons = study.fit_and_compare(start, measured, **options)
    job = dataclasses.replace(
        job,
        data_read=measured.notices,
        valid=range_of_data(V=measured.V_in, G=crossbar.G, temperature=temperature),
    )
    finish_fit(
        job,
        fit,
        crossbar,
        accept=accept,
        comparisons=comparisons,
        inspection=inspection,
        fixed=fixed_values(crossbar, comparisons.free),
    )
