"""Wires of an array at the corners of its technology."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarspice.core.wires import Resistance
from xbarspice.tapeout.technology import CORNERS, Corner, Technology
from xbarspice.tapeout.technology.landing import land, pad_cuts

__all__ = ["Condition", "conditions", "wires_at"]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A corner of metals and vias, and a temperature in degrees Celsius."""

    corner: Corner
    temperature: float

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.corner}, {self.temperature:g} deg C"


def conditions(technology: Technology) -> list[Condition]:
    """The three corners at the temperature of the resistances, and at that of the limits.

    The second one is left out where no metal and no via depends on the temperature.
    """
    stated = technology.temperature
    temperatures = [stated.resistance]
    depends = any(part.tc for part in (*technology.metal, *technology.via))
    if depends and stated.current != stated.resistance:
        temperatures.append(stated.current)
    return [Condition(corner=c, temperature=T) for T in temperatures for c in CORNERS]


def wires_at(
    technology: Technology, wires: dict[str, Any], condition: Condition
) -> dict[str, Resistance]:
    """Wires of another corner, from the typical ones of a drawing.

    Segments follow the sheet resistance of their metal. Of a lead, the cuts of landing and pad
    follow their vias, and the rest the metal of the leads (without pads that of the line).

    Args:
        technology: of the drawing.
        wires: R_wl, R_bl, R_driver and R_sense, numbers or arrays, ohm, typical.
        condition: the corner.
    """
    typical = technology.at("typ")
    there = technology.at(condition.corner, condition.temperature)
    lines = {"word_line": ("R_wl", "R_driver"), "bit_line": ("R_bl", "R_sense")}
    out: dict[str, Resistance] = {}
    for kind, (segment, lead) in lines.items():
        metal = getattr(technology.array, kind).metal
        out[segment] = _scaled(wires[segment], there.sheet[metal] / typical.sheet[metal])
        counts = _cuts(technology, kind)
        cuts, cuts_there = (sum(R.via[via] / n for via, n in counts) for R in (typical, there))
        top = technology.pads.metal if technology.pads else metal
        rest = np.maximum(np.asarray(wires[lead], dtype=float) - cuts, 0.0)
        total = cuts_there + rest * (there.sheet[top] / typical.sheet[top])
        out[lead] = float(total) if total.ndim == 0 else total
    return out


def _cuts(technology: Technology, kind: str) -> list[tuple[str, int]]:
    """Vias from a line up to where the needle touches, and how many cuts share its current."""
    out = [(cuts.via, cuts.count) for cuts in land(technology, kind).cuts]
    steps = technology.pads.stack[1::2] if technology.pads else ()
    return out + [(via, pad_cuts(technology, technology.vias[via]) ** 2) for via in steps]


def _scaled(R: Any, factor: float) -> Resistance:
    return R * factor if isinstance(R, np.ndarray) else float(R) * factor
