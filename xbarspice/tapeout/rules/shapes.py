"""The shapes of one cell, layer by layer, in database units; and what of a file no rule sees."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from xbarspice.core.errors import broken_rule
from xbarspice.tapeout.drawing.klayout import klayout_db
from xbarspice.tapeout.rules.rule import drawing_layers, known_layers
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["Shapes", "notices", "top_cells"]

_WIDEST = 2**30
"""Database units; KLayout's coordinates have 32 bits."""
_MOST = 10_000_000
"""Shapes of a cell; they are held in memory one by one."""


def top_cells(layout: kdb.Layout, cell: str | None = None) -> list[kdb.Cell]:
    """The cells to check: all top cells, or the named one.

    Raises:
        InputError: there is no such cell, the file has none, one has too many shapes, or a cell
            that is placed is missing in the file, so that its shapes are unknown.
    """
    chosen = _choose(layout, cell)
    counts: dict[int, int] = {}
    for index in layout.each_cell_bottom_up():
        part = layout.cell(index)
        inside = sum(counts[i.cell_index] * i.size() for i in part.each_inst())
        direct = sum(part.shapes(layer).size() for layer in layout.layer_indexes())
        counts[index] = direct + inside
    for top in chosen:
        if counts[top.cell_index()] > _MOST:
            raise broken_rule(
                f"a checked cell must hold at most {_MOST} shapes",
                f"{counts[top.cell_index()]} in {top.name} and the cells below it",
                "Check its parts with `cell`, or correct the counts of its arrays.",
            )
    return chosen


def _choose(layout: kdb.Layout, cell: str | None) -> list[kdb.Cell]:
    ghosts = sorted(c.name for c in layout.each_cell() if c.is_ghost_cell())
    if ghosts:
        raise broken_rule(
            "every cell that a layout places must be in its file",
            f"places of {', '.join(ghosts[:5])}" + (" and more" if ghosts[5:] else ""),
            "Merge the file with the one that holds them.",
        )
    tops = sorted(layout.top_cells(), key=lambda c: c.name)
    if cell is None:
        if not tops:
            raise broken_rule("a layout must hold a cell", "none", "Check the file.")
        return tops
    chosen = layout.cell(cell)
    if chosen is None:
        raise broken_rule(
            "`cell` must name a cell of the layout",
            cell,
            f"Its top cells are {', '.join(c.name for c in tops[:5])}.",
        )
    return [chosen]


class Shapes:
    """Regions of one cell by the name of the drawing layer, flat.

    Attributes:
        dbu: um a database unit; the technology's, or that of the layout where it is finer.
        cell: name of the cell.

    Raises:
        InputError: the database unit of the layout and that of the technology are no multiple of
            one another.
    """

    def __init__(self, layout: kdb.Layout, cell: kdb.Cell, technology: Technology) -> None:
        self.cell, self.technology = cell.name, technology
        self._layout, self._top = layout, cell
        coarser, finer = layout.dbu / technology.dbu, technology.dbu / layout.dbu
        if not _is_whole(coarser) and not _is_whole(finer):
            raise broken_rule(
                f"the database unit of a layout and {technology.dbu:g} um of the technology must "
                "be multiples of one another",
                f"{layout.dbu:g} um",
                "Write the layout with the technology's unit.",
            )
        self._factor = round(coarser) if _is_whole(coarser) else 1
        self.dbu = layout.dbu / self._factor
        self._layers = drawing_layers(technology)
        self._raw: dict[str, kdb.Region] = {}
        self._merged: dict[str, kdb.Region] = {}

    @property
    def names(self) -> list[str]:
        """Names of the drawing layers."""
        return list(self._layers)

    def units(self, um: float) -> int:
        """Smallest number of database units that is not below a length.

        Raises:
            InputError: it exceeds what a layout can hold.
        """
        if um / self.dbu > _WIDEST:
            raise broken_rule(
                f"a length of the rules must be at most {_WIDEST * self.dbu:g} um",
                f"{um:g} um",
                "Correct the technology, or write the layout with a coarser database unit.",
            )
        return math.ceil(um / self.dbu - 1e-6)

    def raw(self, name: str) -> kdb.Region:
        """Shapes as they are drawn, overlapping ones apart."""
        if name not in self._raw:
            self._raw[name] = self._read(self._layers[name])
        return self._raw[name]

    def merged(self, name: str) -> kdb.Region:
        """Shapes that touch or overlap joined."""
        if name not in self._merged:
            self._merged[name] = self.raw(name).merged()
        return self._merged[name]

    def outside_foundry_cell(self, name: str) -> kdb.Region:
        """Shapes that do not come from the foundry's cell of the device, joined."""
        cell = self.technology.device.cell
        foundry = None if cell is None else self._layout.cell(cell.name)
        if foundry is None:
            return self.merged(name)
        return self._read(self._layers[name], without=foundry.cell_index()).merged()

    def extent(self) -> kdb.Box:
        """The box around all drawing layers."""
        box = klayout_db().Box()
        for name in self._layers:
            box += self.raw(name).bbox()
        return box

    def _read(self, layer: tuple[int, int], without: int | None = None) -> kdb.Region:
        kdb = klayout_db()
        index = self._layout.find_layer(*layer)
        if index is None:
            region = kdb.Region()
        else:
            shapes = self._top.begin_shapes_rec(index)
            if without is not None:
                shapes.unselect_cells([without])
            scale = kdb.ICplxTrans(float(self._factor))
            region = kdb.Region(shapes, scale) if self._factor > 1 else kdb.Region(shapes)
        region.flatten()
        region.merged_semantics = False
        return region


def _is_whole(ratio: float) -> bool:
    return ratio > 0.5 and abs(ratio - round(ratio)) < 1e-6 * ratio


def notices(layout: kdb.Layout, cell: kdb.Cell, technology: Technology) -> Iterator[str]:
    """What stands below a cell and no rule sees, a sentence each.

    Shapes on layers that the technology does not know, and drawn shapes without area, which no
    operation on areas sees.
    """
    known, drawn = known_layers(technology), set(drawing_layers(technology).values())
    below = [cell.cell_index(), *cell.called_cells()]
    for info in sorted(layout.layer_infos(), key=lambda i: (i.layer, i.datatype, i.name)):
        index, layer = layout.layer(info), (info.layer, info.datatype)
        if layer not in known:
            count = sum(layout.cell(c).shapes(index).size() for c in below)
            if count:
                yield (
                    f"{count} shapes of {cell.name} and the cells below it are on layer {info}, "
                    "which the technology does not know: nothing was checked there"
                )
        elif layer in drawn:
            count = sum(_count_empty(layout.cell(c).shapes(index)) for c in below)
            if count:
                yield (
                    f"{count} shapes of {cell.name} and the cells below it on layer {info} have "
                    "no area: no rule sees them"
                )
    foundry = technology.device.cell
    if foundry is not None and layout.cell(foundry.name) is None:
        yield f"the layout has no cell {foundry.name}: every device counts as drawn without it"


def _count_empty(shapes: kdb.Shapes) -> int:
    solid = klayout_db().Shapes.SBoxes | klayout_db().Shapes.SPolygons | klayout_db().Shapes.SPaths
    return sum(shape.area() == 0 for shape in shapes.each(solid))
