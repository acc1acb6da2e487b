"""The page of an extraction: which lines are complete, and their resistances."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xbarspice.core.counts import counted
from xbarspice.report.content import Item, Plot, Section, Table, Text, Verdict
from xbarspice.report.page import page
from xbarspice.report.sections import config_section
from xbarspice.report.units import error, si
from xbarspice.tapeout import plots
from xbarspice.tapeout.fault_plots import plots_of_faults
from xbarspice.tapeout.lvs.page import faults_table
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["sentence", "write"]

_KINDS = {"WL": ("R_wl", "word line"), "BL": ("R_bl", "bit line")}
_LONG = 24

Record = dict[str, Any]


def write(
    record: Record, drawing: kdb.Layout, technology: Technology, cell: str | None, path: Path
) -> Path:
    """Draw the page of an extraction.

    Args:
        record: of a `DrawnArray`, with ``layout`` and ``config``.
        drawing: that was read.
        technology: of the drawing.
        cell: that holds the array; None for the only top cell.
        path: the HTML file; it appears whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    faults, complete = record["faults"], record["complete"]
    first = f" {faults[0]['kind']}: {faults[0]['place']}." if faults else ""
    verdict = Verdict(
        state="pass" if complete else "fail",
        word="COMPLETE" if complete else "INCOMPLETE",
        text=f"{sentence(record)}{first}",
        detail="Lines are those of the labels in the drawing. Nothing was compared with an array "
        "(xbarspice lvs) or with the rules (xbarspice drc).",
    )
    name = cell or drawing.top_cell().name
    sections = [
        Section(
            title="Drawing", items=list(plots_of_faults(drawing, technology, faults, cell, name))
        ),
        *config_section(record),
    ]
    if faults:
        sections.insert(1, Section(title="Faults", items=[faults_table([(name, faults)])]))
    if record.get("lines"):
        sections.insert(0, Section(title="Lines", items=list(_lines(record, technology))))
    return page(f"Array in {record['layout']}", sections, path, verdict=verdict)


def sentence(record: Record) -> str:
    """How much was read, what every line has, and how far segments are from the nominal ones."""
    if "lines" not in record:
        return "0 lines can be read."
    rows, cols = counted(record["rows"], "word line"), counted(record["cols"], "bit line")
    words = f"{rows}, {cols}, {counted(len(record['devices']), 'device')}; "
    if record["complete"]:
        words += "every line has its label, its pad and all its segments."
    else:
        lame = sum(not _is_whole(line) for line in record["lines"])
        words += f"{counted(lame, 'line')} without a pad or some segments, "
        words += f"{counted(len(record['faults']), 'fault')} of labels and lines."
    furthest = max((_deviation(record, line) for line in record["lines"]), default=0.0)
    if np.isfinite(furthest):
        which = "Segments" if record["complete"] else "Segments that were followed"
        words += f" {which} are within {error(furthest)} of those by width and pitch of "
        words += f"{record['technology']} ({record['corner']})."
    return words


def _is_whole(line: Record) -> bool:
    """Whether a line has its segments and the lead that an array needs."""
    segments, leads = line["segments_ohm"], line["leads_ohm"]
    if segments is None or not np.isfinite(segments).all():
        return False
    return leads[0 if line["name"].startswith("WL") else 1] is not None


def _deviation(record: Record, line: Record) -> float:
    """Largest relative difference of a segment from the nominal one; 0 of a line without any."""
    nominal = record["nominal_ohm"][_KINDS[line["name"][:2]][0]]
    values = np.array(line["segments_ohm"] or [], float)
    return float(np.abs(values / nominal - 1).max(initial=0.0))


def _lines(record: Record, technology: Technology) -> Iterator[Item]:
    for kind, (name, words) in _KINDS.items():
        lines = [line for line in record["lines"] if line["name"].startswith(kind)]
        if not any(line["segments_ohm"] for line in lines):
            yield Text(text=f"No {words} has a segment between two crossings that was followed.")
            continue
        nominal = si(record["nominal_ohm"][name], "ohm")
        yield Plot(
            draw=partial(plots.segments, record, kind),
            alt=f"Resistance of every segment of the {words}s",
            caption=f"Segments of the {words}s between neighbouring crossings, beside the nominal "
            f"{nominal} by width and pitch.",
        )
    yield Table(
        caption=f"{counted(len(record['lines']), 'line')} of {technology.name} at the corner "
        f"{record['corner']}",
        head=("line", "lead", "far lead", "segments", "smallest", "largest", "off nominal"),
        rows=[_row(record, line) for line in record["lines"]],
        collapse=len(record["lines"]) > _LONG,
    )
    area = [device["area_um2"] for device in record["devices"]]
    if area:
        yield Text(
            text=f"{counted(len(area), 'device')} of {min(area):.4g} to {max(area):.4g} um^2; "
            f"report.json holds each with its place, and the parts of every line."
        )


def _row(record: Record, line: Record) -> tuple[str, ...]:
    """Leads of a line (near: where an array needs it) and the range of its segments."""
    leads, values = line["leads_ohm"], line["segments_ohm"]
    if leads is None:
        return (line["name"], *["-"] * 6)
    near, far = leads if line["name"].startswith("WL") else leads[::-1]
    ends = (si(pick(values), "ohm") for pick in (min, max)) if values else ("-", "-")
    off = error(_deviation(record, line)) if values else "-"
    return (line["name"], si(near, "ohm"), si(far, "ohm"), str(len(values)), *ends, off)
