"""Netgen: compares what Magic extracted from a layout with a schematic netlist."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from xbarspice.core.counts import counted
from xbarspice.core.errors import EngineError, broken_rule
from xbarspice.tapeout.decks import magic
from xbarspice.tapeout.decks.records import Deck, DeckReport, Item
from xbarspice.tapeout.decks.tools import quote, run_tool

__all__ = ["read_comparison", "run_lvs"]

_MATCH = "Circuits match uniquely."


def run_lvs(
    deck: Deck, layout: Path, cell: str, schematic: Path, directory: Path, version: str
) -> DeckReport:
    """Extract with Magic, compare with netgen and the designer's setup.

    Raises:
        EngineError: a program did not reach its end, or compared nothing.
    """
    if any(c in cell for c in '"{}\\ '):
        raise broken_rule("netgen takes no quotes or blanks in a cell", cell, "Rename the cell.")
    netlist, extraction = magic.extract(deck, layout, cell, directory)
    shutil.copyfile(schematic, directory / "schematic.spice")
    sides = [f"{netlist.name} {cell}", f"schematic.spice {cell}"]
    command = ["-batch", "lvs", *sides, str(deck.file), "comparison.out", "-json"]
    run = run_tool("netgen", command, directory, deck.timeout)
    result, words = directory / "comparison.json", directory / "comparison.out"
    if run.status or not result.is_file() or not words.is_file():
        raise EngineError(
            f"netgen must compare {cell}; exit status {run.status}, no result. {quote(run)}"
        )
    text = words.read_text("utf-8", "replace")
    looked_at, items, notes = read_comparison(result, text, cell)
    return DeckReport(
        deck=deck,
        version=version,
        looked_at=looked_at,
        items=tuple(items),
        notes=(*notes, *magic.warnings(extraction)),
        seconds=extraction.seconds + run.seconds,
        files=(words, result, netlist, directory / "magic.log", directory / "netgen.log"),
    )


def read_comparison(path: Path, words: str, cell: str) -> tuple[str, list[Item], list[str]]:
    """What netgen compared, in words, the differences, and what was not compared.

    Netgen says that circuits match uniquely also where a pin has another name, so the pins of both
    are compared here, too.

    Args:
        path: the result that it wrote with ``-json``.
        words: its log of the comparison.
        cell: which must be the last pair.

    Raises:
        EngineError: the result cannot be read, is that of another cell, or compared no device.
    """
    try:
        pairs = json.loads(path.read_text("utf-8"))
        if not pairs:
            raise EngineError(f"netgen must compare {cell}; it said: {_last_words(words)}.")
        last = pairs[-1]
        names = [str(name) for name in last["name"]]
        devices = [sum(count for _, count in side) for side in last["devices"]]
        nets = last["nets"]
    except (ValueError, LookupError, TypeError) as error:
        raise EngineError(f"netgen's result cannot be read: {error}.") from error
    if [name.lower() for name in names] != [cell.lower()] * 2:
        raise EngineError(f"netgen must compare {cell} last; it compared {names}.")
    if not min(devices):
        raise EngineError(f"netgen must compare devices; the two circuits have {devices}.")
    items = [item for pair in pairs for item in _differences(pair)]
    if _MATCH not in words and not items:
        items = [Item(rule="netlists differ", text=_last_words(words), count=1)]
    pins = len(last.get("pins", ([], []))[0])
    notes = []
    if pins < nets[0]:
        notes.append(
            f"{nets[0] - pins} of {counted(nets[0], 'net')} are no pins in the layout as Magic "
            "extracts it: "
            "they were matched by their connections alone, which many lines share"
        )
    seen = f"{counted(devices[0], 'device')} and {counted(nets[0], 'net')}, {pins} names"
    return f"cell {cell}, {seen}", items, notes


def _differences(pair: dict[str, Any]) -> Iterator[Item]:
    """All differences of one pair of cells."""
    where = "" if pair["name"][0] == pair["name"][1] else f" of {pair['name'][0]}"
    first, second = (dict(side) for side in pair["devices"])
    for model in dict.fromkeys([*first, *second]):
        counts = first.get(model, 0), second.get(model, 0)
        if counts[0] != counts[1]:
            text = f"{model}{where}: {counts[0]} in the layout, {counts[1]} in the schematic"
            yield Item(rule="number of devices", text=text, count=abs(counts[0] - counts[1]))
    if pair["nets"][0] != pair["nets"][1]:
        text = f"{pair['nets'][0]} in the layout, {pair['nets'][1]} in the schematic{where}"
        yield Item(rule="number of nets", text=text, count=abs(pair["nets"][0] - pair["nets"][1]))
    for key, rule in (("badnets", "net differs"), ("badelements", "device differs")):
        names = [_names(group) for group in pair.get(key, ())]
        if names:
            yield Item(rule=rule, text="; ".join(names[:20]), count=len(names))
    for group in pair.get("properties", ()):
        yield Item(rule="property differs", text=_properties(group), count=1)
    for ours, theirs in zip_longest(*pair.get("pins", ([], [])), fillvalue="no pin"):
        if ours.lower() != theirs.lower():
            text = f"{ours} in the layout, {theirs} in the schematic{where}"
            yield Item(rule="pin differs", text=text, count=1)


def _names(group: Any) -> str:
    """The nets or devices of both sides that netgen could not tell apart or match."""
    sides = [[entry[0] for entry in side if not entry[0].startswith("(no match")] for side in group]
    layout, schematic = (", ".join(names) or "nothing" for names in sides)
    return f"{layout} in the layout, {schematic} in the schematic"


def _properties(group: Any) -> str:
    sides = [
        f"{name} {', '.join(f'{key}={value}' for key, value in values)}" for name, values in group
    ]
    return f"{sides[0]} in the layout, {sides[1]} in the schematic"


def _last_words(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return " / ".join(lines[-3:])
