"""`xbarspice calibrate curves`, `tuning`, `retention` and `cycling`: devices over their life."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from xbarspice.cli import screens
from xbarspice.cli.calibrate_finish import finish_characteristics, finish_curves
from xbarspice.cli.calibrate_job import (
    Accept,
    Data,
    Job,
    Temperature,
    range_of_data,
    starts_job,
)
from xbarspice.cli.table_options import reads_table

if TYPE_CHECKING:
    from xbarspice.tables import Options as TableOptions

__all__ = ["register"]

Scatter = Annotated[float, typer.Option(help="Scatter of a read, relative.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the group."""
    app.command(epilog="Example: xbarspice calibrate curves pulses.csv --out runs/curves")(curves)
    app.command(epilog="Example: xbarspice calibrate tuning tuning.csv --out runs/tuning")(tuning)
    app.command(
        epilog="Example: xbarspice calibrate retention bake.csv --at 1e7 --temperature 300"
    )(retention)
    app.command(epilog="Example: xbarspice calibrate cycling cycles.csv --window 3")(cycling)


@reads_table("pulses")
@starts_job(("seed",))
def curves(
    data: Data,
    *,
    table: TableOptions,
    job: Job,
    relative: Scatter = 0.01,
    accept: Accept = False,
) -> None:
    """Potentiation and depression by equal pulses: window and nonlinearity of both branches.

    The values describe the device; no model takes them, so there is no card.
    """
    from xbarspice import calibration as study
    from xbarspice.calibration.dynamic_page import curve_items

    trains = study.read_pulses(data, table)
    branches = study.branches_of(trains)
    options = study.Options(noise=study.Noise(relative=relative), seed=job.run.seed)
    with screens.waiting("fitting", quiet=job.json):
        fit = study.fit_curves(branches, options)
    understood = (*trains.notices, *branches.notices)
    job = dataclasses.replace(
        job,
        data_read=understood,
        valid=range_of_data(V=trains.V, G=trains.G),
    )
    finish_curves(job, fit, curve_items(fit, branches), accept=accept)


@reads_table("tuning")
@starts_job(("array.device",))
def tuning(
    data: Data,
    *,
    table: TableOptions,
    job: Job,
    accept: Accept = False,
    temperature: Temperature = None,
) -> None:
    """Logs of write-verify (target, G, perhaps pulses): the tuning error, as a term for commands.

    Relative, absolute or both, whichever the log supports. `transfer`, `campaign` and training draw
    from the card in place of the built-in error.
    """
    from xbarspice import calibration as study
    from xbarspice.calibration.characteristics import record_of_characteristics
    from xbarspice.calibration.life_page import tuning_items

    measured = study.read_tuning(data, table)
    result = study.fit_tuning_log(measured)
    job = dataclasses.replace(
        job,
        data_read=measured.notices,
        valid=range_of_data(G=measured.target, temperature=temperature),
    )
    items = tuning_items(record_of_characteristics(result), measured)
    finish_characteristics(job, result, items, accept=accept)


@reads_table("retention")
@starts_job(("array.device",))
def retention(
    data: Data,
    *,
    table: TableOptions,
    job: Job,
    at: Annotated[
        float | None, typer.Option(help="Time in s that the term stands for; else the last read.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Temperature in K of the term; else the lowest measured.")
    ] = None,
    fails: Annotated[
        float, typer.Option(help="Relative change of G from which a device has failed.")
    ] = 0.1,
    accept: Accept = False,
) -> None:
    """Reads over time (device, t, G or R, perhaps temperature): law of the loss, spread, lifetimes.

    Devices that are still good count as such; several temperatures give an activation energy.
    """
    from xbarspice import calibration as study
    from xbarspice.calibration.characteristics import record_of_characteristics
    from xbarspice.calibration.life_page import retention_items
    from xbarspice.calibration.retention import reads_of_term

    measured = study.read_retention(data, table)
    result = study.fit_retention(measured, at=at, temperature=temperature, fails=fails)
    _, used = reads_of_term(measured, temperature)
    job = dataclasses.replace(
        job,
        data_read=measured.notices,
        valid=range_of_data(G=measured.G[used], kelvin=measured.T[used]),
    )
    items = retention_items(record_of_characteristics(result), measured)
    finish_characteristics(job, result, items, accept=accept)


@reads_table("cycling")
@starts_job(None)
def cycling(
    data: Data,
    *,
    table: TableOptions,
    job: Job,
    window: Annotated[
        float, typer.Option(help="G_LRS/G_HRS below which a device has failed.")
    ] = 2.0,
    accept: Accept = False,
) -> None:
    """Both states over cycles (device, cycle, R_HRS, R_LRS): window, drift, scatter, failures.

    The values describe the devices; no model takes them, so there is no card.
    """
    from xbarspice import calibration as study
    from xbarspice.calibration.characteristics import record_of_characteristics
    from xbarspice.calibration.life_page import cycling_items

    measured = study.read_cycles(data, table)
    result = study.fit_cycling(measured, window=window)
    job = dataclasses.replace(
        job,
        data_read=measured.notices,
        valid=range_of_data(G=np.concatenate([measured.G_HRS, measured.G_LRS])),
    )
    items = cycling_items(record_of_characteristics(result), measured)
    finish_characteristics(job, result, items, accept=accept)
