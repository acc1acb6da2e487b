"""The cubic Al2O3/TiO2-x device of Nili et al. 2020: I = A1 V + A3 V^3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from xbarspice.devices.base import Device, register
from xbarspice.errors import broken_rule

__all__ = ["CubicAl2O3TiO2"]


@register("cubic_al2o3_tio2")
@dataclass(frozen=True, kw_only=True)
class CubicAl2O3TiO2(Device):
    """Passive Al2O3/TiO2-x device ``I = A1 V + A3 V^3``, rescaled so that ``I(V_read) = G V_read``.

    A1 and A3 are the fits of Nili et al. as functions of the nominal conductance G0 and the
    temperature. Here G0 = G, and both are scaled by one factor a device so that the chord
    conductance at the read voltage is exactly `G`: the fit keeps the shape, the target the value.

    Args:
        T: temperature in degrees Celsius (the fits only make sense in this unit).
        V_read: read voltage in V at which `G` is the chord conductance.
    """

    source: ClassVar[str] = "Nili et al. 2020, IEEE Trans. Nanotechnology, doi:10.1109/TNANO.2020.2982128"
    V_max: ClassVar[float] = 0.4

    T: float = 25.0
    V_read: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.T <= 200:
            raise broken_rule("`T` must lie in (0, 200] degrees Celsius", self.T, "Convert it.")
        if not self.V_read > 0:
            raise broken_rule("`V_read` must be > 0 V", self.V_read, "Give the read voltage in V.")

    def coefficients(self, G: Any) -> tuple[Any, Any]:
        """A1 (S) and A3 (S/V^2), each shaped like `G`; both 0 where G is 0."""
        A1 = 0.977 * G + (-2.58e-6 + 1.166e-7 * self.T)
        A3 = 1.18 * G + 6596.0 * G * G + 1.605e-3 * self.T**-1.33
        scale = G / (A1 + A3 * self.V_read**2)
        return A1 * scale, A3 * scale

    def current(self, V: Any, G: Any) -> Any:
        A1, A3 = self.coefficients(G)
        return (A1 + A3 * V * V) * V

    def derivative(self, V: Any, G: Any) -> Any:
        A1, A3 = self.coefficients(G)
        return A1 + 3.0 * A3 * V * V

    def spice_parameters(self, G: Any) -> dict[str, Any]:
        A1, A3 = self.coefficients(G)
        return {"a1": A1, "a3": A3}

    def spice_body(self) -> str:
        return "B1 p n i=({a1}+{a3}*v(p,n)*v(p,n))*v(p,n)"

    def verilog_a(self) -> str:
        return """`include "disciplines.vams"
module xb_cubic_al2o3_tio2(p, n);
  inout p, n;
  electrical p, n;
  (* type="instance" *) parameter real a1 = 1e-4 from [0:inf);
  (* type="instance" *) parameter real a3 = 1e-4 from [0:inf);
  analog I(p, n) <+ (a1 + a3 * V(p, n) * V(p, n)) * V(p, n);
endmodule
"""
