"""Options of commands that read a table of measured data: how to understand it, and a look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarspice.cli import screens
from xbarspice.cli.added_options import with_options
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.tables import Grid, Options, Table

__all__ = ["reads_table"]

_ADDED: dict[str, tuple[Any, Any]] = {
    "column": (
        Annotated[
            list[str] | None,
            typer.Option(
                "--column",
                metavar="NAME=LABEL[:UNIT]",
                help="Which column is NAME, by its label or number, as I=Smu1.I[1][1]:uA; "
                "repeatable.",
            ),
        ],
        None,
    ),
    "sheet": (Annotated[str | None, typer.Option(help="Sheet of a spreadsheet.")], None),
    "skip": (Annotated[int, typer.Option(help="Lines to leave out at the top.")], 0),
    "decimal": (
        Annotated[str | None, typer.Option(help="Decimal mark, . or , ; else it is found.")],
        None,
    ),
    "show": (
        Annotated[
            bool,
            typer.Option("--show", help="Print how the data are understood and do nothing else."),
        ],
        False,
    ),
}


def reads_table(kind: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options to a command whose argument `data` is a table.

    The command gets them as its keyword `table`, an `Options`.

    Args:
        kind: of the file, a key of `calibration.quantities.QUANTITIES`, or "die".
    """

    def wrap(command: Callable[..., None]) -> Callable[..., None]:
        def call(**arguments: Any) -> None:
            column, sheet, skip, decimal, show = (arguments.pop(name) for name in _ADDED)
            from xbarspice.tables import Options

            options = Options(columns=_columns(column), sheet=sheet, skip=skip, decimal=decimal)
            if show:
                array = arguments.get("array") is not None and kind == "repeats"
                _show("reads" if array else kind, arguments["data"], options, arguments["json"])
                return
            command(**arguments, table=options)

        return with_options(call, command, "table", _ADDED)

    return wrap


def _columns(texts: list[str] | None) -> dict[str, str]:
    out = {}
    for text in texts or []:
        name, equals, label = text.partition("=")
        if not (equals and name.strip() and label.strip()):
            raise broken_rule(
                "a column must read NAME=LABEL or NAME=LABEL:UNIT",
                repr(text),
                "For example --column I=Smu1.I[1][1]:uA.",
            )
        out[name.strip()] = label.strip()
    return out


def _show(kind: str, data: Path, options: Options, json: bool) -> None:
    """Print the first rows and the notices."""
    from xbarspice.calibration.quantities import QUANTITIES
    from xbarspice.tables import read_grid, read_table

    if kind == "die":
        read: Grid | Table = read_grid(data, options)
        shape = "x".join(map(str, read.values.shape))
        record: dict[str, Any] = {"file": data.name, "shape": shape, "notices": [*read.notices]}
        rows = [[f"{v:.6g}" for v in row[:8]] for row in read.values[:5]]
    else:
        read = read_table(data, QUANTITIES[kind], options)
        record, rows = read.record(), read.preview()
    if json:
        screens.show({**record, "first_rows": rows}, True, "Data")
        return
    screens.show(
        {f"{k}": text for k, text in enumerate(record["notices"], 1)}, False, f"{data.name}"
    )
    screens.rows(rows, head=kind != "die")
