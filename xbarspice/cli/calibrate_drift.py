"""`xbarspice calibrate drift`: drift by later writes, as the table that commands draw from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xbarspice.cli.calibrate_finish import finish_characteristics
from xbarspice.cli.calibrate_job import (
    Accept,
    Data,
    Job,
    Temperature,
    range_of_data,
    starts_job,
)
from xbarspice.cli.options import Unit
from xbarspice.cli.table_options import reads_table
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.calibration.drift import Drifts
    from xbarspice.tables import Options as TableOptions

__all__ = ["register"]

AfterOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="K=FILE",
        help="Map of the die after K later writes, DATA being the map before; 0: read again; "
        "repeatable.",
    ),
]
WrittenOption = Annotated[
    Path | None,
    typer.Option(help="Map of the order of the later writes: n for the n-th device, 0: none."),
]


def register(app: typer.Typer) -> None:
    """Add the command to the group."""
    app.command(
        epilog="Example: xbarspice calibrate drift before.csv --after 8=after8.csv "
        "--after 16=after16.csv --written order.csv"
    )(drift)


@reads_table("drifts")
@starts_job(("array.device",))
def drift(
    data: Data,
    *,
    table: TableOptions,
    job: Job,
    after: AfterOption = None,
    written: WrittenOption = None,
    unit: Unit = None,
    accept: Accept = False,
    temperature: Temperature = None,
) -> None:
    """Drift of finished devices by later writes: maps of a die, or pairs of reads (G, G_end).

    The table takes the place of the built-in one in every command that is given the card. The terms
    of a card take the place of a command's own error model: give the card of `calibrate spread` or
    `tuning` as --calibration, and the new card has tuning errors as well.
    """
    from xbarspice import calibration as study
    from xbarspice.calibration.characteristics import record_of_characteristics
    from xbarspice.calibration.dynamic_page import drift_items

    maps = _maps(after)
    if not maps and (written is not None or unit is not None):
        raise broken_rule(
            "--written and --unit are of maps", "no --after", "Give a map: --after K=FILE."
        )
    measured = _read_maps(data, maps, written, unit, table) if maps else None
    drifts = study.read_drifts(data, table) if measured is None else measured
    result = study.fit_drift(drifts)
    more = (*maps.values(), *([written] if written else []))
    job = dataclasses.replace(
        job,
        data_read=drifts.notices,
        more=more,
        valid=range_of_data(G=drifts.G, temperature=temperature),
    )
    items = drift_items(record_of_characteristics(result), drifts)
    finish_characteristics(job, result, items, accept=accept)


def _maps(texts: list[str] | None) -> dict[int, Path]:
    out: dict[int, Path] = {}
    for text in texts or []:
        number, _, path = text.partition("=")
        if not (number.strip().isdigit() and path.strip()) or int(number) in out:
            raise broken_rule(
                "a map must read K=FILE, with another number of later writes K each",
                repr(text),
                "For example --after 16=after16.csv.",
            )
        out[int(number)] = Path(path.strip())
    return out


def _read_maps(
    before: Path,
    after: dict[int, Path],
    written: Path | None,
    unit: str | None,
    table: TableOptions,
) -> Drifts:
    from xbarspice.calibration import read_die
    from xbarspice.calibration.drift import drifts_of_maps, read_written

    if table.columns:
        raise broken_rule(
            "maps have no columns to name", ", ".join(table.columns), "Leave --column out."
        )
    order = None if written is None else read_written(written, table)
    maps = {k: read_die(path, unit, table) for k, path in after.items()}
    return drifts_of_maps(read_die(before, unit, table), maps, order)
