"""The page of a comparison of a drawing with its arrays: verdict, faults at their places, wires."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarspice.core.counts import counted
from xbarspice.core.wires import WORDS
from xbarspice.report.content import Item, Section, Table, Text, Verdict
from xbarspice.report.page import page
from xbarspice.report.sections import config_section
from xbarspice.report.units import si
from xbarspice.tapeout.fault_plots import plots_of_faults
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["faults_table", "looked_at", "sentence", "write"]

_PICTURES = 3
"""Arrays whose drawing is on the page."""
_MOST = 200
"""Faults that are shown; the record holds more."""
_LONG = 24

Record = dict[str, Any]


def write(record: Record, drawing: kdb.Layout, technology: Technology, path: Path) -> Path:
    """Draw the page of a comparison.

    Args:
        record: of `xbarspice lvs`.
        drawing: that was compared.
        technology: of the drawing.
        path: the HTML file; it appears whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    faults = [fault for array in record["arrays"] for fault in array["faults"]]
    first = f" {faults[0]['kind']}: {faults[0]['place']}." if faults else ""
    scope = looked_at([(a["array"], a["looked_at"]) for a in record["arrays"]])
    verdict = Verdict(
        state="pass" if record["clean"] else "fail",
        word="PASS" if record["clean"] else "FAIL",
        text=f"{sentence(record)}.{first}",
        detail=f"{scope[0].upper()}{scope[1:]}.",
    )
    sections = [
        Section(title="Drawing", items=list(_drawings(record, drawing, technology))),
        Section(title="Arrays", items=list(_arrays(record, technology))),
        *config_section(record),
    ]
    title = f"{record['layout']} against {record['mapped']}"
    return page(title, sections, path, verdict=verdict)


def sentence(record: Record) -> str:
    """How many faults, in how much."""
    arrays = record["arrays"]
    devices = sum(array["devices"] for array in arrays)
    faults = sum(len(array["faults"]) for array in arrays)
    return (
        f"{counted(len(arrays), 'array')}, {counted(devices, 'device')}, {counted(faults, 'fault')}"
    )


def looked_at(arrays: Sequence[tuple[str, str]]) -> str:
    """What was connected and compared, of all arrays or, where that differs, of each kind.

    Args:
        arrays: name and ``looked_at`` of each, as of the record of a comparison.
    """
    kinds: dict[str, list[str]] = {}
    for name, scope in arrays:
        kinds.setdefault(scope, []).append(name)
    if len(kinds) == 1:
        return arrays[0][1]
    return "; ".join(
        f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''} {scope}"
        for scope, names in kinds.items()
    )


def faults_table(arrays: Sequence[tuple[str, Sequence[Record]]]) -> Table:
    """Faults with their places.

    Args:
        arrays: name and faults of each array, as of the record of a comparison.
    """
    rows = [
        (name, fault["kind"], fault["place"], _um(fault["x_um"]), _um(fault["y_um"]))
        for name, faults in arrays
        for fault in faults
    ]
    return Table(
        caption=counted(len(rows), "fault") + (f", the first {_MOST}" if rows[_MOST:] else ""),
        head=("array", "fault", "place", "x, um", "y, um"),
        rows=rows[:_MOST],
        left=(0, 1, 2),
        collapse=len(rows) > _LONG,
    )


def _um(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _drawings(record: Record, drawing: kdb.Layout, technology: Technology) -> Iterator[Item]:
    """The first arrays, those with faults before the others."""
    arrays = sorted(record["arrays"], key=lambda array: not array["faults"])
    faulty = sum(bool(array["faults"]) for array in arrays)
    for array in arrays[: min(faulty, _PICTURES) or 1]:
        faults, cell, name = array["faults"], array["cell"], array["array"]
        yield from plots_of_faults(drawing, technology, faults, cell, name)
    if faulty > _PICTURES:
        yield Text(text=f"Drawn are {_PICTURES} of {faulty} arrays with faults.")


def _arrays(record: Record, technology: Technology) -> Iterator[Item]:
    arrays = record["arrays"]
    if not record["clean"]:
        yield faults_table([(array["array"], array["faults"]) for array in arrays])
    yield Table(
        caption=f"{counted(len(arrays), 'array')} against the drawing",
        head=("array", "cell", "devices", "nets", "wires", "faults", "LVS"),
        rows=[
            (
                a["array"],
                a["cell"] or "the only top cell",
                f"{a['devices']:,}",
                f"{a['nets']:,}",
                f"{a['segments']:,}",
                f"{len(a['faults']):,}",
                "PASS" if a["clean"] else "FAIL",
            )
            for a in arrays
        ],
        left=(0, 1, 6),
        collapse=len(arrays) > _LONG,
    )
    nominal = technology.segments()
    rows = [
        (a["array"], WORDS[name], *(si(R, "ohm") for R in ends), si(nominal.get(name), "ohm"))
        for a in arrays
        for name, ends in (a["extracted_ohm"] or {}).items()
        if ends
    ]
    if rows:
        yield Table(
            caption=f"Resistances of the drawing; nominal: by width and pitch of {technology.name}",
            head=("array", "wire", "smallest", "largest", "nominal"),
            rows=rows,
            left=(0, 1),
            collapse=len(rows) > _LONG,
        )
    for array in arrays:
        if array["devices_outside"]:
            count = counted(array["devices_outside"], "device")
            text = (
                f"Not compared: {count} in the drawing of {array['array']} of which no electrode "
            )
            yield Text(text=f"{text}is a line of it, such as those of monitors.", note=True)
