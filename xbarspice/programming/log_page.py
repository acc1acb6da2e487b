"""Page of a tester's log held against the plan."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from xbarspice.core.counts import counted
from xbarspice.programming import plots
from xbarspice.report.content import Plot, Section, Table, Text, Verdict
from xbarspice.report.page import page
from xbarspice.report.units import error, si, signed

__all__ = ["verdict_text", "write"]

SHOWN = 40
"""Reads outside the tolerance that are listed."""


def write(record: dict[str, Any], path: Path) -> Path:
    """Draw the page of a comparison.

    Args:
        record: what `compare` gave, with the names of both files (``plan`` and ``log``).
        path: the HTML file; it appears whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    passed = record["passed"]
    verdict = Verdict(
        state="pass" if passed else "fail",
        word="PASS" if passed else "FAIL",
        text=verdict_text(record),
    )
    plot = Plot(
        draw=partial(plots.programming_log, record),
        alt="Deviation of every read from the plan",
        caption="Reads of the log against what the plan expects at that step.",
        width=5.2,
    )
    sections = [
        Section(title="Reads", items=[plot, _phases(record)]),
        Section(title="Outside the tolerance", items=[_outside(record)]),
    ]
    return page(f"Log of {record['plan']}", sections, path, verdict=verdict)


def verdict_text(record: dict[str, Any]) -> str:
    """What was compared, and the first read that is outside."""
    steps, missing, first = record["steps"], record["missing"], record["first"]
    largest = max((abs(r["deviation"]) for r in record["reads"]), default=0.0)
    reads, tolerance = counted(len(record["reads"]), "read"), error(record["tolerance"])
    judged = f"{record['outside']} of {reads} {'is' if record['outside'] == 1 else 'are'} more than"
    if not record["outside"]:
        judged = "The read is within" if reads == "1 read" else f"All {reads} are within"
    words = [
        f"{judged} {tolerance} {'from' if record['outside'] else 'of'} the plan, the largest "
        f"deviation is {error(largest)}; "
        f"{steps - len(missing)} of {counted(steps, 'step')} read."
    ]
    if first is not None:
        when = "when it was written" if first["phase"] == "step" else "when all were written"
        words.append(
            f"The first is step {first['step']}, device ({first['row']}, {first['col']}), {when}: "
            f"{si(first['measured_A'], 'A', 4)} for {si(first['expected_A'], 'A', 4)} "
            f"({signed(first['deviation'])})."
        )
    if missing:
        words.append(
            f"Step {missing[0]} was not read."
            if len(missing) == 1
            else f"Step {missing[0]} is the first of {len(missing)} that were not read."
        )
    return " ".join(words)


def _phases(record: dict[str, Any]) -> Table:
    names = {"step": "when it was written", "final": "when all were written"}
    rows = [
        (
            names[phase],
            str(figures["reads"]),
            str(figures["within"]),
            error(figures["largest_deviation"]),
            error(figures["rms_deviation"]),
        )
        for phase, figures in record["phases"].items()
    ]
    head = ("read", "reads", "within the tolerance", "largest deviation", "rms deviation")
    return Table(caption="Measured against expected currents", head=head, rows=rows)


def _outside(record: dict[str, Any]) -> Table | Text:
    reads = [read for read in record["reads"] if not read["within"]]
    if not reads:
        return Text(text="No read is outside.")
    rows = [
        (
            str(r["step"]),
            f"({r['row']}, {r['col']})",
            r["phase"],
            si(r["expected_A"], "A", 4),
            si(r["measured_A"], "A", 4),
            signed(r["deviation"]),
        )
        for r in reads[:SHOWN]
    ]
    head = ("step", "device", "phase", "expected", "measured", "deviation")
    some = f", the first {SHOWN}" if len(reads) > SHOWN else ""
    caption = f"{counted(len(reads), 'read')} outside{some}"
    return Table(caption=caption, head=head, rows=rows)
