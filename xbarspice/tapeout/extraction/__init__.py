"""Connectivity that is real: nets, devices and resistances of a drawing from its geometry alone."""

from xbarspice.tapeout.extraction.extracted import Extracted, LineName, extract, pick_cell
from xbarspice.tapeout.extraction.wires import LineWires, WireView, extract_wires

__all__ = [
    "Extracted",
    "LineName",
    "LineWires",
    "WireView",
    "extract",
    "extract_wires",
    "pick_cell",
]
