"""What every part of a drawn array carries: segments, cuts, leads and pads, with their places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xbarspice.core.types import Array
from xbarspice.tapeout.drawing import KINDS, Kind, Places
from xbarspice.tapeout.drawing.fanout import fan_out
from xbarspice.tapeout.technology import Technology

__all__ = ["Capacity", "capacities"]

WORDS: dict[Kind, str] = {"WL": "word line", "BL": "bit line"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Capacity:
    """One kind of part.

    Attributes:
        part: "segment", the name of a via, "lead" or "pad".
        kind: "WL" or "BL".
        layer: metal or via, with what limits it, in words.
        ampere: that each part carries, A: (lines, segments) for segments, else (lines,).
        share: part of the line's current that one of them takes: 1 / cuts for a via.
        x, y: middles, um, of the shape of `ampere`.
    """

    part: str
    kind: Kind
    layer: str
    ampere: Array
    share: float
    x: Array
    y: Array

    def place(self, line: int, segment: int | None) -> str:
        """Where a part stands, in words."""
        at = f"{WORDS[self.kind]} {line}"
        if segment is None:
            return f"{self.part} of {at}"
        return f"{at}, segment after {'column' if self.kind == 'WL' else 'row'} {segment}"


def capacities(technology: Technology, rows: int, cols: int) -> list[Capacity]:
    """All parts of an array as it is drawn whose metal or via has a limit.

    Cuts of one landing share the current of their line evenly; of a lead the narrowest stretch
    counts, of a pad its full width.

    Args:
        technology: of the drawing.
        rows, cols: shape of the array.
    """
    places = Places(rows=rows, cols=cols, technology=technology)
    out = []
    for kind in KINDS:
        out += [*_segments(places, kind), *_cuts(places, kind), *_leads(places, kind)]
    return out


def _segments(places: Places, kind: Kind) -> list[Capacity]:
    t, metal, width = places.technology, places.metal(kind), places.line(kind).width
    if metal.current is None:
        return []
    x = np.array([places.x(c) for c in range(places.cols)]) * t.dbu
    y = np.array([places.y(r) for r in range(places.rows)]) * t.dbu
    along, lines = (x, y) if kind == "WL" else (y, x)
    middles = (along[:-1] + along[1:]) / 2
    a, b = np.broadcast_arrays(middles[None, :], lines[:, None])
    return [
        Capacity(
            part="segment",
            kind=kind,
            layer=f"{metal.name}, {width:g} um",
            ampere=np.full(a.shape, metal.current * width),
            share=1.0,
            x=a if kind == "WL" else b,
            y=b if kind == "WL" else a,
        )
    ]


def _cuts(places: Places, kind: Kind) -> list[Capacity]:
    out = []
    for cuts in places.lands[kind].cuts:
        limit = places.technology.vias[cuts.via].current
        if limit is not None:
            x, y = _landings(places, kind)
            out.append(
                Capacity(
                    part=f"cut {cuts.via}",
                    kind=kind,
                    layer=f"{cuts.via}, {cuts.count} cuts a line",
                    ampere=np.full(x.shape, limit),
                    share=1.0 / cuts.count,
                    x=x,
                    y=y,
                )
            )
    return out


def _landings(places: Places, kind: Kind) -> tuple[Array, Array]:
    points = [places.landing(kind, line) for line in range(places.count(kind))]
    x, y = np.array(points, dtype=float).T * places.technology.dbu
    return x, y


def _leads(places: Places, kind: Kind) -> list[Capacity]:
    """Leads and pads, where the technology has pads."""
    t = places.technology
    if t.pads is None:
        return []
    metal = t.metals[t.pads.metal]
    if metal.current is None:
        return []
    leads = fan_out(places, kind).leads
    widths = np.array(
        [min(min(b.right - b.left, b.top - b.bottom) for b in v.boxes) for v in leads]
    )
    widths = widths * t.dbu
    x, y = _landings(places, kind)
    pads = np.array([lead.pad for lead in leads], dtype=float).T * t.dbu
    narrowest = f"{metal.name}, {widths.min():g} um and more"
    parts = (
        ("lead", narrowest, metal.current * widths, (x, y)),
        (
            "pad",
            f"{metal.name}, {t.pads.size:g} um",
            np.full(x.shape, metal.current * t.pads.size),
            pads,
        ),
    )
    return [
        Capacity(part=part, kind=kind, layer=layer, ampere=ampere, share=1.0, x=at[0], y=at[1])
        for part, layer, ampere, at in parts
    ]
