"""The floorplan: every drawn array as a cell on a grid, with monitors, marks and text beside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarspice.tapeout.drawing.klayout import klayout_db
from xbarspice.tapeout.drawing.marks import draw_mark, draw_text
from xbarspice.tapeout.drawing.monitors import draw_monitors
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["SCOPE", "Place", "compose"]

SCOPE = (
    "Every array is placed once, as drawn; nothing joins the arrays: no routing, drivers, "
    "converters or supplies."
)
"""What a floorplan is and is not."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one array or monitor stands: the origin of its cell, and its outline, all in um."""

    cell: str
    x: float
    y: float
    left: float
    bottom: float
    right: float
    top: float


def compose(
    files: Sequence[Path], cells: Sequence[str], technology: Technology, name: str
) -> tuple[kdb.Layout, list[Place], list[Place]]:
    """Place drawings on a grid, row by row from the top left, and what ``[die]`` asks for below.

    A column is as wide as its widest array and a row as high as its highest; between the outlines
    of neighbours stands at least `Technology.array_spacing`. Monitors, text and alignment marks are
    drawn where there are pads.

    Args:
        files: one drawing (GDSII or OASIS) an array.
        cells: name of the top cell of each.
        technology: of the drawings.
        name: of the floorplan's own cell, with which the names of the monitors' cells begin.

    Returns:
        The layout, the places of the arrays and those of the monitors.
    """
    kdb = klayout_db()
    layout = kdb.Layout()
    layout.dbu = technology.dbu
    for file in files:
        layout.read(str(file))
    boxes = [layout.cell(cell).bbox() for cell in cells]
    top = layout.create_cell(name)
    places = []
    for cell, (x, y) in zip(cells, _corners(boxes, technology), strict=True):
        places.append(_place(layout, top, layout.cell(cell), x, y))
    monitors = []
    if technology.pads:
        monitors = _place_monitors(layout, top, draw_monitors(layout, technology, name), technology)
        _place_text(layout, top, technology, name)
        _place_marks(layout, top, technology, name)
    return layout, places, monitors


def _place(layout: kdb.Layout, top: kdb.Cell, cell: kdb.Cell, left: int, upper: int) -> Place:
    """Place a cell with the upper left corner of its outline at a point."""
    kdb, box = klayout_db(), cell.bbox()
    at = kdb.Vector(left - box.left, upper - box.top)
    top.insert(kdb.CellInstArray(cell.cell_index(), kdb.Trans(at)))
    outline = box.moved(at)
    units = (at.x, at.y, outline.left, outline.bottom, outline.right, outline.top)
    um = (value * layout.dbu for value in units)
    return Place(cell=cell.name, **dict(zip(_FIELDS, um, strict=True)))


def _place_monitors(
    layout: kdb.Layout, top: kdb.Cell, cells: Sequence[kdb.Cell], technology: Technology
) -> list[Place]:
    """Rows of monitors below the arrays, as wide as these."""
    gap, box = round(technology.array_spacing / technology.dbu), top.bbox()
    x, y, height, places = box.left, box.bottom - gap, 0, []
    for cell in cells:
        outline = cell.bbox()
        if x > box.left and x + outline.width() > box.right:
            x, y, height = box.left, y - height - gap, 0
        places.append(_place(layout, top, cell, x, y))
        x += outline.width() + gap
        height = max(height, outline.height())
    return places


def _place_text(layout: kdb.Layout, top: kdb.Cell, technology: Technology, name: str) -> None:
    """The text of the die below everything."""
    text = technology.die.text
    if text is None:
        text = name.removesuffix("_floorplan")
    if text.strip():
        gap, box = round(technology.array_spacing / technology.dbu), top.bbox()
        cell = draw_text(layout, technology, f"{name}__text", text)
        _place(layout, top, cell, box.left, box.bottom - gap)


def _place_marks(layout: kdb.Layout, top: kdb.Cell, technology: Technology, name: str) -> None:
    """An alignment mark at each corner, outside of everything."""
    if technology.die.marks > 0:
        cell = draw_mark(layout, technology, f"{name}__mark")
        size = cell.bbox().width()
        gap, box = round(technology.array_spacing / technology.dbu) + size, top.bbox()
        for x in (box.left - gap, box.right + gap - size):
            for y in (box.top + gap, box.bottom - gap + size):
                _place(layout, top, cell, x, y)


_FIELDS = ("x", "y", "left", "bottom", "right", "top")


def _corners(boxes: Sequence[Any], technology: Technology) -> list[tuple[int, int]]:
    """Upper left corner of every box on the grid, in database units."""
    gap = round(technology.array_spacing / technology.dbu)
    across = math.ceil(math.sqrt(len(boxes)))
    down = math.ceil(len(boxes) / across)
    widths = [max(b.width() for b in boxes[c::across]) for c in range(min(across, len(boxes)))]
    heights = [max(b.height() for b in boxes[r * across : (r + 1) * across]) for r in range(down)]
    return [
        (
            sum(widths[: k % across]) + gap * (k % across),
            -(sum(heights[: k // across]) + gap * (k // across)),
        )
        for k in range(len(boxes))
    ]
