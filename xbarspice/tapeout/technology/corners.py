"""Resistances of metals and vias at a corner and a temperature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.tapeout.technology.layers import Spread
    from xbarspice.tapeout.technology.schema import Technology

__all__ = ["CORNERS", "Corner", "Resistances", "resistances_at"]

Corner = Literal["min", "typ", "max"]
CORNERS: tuple[Corner, ...] = get_args(Corner)
"""Of the resistances: smallest, typical and largest."""


@dataclass(frozen=True, kw_only=True)
class Resistances:
    """What metals and vias measure at one corner and temperature.

    Attributes:
        corner: one of `CORNERS`.
        temperature: degrees Celsius.
        sheet: ohm a square, by name of the metal.
        via: ohm a cut, by name of the via.
    """

    corner: Corner
    temperature: float
    sheet: Mapping[str, float]
    via: Mapping[str, float]


def resistances_at(
    technology: Technology, corner: Corner, temperature: float | None = None
) -> Resistances:
    """Resistances of a technology; linear in the temperature: ``R (1 + tc (T - T_0))``.

    Args:
        technology: whose ``temperature.resistance`` is ``T_0``.
        corner: one of `CORNERS`.
        temperature: degrees Celsius; None for ``T_0``.

    Raises:
        InputError: the corner is unknown, or a resistance would be negative at that temperature.
    """
    if corner not in CORNERS:
        raise broken_rule(f"`corner` must be one of {list(CORNERS)}", repr(corner), "Use one.")
    reference = technology.temperature.resistance
    T = reference if temperature is None else temperature

    def value(name: str, R: float | Spread, tc: float) -> float:
        factor = 1 + tc * (T - reference)
        if not factor > 0:
            raise broken_rule(
                f"the resistance of {name} must be positive at a temperature",
                f"{T:g} degrees Celsius, where tc = {tc:g} makes it negative",
                "Pass a temperature that the metal survives.",
            )
        return (R if isinstance(R, (int, float)) else getattr(R, corner)) * factor

    return Resistances(
        corner=corner,
        temperature=T,
        sheet={m.name: value(m.name, m.sheet, m.tc) for m in technology.metal},
        via={v.name: value(v.name, v.resistance, v.tc) for v in technology.via},
    )
