"""Page of a tapeout: verdict of the layout check, floorplan, wires and what they change, arrays."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarspice.core.counts import counted
from xbarspice.core.wires import WIRES, WORDS
from xbarspice.report.content import Item, Plot, Section, Table, Text, Verdict
from xbarspice.report.page import page
from xbarspice.report.sections import card_section, card_text
from xbarspice.report.units import error, percent, quantity, resistance
from xbarspice.tapeout import plots
from xbarspice.tapeout.decks.section import section, summary
from xbarspice.tapeout.drawing import pictures, read
from xbarspice.tapeout.drawing.pictures import LARGEST_PICTURE, Part, has_leads
from xbarspice.tapeout.lvs.page import faults_table, looked_at
from xbarspice.tapeout.rules import folder as rules
from xbarspice.tapeout.signoff import section as signoff
from xbarspice.tapeout.sites import array_layers
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["write"]

_PICTURES = 3
"""Arrays whose drawing is on the page; the pictures of all others lie in their folders."""
_LONG = 24
"""Rows from which a table is shown only when it is opened."""


def write(record: dict[str, Any], folder: Path, path: Path) -> Path:
    """Draw the page of a tapeout.

    Args:
        record: what `xbarspice.tapeout.tapeout` returned.
        folder: where its files lie.
        path: the HTML file; it appears whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    sections = [
        Section(title="Floorplan", items=list(_floorplan(record))),
        Section(title="Wires: assumed and drawn", items=[_wires(record), *_effect(record)]),
        Section(title="Arrays", items=list(_arrays(record, folder))),
        rules.section(record),
        *([checked] if (checked := signoff.section(record, folder)) else []),
        *([decks] if (decks := section(record)) else []),
        *card_section(record),
        Section(title="Files", items=list(_files(record))),
    ]
    return page("Tapeout", sections, path, verdict=_verdict(record), subtitle=card_text(record))


def _verdict(record: dict[str, Any]) -> Verdict:
    """Faults of the drawings and what the drawn wires change; below, what was looked at."""
    good, arrays = record["passed"], record["arrays"]
    faults = sum(len(array["lvs"]["faults"]) for array in arrays)
    devices = sum(array["devices"] for array in arrays)
    drawn = f"{counted(len(arrays), 'array')} of {counted(devices, 'device')}"
    effect = record["effect_of_drawn_wires"]
    change = effect["largest_output_change"] / (effect["largest_output"] or 1.0)
    summaries = (rules.summary(record), signoff.summary(record), summary(record))
    scope = looked_at([(array["array"], array["lvs"]["looked_at"]) for array in arrays])
    matches = f"Every drawing matches its array: {scope}. Every design was read back."
    return Verdict(
        state="pass" if good else "fail",
        word="PASS" if good else "FAIL",
        text=f"{counted(faults, 'fault')} in the drawings of {drawn}; drawn in place of assumed "
        f"wires change outputs by up to {error(change)} of the largest.",
        detail=" ".join(words for words in ("" if faults else matches, *summaries) if words),
    )


def _number(array: dict[str, Any]) -> str:
    return str(array["folder"]).rpartition("/")[2].partition("_")[0]


def _floorplan(record: dict[str, Any]) -> Iterator[Item]:
    plan, arrays = record["floorplan"], record["arrays"]
    devices = sum(a["devices"] for a in arrays)
    of_model = "" if record["only"] is None else f" of {record['arrays_of_model']} in the model"
    yield Text(
        text=f"{counted(plan['arrays'], 'array')}{of_model}, {counted(devices, 'device')}, on "
        f"{plan['width_um']:.1f} x {plan['height_um']:.1f} um, {plan['spacing_um']:g} um between "
        f"outlines; {record['technology']['name']} technology. {plan['says']}"
    )
    layer_of = array_layers(record["layers"])
    places = [{"number": _number(a), **a["place_um"]} for a in arrays]
    layers = [layer_of[a["array"]] for a in arrays]
    yield Plot(
        draw=partial(plots.floorplan, places, layers, plan["monitors"]),
        alt=f"Outlines of {counted(len(arrays), 'array')} on a grid",
        caption="Outlines of the arrays in floorplan.gds, numbered as their folders, coloured by "
        "layer."
        + (
            f" Below them: {counted(len(plan['monitors']), 'monitor')}." if plan["monitors"] else ""
        ),
    )


def _wires(record: dict[str, Any]) -> Table:
    """Assumed and drawn resistances; matrices that share both share their rows."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for layer in record["layers"]:
        for matrix in layer["matrices"]:
            assumed = record["wires_assumed"][matrix["matrix"]]
            pair = (assumed, matrix["wires"])
            key = tuple(_ohms(wire, wires[wire]) for wire in WIRES for wires in pair)
            groups.setdefault(key, []).append(matrix["matrix"])
    rows = []
    for key, names in groups.items():
        for k, words in enumerate(WORDS.values()):
            rows.append((words, *key[2 * k : 2 * k + 2], _some_names(names)))
    return Table(
        caption=f"Resistances; drawn: extracted, technology {record['technology']['name']}",
        head=("wire", "assumed", "drawn", "matrices"),
        rows=rows,
        left=(0, 3),
    )


def _ohms(wire: str, R: float | dict[str, float]) -> str:
    return resistance(wire, R) if isinstance(R, dict) else quantity(R, "ohm", 4)


def _some_names(names: list[str], most: int = 4) -> str:
    """Some names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if names[most:] else "")


def _effect(record: dict[str, Any]) -> list[Item]:
    effect = record["effect_of_drawn_wires"]
    largest = effect["largest_output"] or 1.0
    rows = [
        (
            "largest error of an output against software, of the largest output",
            *(error(v / largest) for v in effect["error_against_software"].values()),
        )
    ]
    for words, key in (("agrees with software", "agreement_with_software"), ("accuracy",) * 2):
        if effect[key] is not None:
            shares = effect[key]
            rows.append((words, percent(shares["assumed"]), percent(shares["drawn"])))
    table = Table(
        caption=f"The model on {counted(effect['points'], 'point')}, solved by the surrogate",
        rows=rows,
        head=("", "assumed wires", "drawn wires"),
    )
    words = (
        f"The largest change of an output from assumed to drawn wires is "
        f"{effect['largest_output_change']:.3g}, the largest output {effect['largest_output']:.3g}."
    )
    if effect["decisions_changed"] is not None:
        words = (
            f"Decisions that change: {effect['decisions_changed']} of {effect['points']}. {words}"
        )
    return [table, Text(text=words)]


def _arrays(record: dict[str, Any], folder: Path) -> Iterator[Item]:
    arrays = record["arrays"]
    rows = [
        (
            _number(a),
            a["array"],
            "x".join(map(str, a["shape"])),
            str(a["devices"]),
            str(a["lvs"]["segments"]),
            "PASS" if a["lvs"]["clean"] else "FAIL",
            a["G_sha256"][:16],
        )
        for a in arrays
    ]
    yield Text(text=_devices(record))
    head = ("number", "array", "size", "devices", "wires", "LVS", "sha256 of G")
    yield Table(
        caption=f"{counted(len(rows), 'array')}, each in a folder that begins with its number",
        head=head,
        rows=rows,
        left=(0, 1, 6),
        collapse=len(rows) > _LONG,
    )
    if not all(a["lvs"]["clean"] for a in arrays):
        yield faults_table([(a["array"], a["lvs"]["faults"]) for a in arrays])
    yield from _drawings(record, folder)


def _devices(record: dict[str, Any]) -> str:
    """Which device model stands on which arrays, and how cells are named."""
    models: dict[str, list[str]] = {}
    for array in record["arrays"]:
        models.setdefault(array["device"], []).append(array["array"])
    sentence = "; ".join(
        model if len(models) == 1 else f"{model} on {_some_names(names)}"
        for model, names in models.items()
    )
    return (
        f"Devices: {sentence}. The cell of an array is named {record['name']}_a and its number, "
        "in the layout as in the netlists."
    )


def _drawings(record: dict[str, Any], folder: Path) -> Iterator[Plot]:
    """The first array of some layers, where it is small enough to show something."""
    technology = Technology.model_validate(record["technology"])
    layer_of, first = array_layers(record["layers"]), {}
    for array in record["arrays"]:
        rows, cols = array["shape"]
        if rows * cols <= LARGEST_PICTURE:
            first.setdefault(layer_of[array["array"]], array)
    for array in list(first.values())[:_PICTURES]:
        drawn = folder / array["folder"] / "layout.oas"
        drawing = read(drawn)
        rows, cols = array["shape"]
        lines = f"{counted(rows, 'word line')}, {counted(cols, 'bit line')}"
        name = f"Layout of {array['array']}: {lines}"
        where = f"{array['folder']}/{drawn.name}"
        yield _drawing(drawing, technology, "whole", name, f"{name}, from {where}.")
        if has_leads(drawing, technology):
            yield _drawing(drawing, technology, "array", f"{name}, the array", "The array in it.")


def _drawing(drawing: kdb.Layout, technology: Technology, part: Part, alt: str, words: str) -> Plot:
    return Plot(
        draw=partial(pictures.layout, drawing, technology, part=part),
        alt=alt,
        caption=words,
        width=5.2,
        height=5.2,
    )


def _files(record: dict[str, Any]) -> Iterator[Item]:
    """What the folder holds: the files of the whole, and of the first array."""
    files = record["files"]
    whole = [f for f in files if "array" not in f]
    first = record["arrays"][0]["array"]
    one = [f for f in files if f.get("array") == first]
    yield Text(
        text=f"{counted(len(files), 'file')}. manifest.json names all of them with their hashes, "
        "and leads from every layer over its matrices and tiles to the arrays and their folders; "
        "xbarspice tapeout FOLDER --check finds any that change and proves every netlist against "
        "the deployment in the folder."
    )
    for caption, part in (("Files of the whole", whole), (f"Files of {first}", one)):
        rows = [(f["file"], f["kind"], f["sha256"][:16]) for f in part]
        yield Table(
            caption=f"{caption}: {len(rows)}",
            head=("file", "kind", "sha256"),
            rows=rows,
            left=(0, 1, 2),
            collapse=True,
        )
