"""The rule check of the drawings of a tapeout folder, and what its page says of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from xbarspice.core.counts import counted
from xbarspice.report.content import Item, Section, Table, Text
from xbarspice.tapeout.rules.check import check_file
from xbarspice.tapeout.rules.page import SCOPE, places_table
from xbarspice.tapeout.rules.script import save_script
from xbarspice.tapeout.technology import Technology

__all__ = ["SCRIPT", "check_drawings", "section", "summary"]

SCRIPT = "rules.lydrc"
"""The rules as a script for KLayout's application, in the folder of the tapeout."""
_LONG = 24

Record = dict[str, Any]


def check_drawings(
    folder: Path, drawings: Mapping[str, str], technology: Technology
) -> tuple[list[Record], Path]:
    """Check every drawing, and write the rules as a script beside them.

    Args:
        folder: of the tapeout.
        drawings: name of an array, or "floorplan" -> its file in the folder.
        technology: of the drawings.

    Returns:
        The verdicts, each with ``drawing``, and the script.
    """
    verdicts = [
        {"drawing": name, **check_file(folder / file, technology).record()}
        for name, file in drawings.items()
    ]
    save_script(technology, folder / SCRIPT)
    return verdicts, folder / SCRIPT


def summary(record: Record) -> str:
    """One sentence on the rules of all drawings of a manifest."""
    verdicts = record["rules"]
    broken = sum(not v["clean"] for v in verdicts)
    if not broken:
        who = f"All {len(verdicts)} drawings keep" if len(verdicts) > 1 else "The drawing keeps"
        return f"{who} the {_checked_rules(verdicts)}."
    places = sum(sum(v["broken"].values()) for v in verdicts)
    of = counted(len(verdicts), "drawing")
    return (
        f"{broken} of {of} {'breaks' if broken == 1 else 'break'} rules of the technology, at "
        f"{counted(places, 'place')}."
    )


def _checked_rules(verdicts: Sequence[Record]) -> str:
    """How many rules hold: all of the technology, or those that can be judged on the drawings."""
    fewest, most = (pick(v["rules"] for v in verdicts) for pick in (min, max))
    if not any(v["unchecked"] for v in verdicts):
        return f"{counted(most, 'rule')} of the technology"
    count = counted(most, "rule") if fewest == most else f"{fewest} to {most} rules"
    return f"{count} of the technology that can be judged on them"


def section(record: Record) -> Section:
    """Verdict of every drawing, and the places that break a rule."""
    return Section(title="Rules", items=list(_content(record)))


def _content(record: Record) -> Iterator[Item]:
    verdicts = record["rules"]
    yield Text(text=f"{summary(record)} {SCOPE} {SCRIPT} checks the same in KLayout's application.")
    yield Table(
        caption="Drawings",
        head=("drawing", "verdict", "rules", "broken", "places"),
        rows=[
            (
                v["drawing"],
                "PASS" if v["clean"] else "FAIL",
                str(v["rules"]),
                ", ".join(v["broken"]) or "none",
                str(sum(v["broken"].values())),
            )
            for v in verdicts
        ],
        left=(0, 1, 3),
        collapse=len(verdicts) > _LONG,
    )
    places = [(v["drawing"], place) for v in verdicts for place in v["violations"]]
    if places:
        yield places_table("drawing", places)
    for note in sorted({f"{v['drawing']}: {n}" for v in verdicts for n in v["notices"]})[:10]:
        yield Text(text=note, note=True)
