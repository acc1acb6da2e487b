"""Decks on a whole tapeout folder: every drawing, with the verdicts in its manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xbarspice.core.errors import broken_rule
from xbarspice.tapeout.decks.records import Deck
from xbarspice.tapeout.decks.run import programs_of, run_deck
from xbarspice.tapeout.manifest import (
    MANIFEST,
    Record,
    check_files,
    file_record,
    load_manifest,
    save_manifest,
)

__all__ = ["open_folder", "refuse_decks", "run_decks"]

LAYOUT = "layout.gds"
SCHEMATICS = {form: f"netlists/{form}/schematic.{form}" for form in ("cdl", "spice")}
"""Form of the schematic -> its file in the folder of an array."""
_KIND = "result of a deck"


@dataclass(frozen=True, kw_only=True)
class _Target:
    """A drawing that decks are run on; `array` is None for all arrays together."""

    array: str | None
    cell: str
    layout: str
    folder: str


def refuse_decks(decks: Sequence[Deck], technology: Record) -> None:
    """Say before any work what would keep decks from being run.

    Args:
        decks: the decks.
        technology: of the drawings, as the manifest has it.

    Raises:
        EngineMissingError: a tool is not installed; says how to install it.
        InputError: LVS is asked for, and the technology does not name the device.
    """
    programs_of(decks)
    device = technology["device"]
    if any(deck.kind == "lvs" for deck in decks) and not (device["subckt"] and device["pins"]):
        raise broken_rule(
            "LVS needs the foundry's name of the device and of its pins",
            f"neither in the technology {technology['name']}",
            "Add device.subckt and device.pins to the technology.",
        )


def open_folder(folder: Path) -> Record:
    """The manifest of an existing tapeout, whose drawings and schematics are unchanged.

    Raises:
        InputError: there is no manifest, or a file that decks would read was changed.
    """
    load_manifest(folder)
    record: Record = json.loads((folder / MANIFEST).read_text("utf-8"))
    names = {name for t in _targets(record) for name in (t.layout, *_schematics(t).values())}
    problems = list(check_files(folder, [f for f in record["files"] if f["file"] in names]))
    if problems:
        raise broken_rule(
            "decks are run on a folder as it was written",
            "; ".join(f"{name} {words}" for name, words in problems[:3]),
            "Write the tapeout again, or run the deck on the edited file by its own tool.",
        )
    return record


def run_decks(
    folder: Path,
    record: Record,
    decks: Sequence[Deck],
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> Record:
    """Run decks on every array, and rule decks on the floorplan, too; keep verdicts and logs.

    Args:
        folder: of the tapeout.
        record: its manifest; verdicts of the same deck on the same drawing are replaced.
        decks: what to run.
        progress: called with (runs done, runs).

    Returns:
        The manifest with ``decks``, their files, and ``passed``: also every deck found nothing. It
        is saved.

    Raises:
        EngineMissingError, InputError: as `refuse_decks`, before any run.
    """
    refuse_decks(decks, record["technology"])
    jobs = [(t, d) for t in _targets(record) for d in decks if d.kind == "drc" or t.array]
    out = {**record, "passed_before_decks": record.get("passed_before_decks", record["passed"])}
    for k, (target, deck) in enumerate(jobs):
        _forget(out, folder, target, deck)
        paths = {form: folder / name for form, name in _schematics(target).items()}
        report = run_deck(
            deck,
            folder / target.layout,
            target.cell,
            folder / target.folder,
            schematics=paths,
        )
        files = [file_record(folder, path, _KIND, target.array) for path in report.files]
        out["files"] = [*out["files"], *files]
        entry = {"drawing": target.layout, "array": target.array, **report.record()}
        entry["files"] = [file["file"] for file in files]
        out["decks"] = [*out.get("decks", []), entry]
        progress(k + 1, len(jobs))
    clean = all(entry["state"] == "clean" for entry in out["decks"])
    out["passed"] = out["passed_before_decks"] and clean
    save_manifest(out, folder)
    return out


def _targets(record: Record) -> Iterator[_Target]:
    for array in record["arrays"]:
        yield _Target(
            array=array["array"],
            cell=array["cell"],
            layout=f"{array['folder']}/{LAYOUT}",
            folder=f"{array['folder']}/decks",
        )
    yield _Target(
        array=None, cell=record["floorplan"]["cell"], layout="floorplan.gds", folder="decks"
    )


def _schematics(target: _Target) -> dict[str, str]:
    if target.array is None:
        return {}
    base = target.layout.removesuffix(LAYOUT)
    return {form: base + name for form, name in SCHEMATICS.items()}


def _forget(record: Record, folder: Path, target: _Target, deck: Deck) -> None:
    """Take an earlier verdict of the deck on the drawing out of the manifest, with its files."""
    earlier = [
        entry
        for entry in record.get("decks", [])
        if (entry["drawing"], entry["name"]) == (target.layout, deck.name)
    ]
    names = {name for entry in earlier for name in entry["files"]}
    for name in names:
        (folder / name).unlink(missing_ok=True)
    record["decks"] = [entry for entry in record.get("decks", []) if entry not in earlier]
    record["files"] = [file for file in record["files"] if file["file"] not in names]
