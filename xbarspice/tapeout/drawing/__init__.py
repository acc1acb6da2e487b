"""Draws a passive crossbar: lines, devices, landings, leads, pads, pins and labels."""

from xbarspice.tapeout.drawing.array import BRACKETS, pin_name
from xbarspice.tapeout.drawing.die import core_name, draw
from xbarspice.tapeout.drawing.klayout import klayout_db, read, save
from xbarspice.tapeout.drawing.places import KINDS, Kind, Places, Rectangle

__all__ = [
    "BRACKETS",
    "KINDS",
    "Kind",
    "Places",
    "Rectangle",
    "core_name",
    "draw",
    "klayout_db",
    "pin_name",
    "read",
    "save",
]
