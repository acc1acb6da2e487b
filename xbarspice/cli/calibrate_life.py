"""`xbarspice calibrate curves`: devices over many pulses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xbarspice.cli import screens
from xbarspice.cli.calibrate_finish import finish_curves
from xbarspice.cli.calibrate_job import Accept, Data, Date, Job, Title
from xbarspice.cli.options import Calibration, Config, Json, RunFolder, Settings
from xbarspice.cli.table_options import reads_table

if TYPE_CHECKING:
    from xbarspice.tables import Options as TableOptions

__all__ = ["register"]

Scatter = Annotated[float, typer.Option(help="Scatter of a read, relative.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the group."""
    app.command(epilog="Example: xbarspice calibrate curves pulses.csv --out runs/curves")(curves)


@reads_table("pulses")
def curves(
    data: Data,
    *,
    table: TableOptions,
    relative: Scatter = 0.01,
    accept: Accept = False,
    out: RunFolder = Path("runs/calibrate"),
    title: Title = None,
    date: Date = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Potentiation and depression by equal pulses: window and nonlinearity of both branches.

    The values describe the device; no model takes them, so there is no card.
    """
    from xbarspice import calibration as study
    from xbarspice.calibration.dynamic_page import curve_items
    from xbarspice.cli import steps

    steps.need("matplotlib", "jinja2")
    read = ("seed",)
    run = steps.configuration(
        config, settings, steps.start_config(None), reads=read, calibration=calibration
    )
    trains = study.read_pulses(data, table)
    branches = study.branches_of(trains)
    options = study.Options(noise=study.Noise(relative=relative), seed=run.seed)
    with screens.waiting("fitting", quiet=json):
        fit = study.fit_curves(branches, options)
    understood = (*trains.notices, *branches.notices)
    job = Job(data, out, run, read, calibration, title, date, json, data_read=understood)
    finish_curves(job, fit, curve_items(fit, branches), accept=accept)
