"""The landing of a line: plates of metal and rows of cuts from the line up to the leads.

Cuts stand in as many columns across the line as fit between its neighbours, and in as many rows
along it as current and resistance ask for. Of the enclosures the larger one, on two sides, lies
along the line.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xbarspice.tapeout.technology.layers import Via
    from xbarspice.tapeout.technology.schema import Technology

__all__ = ["Cuts", "Land", "Plate", "land", "pad_cuts", "stack"]

_MOST = 64
"""Rows of cuts along a line; more would make the landing longer than a small array."""


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """Cuts of one via: columns across the line, rows along it."""

    via: str
    across: int
    along: int

    @property
    def count(self) -> int:
        """How many there are."""
        return self.across * self.along


@dataclass(frozen=True, kw_only=True)
class Plate:
    """Metal of one landing, um along and across the line."""

    metal: str
    along: float
    across: float


@dataclass(frozen=True, kw_only=True)
class Land:
    """A landing.

    Attributes:
        plates: metals, the line's own first.
        cuts: vias, bottom first.
        lacking: (via, cuts that are needed, cuts that fit) where they do not fit.
    """

    plates: tuple[Plate, ...]
    cuts: tuple[Cuts, ...]
    lacking: tuple[tuple[str, int, int], ...]

    @property
    def along(self) -> float:
        """Length of the longest plate along the line, um."""
        return max(plate.along for plate in self.plates)


def land(technology: Technology, kind: str, current: float | None = None) -> Land:
    """Choose cuts and plates of the landing of a word line or bit line.

    Args:
        technology: with the stack ``array.landing``.
        kind: "word_line" or "bit_line".
        current: A, that a line carries at most; None for ``lead.current``.
    """
    line = getattr(technology.array, kind)
    pitch = technology.array.pitch[1 if kind == "word_line" else 0]
    I_max = technology.lead.current if current is None else current
    return stack(technology, getattr(technology.array.landing, kind), line.width, pitch, I_max)


def stack(
    technology: Technology, steps: Sequence[str], width: float, pitch: float, current: float
) -> Land:
    """Choose cuts and plates of a stack of metals.

    Args:
        technology: of the metals.
        steps: metals and vias in turn, from the bottom.
        width: of the line in the lowest metal, um.
        pitch: distance to the middle of the next stack across the line, um.
        current: that the stack carries at most, A.
    """
    vias = [technology.vias[name] for name in steps[1::2]]
    share = (technology.lead.resistance or math.inf) / 4 / max(len(vias), 1)
    cuts, lacking = [], []
    for via in vias:
        count = _count(technology, via, current, share)
        columns = min(count, _columns(technology, via, pitch))
        rows = math.ceil(count / columns)
        if rows > _MOST:
            lacking.append((via.name, count, columns * _MOST))
            rows = _MOST
        cuts.append(Cuts(via=via.name, across=columns, along=rows))
    plates = []
    for k, name in enumerate(steps[::2]):
        around = list(_around(technology, cuts[max(k - 1, 0) : k + 1], name))
        along = max((a for a, _ in around), default=0.0)
        across = max((b for _, b in around), default=0.0)
        metal = technology.metals[name]
        across = _even(technology, max(across, width if k == 0 else metal.width))
        along = max(along, metal.width, metal.area / across)
        plates.append(Plate(metal=name, along=_even(technology, along), across=across))
    return Land(plates=tuple(plates), cuts=tuple(cuts), lacking=tuple(lacking))


def pad_cuts(technology: Technology, via: Via) -> int:
    """Cuts on a side of the square of cuts in a pad."""
    pads = technology.pads
    carrying = technology.lead.current / via.current if via.current else 1
    return math.ceil(math.sqrt(max(pads.cuts if pads else 1, math.ceil(carrying - 1e-9))) - 1e-9)


def _count(technology: Technology, via: Via, current: float, resistance: float) -> int:
    """Cuts that carry a current, A, and together stay below a typical resistance, ohm."""
    carrying = math.ceil(current / via.current - 1e-9) if via.current else 1
    R = technology.at("typ").via[via.name]
    return max(1, carrying, math.ceil(R / resistance - 1e-9))


def _columns(technology: Technology, via: Via, pitch: float) -> int:
    """Cuts that fit side by side across a line between its neighbours; at least one."""
    most = math.inf
    for name, enclosure in ((via.lower, via.enclosure.lower), (via.upper, via.enclosure.upper)):
        room = pitch - technology.metals[name].space - 2 * enclosure.all
        most = min(most, (room + via.space) / (via.size + via.space))
    return max(1, math.floor(most + 1e-9))


def _around(
    technology: Technology, neighbours: list[Cuts], metal: str
) -> Iterator[tuple[float, float]]:
    """Extent along and across that a metal needs around its cuts, um."""
    for cuts in neighbours:
        via = technology.vias[cuts.via]
        enclosure = via.enclosure.lower if via.lower == metal else via.enclosure.upper
        along, across = (
            count * (via.size + via.space) - via.space for count in (cuts.along, cuts.across)
        )
        yield along + 2 * enclosure.along, across + 2 * enclosure.all


def _even(technology: Technology, length: float) -> float:
    """The next multiple of twice the grid, so that the middle lies on the grid, um."""
    step = 2 * technology.grid
    return math.ceil(length / step - 1e-6) * step
