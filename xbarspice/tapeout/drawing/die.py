"""Draws an array with its leads and pads: what a probe card touches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbarspice.core.array import Crossbar
from xbarspice.tapeout.drawing.array import draw_array, pin_name
from xbarspice.tapeout.drawing.fanout import fan_out
from xbarspice.tapeout.drawing.klayout import klayout_db
from xbarspice.tapeout.drawing.places import KINDS, Places, Rectangle
from xbarspice.tapeout.drawing.sheet import Sheet, pad_cell
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["core_name", "draw"]


def core_name(name: str, technology: Technology) -> str:
    """Name of the cell with lines, devices and landings: the top cell if there are no pads."""
    return f"{name}__array" if technology.pads else name


def draw(
    crossbar: Crossbar,
    technology: Technology,
    name: str = "crossbar",
    *,
    current: float | None = None,
    brackets: str = "<>",
) -> kdb.Layout:
    """Draw one array; with ``[pads]`` every line has a lead to a pad.

    Args:
        crossbar: a single array; only its shape and which devices are absent matter.
        technology: layers, rules and lengths.
        name: name of the top cell, with which those of the others begin.
        current: A, that a line carries at most; None for ``lead.current``.
        brackets: "<>" or "[]", around the number of a line in the names of pins.

    Raises:
        InputError: an argument breaks a rule; lines, cuts or leads cannot carry the current or
            keep the resistance.
        PackageMissingError: KLayout's package is not installed.
    """
    pin_name("WL", 0, brackets)
    places = Places(rows=crossbar.rows, cols=crossbar.cols, technology=technology, current=current)
    layout = klayout_db().Layout()
    layout.dbu = technology.dbu
    if technology.pads is None:
        draw_array(layout, crossbar, places, name, brackets)
        return layout
    leads = [fan_out(places, kind) for kind in KINDS]  # refuses before anything is drawn
    sheet = Sheet(layout, name, technology)
    sheet.place(draw_array(layout, crossbar, places, core_name(name, technology), brackets), 0, 0)
    pad = pad_cell(layout, technology, f"{name}__pad")
    half = places.units(technology.pads.size) // 2
    for fan in leads:
        for line, lead in enumerate(fan.leads):
            for box in lead.boxes:
                sheet.box(fan.metal, box)
            sheet.place(pad, *lead.pad)
            land = Rectangle.around(*lead.pad, 2 * half, 2 * half)
            sheet.pin(technology.pads.top, land, pin_name(fan.kind, line, brackets))
    return layout
