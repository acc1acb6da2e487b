"""Faults of a drawing at their places: of the whole cell, and close up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from xbarspice.core.counts import counted
from xbarspice.plot.axes import MARKERS, axes_or_new, escape, place_legend, text_colour
from xbarspice.report.content import Plot
from xbarspice.tapeout.drawing.klayout import klayout_db
from xbarspice.tapeout.drawing.pictures import paint
from xbarspice.tapeout.extraction.extracted import pick_cell
from xbarspice.tapeout.rules.rule import drawing_layers
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb
    from matplotlib.axes import Axes

__all__ = ["layout_faults", "plots_of_faults"]

_MOST_SHAPES = 20_000
"""Shapes of a picture; of more only the outline of the cell is drawn."""
_PITCHES = 3.0
"""Room about a fault that is drawn close up, in pitches of the array on either side."""
_KINDS = len(MARKERS)
"""Kinds of faults that have a mark of their own; all further ones share the last."""
_CLOSE_UPS = 3

Record = Mapping[str, Any]
Box = tuple[float, float, float, float]


def layout_faults(
    drawing: kdb.Layout,
    technology: Technology,
    faults: Sequence[Record],
    *,
    cell: str | None = None,
    near: Record | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Shapes of a cell with its faults marked at their places, one mark a kind.

    A cell, or a place, with more than 20 000 shapes is drawn as its outline.

    Args:
        drawing: any layout.
        technology: of the drawing.
        faults: ``violations`` of the record of a rule check, or ``faults`` of that of a comparison
            or an extraction; those without a place are not drawn.
        cell: whose coordinates the places have; None for the only top cell.
        near: one of the faults, to draw the shapes about it; None: the whole cell.
        ax: where to draw; None: a new figure.

    Returns:
        The axes, in um.

    Raises:
        InputError: there is no such cell, or there are several top cells and no name.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    picked = pick_cell(drawing, cell)
    window = _window(picked, technology, near)
    ax = axes_or_new(ax, 5.2, 5.2)
    if _is_drawable(picked, technology, window):
        paint(ax, picked, technology, window)
    else:
        _outline(ax, picked, window)
    kinds = list(dict.fromkeys(_kind(fault) for fault in faults if _box(fault)))
    limits = ax.get_xlim(), ax.get_ylim()
    for number, kind in enumerate(kinds[:_KINDS]):
        last = number == _KINDS - 1 and len(kinds) > _KINDS
        chosen = kinds[number:] if last else [kind]
        boxes = [box for fault in faults if _kind(fault) in chosen and (box := _box(fault))]
        label = f"{len(chosen)} other kinds" if last else escape(kind)
        _mark(ax, boxes, MARKERS[number], label, close=near is not None)
    ax.set(xlim=limits[0], ylim=limits[1])
    place_legend(ax)
    return ax


def _kind(fault: Record) -> str:
    """The rule that is broken, or the kind of the fault."""
    return str(fault["rule"] if "rule" in fault else fault["kind"])


def _box(fault: Record) -> Box | None:
    """Left, bottom, right and top of a fault, um; None if it has no place."""
    if "box" in fault:
        left, bottom, right, top = fault["box"]
        return left, bottom, right, top
    x, y = fault["x_um"], fault["y_um"]
    return None if x is None or y is None else (x, y, x, y)


def _window(cell: kdb.Cell, technology: Technology, near: Record | None) -> kdb.Box:
    """What is drawn of a cell, database units."""
    box = None if near is None else _box(near)
    if box is None:
        return cell.bbox()
    left, bottom, right, top = box
    room = _PITCHES * max(technology.array.pitch)
    half = max(room, 0.75 * (right - left), 0.75 * (top - bottom))
    x, y = (left + right) / 2, (bottom + top) / 2
    around = klayout_db().DBox(x - half, y - half, x + half, y + half)
    return around.to_itype(cell.layout().dbu)


def _is_drawable(cell: kdb.Cell, technology: Technology, window: kdb.Box) -> bool:
    """Whether a part of a cell has few enough shapes to draw them."""
    count, layout = 0, cell.layout()
    for layer in drawing_layers(technology).values():
        index = layout.find_layer(*layer)
        if index is None:
            continue
        for _ in cell.begin_shapes_rec_touching(index, window).each():
            count += 1
            if count > _MOST_SHAPES:
                return False
    return True


def _outline(ax: Axes, cell: kdb.Cell, window: kdb.Box) -> None:
    """The outline of a cell, and the axes that `paint` sets."""
    from matplotlib.patches import Rectangle

    dbu, box = cell.layout().dbu, cell.bbox()
    size = box.width() * dbu, box.height() * dbu
    style = {"fill": False, "edgecolor": text_colour(), "label": "outline of the cell"}
    ax.add_patch(Rectangle((box.left * dbu, box.bottom * dbu), *size, **style))
    margin = 0.03 * max(window.width(), window.height())
    ax.set_xlim((window.left - margin) * dbu, (window.right + margin) * dbu)
    ax.set_ylim((window.bottom - margin) * dbu, (window.top + margin) * dbu)
    ax.set(aspect="equal", xlabel="x (um)", ylabel="y (um)")


def _mark(ax: Axes, boxes: Sequence[Box], marker: str, label: str, *, close: bool) -> None:
    """Marks at the centres of boxes; close up the boxes, too."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    x = [(left + right) / 2 for left, _, right, _ in boxes]
    y = [(bottom + top) / 2 for _, bottom, _, top in boxes]
    hollow = {"facecolors": "none", "edgecolors": text_colour(), "linewidths": 1.4}
    ax.scatter(x, y, s=70, marker=marker, zorder=51, label=f"{label} ({len(boxes)})", **hollow)
    if close:
        frames = [Rectangle((a, b), c - a, d - b) for a, b, c, d in boxes]
        ax.add_collection(PatchCollection(frames, zorder=50, **hollow))


def plots_of_faults(
    drawing: kdb.Layout,
    technology: Technology,
    faults: Sequence[Record],
    cell: str | None,
    name: str,
) -> Iterator[Plot]:
    """The cell with all its faults, and the first fault of some kinds close up.

    Args:
        drawing, technology, faults, cell: as of `layout_faults`.
        name: of the cell, for captions.
    """
    placed = [fault for fault in faults if _box(fault)]
    absent = len(faults) - len(placed)
    marked = f"{counted(len(placed), 'fault')} marked" if placed else "no fault to mark"
    lost = f"; {counted(absent, 'fault')} without a place" if absent else ""
    yield Plot(
        draw=partial(layout_faults, drawing, technology, placed, cell=cell),
        alt=f"Drawing of {name}, {marked}",
        caption=f"{name}: {marked}{lost}.",
        width=5.2,
        height=5.2,
    )
    first: dict[str, Record] = {}
    for fault in placed:
        first.setdefault(_kind(fault), fault)
    for kind, fault in list(first.items())[:_CLOSE_UPS]:
        yield Plot(
            draw=partial(layout_faults, drawing, technology, placed, cell=cell, near=fault),
            alt=f"Drawing of {name} close up, about one fault: {kind}",
            caption=f"{name} close up, about the first of its faults of this kind: {kind}.",
            width=5.2,
            height=5.2,
        )
