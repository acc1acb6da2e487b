"""The rule check of a layout: every rule of the technology on every top cell."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarspice.core.errors import broken_rule
from xbarspice.tapeout.drawing.klayout import read
from xbarspice.tapeout.rules.checks import Mark, find_marks
from xbarspice.tapeout.rules.density import is_smaller
from xbarspice.tapeout.rules.rule import Rule, rules_of
from xbarspice.tapeout.rules.shapes import Shapes, notices, top_cells
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["LISTED", "RuleReport", "Violation", "check_file", "check_layout"]

LISTED = 100
"""Violations of one rule in one cell that are listed with their places; all are counted."""


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A place that breaks a rule.

    Attributes:
        rule: its name.
        cell: the checked cell.
        measured: what stands there, in the unit of the rule; a negative enclosure is what lies
            outside.
        limit: of the rule.
        unit: um, um^2, or empty for a share or a count.
        box: left, bottom, right, top around the place in the cell's coordinates, um.
    """

    rule: str
    cell: str
    measured: float
    limit: float
    unit: str
    box: tuple[float, float, float, float]

    @property
    def text(self) -> str:
        """One line for a person."""
        unit = f" {self.unit}" if self.unit else ""
        left, bottom, right, top = self.box
        return (
            f"{self.rule}: {self.measured:g}{unit}, limit {self.limit:g}{unit}, at "
            f"({left:g}, {bottom:g}; {right:g}, {top:g}) um in {self.cell}"
        )


@dataclass(frozen=True, kw_only=True)
class RuleReport:
    """What the rule check says of a layout.

    Attributes:
        technology: its name.
        cells: the checked cells.
        shapes: drawn shapes by name of the layer, of all cells.
        counts: places that break a rule, by the name of the rule; every rule is in it.
        violations: the places, at most `LISTED` of one rule in one cell, by rule and place.
        unchecked: pairs of a rule and a cell on which it cannot be judged.
        notices: what was not checked, a sentence each.
    """

    technology: str
    cells: tuple[str, ...]
    shapes: dict[str, int]
    counts: dict[str, int]
    violations: tuple[Violation, ...]
    unchecked: tuple[tuple[str, str], ...]
    notices: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether no place breaks a rule."""
        return not self.violations

    @property
    def broken(self) -> dict[str, int]:
        """Places by the name of the rule that they break."""
        return {name: count for name, count in self.counts.items() if count}

    def record(self) -> dict[str, Any]:
        """The verdict for JSON; ``rules`` counts those that were checked on some cell."""
        unchecked = [{"rule": rule, "cell": cell} for rule, cell in self.unchecked]
        times = Counter(rule for rule, _ in self.unchecked)
        return {
            "clean": self.clean,
            "technology": self.technology,
            "cells": list(self.cells),
            "shapes": self.shapes,
            "rules": sum(times[rule] < len(self.cells) for rule in self.counts),
            "unchecked": unchecked,
            "broken": self.broken,
            "violations": [{**asdict(v), "box": list(v.box)} for v in self.violations],
            "notices": list(self.notices),
        }


def check_file(path: Path, technology: Technology, cell: str | None = None) -> RuleReport:
    """Check a GDSII or OASIS file.

    Args:
        path: the file; who wrote it does not matter.
        technology: whose rules hold.
        cell: of the layout; None for all top cells.

    Raises:
        InputError: the file cannot be read, or as `check_layout`.
    """
    return check_layout(read(path), technology, cell)


def check_layout(layout: kdb.Layout, technology: Technology, cell: str | None = None) -> RuleReport:
    """Check a layout against every rule of a technology.

    Args:
        layout: any layout.
        technology: whose rules hold.
        cell: of the layout; None for all top cells.

    Raises:
        InputError: there is no such cell; a cell that is placed is missing; no layer of the
            technology holds a shape; the database units do not fit.
    """
    rules = rules_of(technology)
    cells = top_cells(layout, cell)
    drawn = [Shapes(layout, top, technology) for top in cells]
    counts = {name: sum(s.raw(name).count() for s in drawn) for name in drawn[0].names}
    if not any(counts.values()):
        raise broken_rule(
            "a layout must hold shapes on the layers of the technology",
            f"none on those of {technology.name}",
            "Check with the technology that the layout was drawn in.",
        )
    remarks: list[str] = []
    violations: list[Violation] = []
    unchecked: list[tuple[str, str]] = []
    places = dict.fromkeys((rule.name for rule in rules), 0)
    for top, shapes in zip(cells, drawn, strict=True):
        remarks += notices(layout, top, technology)
        for rule in rules:
            if rule.kind == "smallest density" and is_smaller(rule, shapes):
                unchecked.append((rule.name, shapes.cell))
                remarks.append(
                    f"{rule.name} was not checked: {shapes.cell} is smaller than a window"
                )
                continue
            marks = sorted(find_marks(rule, shapes), key=_place)
            places[rule.name] += len(marks)
            violations += [_violation(rule, shapes, m) for m in islice(marks, LISTED)]
    return RuleReport(
        technology=technology.name,
        cells=tuple(c.name for c in cells),
        shapes=counts,
        counts=places,
        violations=tuple(violations),
        unchecked=tuple(unchecked),
        notices=tuple(remarks),
    )


def _place(mark: Mark) -> tuple[int, int, int, int]:
    return mark.box.left, mark.box.bottom, mark.box.right, mark.box.top


def _violation(rule: Rule, shapes: Shapes, mark: Mark) -> Violation:
    left, bottom, right, top = (round(v * shapes.dbu, 6) for v in _place(mark))
    return Violation(
        rule=rule.name,
        cell=shapes.cell,
        measured=round(mark.measure(), 6),
        limit=rule.limit,
        unit=rule.unit,
        box=(left, bottom, right, top),
    )
