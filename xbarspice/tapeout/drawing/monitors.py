"""Test structures with pads of their own: lines with four pads, single devices, chains of vias.

Each is a cell with a row of pads at the pitch of the probe card, the first at the origin, and the
structure above them. A line is measured between two taps that stand one pitch of the pads apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.tapeout.drawing.array import draw_array
from xbarspice.tapeout.drawing.places import (
    KINDS,
    Kind,
    Places,
    Rectangle,
    cuts_of,
    plates_of,
)
from xbarspice.tapeout.drawing.sheet import Sheet, pad_cell
from xbarspice.tapeout.technology import Technology
from xbarspice.tapeout.technology.landing import Land, stack
from xbarspice.tapeout.technology.layers import Enclosure, Via
from xbarspice.tapeout.technology.schema import Pads

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["draw_monitors"]


def draw_monitors(layout: kdb.Layout, technology: Technology, name: str) -> list[kdb.Cell]:
    """Draw the structures that ``die.monitors`` asks for, each as a cell of its own.

    Args:
        layout: to draw in.
        technology: with ``[pads]``; without ``die.monitors`` nothing is drawn.
        name: with which the names of the cells begin.
    """
    kinds, pads = technology.die.monitors, technology.pads
    if kinds is None or pads is None:
        return []
    bench = _Bench(layout, technology, pads, name)
    cells = []
    if kinds.lines:
        cells += [bench.line(kind) for kind in KINDS]
    cells += [bench.device(k) for k in range(kinds.devices)]
    if kinds.chains:
        cells += [bench.chain(via) for via in technology.via if bench.reaches(via)]
    return cells


class _Bench:
    """Where monitors are drawn; they share the cell of the pad and the core of the devices."""

    def __init__(self, layout: kdb.Layout, technology: Technology, pads: Pads, name: str) -> None:
        self.layout, self.technology, self.pads, self.name = layout, technology, pads, name
        self.pad = pad_cell(layout, technology, f"{name}__pad")
        self.places = Places(rows=1, cols=1, technology=technology)
        units, metal = self.places.units, technology.metals[pads.metal]
        self.pitch, self.size = units(pads.pitch), units(pads.size)
        self.space = units(metal.wide.space if metal.wide else metal.space)
        step = 2 * self.places.grid
        self.width = max(self.size // 6 // step * step, units(metal.width))
        self.above = self.size // 2 + 4 * self.space  # where a structure begins
        self.core: kdb.Cell | None = None

    def _sheet(self, kind: str, pins: Sequence[str]) -> Sheet:
        """A cell with a row of pads; their pins are named after the structure."""
        sheet = Sheet(self.layout, f"{self.name}__{kind}", self.technology)
        for k, pin in enumerate(pins):
            x = k * self.pitch
            sheet.place(self.pad, x, 0)
            land = Rectangle.around(x, 0, self.size, self.size)
            sheet.pin(self.pads.top, land, f"{kind}_{pin}")
        return sheet

    def _rise(self, sheet: Sheet, x: int, top: int, metal: str | None = None) -> None:
        """A lead straight up from a pad."""
        half = self.width // 2
        sheet.box(metal or self.pads.metal, Rectangle(x - half, 0, x + half, top))

    def reaches(self, via: Via) -> bool:
        """Whether a chain of a via can be led to pads: it begins at or below their metals."""
        order = [metal.name for metal in self.technology.metal]
        return order.index(via.lower) <= order.index(self.pads.top)

    def line(self, kind: Kind) -> kdb.Cell:
        """A line over four pads: current through the outer ones, voltage at the inner ones."""
        land, line = self.places.lands[kind], self.places.line(kind)
        sheet = self._sheet(f"kelvin_{KINDS[kind]}", ("F1", "S1", "S2", "F2"))
        plates = plates_of(self.technology, land)
        y = self.above + max(plate.top for _, plate in plates)
        for k in range(4):
            sheet.parts([*plates, *cuts_of(self.technology, land)], k * self.pitch, y)
            self._rise(sheet, k * self.pitch, y + plates[-1][1].top)
        half = self.places.units(line.width) // 2
        sheet.box(line.metal, Rectangle(0, y - half, 3 * self.pitch, y + half))
        return sheet.cell

    def device(self, number: int) -> kdb.Cell:
        """A single device: an array of one row and one column between two pads."""
        sheet = self._sheet(f"device_{number}", ("WL", "BL"))
        if self.core is None:
            one = Crossbar(np.ones((1, 1)), R_wl=1.0, R_bl=1.0)
            self.core = draw_array(self.layout, one, self.places, f"{self.name}__single", None)
        places, metal = self.places, self.pads.metal
        (x_wl, _), (_, y_bl) = places.landing("WL", 0), places.landing("BL", 0)
        plates = {kind: places.plates(kind)[-1][1] for kind in KINDS}
        x, y = self.pitch, self.above + 4 * self.space + self.width - y_bl
        sheet.place(self.core, x, y)
        turn = x + x_wl + plates["WL"].left - 4 * self.space  # the wide lead keeps away
        half, (wl, bl) = self.width // 2, (plates["WL"], plates["BL"])
        self._rise(sheet, 0, y + wl.bottom + self.width)
        sheet.box(metal, Rectangle(-half, y + wl.bottom, turn, y + wl.bottom + self.width))
        sheet.box(metal, Rectangle(turn, y + wl.bottom, x + x_wl, y + wl.top))
        low = y + y_bl + bl.bottom - 4 * self.space
        self._rise(sheet, x, low)
        sheet.box(metal, Rectangle(x + bl.left, low, x + bl.right, y + y_bl))
        return sheet.cell

    def chain(self, via: Via) -> kdb.Cell:
        """As many cuts of a via as fit between two pads, one after the other.

        The chain begins and ends in the metal from which a stack leads up to the leads, or in one
        of the pads' own metals.
        """
        sheet = self._sheet(f"chain_{via.name}", ("A", "B"))
        t, units, grid = self.technology, self.places.units, self.places.grid
        size, ends = units(via.size), self._ends(via)
        plates = plates_of(t, ends)
        links = {
            name: self._link(via, name, around)
            for name, around in (
                (via.lower, via.enclosure.lower),
                (via.upper, via.enclosure.upper),
            )
        }
        step = max(
            size + 2 * along + units(t.metals[name].space) for name, (along, _) in links.items()
        )
        step = max(step, size + units(via.space))
        wide = [t.metals[name].space_of(self.pads.size) for name in links]
        end = max(self.width // 2 + units(max(wide)), *(plate.right for _, plate in plates))
        count = (self.pitch - 2 * (end + step)) // step // 2 * 2
        first = (self.pitch - (count - 1) * step) // 2 // grid * grid
        y = self.size // 2 + 4 * units(max(wide))
        y += max(*(plate.top for _, plate in plates), *(half for _, half in links.values()))
        for x in (0, self.pitch):
            sheet.parts([*plates, *cuts_of(t, ends)], x, y)
            self._rise(sheet, x, y + plates[-1][1].top, plates[-1][0])
        middles = [first + k * step for k in range(count)]
        for x in middles:
            sheet.box(via.name, Rectangle.around(x, y, size, size))
        outer = plates[0][0]
        (inner,) = (name for name in links if name != outer)
        through = [0, *middles, self.pitch]
        for name, stops in ((outer, through), (inner, middles)):
            along, half = links[name]
            for a, b in zip(stops[::2], stops[1::2], strict=True):
                left = a if a == 0 else a - size // 2 - along
                right = b if b == self.pitch else b + size // 2 + along
                sheet.box(name, Rectangle(left, y - half, right, y + half))
        return sheet.cell

    def _link(self, via: Via, metal: str, around: Enclosure) -> tuple[int, int]:
        """Metal beyond the cut along a link, and half the width of the link."""
        units, step = self.places.units, 2 * self.places.grid
        width = max(via.size + 2 * around.all, self.technology.metals[metal].width)
        return units(around.along), math.ceil(units(width) / step) * step // 2

    def _ends(self, via: Via) -> Land:
        """Stack from the upper metal of a via to the leads; above these the lower metal alone."""
        t = self.technology
        if via.lower in self.pads.metals:
            metal, around, steps = via.lower, via.enclosure.lower, [via.lower]
        else:
            metal, around, steps = via.upper, via.enclosure.upper, [via.upper]
            while steps[-1] != self.pads.metal:
                steps += next((v.name, v.upper) for v in t.via if v.lower == steps[-1])
        width = max(t.metals[metal].width, via.size + 2 * around.all)
        return stack(t, steps, width, self.pads.pitch, t.lead.current)
