"""Data-driven TiO2 devices with a quadratic rate: the dies of the 3IT group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from xbarspice.core.device import register
from xbarspice.core.errors import broken_rule
from xbarspice.core.functions import expm1, where
from xbarspice.core.parameters import NOT_ZERO, Range
from xbarspice.devices import text
from xbarspice.devices.resistance_state import ResistanceState

__all__ = ["MT2021", "N1257R", "O921C", "O921C4K", "DataDrivenQuadratic"]


@dataclass(frozen=True, kw_only=True)
class DataDrivenQuadratic(ResistanceState):
    """Data-driven device ``dR/dt = s(V) (r(V) - R)^2``, static ``I = (a/R) sinh(b V)``.

    ``s = A (exp(|V|/t) - 1)`` and ``r = r_0 + r_1 V`` have one set of figures for V > 0 (which
    lowers R, only while R > r) and one for V < 0 (which raises R, only while R < r). At constant
    voltage ``R' = r + (R - r) / (1 + s (r - R) dt)`` exactly, so steps may be of any length. The
    state R is confined to [R_on, R_off]; the read conductance is ``(a/R) sinh(b V_read) / V_read``.

    Args:
        A_p, t_p, r_p0, r_p1: figures for V > 0: 1/(ohm s), V, ohm, ohm/V.
        A_n, t_n, r_n0, r_n1: figures for V < 0.
    """

    source: ClassVar[str] = (
        "Messaris et al. 2018, IEEE TCAD, doi:10.1109/TCAD.2018.2791468 (the quadratic form is its "
        "2017 preprint); figures of the 3IT group, public repository 3it-inpaqt/QDMS"
    )
    V_write: ClassVar[tuple[float, float]] = (-3.0, 3.0)
    ranges: ClassVar[Mapping[str, Range]] = {
        **ResistanceState.ranges,
        "t_p": NOT_ZERO,
        "t_n": NOT_ZERO,
    }

    A_p: float
    t_p: float
    r_p0: float
    r_p1: float
    A_n: float
    t_n: float
    r_n0: float
    r_n1: float

    def _pull(self, x: Any, V: Any) -> tuple[Any, Any]:
        """Target resistance r(V) in ohm and signed ``s (r - R)`` in 1/s, 0 where idle."""
        up = V > 0
        r = where(up, self.r_p0 + self.r_p1 * V, self.r_n0 + self.r_n1 * V)
        size = abs(V)
        s = where(up, self.A_p * expm1(size / self.t_p), self.A_n * expm1(size / self.t_n))
        active = (up & (x > r)) | ((V < 0) & (x < r))
        return r, where(active, s * (r - x), 0.0 * x)

    def rate(self, x: Any, V: Any) -> Any:
        r, pull = self._pull(x, V)
        return pull * (r - x)

    def _step(self, x: Any, V: Any, dt: Any) -> Any:
        x = x + 0.0 * V
        r, pull = self._pull(x, V)
        moved = r + (x - r) / (1.0 + pull * dt)
        return where(pull == 0, x, moved).clip(self.R_on, self.R_off)

    def spice_dynamic(self) -> str:
        p = "{a_p}*(exp(abs(v(p,n))/{t_p})-1)*max(v(x)*1e3-({r_p0}+{r_p1}*v(p,n)),0)"
        p += "*max(v(x)*1e3-({r_p0}+{r_p1}*v(p,n)),0)"
        n = "{a_n}*(exp(abs(v(p,n))/{t_n})-1)*max(({r_n0}+{r_n1}*v(p,n))-v(x)*1e3,0)"
        n += "*max(({r_n0}+{r_n1}*v(p,n))-v(x)*1e3,0)"
        return text.spice_state(
            self,
            figures=self.figures(),
            current=self.spice_current,
            rise=n,
            fall=p,
            unit=self.spice_unit,
            low="r_on",
            high="r_off",
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
                "if (v > 0 && state > r_p)",
                "  rate = a_p * (exp(v / t_p) - 1.0) * (r_p - state) * (r_p - state);",
                "else if (v < 0 && state < r_n)",
                "  rate = a_n * (exp(-v / t_n) - 1.0) * (r_n - state) * (r_n - state);",
            ],
            variables="r_p, r_n",
            unit=self.spice_unit,
            low="r_on",
            high="r_off",
        )


@register("n1257r")
@dataclass(frozen=True, kw_only=True)
class N1257R(DataDrivenQuadratic):
    """Die N1257R at 300 K."""

    b: float = 2.71689828
    a: float = 0.32046175
    R_on: float = 1000.0
    R_off: float = 3590.0
    A_p: float = 600.100775
    t_p: float = -0.0212028
    r_p0: float = 2699.2336
    r_p1: float = -672.930205
    A_n: float = -34.5988399
    t_n: float = -0.05343997
    r_n0: float = -1222.10682
    r_n1: float = -2656.27349


@register("mt2021")
@dataclass(frozen=True, kw_only=True)
class MT2021(N1257R):
    """The 3IT figures of 2021, "determined experimentally"; as N1257R but for the RESET target."""

    R_on: float = 1600.0
    R_off: float = 3000.0
    A_p: float = 600.10075
    r_n0: float = 649.413746
    r_n1: float = -1474.32358


@register("o921c_4k")
@dataclass(frozen=True, kw_only=True)
class O921C4K(DataDrivenQuadratic):
    """Die O921C at 4 K."""

    b: float = 1.874788
    a: float = 0.332552
    R_on: float = 1800.0
    R_off: float = 16000.0
    A_p: float = 257.712819
    t_p: float = -1.807291
    r_p0: float = 9225.1009
    r_p1: float = -6342.7031
    A_n: float = -11.403039
    t_n: float = -1.553307
    r_n0: float = -4585.0471
    r_n1: float = -15957.3111


@register("o921c")
@dataclass(frozen=True, kw_only=True)
class O921C(DataDrivenQuadratic):
    """Die O921C at 300 K, for reading only: its published RESET figures cannot be used."""

    b: float = 1.238443
    a: float = 0.7395554
    R_on: float = 1895.0
    R_off: float = 12759.0
    A_p: float = 134.391352
    t_p: float = -0.05
    r_p0: float = 24579.554
    r_p1: float = -13931.612
    A_n: float = -60.836774
    t_n: float = -0.01082038
    r_n0: float = 26698.390
    r_n1: float = 13390.242

    def refuse_writing(self) -> None:
        raise broken_rule(
            "a device must have usable SET and RESET figures to be written",
            "o921c: its published RESET moves 4917 to 8520 ohm in one 200 ns pulse at -0.2 V",
            'Read with it, but write with "n1257r", "mt2021" or "o921c_4k".',
        )

    def spice_dynamic(self) -> str:
        self.refuse_writing()
        return super().spice_dynamic()

    def verilog_a_dynamic(self) -> str:
        self.refuse_writing()
        return super().verilog_a_dynamic()
