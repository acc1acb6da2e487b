"""What the page of a tapeout says of the decks that were run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xbarspice.core.counts import counted
from xbarspice.report.content import Item, Section, Table, Text

__all__ = ["section", "summary"]

_LONG = 24
_MOST = 200
"""Rows of items that are shown; the manifest holds all."""
_BADGES = {"clean": "PASS", "items": "FAIL", "failed": "NO VERDICT"}


def summary(record: dict[str, Any]) -> str:
    """One sentence on all decks; "" where none was run."""
    decks = record.get("decks", [])
    if not decks:
        return ""
    count = {s: sum(d["state"] == s for d in decks) for s in _BADGES}
    words = [f"{count['clean']} of {len(decks)} runs of decks found nothing"]
    words += [f"{count['items']} found something"] if count["items"] else []
    words += [f"{count['failed']} gave no verdict"] if count["failed"] else []
    return ", ".join(words) + "."


def section(record: dict[str, Any]) -> Section | None:
    """Verdicts, items with their places, and what went wrong; None where no deck was run."""
    decks = record.get("decks", [])
    if not decks:
        return None
    return Section(title="Designer's decks", items=list(_content(decks)))


def _content(decks: list[dict[str, Any]]) -> Iterator[Item]:
    rows = [
        (
            _drawing(d),
            f"{d['kind'].upper()}: {d['deck']}",
            f"{d['tool']} {d['version']}",
            _BADGES[d["state"]],
            str(sum(item["count"] for item in d["items"])),
            d["looked_at"] or d["failure"][:300],
        )
        for d in decks
    ]
    yield Text(
        text="Decks were run as they are by the programs that are named; logs and reports lie in "
        "the folders decks. A run without a verdict is no pass."
    )
    yield Table(
        caption="Runs of decks",
        head=("drawing", "deck", "program", "verdict", "items", "looked at"),
        rows=rows,
        left=(0, 1, 2, 3, 5),
        collapse=len(rows) > _LONG,
    )
    items = [
        (_drawing(d), d["deck"], i["rule"], str(i["count"]), _place(i), i["text"][:300])
        for d in decks
        for i in d["items"]
    ]
    if items:
        more = f", the first {_MOST}" if len(items) > _MOST else ""
        yield Table(
            caption=f"{counted(len(items), 'rule')} with items{more}",
            head=("drawing", "deck", "rule", "items", "first place, um", "what the deck says"),
            rows=items[:_MOST],
            left=(0, 1, 2, 4, 5),
            collapse=len(items) > _LONG,
        )
    notes = sorted({f"{d['tool']}, {d['deck']}: {note}" for d in decks for note in d["notes"]})
    for note in notes[:10]:
        yield Text(text=note, note=True)


def _drawing(deck: dict[str, Any]) -> str:
    return deck["array"] or "floorplan"


def _place(item: dict[str, Any]) -> str:
    if not item["places"]:
        return ""
    left, bottom, right, top = item["places"][0]["box_um"]
    return f"{left:g}, {bottom:g} to {right:g}, {top:g}"
