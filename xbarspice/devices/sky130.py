"""The ReRAM of the open process SKY130B: a filament that grows in 5 nm of oxide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xbarspice.core.device import register
from xbarspice.core.errors import broken_rule
from xbarspice.core.functions import exp, is_tensor, sinh
from xbarspice.core.parameters import POSITIVE, Range, check_parameters
from xbarspice.devices import text
from xbarspice.devices.dynamic import DynamicDevice
from xbarspice.devices.sinh import SinhTiO2

__all__ = ["RATE_MAX", "Sky130Reram"]

K_EV = 1.380649e-23 / 1.602176634e-19
"""Boltzmann's constant, eV/K."""
RATE_MAX = 1e10
"""Fastest rate, nm/s: the whole range in 0.16 ns. SET runs away to far beyond it (1e20 nm/s at
2.5 V), but within the 0.23 ns of the junction a quasi-static temperature says nothing anyway, and a
simulator finds no time step there."""
BACK = 1e-10
"""Time constant, s, with which a state that a simulator's step took beyond a limit comes back."""


@register("sky130_reram")
@dataclass(frozen=True, kw_only=True)
class Sky130Reram(SinhTiO2, DynamicDevice):
    """Filament of thickness T in an oxide of thickness T_ox, with self-heating.

    Static: ``I = I_0 exp(-(T_ox - T)/(T_ox - T_ref)) sinh(b V)``, so G and T are one to one.
    Dynamic, with E in eV, ``g = gamma_0 - gamma_1 ((T_ox - T)/1 nm)^3`` and ``u = g a_0/T_ox V``::

        dT/dt = v_0 (exp(-(E_grow - u)/k Tj) - exp(-(E_shrink + u)/k Tj)), T in T_min..T_max
        dTj/dt = (|V I| R_th - (Tj - Tj_0)) / tau_th, R_th = tau_th/C_th

    The junction is taken as quasi-static, ``Tj = Tj_0 + R_th |V I|``, in all three forms. The
    state is then T alone, a pulse may be cut anywhere, and no answer depends on the time step. What
    that costs, against both equations together with the junction at Tj_0 at the start (0.8 to 3.1 V
    of either sign, 3.4 to 4.85 nm): the filament is ahead or behind by at most 3 ns, so that G ends
    within 0.05 % after pulses of 1 us and within 0.5 % after 100 ns. After 10 ns it may be 15 %.

    V counts from the word line to the bit line, in the source from the top to the bottom electrode.

    Args:
        I_0: A. b: 1/V.
        T_ox, T_ref: nm.
        T_min, T_max: smallest and largest filament thickness, nm.
        v_0: m/s.
        E_grow, E_shrink: activation energies, eV.
        a_0: distance of a jump, nm.
        gamma_0, gamma_1: field enhancement (no unit).
        C_th: heat capacity of the junction, J/K.
        tau_th: its time constant, s.
        Tj_0: ambient temperature, K.
        polarity: 1 if the word line is the top electrode, -1 if it is the bottom one.
    """

    source: ClassVar[str] = (
        "SKY130B ReRAM, github.com/google/skywater-pdk-libs-sky130_fd_pr_reram (Apache-2.0), "
        "Verilog-A of the cell; figures only"
    )
    V_max: ClassVar[float] = 3.1
    state_unit: ClassVar[str] = "nm"
    V_write: ClassVar[tuple[float, float]] = (-3.1, 3.1)
    spice_options: ClassVar[str] = "reltol=1e-6 abstol=1e-15 vntol=1e-9 method=trap"
    ranges: ClassVar[Mapping[str, Range]] = {
        **SinhTiO2.ranges,
        **dict.fromkeys(("I_0", "T_ox", "T_ref", "T_min", "T_max", "v_0", "a_0"), POSITIVE),
        **dict.fromkeys(("E_grow", "E_shrink", "gamma_0", "C_th", "tau_th", "Tj_0"), POSITIVE),
        "polarity": Range(text="that is 1 or -1", low=-1.0, high=1.0, zero=False),
    }
    state_limits: ClassVar[tuple[str, str] | None] = ("T_min", "T_max")

    b: float = 1 / 0.43
    I_0: float = 6.14e-5
    T_ox: float = 5.0
    T_ref: float = 4.7249
    T_min: float = 3.3
    T_max: float = 4.9
    v_0: float = 150.0
    E_grow: float = 1.501
    E_shrink: float = 1.500
    a_0: float = 0.25
    gamma_0: float = 16.5
    gamma_1: float = 1.25
    C_th: float = 3.1825e-16
    tau_th: float = 0.23e-9
    Tj_0: float = 300.0
    polarity: float = 1.0

    def __post_init__(self) -> None:
        check_parameters(self, self.ranges)  # numbers, before they are compared
        if abs(self.polarity) != 1.0:
            raise broken_rule(
                "`polarity` must be 1 (word line is the top electrode) or -1 (the bottom one)",
                self.polarity,
                "Choose one.",
            )
        if not self.T_ref < self.T_ox or not self.T_max < self.T_ox:
            raise broken_rule(
                "`T_ref` and `T_max` must be smaller than `T_ox`",
                (self.T_ref, self.T_max, self.T_ox),
                "Give all three in nm.",
            )
        super().__post_init__()

    @property
    def set_sign(self) -> float:  # type: ignore[override]
        """Sign of the voltage that raises the conductance."""
        return self.polarity

    @property
    def state_range(self) -> tuple[float, float]:
        return self.T_min, self.T_max

    def _ratio(self) -> float:
        """Conductance of a filament through the whole oxide, S."""
        return self.I_0 * math.sinh(self.b * self.V_read) / self.V_read

    def state(self, G: Any) -> Any:
        share = G / self._ratio()
        log = share.log() if is_tensor(share) else np.log(share)
        return self.T_ox + (self.T_ox - self.T_ref) * log

    def conductance(self, x: Any) -> Any:
        return self._ratio() * exp(-(self.T_ox - x) / (self.T_ox - self.T_ref))

    def temperature(self, x: Any, V: Any) -> Any:
        """Junction temperature in K that belongs to a filament of x nm at V volts, settled."""
        current = self.I_0 * exp(-(self.T_ox - x) / (self.T_ox - self.T_ref)) * sinh(self.b * V)
        return self.Tj_0 + self.tau_th / self.C_th * abs(V * current)

    def rate(self, x: Any, V: Any) -> Any:
        return self.rate_at(x, V, self.temperature(x, V)).clip(-RATE_MAX, RATE_MAX)

    def rate_at(self, x: Any, V: Any, Tj: Any) -> Any:
        """Rate of growth, nm/s, at a given junction temperature, K; it has no upper limit."""
        gap = self.T_ox - x
        u = (self.gamma_0 - self.gamma_1 * gap * gap * gap) * self.a_0 / self.T_ox
        u = u * (self.polarity * V)
        kT = K_EV * Tj
        grow, shrink = exp((u - self.E_grow) / kT), exp(-(u + self.E_shrink) / kT)
        return 1e9 * self.v_0 * (grow - shrink)

    def _figures(self) -> dict[str, float]:
        return {
            "i0": self.I_0,
            "b": self.b,
            "t_ox": self.T_ox,
            "t_d": self.T_ox - self.T_ref,
            "t_min": self.T_min,
            "t_max": self.T_max,
            "v0": 1e9 * self.v_0,
            "e_g": self.E_grow,
            "e_s": self.E_shrink,
            "jump": self.polarity * self.a_0 / self.T_ox,
            "g0": self.gamma_0,
            "g1": self.gamma_1,
            "kr": K_EV * self.tau_th / self.C_th,
            "kt0": K_EV * self.Tj_0,
            "rmax": RATE_MAX,
            "back": BACK,
        }

    def spice_dynamic(self) -> str:
        grow, shrink = "exp((v(u)-{e_g})/v(kt))", "exp(-(v(u)+{e_s})/v(kt))"
        net = f"min(max({{v0}}*({grow}-{shrink}),-{{rmax}}),{{rmax}})"
        return text.spice_state(
            self,
            figures=self._figures(),
            current="{i0}*exp(-v(gap)/{t_d})*sinh({b}*v(p,n))",
            rise=net,
            fall=net,
            unit=1.0,
            low="t_min",
            high="t_max",
            rise_at=f"{grow}>{shrink}",
            body=[
                "Bg gap 0 v={t_ox}-min(max(v(x),{t_min}),{t_max})",
                "Bk kt 0 v={kt0}+{kr}*abs(v(p,n)*{i0}*exp(-v(gap)/{t_d})*sinh({b}*v(p,n)))",
                "Bu u 0 v=({g0}-{g1}*v(gap)*v(gap)*v(gap))*{jump}*v(p,n)",
                "Bb 0 x i={cx}*(max({t_min}-v(x),0)-max(v(x)-{t_max},0))/{back}",
            ],
        )

    def verilog_a_dynamic(self) -> str:
        return text.verilog_state(
            self,
            figures=self._figures(),
            current="i",
            lines=[
                "gap = t_ox - min(max(state, t_min), t_max);",
                "i = i0 * exp(-gap / t_d) * sinh(b * v);",
                "kt = kt0 + kr * abs(v * i);",
                "u = (g0 - g1 * gap * gap * gap) * jump * v;",
                "rate = v0 * (exp((u - e_g) / kt) - exp(-(u + e_s) / kt));",
                "rate = min(max(rate, -rmax), rmax);",
                "rate = rate + (max(t_min - state, 0.0) - max(state - t_max, 0.0)) / back;",
            ],
            variables="gap, i, kt, u",
            unit=1.0,
            low="t_min",
            high="t_max",
        )
