"""The table of what a fit held fixed: values, where they came from, and what depends on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xbarspice.report.content import Item, Table, Text
from xbarspice.report.units import quantity

__all__ = ["held_items"]

MOST = 30
"""Rows that are shown at once."""


def held_items(record: Mapping[str, Any]) -> list[Item]:
    """Table and remark, from `fixed` and `held` of a record; empty where nothing was held.

    Args:
        record: of a fit; see `cards.record_of` and `held.fixed_values`.
    """
    fixed, freed = record.get("fixed") or [], {h["name"]: h for h in record.get("held") or ()}
    if not fixed:
        return []
    rows = []
    for f in fixed:
        refit, shifts = _refit_cells(freed.get(f["name"]))
        rows.append((f["name"], _value(f), f["origin"], refit, shifts))
    head = ("held", "value", "from", "fitted as well", "values that then move")
    caption = "Held fixed, and what its value decides"
    table = Table(caption=caption, head=head, rows=rows, left=(0, 2, 4), collapse=len(rows) > MOST)
    texts = {h["reason"] for h in freed.values() if h["reason"]}
    notes = [Text(text=f"Not fitted as well: {text}.", note=True) for text in sorted(texts)]
    return [table, *notes]


def _value(fixed: Mapping[str, Any]) -> str:
    value, unit = fixed["value"], fixed["unit"]
    return quantity(value, unit) if isinstance(value, float) else f"{value} {unit}".rstrip()


def _refit_cells(held: Mapping[str, Any] | None) -> tuple[str, str]:
    if held is None:
        return "-", "-"
    if held["freed"] is None:
        return "-", held["reason"]
    moved = ", ".join(name for name, *_ in held["moved"])
    value, low, high = (quantity(v, held["unit"], 4) for v in held["freed"])
    return f"{value} [{low}, {high}]", moved or "none"
