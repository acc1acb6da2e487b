"""A cell to draw in, by the names of a technology's metals and vias."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbarspice.tapeout.drawing.klayout import klayout_db
from xbarspice.tapeout.drawing.places import Parts, Rectangle, cuts_of
from xbarspice.tapeout.technology import Technology
from xbarspice.tapeout.technology.landing import Cuts, Land, pad_cuts

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["Sheet", "pad_cell"]


class Sheet:
    """A cell to draw in: boxes by the name of a metal or via, pins and labels."""

    def __init__(self, layout: kdb.Layout, name: str, technology: Technology) -> None:
        self.layout, self.technology = layout, technology
        self.cell = layout.create_cell(name)
        parts = (*technology.metal, *technology.via)
        self._layers = {part.name: part.layer for part in parts}

    def units(self, um: float) -> int:
        """Database units of a length in um."""
        return round(um / self.technology.dbu)

    def box(self, part: str | tuple[int, int], rectangle: Rectangle) -> None:
        """A box of a metal, a via or a layer."""
        layer = self._layers[part] if isinstance(part, str) else part
        self.cell.shapes(self.layout.layer(*layer)).insert(klayout_db().Box(*rectangle))

    def parts(self, parts: Parts, x: int = 0, y: int = 0) -> None:
        """Boxes of metals and vias, around a place."""
        for part, rectangle in parts:
            self.box(part, rectangle.moved(x, y))

    def pin(self, metal: str, rectangle: Rectangle, name: str) -> None:
        """A pin with its label in the middle, where the metal has layers for them."""
        kdb, layers = klayout_db(), self.technology.metals[metal]
        if layers.pin:
            self.box(layers.pin, rectangle)
        x = (rectangle.left + rectangle.right) // 2
        y = (rectangle.bottom + rectangle.top) // 2
        text = kdb.Text(name, kdb.Trans(x, y))
        self.cell.shapes(self.layout.layer(*(layers.label or layers.layer))).insert(text)

    def place(
        self,
        cell: kdb.Cell,
        x: int,
        y: int,
        step: tuple[int, int] = (0, 0),
        count: int = 1,
    ) -> None:
        """Place a cell once, or as a row of copies."""
        kdb = klayout_db()
        at, nothing = kdb.Trans(x, y), kdb.Vector(0, 0)
        if count > 1:
            row = kdb.CellInstArray(cell.cell_index(), at, kdb.Vector(*step), nothing, count, 1)
        else:
            row = kdb.CellInstArray(cell.cell_index(), at)
        self.cell.insert(row)


def pad_cell(layout: kdb.Layout, technology: Technology, name: str) -> kdb.Cell:
    """Metals, cuts and opening of a pad around the origin."""
    sheet, pads = Sheet(layout, name, technology), technology.pads
    if pads is not None:
        size = sheet.units(pads.size)
        for metal in pads.metals:
            sheet.box(metal, Rectangle.around(0, 0, size, size))
        for name in pads.stack[1::2]:
            side = pad_cuts(technology, technology.vias[name])
            cuts = Land(plates=(), cuts=(Cuts(via=name, across=side, along=side),), lacking=())
            sheet.parts(cuts_of(technology, cuts))
        if pads.opening:
            size -= 2 * sheet.units(pads.opening.enclosure)
            sheet.box(pads.opening.layer, Rectangle.around(0, 0, size, size))
    return sheet.cell
