"""What pages of verified models and single arrays have in common, drawn from their records."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xbarspice.report.content import Item, Section, Table, Text, Verdict
from xbarspice.report.junit import junit
from xbarspice.report.page import html, markdown, write_files
from xbarspice.report.tables import config_section, environment_section
from xbarspice.report.units import error, si

__all__ = [
    "ROUNDING",
    "about_sections",
    "cut_table",
    "device_row",
    "drop_text",
    "findings_section",
    "gates_section",
    "ideal_text",
    "trust_table",
    "verdict",
    "write_page",
]

Record = dict[str, Any]

SHOWN = 30
"""Rows of a table before it is cut."""
ROUNDING = 1e-9
"""Relative error below which two correct solvers differ in the order of their sums."""


def write_page(record: Record, folder: Path, sections: Sequence[Section], **head: Any) -> Path:
    """Write report.html, report.md, report.json and junit.xml; returns the page.

    Args:
        record: of the verification, with its title.
        folder: made if it is not there.
        sections: of the page.
        head: verdict and subtitle, as for `page.html`.

    Raises:
        StoreError: a file cannot be written; then none of them is left half-written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "report.html"
    write_files(
        {
            page: html(record["title"], sections, **head),
            folder / "report.md": markdown(record["title"], sections, **head),
            folder / "report.json": json.dumps(_finite(record), indent=2) + "\n",
            folder / "junit.xml": junit(record),
        }
    )
    return page


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity; they are written as words."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value


def about_sections(record: Record) -> list[Section]:
    """Notes, settings and versions, as far as the record has them."""
    notes = [Text(text=note) for note in record.get("notes") or ()]
    if card := record.get("calibration"):
        notes.insert(0, Text(text=f"Calibrated: {card}."))
    found = [
        Section(title="Notes", items=notes) if notes else None,
        config_section({"config": record.get("config")}),
        environment_section(record),
    ]
    return [section for section in found if section is not None]


def verdict(record: Record, compared: str) -> Verdict:
    """PASS or FAIL with what was compared, and what no gate judged."""
    broken = [gate for gate in record["gates"] if not gate["passed"]]
    rest = " ".join(f"Not judged: {text}." for text in record["unjudged"])
    if broken:
        text = f"{len(broken)} of {len(record['gates'])} gates are broken; {compared}. {rest}"
        return Verdict(state="fail", word="FAIL", text=text.rstrip())
    text = f"{len(record['gates'])} gates hold; {compared}. {rest}"
    return Verdict(state="pass", word="PASS", text=text.rstrip())


def gates_section(record: Record, *more: Item) -> Section:
    """Every gate with its value."""
    rows = [
        [g["name"], error(g["value"]), error(g["limit"]), "PASS" if g["passed"] else "FAIL"]
        for g in record["gates"]
    ]
    table = Table(caption="What had to hold", head=["gate", "value", "limit", ""], rows=rows)
    return Section(title="Gates", items=[table, *more])


def findings_section(record: Record, looked_for: str) -> Section:
    """What the detectors found; `looked_for` says what was looked for where they found nothing."""
    if not record["findings"]:
        return Section(
            title="Findings", items=[Text(text=f"None of these was seen: {looked_for}.")]
        )
    rows = [[f["kind"], f["where"], f["text"], f["remedy"]] for f in record["findings"]]
    head = ["finding", "where", "what was seen", "what to do"]
    table = Table(caption="Findings", head=head, rows=rows, left=(0, 1, 2, 3))
    return Section(title="Findings", items=[table])


def trust_table(trust: Record) -> Table:
    """What the trust map says of the levels of the surrogate for these arrays."""
    rows = []
    for level, value in trust["errors"].items():
        word = "not covered" if value is None else "no"
        if value is not None and value <= trust["limit"]:
            word = "yes"
        rows.append([level, "-" if value is None else error(value), word])
    return Table(
        caption=f"Trust map ({trust['reference']}): largest error measured on such arrays, and "
        f"whether it stays within {error(trust['limit'])}",
        head=["level of the surrogate", "error", "trusted"],
        rows=rows,
    )


def ideal_text(ideal: Record, reference: str, where: str = "") -> str:
    """How far output currents are from the ideal product, and mostly through what."""
    cause = "wires and line ends"
    if abs(ideal["device"]) > abs(ideal["wires"]):
        cause = "the devices' curvature"
    return (
        f"By {reference}, output currents are at most {100 * ideal['worst']:.3g} % of the largest "
        f"away from the ideal product V G ({ideal['line']}{where}; devices "
        f"{100 * ideal['device']:+.3g} %, wires {100 * ideal['wires']:+.3g} %), mostly through "
        f"{cause}."
    )


def drop_text(drop: Record, where: str = "") -> str:
    """The largest voltage that wires take."""
    return (
        f"Wires and line ends take up to {si(drop['drop'], 'V', 3)} of {si(drop['drive'], 'V', 3)} "
        f"from a device (row {drop['row']}, column {drop['col']}{where}; by the surrogate)."
    )


def device_row(device: Record) -> list[str]:
    """Texts of a device that differs: place, error, currents, voltages, conductance, why."""
    why = []
    if device["error"] < ROUNDING:
        why.append("rounding: both solve the same equations")
    if device["V_drive"]:
        lost = 100 * (1 - device["V_device"] / device["V_drive"])
        why.append(f"wires take {lost:.3g} % of {si(device['V_drive'], 'V', 3)}")
    linear = device["G"] * device["V_device"]
    if linear and abs(device["I_reference"] / linear - 1) > ROUNDING:
        bend = 100 * (device["I_reference"] / linear - 1)
        why.append(f"its curve deviates {bend:+.3g} % from G V")
    return [
        f"{device['row']} / {device['col']}",
        str(device["vector"]),
        error(device["error"]),
        si(device["I_reference"], "A"),
        si(device["I_engine"], "A"),
        si(device["V_device"], "V"),
        si(device["G"], "S"),
        "; ".join(why) or "-",
    ]


def cut_table(
    caption: str, head: list[str], rows: list[list[str]], left: tuple[int, ...] = (0,)
) -> Table:
    """A table of at most `SHOWN` rows that says how many it leaves out."""
    cut = len(rows) - SHOWN
    if cut > 0:
        rows = [*rows[:SHOWN], [f"and {cut} more (report.json)", *[""] * (len(head) - 1)]]
    return Table(caption=caption, head=head, rows=rows, left=left)
