"""Where the parts of an array stand, in whole database units, on the manufacturing grid.

Column 0 is at x = 0, the last row at y = 0; row 0 is the top. Word lines have their landings on the
left, bit lines at the bottom. Nothing here needs KLayout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from xbarspice.tapeout.technology import Technology
from xbarspice.tapeout.technology.landing import Land, land
from xbarspice.tapeout.technology.layers import Metal
from xbarspice.tapeout.technology.schema import Line

__all__ = ["KINDS", "Kind", "Parts", "Places", "Rectangle", "cuts_of", "plates_of"]

Kind = Literal["WL", "BL"]
KINDS: dict[Kind, str] = {"WL": "word_line", "BL": "bit_line"}
"""Word lines and bit lines, and how a technology calls them."""


class Rectangle(NamedTuple):
    """A box in database units."""

    left: int
    bottom: int
    right: int
    top: int

    @classmethod
    def around(cls, x: int, y: int, width: int, height: int) -> Rectangle:
        """A box around its centre; width and height are even."""
        return cls(x - width // 2, y - height // 2, x + width // 2, y + height // 2)

    def moved(self, x: int, y: int) -> Rectangle:
        """The same box elsewhere."""
        return Rectangle(self.left + x, self.bottom + y, self.right + x, self.top + y)


Parts = list[tuple[str, Rectangle]]
"""Boxes with the names of their metals or vias."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """The places of one array.

    Attributes:
        rows, cols: word lines and bit lines with devices.
        technology: lengths and rules.
        current: A, that a line carries at most; None for that of the technology.
    """

    rows: int
    cols: int
    technology: Technology
    current: float | None = None

    def units(self, um: float) -> int:
        """Database units of a length in um."""
        return round(um / self.technology.dbu)

    @cached_property
    def grid(self) -> int:
        """Manufacturing grid in database units."""
        return self.units(self.technology.grid)

    @cached_property
    def pitch(self) -> tuple[int, int]:
        """Between bit lines, and between word lines."""
        x, y = self.technology.array.pitch
        return self.units(x), self.units(y)

    def x(self, col: int) -> int:
        """Centre of a bit line."""
        return col * self.pitch[0]

    def y(self, row: int) -> int:
        """Centre of a word line; row 0 is the top."""
        return (self.rows - 1 - row) * self.pitch[1]

    def line(self, kind: Kind) -> Line:
        """Metal and width of one direction."""
        return self.technology.array.word_line if kind == "WL" else self.technology.array.bit_line

    def metal(self, kind: Kind) -> Metal:
        """The metal of one direction."""
        return self.technology.metals[self.line(kind).metal]

    def count(self, kind: Kind) -> int:
        """Lines of one direction, without dummy lines."""
        return self.rows if kind == "WL" else self.cols

    @cached_property
    def lands(self) -> dict[Kind, Land]:
        """Landings of both directions."""
        return {kind: land(self.technology, name, self.current) for kind, name in KINDS.items()}

    @cached_property
    def inner(self) -> Rectangle:
        """What the lines cover without their landings: dummy lines and the ends of lines."""
        t, dummies = self.technology, self.technology.array.dummies
        across = {kind: self.units(self.line(kind).width) // 2 for kind in KINDS}
        beyond = {
            "WL": self.units(t.device.size[0]) // 2 + self.units(t.array.word_line.extension),
            "BL": self.units(t.device.size[1]) // 2 + self.units(t.array.bit_line.extension),
        }
        x, y = max(across["BL"], beyond["WL"]), max(across["WL"], beyond["BL"])
        return Rectangle(
            self.x(-dummies) - across["BL"],
            self.y(self.rows - 1 + dummies) - across["WL"],
            self.x(self.cols - 1 + dummies) + x,
            self.y(-dummies) + y,
        )

    def landing(self, kind: Kind, line: int) -> tuple[int, int]:
        """Centre of the landing of a line; dummy lines have numbers below 0 and above the last."""
        out = self._clearance("BL" if kind == "WL" else "WL")
        out += self.units(self.lands[kind].along) // 2
        out = -(-out // self.grid) * self.grid
        if kind == "WL":
            return self.inner.left - out, self.y(line)
        return self.x(line), self.inner.bottom - out

    def _clearance(self, other: Kind) -> int:
        """What a landing keeps from the outermost line of the other direction and its landing."""
        t = self.technology
        metals = {plate.metal for land in self.lands.values() for plate in land.plates}
        space = max(t.device.space, *(t.metals[name].space for name in metals))
        across = max(plate.across for plate in self.lands[other].plates)
        return self.units(space) + self.units(across - self.line(other).width) // 2

    def wire(self, kind: Kind, line: int) -> Rectangle:
        """Metal of a line from the middle of its landing to its end."""
        half = self.units(self.line(kind).width) // 2
        x, y = self.landing(kind, line)
        if kind == "WL":
            return Rectangle(x, y - half, self.inner.right, y + half)
        return Rectangle(x - half, y, x + half, self.inner.top)

    def plates(self, kind: Kind) -> Parts:
        """Metals of a landing around its centre."""
        return plates_of(self.technology, self.lands[kind], across=kind == "BL")

    def cuts(self, kind: Kind) -> Parts:
        """Cuts of a landing around its centre."""
        return cuts_of(self.technology, self.lands[kind], across=kind == "BL")

    def crossings(self, box: Rectangle) -> list[tuple[int, int]]:
        """Crossings (row, column) whose centres lie in a box."""
        x, y = self.pitch
        cols = range(max(0, -(-box.left // x)), min(self.cols - 1, box.right // x) + 1)
        low, high = max(0, -(-box.bottom // y)), min(self.rows - 1, box.top // y)
        return [(self.rows - 1 - k, c) for k in range(low, high + 1) for c in cols]


def plates_of(technology: Technology, land: Land, *, across: bool = False) -> Parts:
    """Metals of a landing around its centre; its line lies along x, or along y (`across`)."""
    out = []
    for plate in land.plates:
        size = [round(length / technology.dbu) for length in (plate.along, plate.across)]
        out.append((plate.metal, Rectangle.around(0, 0, *(size[::-1] if across else size))))
    return out


def cuts_of(technology: Technology, land: Land, *, across: bool = False) -> Parts:
    """Cuts of a landing around its centre; its line lies along x, or along y (`across`)."""
    out = []
    grid = round(technology.grid / technology.dbu)
    for cuts in land.cuts:
        via = technology.vias[cuts.via]
        size, step = (round(um / technology.dbu) for um in (via.size, via.size + via.space))
        counts = (cuts.across, cuts.along) if across else (cuts.along, cuts.across)
        columns, rows = (_row(count, size, step, grid) for count in counts)
        out += [(via.name, Rectangle(x, y, x + size, y + size)) for x in columns for y in rows]
    return out


def _row(count: int, size: int, step: int, grid: int) -> range:
    """Lower edges of cuts around 0, on the grid."""
    first = -((count - 1) * step + size) // 2
    first = -(-first // grid) * grid
    return range(first, first + count * step, step)
