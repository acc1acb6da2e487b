"""The tunnelling Pt/TiO2/Pt device of Pickett et al. 2009 (SPICE form of Abdalla and Pickett)."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xbarspice.core.device import register
from xbarspice.core.functions import exp, expm1, is_tensor, where
from xbarspice.core.parameters import POSITIVE, READ_VOLTAGE, Range
from xbarspice.devices import text
from xbarspice.devices.dynamic import DynamicDevice
from xbarspice.devices.numbers import decimal

__all__ = ["Pickett"]

Q, H, M_E, EPS0 = 1.602176634e-19, 6.62607015e-34, 9.1093837015e-31, 8.8541878128e-12
V_BARRIER = 0.8
"""Barrier voltage (V) beyond which the current continues with constant slope: a little above it the
image-force term of Simmons' formula has a pole."""
LOG_RATE_MAX = math.log(1e9)
"""Fastest rate, ln(nm/s): a nanometre in a nanosecond. ON switching runs away, and where it goes
much faster ngspice finds no time step in a slow sweep (of sweeps of 1 us to 1 s 12 of 18 stopped at
1e12 with its default options and 9 with `spice_options`; at 1e9 and 1e10 none of 40 does)."""


def _log(x: Any) -> Any:
    return x.log() if is_tensor(x) else np.log(x)


def _sqrt(x: Any) -> Any:
    return x.sqrt() if is_tensor(x) else np.sqrt(x)


@register("pickett")
@dataclass(frozen=True, kw_only=True)
class Pickett(DynamicDevice):
    """Tunnel barrier of width w in series with a resistor; w moves by ionic drift.

    Static: Simmons' image-force barrier (Simmons 1963, doi:10.1063/1.1702682) in series with
    `R_series`. Dynamic, with the current i:
    V > 0 (OFF, w grows): ``f_off sinh(|i|/i_off) exp(-exp((w - a_off)/w_c - |i|/b) - w/w_c)``,
    V < 0 (ON): ``-f_on sinh(|i|/i_on) exp(-exp((a_on - w)/w_c - |i|/b) - w/w_c)``.
    Conductances outside the range of w scale the current of the nearest w. The state equation is
    stiff and is integrated; beyond a barrier voltage of 0.8 V the current goes on linearly.

    ON switching below about 1.3 nm runs away to `w_min` at the fastest rate. The ngspice subcircuit
    follows it to 2e-4 of the state (its limits are soft); the Verilog-A form does not: ngspice with
    OSDI finds no time step and must be stopped by its time limit. Use the subcircuit there.

    Args:
        phi_0: barrier height, V.
        area: tunnelling area, nm^2.
        k_r: relative permittivity of the barrier.
        R_series: ohm.
        f_off, f_on: nm/s.
        i_off, i_on, b: A.
        a_off, a_on, w_c: nm.
        V_read: read voltage, V.
    """

    source: ClassVar[str] = (
        "Pickett et al. 2009, J. Appl. Phys. 106, doi:10.1063/1.3236506; Abdalla and Pickett 2011, "
        "SPICE modeling of memristors, ISCAS"
    )
    V_max: ClassVar[float] = 3.0
    set_sign: ClassVar[float] = -1.0
    V_write: ClassVar[tuple[float, float]] = (-3.0, 3.0)
    state_unit: ClassVar[str] = "nm"
    spice_options: ClassVar[str] = "reltol=1e-6 abstol=1e-15 vntol=1e-9 method=trap"
    ranges: ClassVar[Mapping[str, Range]] = {
        **dict.fromkeys(("phi_0", "area", "k_r", "R_series", "f_off", "f_on"), POSITIVE),
        **dict.fromkeys(("i_off", "i_on", "b", "w_c", "w_min", "w_max"), POSITIVE),
        "V_read": READ_VOLTAGE,
    }
    state_limits: ClassVar[tuple[str, str] | None] = ("w_min", "w_max")

    phi_0: float = 0.95
    area: float = 1e4
    k_r: float = 5.0
    R_series: float = 215.0
    f_off: float = 3.5e3
    f_on: float = 40e3
    i_off: float = 115e-6
    i_on: float = 8.9e-6
    a_off: float = 1.2
    a_on: float = 1.8
    b: float = 500e-6
    w_c: float = 0.107
    V_read: float = 0.2
    w_min: float = 1.0
    w_max: float = 2.0

    @property
    def state_range(self) -> tuple[float, float]:
        return self.w_min, self.w_max

    def constants(self) -> dict[str, float]:
        """Simmons' constants: lm (V nm), w1 (nm), j0 (A nm^2/V), bb (1/(nm sqrt V))."""
        lm = Q * math.log(2) / (8 * math.pi * self.k_r * EPS0 * 1e-9)
        return {
            "lm": lm,
            "w1": 1.2 * lm / self.phi_0,
            "j0": Q * Q / (2 * math.pi * H) * self.area,
            "bb": 4 * math.pi * math.sqrt(2 * M_E * Q) / H * 1e-9,
        }

    def _simmons(self, u: Any, w: Any) -> Any:
        """Barrier current in A at barrier voltage 0 <= u <= V_BARRIER."""
        c = self.constants()
        image = 9.2 * c["lm"] / (3 * self.phi_0 + 4 * c["lm"] / w - 2 * u)
        w2 = c["w1"] + w - image
        dw = w - image
        ratio = (w2 / c["w1"]) * (w - c["w1"]) / (w - w2)
        phi = self.phi_0 - u * (c["w1"] + w2) / (2 * w) - 1.15 * c["lm"] / dw * _log(ratio)
        low, high = _sqrt(phi), _sqrt(phi + u)
        return (
            c["j0"]
            / (dw * dw)
            * (phi * exp(-c["bb"] * dw * low) - (phi + u) * exp(-c["bb"] * dw * high))
        )

    def _simmons_slope(self, u: Any, w: Any) -> Any:
        """dI/du in S, written out (the chain rule of `_simmons`)."""
        c = self.constants()
        D = 3 * self.phi_0 + 4 * c["lm"] / w - 2 * u
        image = 9.2 * c["lm"] / D
        w2, dw = c["w1"] + w - image, w - image
        w2u = dwu = -2 * image / D
        gap = w - w2
        ratio = (w2 / c["w1"]) * (w - c["w1"]) / gap
        log = _log(ratio)
        phi = self.phi_0 - u * (c["w1"] + w2) / (2 * w) - 1.15 * c["lm"] / dw * log
        phiu = -(c["w1"] + w2 + u * w2u) / (2 * w) + 1.15 * c["lm"] * (
            log * dwu / (dw * dw) - (w2u / w2 + w2u / gap) / dw
        )
        B = c["bb"]

        def term(p: Any, pu: Any) -> tuple[Any, Any]:
            root = _sqrt(p)
            e = exp(-B * dw * root)
            return p * e, e * (pu - p * B * (dwu * root + dw * pu / (2 * root)))

        first, first_u = term(phi, phiu)
        second, second_u = term(phi + u, phiu + 1.0)
        j = c["j0"] / (dw * dw)
        return j * (first_u - second_u - 2 * dwu / dw * (first - second))

    def barrier(self, v: Any, w: Any) -> tuple[Any, Any]:
        """Current (A) and slope (S) of the barrier alone at voltage `v`; odd in `v`."""
        size = abs(v)
        u = size.clip(max=V_BARRIER)
        slope = self._simmons_slope(u, w)
        current = self._simmons(u, w) + slope * (size - u)
        return where(v < 0, -current, current), slope

    def _solve(self, V: Any, w: Any) -> tuple[Any, Any]:
        """Current and slope of barrier and resistor in series: bracketed Newton on the barrier."""
        size = abs(V) + 0.0 * w
        w = w + 0.0 * V
        low, high = 0.0 * size, size
        v = 0.5 * size
        for _ in range(100):
            i, g = self.barrier(v, w)
            F = v + self.R_series * i - size
            low, high = where(F < 0, v, low), where(F < 0, high, v)
            new = v - F / (1.0 + self.R_series * g)
            new = where((new < low) | (new > high), 0.5 * (low + high), new)
            converged = bool((abs(new - v) <= 1e-15 * (size + 1e-300)).all())
            v = new
            if converged:
                break
        i, g = self.barrier(v, w)
        return where(V < 0, -i, i), g / (1.0 + self.R_series * g)

    def widths(self, G: np.ndarray) -> np.ndarray:
        """Widths in nm of conductances in S, by Newton from a table; same shape."""
        table, widths = self._table
        w = np.interp(np.log(np.maximum(G, 1e-300)), np.log(table), widths)
        low, high = np.full_like(w, self.w_min), np.full_like(w, self.w_max)
        for _ in range(60):
            h = 1e-6
            f = np.log(self.conductance(w)) - np.log(np.maximum(G, 1e-300))
            slope = (np.log(self.conductance(w + h)) - np.log(self.conductance(w - h))) / (2 * h)
            new = np.clip(w - f / slope, low, high)
            converged = np.max(np.abs(new - w), initial=0.0) < 1e-14
            w = new
            if converged:
                break
        return w

    @functools.cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        w = np.linspace(self.w_max, self.w_min, 401)
        return self.conductance(w), w

    def conductance(self, x: Any) -> Any:
        x = x if is_tensor(x) else np.asarray(x, dtype=np.float64)
        return self._solve(self.V_read + 0.0 * x, x)[0] / self.V_read

    def state(self, G: Any) -> Any:
        tensor = is_tensor(G)
        values = G.detach().cpu().numpy() if tensor else np.asarray(G, dtype=np.float64)
        w = _widths(self, values.tobytes()).reshape(values.shape).copy()
        if not tensor:
            return w
        import torch

        out = torch.as_tensor(w, dtype=G.dtype, device=G.device)
        h = 1e-6  # one differentiable Newton step carries the gradient, backward and forward
        slope = (self.conductance(out + h) - self.conductance(out - h)) / (2 * h)
        return out + (G - G.detach()) / slope

    def _scale(self, G: Any) -> tuple[Any, Any]:
        w = self.state(G)
        return w, G / self.conductance(w)

    def current(self, V: Any, G: Any) -> Any:
        V = V if is_tensor(V) else np.asarray(V, dtype=np.float64)
        w, scale = self._scale(G)
        return self._solve(V, w)[0] * scale

    def derivative(self, V: Any, G: Any) -> Any:
        V = V if is_tensor(V) else np.asarray(V, dtype=np.float64)
        w, scale = self._scale(G)
        return self._solve(V, w)[1] * scale

    def current_at(self, V: Any, x: Any) -> Any:
        return self._solve(V, x)[0]

    def rate(self, x: Any, V: Any) -> Any:
        i = abs(self._solve(V, x)[0])
        up = V > 0
        y = i / where(up, self.i_off, self.i_on)
        # ln sinh(y), exact for small and large y
        small = where(y < 1e-300, 1e-300, y)
        log_sinh = small + _log(-expm1(-2 * small)) - math.log(2)
        inner = where(up, (x - self.a_off) / self.w_c, (self.a_on - x) / self.w_c) - i / self.b
        log_f = where(up, math.log(self.f_off), math.log(self.f_on)) + log_sinh
        log_f = log_f - exp(inner.clip(max=50.0)) - x / self.w_c
        speed = exp(log_f.clip(max=LOG_RATE_MAX)) * (y > 0)
        return where(up, speed, -speed)

    def spice_parameters(self, G: Any) -> dict[str, Any]:
        w, scale = self._scale(np.asarray(G, dtype=np.float64))
        return {"w": w, "k": scale}

    def _figures(self) -> dict[str, float]:
        names = ("phi_0", "f_off", "f_on", "i_off", "i_on", "a_off", "a_on", "b", "w_c")
        figures = {name: float(getattr(self, name)) for name in names}
        ends = {"rs": self.R_series, "w_min": self.w_min, "w_max": self.w_max, "vb": V_BARRIER}
        return {**figures, **ends, **self.constants()}

    def _spice_barrier(self, width: str) -> list[str]:
        """Lines that give the node `ib` the barrier's current (A as V) between p and m.

        One node a quantity keeps the expressions short; the `max` guards act only while Newton is
        still on its way, when these nodes hold no solution yet.
        """
        names = {
            "D": "max(v(d),0.5)",
            "T": "max(v(t),0.05)",
            "W2": "({w1}+max(v(t),0.05))",
            "GAP": "max(v(e)-{w1},0.05)",
            "F": "max(v(f),1e-3)",
            "U": "max(v(u),0)",
            "W": width,
        }
        lines = [
            "Bu u 0 v=min(abs(v(p,m)),{vb})",
            "Bd d 0 v=3*{phi_0}+4*{lm}/W-2*U",
            "Be e 0 v=9.2*{lm}/D",
            "Bt t 0 v=W-v(e)",
            "Bl l 0 v=ln(W2/{w1}*(W-{w1})/GAP)",
            "Bf f 0 v={phi_0}-U*({w1}+W2)/(2*W)-1.15*{lm}/T*v(l)",
            "Bg g 0 v=-2*v(e)/D",
            "Bh h 0 v=-({w1}+W2+U*v(g))/(2*W)+1.15*{lm}*(v(l)*v(g)/(T*T)-(v(g)/W2+v(g)/GAP)/T)",
            "Bp q 0 v=exp(-{bb}*T*sqrt(F))",
            "Br r 0 v=exp(-{bb}*T*sqrt(F+U))",
            "Bi0 i0 0 v={j0}/(T*T)*(F*v(q)-(F+U)*v(r))",
            "Ba a 0 v=v(q)*(v(h)-F*{bb}*(v(g)*sqrt(F)+T*v(h)/(2*sqrt(F))))",
            "Bb b 0 v=v(r)*(v(h)+1-(F+U)*{bb}*(v(g)*sqrt(F+U)+T*(v(h)+1)/(2*sqrt(F+U))))",
            "Bs s 0 v={j0}/(T*T)*(v(a)-v(b))-2*v(g)/T*v(i0)",
            "Bib ib 0 v=sgn(v(p,m))*(v(i0)+v(s)*(abs(v(p,m))-v(u)))",
        ]
        pattern = re.compile(r"\b(D|T|W2|GAP|F|U|W)\b")
        split = [line.partition("v=") for line in lines]
        return [
            head + sign + pattern.sub(lambda m: names[m[0]], value) for head, sign, value in split
        ]

    def spice_body(self) -> str:
        figures = " ".join(f"{name}={decimal(v)}" for name, v in self._figures().items())
        lines = [f".param {figures}", *self._spice_barrier("{w}")]
        return "\n".join([*lines, "B1 p m i={k}*v(ib)", "R1 m n {rs/k}"])

    def spice_dynamic(self) -> str:
        y = "abs(v(ib))/{%s}"
        log_sinh = f"({y}+ln(1-exp(-2*max({y},1e-9)))-ln(2))"
        frame = "exp(min(ln({%s})+%s-exp(min(%s-abs(v(ib))/{b},50))-v(x)/{w_c},{lmax}))"
        off = frame % ("f_off", log_sinh % ("i_off", "i_off"), "(v(x)-{a_off})/{w_c}")
        on = frame % ("f_on", log_sinh % ("i_on", "i_on"), "({a_on}-v(x))/{w_c}")
        return text.spice_state(
            self,
            figures={**self._figures(), "lmax": LOG_RATE_MAX},
            current="v(p,m)/{rs}",
            rise=off,
            fall="-" + on,
            unit=1.0,
            low="w_min",
            high="w_max",
            rise_at="v(p,n)>0",
            body=self._spice_barrier("min(max(v(x),{w_min}),{w_max})"),
        ).replace("Bi p n i=v(p,m)/{rs}", "Bi p m i=v(ib)\nRs m n {rs}")

    _VERILOG_BARRIER: ClassVar[str] = """u = min(abs(vb0), vb);
d = 3.0 * phi_0 + 4.0 * lm / w - 2.0 * u;
e = 9.2 * lm / d;
w2 = w1 + w - e;
l = ln(w2 / w1 * (w - w1) / (w - w2));
t = w - e;
f = phi_0 - u * (w1 + w2) / (2.0 * w) - 1.15 * lm / t * l;
g = -2.0 * e / d;
h = -(w1 + w2 + u * g) / (2.0 * w) + 1.15 * lm * (l * g / (t * t) - (g / w2 + g / (w - w2)) / t);
q = exp(-bb * t * sqrt(f));
r = exp(-bb * t * sqrt(f + u));
i0 = j0 / (t * t) * (f * q - (f + u) * r);
a = q * (h - f * bb * (g * sqrt(f) + t * h / (2.0 * sqrt(f))));
c = r * (h + 1.0 - (f + u) * bb * (g * sqrt(f + u) + t * (h + 1.0) / (2.0 * sqrt(f + u))));
s = j0 / (t * t) * (a - c) - 2.0 * g / t * i0;
ib = i0 + s * (abs(vb0) - u);
if (vb0 < 0.0) ib = -ib;"""
    _VERILOG_NAMES: ClassVar[str] = "vb0, u, d, e, w2, l, t, f, g, h, q, r, i0, a, c, s, ib"

    def verilog_a(self) -> str:
        real = "\n".join(
            f"  parameter real {n} = {decimal(v)};" for n, v in self._figures().items()
        )
        lines = "\n".join("    " + line for line in self._VERILOG_BARRIER.splitlines())
        return f"""`include "disciplines.vams"
module xb_{self.name}(p, n);
  inout p, n;
  electrical p, n, m;
  (* type="instance" *) parameter real w = 1.5 from (0:inf);
  (* type="instance" *) parameter real k = 1.0 from (0:inf);
{real}
  real {self._VERILOG_NAMES};
  analog begin
    vb0 = V(p, m);
{lines}
    I(p, m) <+ k * ib;
    I(m, n) <+ V(m, n) * k / rs;
  end
endmodule
"""

    def verilog_a_dynamic(self) -> str:
        rate = [
            "if (v > 0.0)",
            "  rate = exp(min(ln(f_off) + abs(ib) / i_off"
            " + ln(1.0 - exp(-2.0 * max(abs(ib) / i_off, 1e-9))) - ln(2.0)"
            " - exp(min((w - a_off) / w_c - abs(ib) / b, 50.0)) - w / w_c, lmax));",
            "else",
            "  rate = -exp(min(ln(f_on) + abs(ib) / i_on"
            " + ln(1.0 - exp(-2.0 * max(abs(ib) / i_on, 1e-9))) - ln(2.0)"
            " - exp(min((a_on - w) / w_c - abs(ib) / b, 50.0)) - w / w_c, lmax));",
        ]
        module = text.verilog_state(
            self,
            figures={**self._figures(), "lmax": LOG_RATE_MAX},
            current="0.0",
            lines=[
                "vb0 = V(p, m);",
                "w = min(max(state, w_min), w_max);",
                *self._VERILOG_BARRIER.splitlines(),
                *rate,
            ],
            variables="w, " + self._VERILOG_NAMES,
            unit=1.0,
            low="w_min",
            high="w_max",
        )
        series = "I(p, m) <+ ib;\n    I(m, n) <+ V(m, n) / rs;"
        return module.replace("I(p, n) <+ 0.0;", series).replace("p, n, x;", "p, n, m, x;")


@functools.lru_cache(maxsize=64)
def _widths(device: Pickett, G: bytes) -> np.ndarray:
    """`Pickett.widths` of the bytes of float64: solvers ask for the same devices at every step."""
    return device.widths(np.frombuffer(G))
