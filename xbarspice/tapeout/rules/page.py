"""The page of a rule check: verdict, the drawing with the places, rules, what was not checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarspice.core.counts import counted
from xbarspice.report.content import Item, Section, Table, Text, Verdict
from xbarspice.report.page import page
from xbarspice.report.sections import config_section
from xbarspice.tapeout.fault_plots import plots_of_faults
from xbarspice.tapeout.rules.rule import rules_of
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["SCOPE", "places_table", "sentence", "worst_places", "write"]

SCOPE = (
    "Checked is what the technology file states: grid, widths, spaces, enclosures, cuts, areas, "
    "contacts, densities and devices; not antennas, latch-up, or what else a foundry's deck looks "
    "at."
)
_MOST = 200
"""Places that are shown; the record holds more."""
_LONG = 24
_PICTURES = 3
"""Cells whose drawing is on the page."""
_NAMES = 4
"""Cells and rules that a sentence names."""

Record = dict[str, Any]


def write(record: Record, drawing: kdb.Layout, technology: Technology, path: Path) -> Path:
    """Draw the page of a rule check.

    Args:
        record: of a `RuleReport`, with ``layout`` and ``config``.
        drawing: that was checked.
        technology: whose rules hold.
        path: the HTML file; it appears whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    first = next(iter(worst_places(record)), None)
    worst = "" if first is None else f" {first[0]}: {_measured(first[2])}."
    verdict = Verdict(
        state="pass" if record["clean"] else "fail",
        word="PASS" if record["clean"] else "FAIL",
        text=f"{sentence(record)}.{worst}",
        detail=SCOPE,
    )
    sections = [
        Section(title="Drawing", items=list(_drawings(record, drawing, technology))),
        Section(title="Rules", items=list(_rules(record, technology))),
        *config_section(record),
    ]
    return page(f"Rules of {record['layout']}", sections, path, verdict=verdict)


def sentence(record: Record) -> str:
    """How many rules are broken on which cells, and which were not checked."""
    broken, cells = record["broken"], record["cells"]
    words = f"{len(broken)} of {counted(record['rules'], 'rule')} of {record['technology']} "
    words += f"{'is' if len(broken) == 1 else 'are'} broken on {_first(cells)}"
    if broken:
        words += f", at {counted(sum(broken.values()), 'place')}"
    names = list(dict.fromkeys(pair["rule"] for pair in record["unchecked"]))
    if not names:
        return words
    where = " on some of them" if len(record["unchecked"]) < len(names) * len(cells) else ""
    return f"{words}; not checked{where}: {_first(names)}"


def _first(names: Sequence[str]) -> str:
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" and {more} more" if more > 0 else "")


def worst_places(record: Record) -> Iterator[tuple[str, int, Record]]:
    """Every broken rule with its number of places and the listed place that breaks it most."""
    for name, count in record["broken"].items():
        listed = [v for v in record["violations"] if v["rule"] == name]
        yield name, count, max(listed, key=lambda v: abs(v["measured"] - v["limit"]))


def _drawings(record: Record, drawing: kdb.Layout, technology: Technology) -> Iterator[Item]:
    """The cells with broken rules, or else the first one."""
    places: dict[str, list[Record]] = {}
    for violation in record["violations"]:
        places.setdefault(violation["cell"], []).append(violation)
    for cell in list(places)[:_PICTURES] or record["cells"][:1]:
        yield from plots_of_faults(drawing, technology, places.get(cell, ()), cell, cell)
    if len(places) > _PICTURES:
        yield Text(text=f"Drawn are {_PICTURES} of {len(places)} cells that break rules.")


def _rules(record: Record, technology: Technology) -> Iterator[Item]:
    broken, unchecked = record["broken"], {pair["rule"] for pair in record["unchecked"]}
    if broken:
        yield Table(
            caption="Broken rules, each with the place that breaks it most",
            head=("rule", "places", "measured", "limit", "cell", "place, um"),
            rows=[
                (name, f"{count:,}", _value(v, "measured"), _value(v, "limit"), v["cell"], _at(v))
                for name, count, v in worst_places(record)
            ],
            left=(0, 4, 5),
        )
    if len(record["violations"]) > len(broken):
        yield places_table("cell", [(place["cell"], place) for place in record["violations"]])
    rows = []
    for rule in rules_of(technology):
        judged = "not checked on every cell" if rule.name in unchecked else "PASS"
        rows.append((rule.name, f"{rule.words}", "FAIL" if rule.name in broken else judged))
    yield Table(
        caption=f"All {counted(len(rows), 'rule')} of {technology.name}",
        head=("rule", "what must hold", ""),
        rows=rows,
        left=(0, 1, 2),
        collapse=True,
    )
    for note in record["notices"]:
        yield Text(text=f"{note}.", note=True)


def places_table(first: str, places: Sequence[tuple[str, Record]]) -> Table:
    """Places that break a rule.

    Args:
        first: title of the column that says where they lie.
        places: names for that column, with violations of the record of a check.
    """
    return Table(
        caption=counted(len(places), "place") + (f", the first {_MOST}" if places[_MOST:] else ""),
        head=(first, "rule", "measured", "limit", "place, um"),
        rows=[
            (name, p["rule"], _value(p, "measured"), _value(p, "limit"), _at(p))
            for name, p in places[:_MOST]
        ],
        left=(0, 1, 4),
        collapse=len(places) > _LONG,
    )


def _value(place: Record, key: str) -> str:
    return f"{place[key]:g} {place['unit']}".strip()


def _measured(place: Record) -> str:
    x, y = ((a + b) / 2 for a, b in zip(place["box"][:2], place["box"][2:], strict=True))
    return (
        f"{_value(place, 'measured')} for a limit of {_value(place, 'limit')} at "
        f"({x:.3f}, {y:.3f}) um in {place['cell']}"
    )


def _at(place: Record) -> str:
    left, bottom, right, top = place["box"]
    return f"{left:g}, {bottom:g} to {right:g}, {top:g}"
