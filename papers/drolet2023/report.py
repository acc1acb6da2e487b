"""Page of the reproduced experiment, drawn from its record.

A run that is smaller than the full one says so in its title, its verdict and beside the title. What
earlier runs measured stands in `history.toml` and is quoted, as history, in the report of a full
run only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from papers.drolet2023 import digits_report, moons_report
from xbarspice.core.files import read_toml
from xbarspice.report.content import Section, Table, Text, Verdict
from xbarspice.report.page import html, markdown, write_files

__all__ = ["quick_run", "sections", "write"]

HISTORY = Path(__file__).with_name("history.toml")
TITLE = "Half moons on one 8x8 passive TiO2 array: the experiment of arXiv:2305.18495"
PARTS = {"moons": "half moons", "published": "as published", "digits": "digits"}
"""Parts of a record, and their names."""


def write(record: dict[str, Any], folder: Path, *extra: Path) -> None:
    """Write report.html and report.md into a folder, and the Markdown to further paths."""
    parts, verdict = sections(record), _verdict(record)
    quick, card = quick_run(record), record["moons"]["hardware"]["calibration"]
    title = f"Quick run: {TITLE}" if quick else TITLE
    applies = "all but the setting as published"
    sentences = [quick[:1].upper() + quick[1:], f"Calibrated: {card}; {applies}" if card else ""]
    subtitle = ". ".join(text for text in sentences if text)
    text = markdown(title, parts, verdict=verdict, subtitle=subtitle)
    files = {
        folder / "report.html": html(title, parts, verdict=verdict, subtitle=subtitle),
        folder / "report.md": text,
    }
    write_files(files | dict.fromkeys(extra, text))


def quick_run(record: dict[str, Any]) -> str:
    """How much smaller than the full experiment a run is, in a sentence; "" for a full one."""
    changes = []
    for key, name in PARTS.items():
        if less := record[key]["less_than_full"]:
            words = (f"{what.replace('_', ' ')} {a} of {b}" for what, (a, b) in less.items())
            changes.append(f"{name} {', '.join(words)}")
    return f"quick run, not the experiment ({'; '.join(changes)})" if changes else ""


def _verdict(record: dict[str, Any]) -> Verdict:
    if quick_run(record):
        text = "This is a quick run: no figure of it stands for the experiment."
        return Verdict(state="none", word="QUICK RUN", text=text)
    text = moons_report.sentence(record["moons"])
    return Verdict(state="none", word="SIMULATED", text=text)


def sections(record: dict[str, Any]) -> list[Section]:
    """The page's sections."""
    out = [
        moons_report.section(record["moons"]),
        digits_report.section(record["digits"]),
        moons_report.published(record["published"]),
    ]
    return out if quick_run(record) else [*out, _history()]


def _history() -> Section:
    """What was tried before, which this run has not measured."""
    items: list[Any] = []
    for past in read_toml(HISTORY)["tried"]:
        caption = f"From {past['date']}, not measured by this run: {past['source']}"
        head, rows = past["head"], past["rows"]
        items.append(Table(caption=caption, head=head, rows=rows))
        items.append(Text(text=" ".join(past["text"].split()), note=True))
    return Section(title="What was tried", items=items)
