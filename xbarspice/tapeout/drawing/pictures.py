"""Pictures of drawings: the whole, and the array in it."""

from __future__ import annotations

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
_MOST_LABELS = 40
"""Pins of a side up to which each one is labelled."""


def picture(layout: kdb.Layout, technology: Technology, path: Path) -> None:
    """Draw the layout as a PNG picture with its labels."""
    figure(layout, technology).savefig(path)


def figure(layout: kdb.Layout, technology: Technology) -> Figure:
    """A drawing of one array as a matplotlib figure: die and array, or the array alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch, Rectangle

    top = layout.top_cell()
    core = layout.cell(core_name(top.name, technology))
    panels = 1 if core is None or core.name == top.name else 2
    page = Figure(figsize=(6.4 * panels, 6.9), dpi=150, layout="constrained")
    FigureCanvasAgg(page)
    box = (core or top).bbox()
    if panels == 2:
        axes = page.add_subplot(1, 2, 1)
        paint(axes, layout, technology, top.bbox())
        _label(axes, layout, technology, top)
        corner = box.left * layout.dbu, box.bottom * layout.dbu
        size = box.width() * layout.dbu, box.height() * layout.dbu
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="#c0392b", linewidth=1.2))
        axes.set_title("array, leads and pads", fontsize=10)
    axes = page.add_subplot(1, panels, panels)
    paint(axes, layout, technology, box)
    if panels == 1:
        _label(axes, layout, technology, top)
    else:
        axes.set_title("the array (red on the left)", fontsize=10)
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
    """Names of the pins of a cell, where there are few enough."""
    layers = {metal.label or metal.layer for metal in technology.metal}
    texts = [
        shape.text
        for layer in sorted(layers)
        for shape in cell.shapes(layout.layer(*layer)).each()
        if shape.is_text()
    ]
    for text in texts if len(texts) <= 2 * _MOST_LABELS else ():
        place = text.x * layout.dbu, text.y * layout.dbu
        axes.text(
            *place, text.string, fontsize=5, ha="center", va="center", zorder=30, color="#111111"
        )
