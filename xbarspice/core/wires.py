"""The four resistances of an array: their names, words, limits and check; all are in ohm."""

from __future__ import annotations

from typing import Any

from xbarspice.core.errors import broken_rule
from xbarspice.core.values import number_of

__all__ = ["IDEAL", "R_HIGH", "R_LOW", "UNIT", "WIRES", "WORDS", "resistance_of", "wires_of"]

WIRES = ("R_wl", "R_bl", "R_driver", "R_sense")
"""Names of the four resistances, in the order that arrays of their values have."""
WORDS = {
    "R_wl": "word-line segment",
    "R_bl": "bit-line segment",
    "R_driver": "lead of a word line",
    "R_sense": "lead of a bit line",
}
"""What each is on a drawn array, which is read from word lines to bit lines."""
UNIT = "ohm"
IDEAL = dict.fromkeys(WIRES, 0.0)
"""Wires and leads without resistance."""
R_LOW, R_HIGH = 1e-30, 1e15
"""Smallest resistance but 0, and largest, ohm. Solves multiply, square and invert such numbers;
within these limits nothing of that overflows or vanishes."""


def resistance_of(name: str, value: Any) -> float:
    """A wire or lead, ohm: 0, or from `R_LOW` to `R_HIGH`.

    Raises:
        InputError: it is no such number.
    """
    remedy = f"Give it in ohm: 0 for an ideal connection, or {R_LOW:g} to {R_HIGH:g}."
    out = number_of(name, value, low=0.0, high=R_HIGH, remedy=remedy)
    if 0.0 < out < R_LOW:
        raise broken_rule(f"`{name}` must be 0 or >= {R_LOW:g} ohm", f"{out!r}", remedy)
    return out


def wires_of(thing: Any) -> dict[str, Any]:
    """The four resistances by name, ohm, of whatever has them as attributes."""
    return {name: getattr(thing, name) for name in WIRES}
