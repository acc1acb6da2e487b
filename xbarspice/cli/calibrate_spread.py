"""`xbarspice calibrate spread` and `noise`: terms of the variability from repeated measurements."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xbarspice.cli.calibrate_finish import finish_spread
from xbarspice.cli.calibrate_job import (
    Data,
    Job,
    Temperature,
    range_of_data,
    starts_job,
)
from xbarspice.cli.table_options import reads_table
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.tables import Options as TableOptions

__all__ = ["register"]

DropOutliers = Annotated[
    bool, typer.Option("--drop-outliers", help="Leave out what normal noise does not explain.")
]
Accept = Annotated[
    bool, typer.Option("--accept", help="Write a card also of values that a test speaks against.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the group."""
    app.command(epilog="Example: xbarspice calibrate spread writes.csv --out runs/spread")(spread)
    app.command(epilog="Example: xbarspice calibrate noise repeats.csv --out runs/noise")(noise)


@reads_table("programming")
@starts_job(("array.device",))
def spread(
    data: Data,
    *,
    table: TableOptions,
    job: Job,
    drop_outliers: DropOutliers = False,
    accept: Accept = False,
    temperature: Temperature = None,
) -> None:
    """Repeated programming (device, target, G): tuning spread, drift, stuck devices."""
    from xbarspice import calibration as study
    from xbarspice.calibration.life_page import spread_items

    writes = study.read_programming(data, table)
    terms = study.fit_spread(writes, drop_outliers=drop_outliers)
    valid = range_of_data(G=writes.target, temperature=temperature)
    job = dataclasses.replace(
        job,
        data_read=writes.notices,
        valid=valid,
    )
    finish_spread(job, terms, spread_items(terms, writes), accept=accept)


@reads_table("repeats")
@starts_job(("array.device",))
def noise(
    data: Data,
    *,
    table: TableOptions,
    job: Job,
    array: Annotated[
        Path | None,
        typer.Option(help="Whole array: its G (.csv), crossbar or deployment of one array (.h5)."),
    ] = None,
    at: Annotated[
        float | None, typer.Option(help="Time in s that retention stands for; else the last read.")
    ] = None,
    drop_outliers: DropOutliers = False,
    accept: Accept = False,
    temperature: Temperature = None,
) -> None:
    """Repeated reads (device, G or R, perhaps t): read noise, and retention where t is known.

    With --array the data are currents of that array (V_in0 ..., I_out0 ...) under inputs that were
    applied several times. The terms of a card take the place of a command's own error model: give
    the card of `calibrate spread` as --calibration, and the new card has tuning and stuck devices
    as well.
    """
    from xbarspice import calibration as study
    from xbarspice.calibration import starts
    from xbarspice.calibration.life_page import noise_items
    from xbarspice.config import ArraySection
    from xbarspice.config.arrays import array_settings

    if array is None:
        measured = study.read_repeats(data, table)
        terms = study.fit_noise(measured, at=at, drop_outliers=drop_outliers)
        V, G = None, measured.G
    elif at is not None:
        raise broken_rule(
            "retention is fitted to reads of single devices",
            f"--at {at:g} with --array",
            "Leave one of them out.",
        )
    else:
        measured = study.read_reads(data, table)
        start = starts.crossbar_of_reads(array, job.run, (measured.rows, measured.cols), [])
        run = job.run.model_copy(update={"array": ArraySection(**array_settings([start]))})
        job = dataclasses.replace(job, run=run)
        terms = study.fit_read_noise(measured, start.G, drop_outliers=drop_outliers)
        V, G = measured.V_in, start.G
    job = dataclasses.replace(
        job,
        data_read=measured.notices,
        valid=range_of_data(V=V, G=G, temperature=temperature),
    )
    finish_spread(job, terms, noise_items(measured), accept=accept)
