"""The floorplan: every drawn array as a cell on a grid, and nothing between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarspice.tapeout.layout import klayout_db
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb
    from matplotlib.figure import Figure

__all__ = ["SCOPE", "Place", "compose", "figure"]

SCOPE = (
    "Every array is placed once, as drawn; between the arrays stands nothing: no routing, drivers, "
    "converters, supplies or pad ring."
)
"""What a floorplan is and is not."""

_MOST_WORDS = 150
"""Arrays up to which each one is labelled in the picture."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one array stands: the origin of its cell, and its outline, all in um."""

    cell: str
    x: float
    y: float
    left: float
    bottom: float
    right: float
    top: float


def compose(
    files: Sequence[Path], cells: Sequence[str], technology: Technology, name: str
) -> tuple[kdb.Layout, list[Place]]:
    """Place drawings on a grid, row by row from the top left.

    A column is as wide as its widest array and a row as high as its highest; between the outlines
    of neighbours stands at least `Technology.array_spacing`.

    Args:
        files: one drawing (GDSII or OASIS) an array.
        cells: name of the top cell of each.
        technology: of the drawings.
        name: of the floorplan's own cell.
    """
    kdb = klayout_db()
    layout = kdb.Layout()
    layout.dbu = technology.dbu
    for file in files:
        layout.read(str(file))
    boxes = [layout.cell(cell).bbox() for cell in cells]
    top = layout.create_cell(name)
    places = []
    for cell, box, (x, y) in zip(cells, boxes, _corners(boxes, technology), strict=True):
        at = kdb.Vector(x - box.left, y - box.top)
        top.insert(kdb.CellInstArray(layout.cell(cell).cell_index(), kdb.Trans(at)))
        outline = box.moved(at)
        um = [
            v * technology.dbu
            for v in (at.x, at.y, outline.left, outline.bottom, outline.right, outline.top)
        ]
        places.append(Place(cell=cell, **dict(zip(_FIELDS, um, strict=True))))
    return layout, places


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


def figure(places: Sequence[dict[str, Any]], layers: Sequence[str]) -> Figure:
    """The outlines as a matplotlib figure, one colour a layer.

    Args:
        places: for every array ``number``, ``left``, ``bottom``, ``right`` and ``top`` (um).
        layers: the layer of each.
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch, Rectangle

    page = Figure(figsize=(6.4, 6.4), dpi=150, layout="constrained")
    FigureCanvasAgg(page)
    axes = page.add_subplot()
    kinds = list(dict.fromkeys(layers))
    colours = {kind: colormaps["tab20"](k % 20) for k, kind in enumerate(kinds)}
    for place, layer in zip(places, layers, strict=True):
        x, y = place["left"], place["bottom"]
        width, height = place["right"] - x, place["top"] - y
        axes.add_patch(Rectangle((x, y), width, height, facecolor=colours[layer], linewidth=0))
        if len(places) <= _MOST_WORDS:
            axes.text(
                x + width / 2,
                y + height / 2,
                place["number"],
                ha="center",
                va="center",
                fontsize=7 if len(places) <= 36 else 5,
            )
    margin = 0.02 * max(p["right"] for p in places)
    axes.set_xlim(min(p["left"] for p in places) - margin, max(p["right"] for p in places) + margin)
    axes.set_ylim(min(p["bottom"] for p in places) - margin, max(p["top"] for p in places) + margin)
    axes.set_aspect("equal")
    axes.set_xlabel("x (um)")
    axes.set_ylabel("y (um)")
    if len(kinds) <= 12:
        handles = [Patch(facecolor=colours[kind], label=kind) for kind in kinds]
        page.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    return page
