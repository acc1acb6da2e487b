"""Pictures of drawings: the whole, and the array in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarspice.tapeout.drawing.die import core_name
from xbarspice.tapeout.drawing.klayout import klayout_db
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LARGEST_PICTURE", "figure", "paint", "picture"]

LARGEST_PICTURE = 1024
"""Most crossings of an array that is worth a picture; larger ones show nothing."""

_METALS = ("#3b6fb6", "#d9822b", "#7a8793", "#5b8c5a", "#8e6bb0")
"""Colours of the metals from the bottom."""
_DEVICE, _CUT, _OPENING = "#1d1d1d", "#ffffff", "#f2e6c9"
_LINE = re.compile(r"(WL|BL)[<\[]")
_MOST_LABELS = 40
"""Pins of a side up to which each one is labelled."""


def picture(layout: kdb.Layout, technology: Technology, path: Path) -> None:
    """Draw the layout as a PNG picture with its labels."""
    figure(layout, technology).savefig(path)


def figure(layout: kdb.Layout, technology: Technology) -> Figure:
    """A drawing as a matplotlib figure: die and first array, or the array alone.

    Args:
        layout: of one array, as `draw` gives it, or a floorplan.
        technology: of the drawing.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch, Rectangle

    top = layout.top_cell()
    box = _array_box(layout, technology)
    panels = 1 if box is None else 2
    page = Figure(figsize=(6.4 * panels, 6.9), dpi=150, layout="constrained")
    FigureCanvasAgg(page)
    if box is not None:
        axes = page.add_subplot(1, 2, 1)
        paint(axes, layout, technology, top.bbox())
        _label(axes, layout, technology, top)
        corner = box.left * layout.dbu, box.bottom * layout.dbu
        size = box.width() * layout.dbu, box.height() * layout.dbu
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="#c0392b", linewidth=1.2))
        axes.set_title("leads and pads", fontsize=10)
    axes = page.add_subplot(1, panels, panels)
    paint(axes, layout, technology, top.bbox() if box is None else box)
    if box is None:
        _label(axes, layout, technology, top)
    else:
        axes.set_title("the array in the red box", fontsize=10)
    handles = [
        Patch(facecolor=colour, alpha=0.75, label=metal.name)
        for metal, colour in zip(technology.metal, _colours(technology), strict=True)
    ]
    handles.append(Patch(facecolor=_DEVICE, label="device"))
    handles.append(Patch(facecolor=_CUT, edgecolor="#555555", label="via"))
    page.legend(
        handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=9
    )
    return page


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


def paint(axes: Axes, layout: kdb.Layout, technology: Technology, box: kdb.Box) -> None:
    """Draw all shapes that touch a box, and set the axes to it, um."""
    t = technology
    if t.pads and t.pads.opening:
        _fill(axes, layout, t.pads.opening.layer, box, facecolor=_OPENING, zorder=20)
    for order, (metal, colour) in enumerate(zip(t.metal, _colours(t), strict=True)):
        _fill(axes, layout, metal.layer, box, facecolor=colour, alpha=0.65, zorder=order)
    _fill(axes, layout, t.device.layer, box, facecolor=_DEVICE, zorder=len(t.metal))
    if box.width() * layout.dbu < 200:  # beyond that no cut can be seen
        for order, via in enumerate(t.via):
            style = {"facecolor": _CUT, "edgecolor": "#555555", "linewidth": 0.4}
            _fill(axes, layout, via.layer, box, zorder=len(t.metal) + 1 + order, **style)
    margin = 0.03 * max(box.width(), box.height())
    axes.set_xlim((box.left - margin) * layout.dbu, (box.right + margin) * layout.dbu)
    axes.set_ylim((box.bottom - margin) * layout.dbu, (box.top + margin) * layout.dbu)
    axes.set_aspect("equal")
    axes.set_xlabel("x (um)")
    axes.set_ylabel("y (um)")


def _fill(
    axes: Axes, layout: kdb.Layout, layer: tuple[int, int], box: kdb.Box, **style: Any
) -> None:
    """Draw one layer as filled polygons."""
    from matplotlib.collections import PolyCollection

    kdb, dbu = klayout_db(), layout.dbu
    shapes = layout.top_cell().begin_shapes_rec_touching(layout.layer(*layer), box)
    polygons = [
        [(point.x * dbu, point.y * dbu) for point in polygon.resolved_holes().each_point_hull()]
        for polygon in kdb.Region(shapes).merged().each()
    ]
    style.setdefault("linewidth", 0)
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
