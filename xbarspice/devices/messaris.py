"""The data-driven TiO2 device of Messaris et al. 2018 (Pt/TiO2/Pt)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xbarspice.core.device import register
from xbarspice.core.functions import exp, expm1, is_tensor, where
from xbarspice.core.parameters import POSITIVE, Range
from xbarspice.devices import text
from xbarspice.devices.resistance_state import ResistanceState

__all__ = ["DataDriven2018"]


def _log(x: Any) -> Any:
    return x.log() if is_tensor(x) else np.log(x)


@register("messaris2018")
@dataclass(frozen=True, kw_only=True)
class DataDriven2018(ResistanceState):
    """Data-driven device with an exponential rate, static ``I = (a/R) sinh(b V)``.

    ``dR/dt = s_p (exp(k_p (r_p - R)) - 1)`` for V > 0 while R < r_p, and
    ``dR/dt = s_n (exp(k_n (R - r_n)) - 1)`` for V < 0 while R > r_n, with
    ``s = A (exp(t |V|) - 1)`` and ``r = r_0 + r_1 V``: here **positive voltage raises R**. Exact at
    constant voltage: ``z = exp(-k |r - R|)`` obeys ``1 - z' = (1 - z) exp(-k |s| dt)``.

    Args:
        A_p, t_p, k_p, r_p0, r_p1: figures for V > 0: ohm/s, 1/V, 1/ohm, ohm, ohm/V.
        A_n, t_n, k_n, r_n0, r_n1: figures for V < 0.
    """

    source: ClassVar[str] = (
        "Messaris et al. 2018, IEEE TCAD, doi:10.1109/TCAD.2018.2791468; figures as in MemTorch"
    )
    set_sign: ClassVar[float] = -1.0
    V_write: ClassVar[tuple[float, float]] = (-3.0, 3.0)
    ranges: ClassVar[Mapping[str, Range]] = {
        **ResistanceState.ranges,
        "k_p": POSITIVE,
        "k_n": POSITIVE,
    }

    b: float = 3.0
    a: float = 0.24
    R_on: float = 1280.0
    R_off: float = 17000.0
    A_p: float = 743.47
    t_p: float = 6.51
    k_p: float = 5.11e-4
    r_p0: float = 16719.0
    r_p1: float = 0.0
    A_n: float = -68012.28374
    t_n: float = 0.31645
    k_n: float = 1.17e-3
    r_n0: float = 29304.82557
    r_n1: float = 23692.77225

    def _sides(self, x: Any, V: Any) -> tuple[Any, Any, Any, Any]:
        """Signed distance r - R (0 where idle), target r, k, and |s| in ohm/s."""
        up, size = V > 0, abs(V)
        r = where(up, self.r_p0 + self.r_p1 * V, self.r_n0 + self.r_n1 * V)
        k = where(up, self.k_p + 0.0 * V, self.k_n)
        s = where(
            up, abs(self.A_p) * expm1(self.t_p * size), abs(self.A_n) * expm1(self.t_n * size)
        )
        active = (up & (x < r)) | ((V < 0) & (x > r))
        return where(active, r - x, 0.0 * x), r, k, s

    def rate(self, x: Any, V: Any) -> Any:
        gap, _, k, s = self._sides(x, V)
        speed = s * expm1(k * abs(gap))
        return where(gap > 0, speed, -speed)

    def _step(self, x: Any, V: Any, dt: Any) -> Any:
        x, V = x + 0.0 * V, V + 0.0 * x
        gap, r, k, s = self._sides(x, V)
        # z' = 1 - (1 - z) exp(-k s dt), summed so that neither end cancels
        turn = k * s * dt
        z = -expm1(-turn) + exp(-k * abs(gap) - turn)
        distance = -_log(where(gap == 0, 1.0 + 0.0 * z, z)) / k
        moved = where(gap > 0, r - distance, r + distance)
        return where((gap == 0) | (turn == 0), x, moved).clip(self.R_on, self.R_off)

    def spice_dynamic(self) -> str:
        p = "{a_p}*(exp({t_p}*abs(v(p,n)))-1)*(exp({k_p}*max({r_p0}+{r_p1}*v(p,n)-v(x)*1e3,0))-1)"
        n = "{a_n}*(exp({t_n}*abs(v(p,n)))-1)*(exp({k_n}*max(v(x)*1e3-{r_n0}-{r_n1}*v(p,n),0))-1)"
        return text.spice_state(
            self,
            figures=self.figures(),
            current=self.spice_current,
            rise=p,
            fall=n,
            unit=self.spice_unit,
            low="r_on",
            high="r_off",
            rise_at="v(p,n)>0",
        )

    def verilog_a_dynamic(self) -> str:
        return text.verilog_state(
            self,
            figures=self.figures(),
            current=self.verilog_current,
            lines=[
                "r_p = r_p0 + r_p1 * v;",
                "r_n = r_n0 + r_n1 * v;",
                "rate = 0.0;",
                "if (v > 0 && state < r_p)",
                "  rate = a_p * (exp(t_p * v) - 1.0) * (exp(k_p * (r_p - state)) - 1.0);",
                "else if (v < 0 && state > r_n)",
                "  rate = a_n * (exp(-t_n * v) - 1.0) * (exp(k_n * (state - r_n)) - 1.0);",
            ],
            variables="r_p, r_n",
            unit=self.spice_unit,
            low="r_on",
            high="r_off",
        )
