"""Draws the lines, devices and landings of one array as a cell of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Flags
from xbarspice.tapeout.drawing.klayout import klayout_db
from xbarspice.tapeout.drawing.places import KINDS, Kind, Places, Rectangle
from xbarspice.tapeout.drawing.sheet import Sheet

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["BRACKETS", "draw_array", "pin_name"]

BRACKETS = ("<>", "[]")
"""How the number of a line stands behind its name."""


def pin_name(kind: Kind, line: int, brackets: str = "<>") -> str:
    """Name of a line's pin, as ``WL<0>``.

    Raises:
        InputError: the brackets are none of `BRACKETS`.
    """
    if brackets not in BRACKETS:
        raise broken_rule(
            f"`brackets` must be one of {list(BRACKETS)}", repr(brackets), "Use one of them."
        )
    return f"{kind}{brackets[0]}{line}{brackets[1]}"


def draw_array(
    layout: kdb.Layout,
    crossbar: Crossbar,
    places: Places,
    name: str,
    brackets: str | None = "<>",
) -> kdb.Cell:
    """Draw lines, devices and landings; every line has a pin on the top metal of its landing.

    The device is a cell of its own that is placed wherever one is present (G > 0), row by row as
    regular arrays; lines and landings are placed as one regular array each.

    Args:
        layout: to draw in.
        crossbar: a single array; only its shape and which devices are absent matter.
        places: of its parts.
        name: of the cell, with which those of the others begin.
        brackets: one of `BRACKETS`; None for no pins.
    """
    sheet = Sheet(layout, name, places.technology)
    device, shift = _device(layout, places, name)
    for r, present in enumerate(crossbar.G_flat[0] > 0):
        for first, stop in _runs(present):
            at = places.x(first) + shift[0], places.y(r) + shift[1]
            sheet.place(device, *at, (places.pitch[0], 0), stop - first)
    for kind, words in KINDS.items():
        _lines(sheet, places, kind, f"{name}__{words}")
        top, plate = places.plates(kind)[-1]
        for line in range(places.count(kind) if brackets else 0):
            box = plate.moved(*places.landing(kind, line))
            sheet.pin(top, box, pin_name(kind, line, brackets or ""))
    return sheet.cell


def _lines(sheet: Sheet, places: Places, kind: Kind, name: str) -> None:
    """All lines of one direction with their landings, dummy lines too."""
    dummies = places.technology.array.dummies
    line = Sheet(sheet.layout, name, places.technology)
    first = places.count(kind) - 1 + dummies if kind == "WL" else -dummies  # the lowest, the left
    x, y = places.landing(kind, first)
    line.box(places.line(kind).metal, places.wire(kind, first).moved(-x, -y))
    line.parts([*places.plates(kind), *places.cuts(kind)])
    step = (0, places.pitch[1]) if kind == "WL" else (places.pitch[0], 0)
    sheet.place(line.cell, x, y, step, places.count(kind) + 2 * dummies)


def _runs(present: Flags) -> list[tuple[int, int]]:
    """First and last + 1 of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], present.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _device(layout: kdb.Layout, places: Places, name: str) -> tuple[kdb.Cell, tuple[int, int]]:
    """Cell of the device, and where its origin lies from the middle of the device."""
    device = places.technology.device
    if device.cell is not None:
        return import_cell(layout, places)
    sheet = Sheet(layout, f"{name}__device", places.technology)
    size = places.units(device.size[0]), places.units(device.size[1])
    sheet.box(device.layer, Rectangle.around(0, 0, *size))
    return sheet.cell, (0, 0)


def import_cell(layout: kdb.Layout, places: Places) -> tuple[kdb.Cell, tuple[int, int]]:
    """Copy the foundry's cell, with its own name, into a layout once.

    Returns:
        The cell, and where its origin lies from the middle of its device layer.

    Raises:
        InputError: the file is no layout, has no such cell, another database unit, no device of
            the size that the technology states, or shapes that reach into the neighbouring cell.
    """
    kdb, device = klayout_db(), places.technology.device
    if device.cell is None:
        raise broken_rule("an imported cell is named in device.cell", "none", "Name one.")
    name = device.cell.name
    source = kdb.Layout()
    try:
        source.read(device.cell.file)
    except RuntimeError as error:
        raise broken_rule("device.cell.file must be a layout", str(error), "Check it.") from error
    cell = source.cell(name)
    if cell is None:
        names = ", ".join(sorted(c.name for c in source.each_cell())[:8])
        raise broken_rule(f"device.cell.name must be in {Path(device.cell.file).name}", name, names)
    _refuse_misfit(source, cell, places)
    target = layout.cell(name) or layout.create_cell(name)
    if target.is_empty():
        target.copy_tree(cell)
    middle = _device_box(source, cell, places).center()
    return target, (-middle.x, -middle.y)


def _device_box(source: kdb.Layout, cell: kdb.Cell, places: Places) -> kdb.Box:
    layer = source.layer(*places.technology.device.layer)
    return cell.bbox_per_layer(layer) if hasattr(cell, "bbox_per_layer") else cell.bbox(layer)


def _refuse_misfit(source: kdb.Layout, cell: kdb.Cell, places: Places) -> None:
    """The foundry's cell must be the device that the technology describes."""
    t = places.technology
    if abs(source.dbu - t.dbu) > 1e-9:
        raise broken_rule(
            f"device.cell must have the database unit {t.dbu:g} um",
            f"{source.dbu:g} um",
            "Change dbu of the technology.",
        )
    box = _device_box(source, cell, places)
    size = box.width() * t.dbu, box.height() * t.dbu
    if any(abs(a - b) > t.dbu / 2 for a, b in zip(size, t.device.size, strict=True)):
        raise broken_rule(
            f"device.cell must hold a device of device.size = {t.device.size} um on layer "
            f"{t.device.layer}",
            f"{size[0]:g} x {size[1]:g} um",
            "Correct device.size, device.layer, or the cell.",
        )
    outline: Any = cell.bbox()
    for axis, extent, pitch in zip(
        "xy", (outline.width(), outline.height()), places.pitch, strict=True
    ):
        if extent > pitch:
            raise broken_rule(
                f"device.cell must fit into array.pitch.{axis} = {pitch * t.dbu:g} um",
                f"{extent * t.dbu:g} um",
                "Raise the pitch.",
            )
    if any(p % places.grid for p in (box.left + box.right, box.bottom + box.top) if p % 2 == 0):
        raise broken_rule(
            "the middle of device.cell must lie on the grid",
            f"({box.center().x}, {box.center().y})",
            "Move the shapes of the cell.",
        )
