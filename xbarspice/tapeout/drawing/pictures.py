"""Drawings as axes and as pictures: the whole, and the array in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xbarspice.core.errors import broken_rule
from xbarspice.plot.axes import COLOURS, FRAME, axes_or_new, escape, place_legend
from xbarspice.tapeout.drawing.die import core_name
from xbarspice.tapeout.drawing.klayout import klayout_db
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb
    from matplotlib.axes import Axes

__all__ = ["LARGEST_PICTURE", "Part", "has_leads", "layout", "paint", "picture"]

Part = Literal["whole", "array"]

LARGEST_PICTURE = 1024
"""Most crossings of an array that is worth a picture; larger ones show nothing."""

_METALS = ("#3b6fb6", "#d9822b", "#7a8793", "#5b8c5a", "#8e6bb0")
"""Colours of the metals from the bottom."""
_DEVICE, _CUT, _OPENING = COLOURS[5], "#ffffff", "#f2e6c9"
_LINE = re.compile(r"(WL|BL)[<\[]")
_MOST_LABELS = 40
"""Pins of a side up to which each one is labelled."""


def picture(drawing: kdb.Layout, technology: Technology, path: Path) -> None:
    """Write a PNG picture of a drawing: the whole, and beside it the array if it has leads.

    Args:
        drawing: of one array, as `draw` gives it, or a floorplan.
        technology: of the drawing.
        path: the file.
    """
    from matplotlib.figure import Figure

    parts: list[Part] = ["whole", "array"] if has_leads(drawing, technology) else ["whole"]
    page = Figure(figsize=(6.4 * len(parts), 6.9), dpi=150, layout="constrained")
    for number, part in enumerate(parts, start=1):
        layout(drawing, technology, part=part, ax=page.add_subplot(1, len(parts), number))
    page.savefig(path)


def layout(
    drawing: kdb.Layout, technology: Technology, *, part: Part = "whole", ax: Axes | None = None
) -> Axes:
    """Shapes of a drawing, one colour a layer, as axes in um.

    Args:
        drawing: of one array, as `xb.tapeout.draw` gives it, or a floorplan.
        technology: of the drawing.
        part: "whole", with the names of its lines and a frame about the array if it has leads, or
            "array": the first one, without its leads and pads.
        ax: where to draw; None: a new figure.

    Returns:
        The axes.

    Raises:
        InputError: `part` is neither.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    if part not in ("whole", "array"):
        raise broken_rule("`part` must be whole or array", repr(part), "Choose one.")
    ax = axes_or_new(ax, 5.2, 5.2)
    top, box = drawing.top_cell(), _array_box(drawing, technology)
    if part == "array":
        paint(ax, top, technology, top.bbox() if box is None else box)
    else:
        paint(ax, top, technology, top.bbox())
        _label(ax, drawing, technology, top)
        if box is not None:
            _frame(ax, box, drawing.dbu)
    place_legend(ax)
    return ax


def has_leads(layout: kdb.Layout, technology: Technology) -> bool:
    """Whether the array of a drawing is a part of it, with leads and pads around."""
    return _array_box(layout, technology) is not None


def _frame(ax: Axes, box: kdb.Box, dbu: float) -> None:
    from matplotlib.patches import Rectangle

    size = box.width() * dbu, box.height() * dbu
    style = {"fill": False, "edgecolor": FRAME, "linewidth": 1.6, "zorder": 40}
    ax.add_patch(Rectangle((box.left * dbu, box.bottom * dbu), *size, label="array", **style))


def _array_box(layout: kdb.Layout, technology: Technology) -> kdb.Box | None:
    """Outline of the first array with leads, in the whole; None if there are no leads."""
    top = layout.top_cell()
    if technology.pads is None:
        return None
    core = layout.cell(core_name(top.name, technology))
    if core is not None:
        return core.bbox()
    for instance in top.each_inst():  # of a floorplan
        core = layout.cell(core_name(instance.cell.name, technology))
        if core is not None:
            return core.bbox().transformed(instance.trans)
    return None


def _colours(technology: Technology) -> list[str]:
    return [_METALS[k % len(_METALS)] for k in range(len(technology.metal))]


def paint(axes: Axes, cell: kdb.Cell, technology: Technology, box: kdb.Box) -> None:
    """Draw all shapes of a cell that touch a box, and set the axes to it, um."""
    t, dbu = technology, cell.layout().dbu
    if t.pads and t.pads.opening:
        _fill(axes, cell, t.pads.opening.layer, box, facecolor=_OPENING, zorder=20)
    for order, (metal, colour) in enumerate(zip(t.metal, _colours(t), strict=True)):
        style = {"facecolor": colour, "alpha": 0.65, "label": escape(metal.name)}
        _fill(axes, cell, metal.layer, box, zorder=order, **style)
    device = {"facecolor": _DEVICE, "label": "device"}
    _fill(axes, cell, t.device.layer, box, zorder=len(t.metal), **device)
    if box.width() * dbu < 200:  # beyond that no cut can be seen
        for order, via in enumerate(t.via):
            style: dict[str, Any] = {"facecolor": _CUT, "edgecolor": "#555555", "linewidth": 0.4}
            style["label"] = "via" if order == 0 else None
            _fill(axes, cell, via.layer, box, zorder=len(t.metal) + 1 + order, **style)
    margin = 0.03 * max(box.width(), box.height())
    axes.set_xlim((box.left - margin) * dbu, (box.right + margin) * dbu)
    axes.set_ylim((box.bottom - margin) * dbu, (box.top + margin) * dbu)
    axes.set_aspect("equal")
    axes.set_xlabel("x (um)")
    axes.set_ylabel("y (um)")


def _fill(axes: Axes, cell: kdb.Cell, layer: tuple[int, int], box: kdb.Box, **style: Any) -> None:
    """Draw one layer as filled polygons."""
    from matplotlib.collections import PolyCollection

    kdb, layout = klayout_db(), cell.layout()
    dbu = layout.dbu
    shapes = cell.begin_shapes_rec_touching(layout.layer(*layer), box)
    polygons = [
        [(point.x * dbu, point.y * dbu) for point in polygon.resolved_holes().each_point_hull()]
        for polygon in kdb.Region(shapes).merged().each()
    ]
    style.setdefault("linewidth", 0)
    if polygons:
        axes.add_collection(PolyCollection(polygons, **style))


def _label(axes: Axes, layout: kdb.Layout, technology: Technology, cell: kdb.Cell) -> None:
    """Names of the lines' pins in a cell, or one level below it, where there are few enough."""
    layers = sorted({metal.label or metal.layer for metal in technology.metal})
    for depth in (0, 1):
        texts = []
        for layer in layers:
            shapes = cell.begin_shapes_rec(layout.layer(*layer))
            shapes.max_depth = depth
            shapes.shape_flags = klayout_db().Shapes.STexts
            texts += [it.shape().text.transformed(it.trans()) for it in shapes.each()]
        texts = [text for text in texts if _LINE.match(text.string)]
        if texts:
            break
    extent = max(cell.bbox().width(), cell.bbox().height()) * layout.dbu
    size = min(max(4500 / max(extent, 1.0), 3.0), 5.0)  # points
    for text in texts if len(texts) <= 2 * _MOST_LABELS else ():
        place = text.x * layout.dbu, text.y * layout.dbu
        axes.text(
            *place, text.string, fontsize=size, ha="center", va="center", zorder=30, color="#111111"
        )
