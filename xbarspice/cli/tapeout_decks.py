"""Options of the command `tapeout` for designers' decks, and its work on a folder that exists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarspice.cli import screens
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.tapeout.decks import Deck

__all__ = [
    "DeckTimeout",
    "DeckVariables",
    "Drc",
    "Lvs",
    "LvsDeck",
    "Magic",
    "add_decks",
    "lines_of",
    "run_on_folder",
]

Drc = Annotated[
    list[Path] | None,
    typer.Option(
        help="Rule deck of yours: .drc or .lydrc (run by klayout), .tech or .magicrc (by magic); "
        "repeatable."
    ),
]
Lvs = Annotated[
    str | None, typer.Option(help="Compare every array by klayout or netgen, with --lvs-deck.")
]
LvsDeck = Annotated[
    Path | None, typer.Option(help="LVS script (.lvs, .lylvs), or netgen's setup (.tcl).")
]
Magic = Annotated[
    Path | None,
    typer.Option(help="Magic's .tech or .magicrc, which extracts the layout for netgen."),
]
DeckVariables = Annotated[
    list[str] | None,
    typer.Option(
        "--deck-variable",
        help="NAME=VALUE for KLayout scripts; {layout}, {cell}, {report}, {schematic} are filled "
        "in; repeatable.",
    ),
]
DeckTimeout = Annotated[float, typer.Option(help="Time limit of each program of a deck, s.")]


def run_on_folder(folder: Path, decks: list[Deck], others: dict[str, Any], json: bool) -> None:
    """Run decks on a tapeout that was written earlier; write its manifest and page again.

    Raises:
        InputError: other options are given, which would change the folder; the folder is none, or
            was changed.
    """
    from xbarspice.cli import steps
    from xbarspice.tapeout.decks.folder import open_folder

    steps.need("jinja2")
    names = [name for name, value in others.items() if value]
    if names:
        raise broken_rule(
            "decks on a folder take its drawings as they are",
            ", ".join(names),
            "Leave it out, or write the tapeout anew.",
        )
    record = add_decks(folder, open_folder(folder), decks, json)
    record = _write_page(folder, record)
    shown = {"folder": str(folder), "decks": lines_of(record), "passed": record["passed"]}
    screens.show(record if json else shown, json, "Decks")
    raise typer.Exit(0 if record["passed"] else 1)


def add_decks(folder: Path, record: dict[str, Any], decks: list[Deck], json: bool) -> Any:
    """Run decks on a folder; its manifest."""
    from xbarspice.tapeout.decks.folder import run_decks

    with screens.progress("decks", quiet=json) as report:
        return run_decks(folder, record, decks, report)


def _write_page(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Write the page of a folder again; its manifest with the new hash."""
    from xbarspice.tapeout import page as tapeout_page
    from xbarspice.tapeout.manifest import add_file

    record["files"] = [file for file in record["files"] if file["kind"] != "report"]
    page = tapeout_page.write(record, folder, folder / "report.html")
    add_file(record, folder, page, "report")
    return record


def lines_of(record: dict[str, Any]) -> list[str]:
    """Every run of a deck in a line."""
    out = []
    for d in record.get("decks", []):
        count = sum(item["count"] for item in d["items"])
        words = {"clean": "clean", "items": f"{count} items", "failed": d["failure"]}[d["state"]]
        looked_at = f" ({d['looked_at']})" if d["looked_at"] else ""
        program = f"{d['tool']} {d['version']}"
        out.append(f"{d['array'] or 'floorplan'}: {d['deck']}, {program}: {words}{looked_at}")
    return out
