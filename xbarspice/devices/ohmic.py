"""The ohmic device: I = G V."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from xbarspice.core.device import Device, register

__all__ = ["Ohmic"]


@register("ohmic")
@dataclass(frozen=True, kw_only=True)
class Ohmic(Device):
    """A linear resistor of conductance `G` (Ohm's law)."""

    source: ClassVar[str] = "Ohm's law"
    linear: ClassVar[bool] = True
    increasing: ClassVar[bool] = True

    def current(self, V: Any, G: Any) -> Any:
        return G * V

    def derivative(self, V: Any, G: Any) -> Any:
        return G + 0.0 * V

    def spice_parameters(self, G: Any) -> dict[str, Any]:
        return {"r": 1.0 / G}

    def spice_body(self) -> str:
        return "R1 p n {r}"

    def verilog_a(self) -> str:
        return """`include "disciplines.vams"
module xb_ohmic(p, n);
  inout p, n;
  electrical p, n;
  (* type="instance" *) parameter real r = 10e3 from (0:inf);
  analog I(p, n) <+ V(p, n) / r;
endmodule
"""
