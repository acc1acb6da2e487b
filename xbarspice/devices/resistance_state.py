"""Devices whose state is a resistance R in ohm, with the static current ``I = (a/R) sinh(b V)``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from xbarspice.core.parameters import POSITIVE, Range
from xbarspice.devices.dynamic import DynamicDevice
from xbarspice.devices.sinh import SinhTiO2

__all__ = ["ResistanceState"]


@dataclass(frozen=True, kw_only=True)
class ResistanceState(SinhTiO2, DynamicDevice):
    """The state R is confined to [R_on, R_off]; G_read = ``(a/R) sinh(b V_read) / V_read``.

    Args:
        a: prefactor of the static current (no unit).
        R_on, R_off: smallest and largest state, ohm.
    """

    state_unit: ClassVar[str] = "ohm"
    spice_unit: ClassVar[float] = 1e3
    spice_current: ClassVar[str] = "{a}/(v(x)*1e3)*sinh({b}*v(p,n))"
    verilog_current: ClassVar[str] = "a / (1e3 * V(x)) * sinh(b * v)"
    ranges: ClassVar[Mapping[str, Range]] = {
        **SinhTiO2.ranges,
        "a": POSITIVE,
        "R_on": POSITIVE,
        "R_off": POSITIVE,
    }
    state_limits: ClassVar[tuple[str, str] | None] = ("R_on", "R_off")

    a: float
    R_on: float
    R_off: float

    def _ratio(self) -> float:
        """R times the read conductance."""
        return self.a * math.sinh(self.b * self.V_read) / self.V_read

    @property
    def state_range(self) -> tuple[float, float]:
        return self.R_on, self.R_off

    def state(self, G: Any) -> Any:
        return self._ratio() / G

    def conductance(self, x: Any) -> Any:
        return self._ratio() / x

    def figures(self) -> dict[str, float]:
        """Figures of the netlist forms by their names there, in the order of the fields."""
        first = ("a", "b")
        others = [f.name for f in fields(self) if f.name not in (*first, "V_read")]
        return {name.lower(): getattr(self, name) for name in (*first, *others)}
