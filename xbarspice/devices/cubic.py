"""The cubic Al2O3/TiO2-x device of Nili et al. 2020: I = A1 V + A3 V^3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xbarspice.core.device import Device, register
from xbarspice.core.errors import broken_rule
from xbarspice.core.parameters import READ_VOLTAGE, Range

__all__ = ["TEMPERATURE", "CubicAl2O3TiO2", "spread_coefficients"]

TEMPERATURE = Range(text="in (0, 200] degrees Celsius", low=0.0, open_below=True, high=200.0)
SIGMAS = Range(text="in [-10, 10] standard deviations", low=-10.0, high=10.0)


def spread_coefficients(G: Any, T: float) -> tuple[Any, Any]:
    """Device-to-device spread of the two coefficients of Nili et al. 2020.

    Args:
        G: nominal conductance, S; NumPy array or torch tensor.
        T: temperature in degrees Celsius.

    Returns:
        sigma_A1 (S, not let below 0) and sigma_A3 (S/V^2), each shaped like `G`.
    """
    s1 = -1.07e-6 + 0.25 * G + 2.20e-8 * T - 1300.0 * G * G
    s3 = 1.17e-5 + 1.30 * G - 1.0e-7 * T - 6500.0 * G * G - 2.5e-3 * G * T
    return s1.clip(min=0.0), s3


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
        xi: device-to-device deviation in standard deviations, for corners: A1 and A3 move by xi
            times their published spreads before the rescaling (A3 not below 0). The spread of the
            read conductance itself is `variability.DeviceSpread`.

    The fits hold for 3.16 to 316 uS and are extrapolated beyond (`devices.within` can refuse that).

    Raises:
        InputError: at the first use, where the fit of A1 is not positive (G below 2.6 uS at less
            than 22 degrees Celsius, or a `xi` far below -3).
    """

    source: ClassVar[str] = (
        "Nili et al. 2020, IEEE Trans. Nanotechnology, doi:10.1109/TNANO.2020.2982128"
    )
    V_max: ClassVar[float] = 0.4
    increasing: ClassVar[bool] = True
    G_min: ClassVar[float] = 3.16e-6
    G_max: ClassVar[float] = 316e-6

    T: float = 25.0
    V_read: float = 0.2
    xi: float = 0.0

    ranges: ClassVar[Mapping[str, Range]] = {"T": TEMPERATURE, "V_read": READ_VOLTAGE, "xi": SIGMAS}

    def coefficients(self, G: Any) -> tuple[Any, Any]:
        """A1 (S) and A3 (S/V^2), each shaped like `G`; both 0 where G is 0.

        Raises:
            InputError: the fit of A1 is not positive for a conductance.
        """
        G = np.float64(G) if isinstance(G, (int, float)) else G
        offset = -2.58e-6 + 1.166e-7 * self.T
        A1 = 0.977 * G + offset
        A3 = 1.18 * G + 6596.0 * G * G + 1.605e-3 * self.T**-1.33
        if self.xi != 0:
            s1, s3 = spread_coefficients(G, self.T)
            A1, A3 = A1 + self.xi * s1, (A3 + self.xi * s3).clip(min=0.0)
        if (self.xi != 0 or offset <= 0) and bool(((G > 0) & (A1 <= 0)).any()):
            raise broken_rule(
                "the fitted small-signal conductance A1 must be positive",
                f"A1 <= 0 at T = {self.T:g} C, xi = {self.xi:g}",
                "Use conductances of 3.16 uS or more, or a temperature above 22 C.",
            )
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
        return f"""`include "disciplines.vams"
module xb_{self.name}(p, n);
  inout p, n;
  electrical p, n;
  (* type="instance" *) parameter real a1 = 1e-4 from [0:inf);
  (* type="instance" *) parameter real a3 = 1e-4 from [0:inf);
  analog I(p, n) <+ (a1 + a3 * V(p, n) * V(p, n)) * V(p, n);
endmodule
"""
