"""Runs decks on layouts, one after the other, each in a directory of its own; keeps their logs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from xbarspice.core.errors import EngineError, broken_rule
from xbarspice.tapeout.decks import klayout_scripts, magic, netgen
from xbarspice.tapeout.decks.records import Deck, DeckReport
from xbarspice.tapeout.decks.tools import require

__all__ = ["programs_of", "run_deck"]

_RESULTS = ("*.log", "*.lyrdb", "*.lvsdb", "comparison.*", "extracted.spice")
"""What is kept of a run without a verdict, as far as it is there."""

KEPT_BYTES = 4 * 1024 * 1024
"""Longest file that is kept of a run; of a longer log the end, of a longer report nothing."""


def programs_of(decks: Sequence[Deck]) -> dict[str, str]:
    """Versions of all tools that decks need.

    Raises:
        EngineMissingError: one is not installed; says how to install it.
    """
    return require(dict.fromkeys(name for deck in decks for name in deck.programs))


def run_deck(
    deck: Deck, layout: Path, cell: str, folder: Path, *, schematics: Mapping[str, Path]
) -> DeckReport:
    """Run one deck on one cell of a layout.

    A deck that gives no verdict (an error in the script, a time limit, a report on another cell, or
    one on nothing) is a failure in the report, never a clean layout; its logs are kept all the
    same.

    Args:
        deck: the deck.
        layout: a GDS file.
        cell: the cell to check.
        folder: where logs, reports and extracted netlists are kept; made if it is not there.
        schematics: "cdl" and "spice" netlists of the cell, for LVS.

    Raises:
        EngineMissingError: a tool is not installed.
        InputError: LVS without a schematic.
    """
    versions = programs_of([deck])
    version = " after Magic ".join(versions[name] for name in reversed(deck.programs))
    check = _check_of(deck, version, schematics)
    with tempfile.TemporaryDirectory(prefix="xbarspice-deck-") as name:
        directory = Path(name).resolve()
        try:
            report = check(layout.resolve(), cell, directory)
        except EngineError as error:
            files = tuple(sorted(p for name in _RESULTS for p in directory.glob(name)))
            report = DeckReport(deck=deck, version=version, failure=str(error), files=files)
        kept = [_keep(path, folder, deck.name) for path in report.files]
    files = tuple(path for path in kept if path is not None)
    return DeckReport(**{**vars(report), "files": files})


def _check_of(
    deck: Deck, version: str, schematics: Mapping[str, Path]
) -> Callable[[Path, str, Path], DeckReport]:
    """The function that runs a deck on a layout and a cell, in a directory."""
    if deck.kind == "drc":
        run = klayout_scripts.run_drc if deck.tool == "klayout" else magic.run_drc
        return lambda layout, cell, directory: run(deck, layout, cell, directory, version)
    form = "cdl" if deck.tool == "klayout" else "spice"
    schematic = schematics.get(form)
    if schematic is None or not schematic.is_file():
        raise broken_rule(
            f"LVS by {deck.tool} needs a schematic netlist ({form})",
            str(schematic or "none"),
            "Write one: the technology must name the device's subcircuit.",
        )
    compare = klayout_scripts.run_lvs if deck.tool == "klayout" else netgen.run_lvs
    path = schematic.resolve()
    return lambda layout, cell, directory: compare(deck, layout, cell, path, directory, version)


def _keep(path: Path, folder: Path, name: str) -> Path | None:
    """Copy a file of a run, named after its deck; long ones shorter or not at all."""
    if not path.is_file():
        return None
    size, target = path.stat().st_size, folder / f"{name}_{path.name}"
    if size > KEPT_BYTES and path.suffix != ".log":
        return None
    folder.mkdir(parents=True, exist_ok=True)
    if size <= KEPT_BYTES:
        shutil.copyfile(path, target)
    else:
        with path.open("rb") as file:
            file.seek(size - KEPT_BYTES)
            target.write_bytes(b"(the beginning is left out)\n" + file.read())
    return target
