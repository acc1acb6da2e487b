"""The sinh TiO2 device of the 3IT group: I proportional to sinh(b V)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from xbarspice.core.device import Device, register
from xbarspice.core.errors import broken_rule
from xbarspice.core.functions import cosh, sinh
from xbarspice.core.parameters import POSITIVE, READ_VOLTAGE, Range
from xbarspice.devices.numbers import decimal

__all__ = ["B_SETS", "SinhTiO2"]

B_SETS = {"N1257R": 2.71689828, "O921C": 1.238443, "O921C_4K": 1.874788, "Messaris2018": 3.0}
"""Exponent b (1/V) of each published parameter set."""


@register("sinh_tio2")
@dataclass(frozen=True, kw_only=True)
class SinhTiO2(Device):
    """TiO2 device ``I = (a/R) sinh(b V)``, rescaled so that ``I(V_read) = G V_read``.

    The published prefactor a/R is not the read conductance (a sinh(0.2 b)/0.2 = 0.914 for
    N1257R), so it is replaced by ``G V_read / sinh(b V_read)``; only the shape b is kept.

    Args:
        b: exponent in 1/V; default is the N1257R die at 300 K. See `B_SETS` for the others.
        V_read: read voltage in V at which `G` is the chord conductance.
    """

    source: ClassVar[str] = (
        "Messaris et al. 2018, IEEE TCAD, doi:10.1109/TCAD.2018.2791468; parameter sets of the 3IT "
        "group (N1257R, O921C), public repository 3it-inpaqt/QDMS"
    )
    V_max: ClassVar[float] = 10.0
    increasing: ClassVar[bool] = True

    b: float = B_SETS["N1257R"]
    V_read: float = 0.2

    ranges: ClassVar[Mapping[str, Range]] = {"b": POSITIVE, "V_read": READ_VOLTAGE}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.b * self.V_read <= 700:  # the largest float is exp(709)
            raise broken_rule(
                "`b` times `V_read` must be at most 700",
                f"{float(self.b * self.V_read):.4g}",
                "Give b in 1/V and V_read in V.",
            )

    @classmethod
    def of(cls, parameter_set: str, *, V_read: float = 0.2) -> Self:
        """The device with a published parameter set, one of `B_SETS`.

        Raises:
            InputError: there is no set of that name.
        """
        if parameter_set not in B_SETS:
            raise broken_rule(
                f"`parameter_set` must be one of {sorted(B_SETS)}", repr(parameter_set), "Use one."
            )
        return cls(b=B_SETS[parameter_set], V_read=V_read)

    def _prefactor(self) -> Any:
        x = self.b * self.V_read  # a tensor while gradients by the parameters are formed
        return self.V_read / (math.sinh(x) if isinstance(x, float) else sinh(x))

    def current(self, V: Any, G: Any) -> Any:
        return G * self._prefactor() * sinh(self.b * V)

    def derivative(self, V: Any, G: Any) -> Any:
        return G * (self._prefactor() * self.b) * cosh(self.b * V)

    def spice_parameters(self, G: Any) -> dict[str, Any]:
        return {"g": G}

    def spice_body(self) -> str:
        numbers = f".param b={decimal(self.b)} k={decimal(self._prefactor())}"
        return f"{numbers}\nB1 p n i={{g}}*{{k}}*sinh({{b}}*v(p,n))"

    def verilog_a(self) -> str:
        return f"""`include "disciplines.vams"
module xb_{self.name}(p, n);
  inout p, n;
  electrical p, n;
  (* type="instance" *) parameter real g = 1e-4 from [0:inf);
  (* type="instance" *) parameter real b = {decimal(self.b)} from (0:inf);
  (* type="instance" *) parameter real k = {decimal(self._prefactor())} from (0:inf);
  analog I(p, n) <+ g * k * sinh(b * V(p, n));
endmodule
"""
