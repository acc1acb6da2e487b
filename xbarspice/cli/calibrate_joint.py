"""`xbarspice calibrate joint`: wires that several dies and Kelvin monitors share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from xbarspice.cli import screens
from xbarspice.cli.calibrate_finish import finish_fit
from xbarspice.cli.calibrate_job import Accept, Date, Job, Title, range_of_data
from xbarspice.cli.fit_options import Absolute, Relative, names_of
from xbarspice.cli.options import Calibration, Config, Json, RunFolder, Seed, Settings
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.calibration import Joint, MeasuredDie
    from xbarspice.config import RunConfig
    from xbarspice.config.sections import ValidRange
    from xbarspice.report.content import Item

__all__ = ["register"]

Reads = Annotated[
    list[str],
    typer.Argument(
        metavar="READS=ARRAY ...",
        help="Reads of a die and the conductances of its array (.csv, or a crossbar or deployment, "
        ".h5), one pair a die; dies may differ in size.",
    ),
]
KelvinOption = Annotated[
    Path | None,
    typer.Option("--kelvin", help="Kelvin monitors: line (wl, bl), segments or squares, R, T."),
]
SquaresWl = Annotated[
    float | None, typer.Option("--squares-wl", help="Squares of one word-line segment.")
]
SquaresBl = Annotated[
    float | None, typer.Option("--squares-bl", help="Squares of one bit-line segment.")
]
KelvinRelative = Annotated[
    float, typer.Option("--kelvin-relative", help="Scatter of the monitors, relative.")
]
Shared = Annotated[
    str,
    typer.Option(help="What is fitted, comma-separated; also alpha_wire and alpha_G (1/K)."),
]
PerDie = Annotated[str, typer.Option(help="Those of them that each die has for itself.")]
Reference = Annotated[
    float | None, typer.Option("--reference", help="Temperature of fitted values, K.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the group."""
    app.command(
        epilog="Example: xbarspice calibrate joint a.csv=Ga.csv b.csv=Gb.csv --kelvin k.csv "
        "--free R_wl,R_bl,R_driver --per-die R_driver"
    )(joint)


def joint(
    data: Reads,
    kelvin: KelvinOption = None,
    squares_wl: SquaresWl = None,
    squares_bl: SquaresBl = None,
    kelvin_relative: KelvinRelative = 0.01,
    free: Shared = "R_wl,R_bl,R_driver",
    per_die: PerDie = "",
    reference: Reference = None,
    out: RunFolder = Path("runs/joint"),
    relative: Relative = 0.01,
    absolute: Absolute = None,
    accept: Accept = False,
    title: Title = None,
    date: Date = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """What several dies and Kelvin monitors share, wires and device, in one fit; do they agree?

    The card holds what is shared; what each die has for itself stands in the report.
    """
    from xbarspice import calibration as study
    from xbarspice.calibration.held import fixed_values
    from xbarspice.cli import steps

    steps.need("jinja2")
    run = steps.configuration(
        config,
        settings,
        steps.start_config(None),
        reads=("seed", "array"),
        calibration=calibration,
        seed=seed,
    )
    pairs = [_pair(text) for text in data]
    dies = [_die(reads, array, run) for reads, array in pairs]
    devices = {die.crossbar.device.name for die in dies}
    if len(devices) > 1:
        raise broken_rule(
            "dies of a joint fit must have one device model", sorted(devices), "Fit them apart."
        )
    monitors = None
    if kelvin is not None:
        monitors = study.read_kelvin(
            kelvin, squares_wl=squares_wl, squares_bl=squares_bl, relative=kelvin_relative
        )
    noise = study.Noise(relative=relative, absolute=absolute)
    with screens.waiting("fitting", quiet=json):
        result = study.fit_joint(
            dies,
            monitors,
            names_of(free),
            per_die=names_of(per_die),
            T_ref=reference,
            options=study.Options(noise=noise, seed=run.seed),
        )
    notices = [f"{die.name}: {n}" for die in dies for n in die.reads.notices]
    notices += [] if monitors is None else [f"monitors: {n}" for n in monitors.notices]
    more = (*(reads for reads, _ in pairs[1:]), *(array for _, array in pairs))
    job = Job(
        data=pairs[0][0],
        out=out,
        run=run,
        reads=("seed", "array"),
        earlier=calibration,
        title=title
        or f"Joint calibration of {len(dies)} dies{' and monitors' if monitors else ''}",
        date=date,
        json=json,
        data_read=(*notices, *_temperature(result)),
        more=(*more, *([] if kelvin is None else [kelvin])),
        config=config,
        settings=settings or (),
        valid=_range_of_dies(dies, reference),
    )
    fixed = [f for f in fixed_values(dies[0].crossbar, names_of(free)) if f.name != "G"]
    finish_fit(
        job,
        result.fit,
        device=devices.pop(),
        unit="of the largest",
        accept=accept,
        more=_items(result),
        fixed=fixed,
    )


def _pair(text: str) -> tuple[Path, Path]:
    reads, equals, array = text.partition("=")
    paths = Path(reads), Path(array)
    if not equals or not all(path.is_file() for path in paths):
        raise broken_rule(
            "each die must read READS=ARRAY, two files", repr(text), "For example a.csv=Ga.csv."
        )
    return paths


def _die(reads: Path, array: Path, run: RunConfig) -> MeasuredDie:
    from xbarspice import calibration as study
    from xbarspice.calibration import starts

    measured = study.read_reads(reads)
    crossbar = starts.crossbar_of_reads(array, run, (measured.rows, measured.cols), [])
    return study.MeasuredDie(name=reads.stem, crossbar=crossbar, reads=measured)


def _range_of_dies(dies: Sequence[MeasuredDie], T_ref: float | None) -> ValidRange:
    """What the reads covered, for the card; fitted temperatures leave values at T_ref (K) alone."""
    kelvin = None if T_ref is None else np.array([T_ref])
    of_reads = [die.reads.T for die in dies if die.reads.T is not None]
    if T_ref is None and len(of_reads) == len(dies):
        kelvin = np.concatenate(of_reads)
    return range_of_data(
        V=np.concatenate([die.reads.V_in.ravel() for die in dies]),
        G=np.concatenate([die.crossbar.G.ravel() for die in dies]),
        kelvin=kelvin,
    )


def _temperature(result: Joint) -> list[str]:
    """What the card says of temperatures."""
    if result.T_ref is None:
        return []
    texts = []
    for p in result.fit.parameters:
        if p.unit == "1/K":
            value, low, high = result.fit[p.name]
            texts.append(f"{p.name} = {value:.4g} [{low:.3g}, {high:.3g}] 1/K")
    return [f"values hold at the reference temperature {result.T_ref:g} K; {', '.join(texts)}"]


def _items(result: Joint) -> list[Item]:
    """What each source says by itself, beside what they say together."""
    from xbarspice.calibration.goodness import LEVEL
    from xbarspice.report.content import Table, Text

    if result.p is None:
        return [Text(text="Nothing is shared that two sources determine: no test.", note=True)]
    fit = result.fit
    names = [p.name for p in fit.parameters if "[" not in p.name]
    columns = {"all together": {n: fit[n] for n in names}} | result.separate
    rows = []
    for name in names:
        cells: list[str] = [name]
        for values in columns.values():
            text = "-"
            if name in values:
                value, low, high = values[name]
                bounded = math.isfinite(low) and math.isfinite(high)
                text = f"{value:.4g} [{low:.4g}, {high:.4g}]" if bounded else f"{value:.4g}"
            cells.append(text)
        rows.append(tuple(cells))
    agree = "do not contradict each other" if result.p >= LEVEL else "disagree"
    return [
        Table(
            caption=f"What each source says by itself; together they {agree} (p = {result.p:.2g})",
            head=("value", *columns),
            rows=rows,
        )
    ]
