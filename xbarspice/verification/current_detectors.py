"""Detectors of common mistakes from currents: each makes one mistake and solves the array again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xbarspice.core.array import Crossbar, LineEnds
from xbarspice.core.errors import EngineError, InputError
from xbarspice.core.types import Array
from xbarspice.engines import get
from xbarspice.verification.finding import (
    SCALE,
    SHARE,
    Finding,
    common_factor,
    power_of_1000,
    rms,
    run_all,
)

__all__ = [
    "CurrentEvidence", "current_findings", "driver_on_the_wrong_side", "scaled_currents",
    "swapped_signs", "transposed_array", "unit_slip",
]  # fmt: skip


SAME = 1e-9
"""Remaining differences that are equally good: rounding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CurrentEvidence:
    """An array, the voltages of its lines, and currents that someone found for them.

    Attributes:
        crossbar: one array as it is described.
        V_in, V_out: line voltages, V, (points, rows) and (points, cols).
        I_out: the currents to explain, A, (points, cols).
        tolerance: rms difference over the largest current below which nothing is to explain.
    """

    crossbar: Crossbar
    V_in: Array
    V_out: Array
    I_out: Array
    tolerance: float = 1e-3
    where: str = ""

    def solve(self, crossbar: Crossbar, V_in: Array, V_out: Array) -> Array | None:
        """I_out by the nodal engine, A; None where such an array has no answer."""
        engine = get("nodal")
        try:
            return engine.solve(engine.prepare(crossbar), crossbar, V_in, V_out).I_out
        except (InputError, EngineError):  # a hypothesis may be an absurd circuit
            return None

    def difference(self, I_out: Array | None) -> float:
        """``rms(I - I_out) / max |I|`` of the currents to explain."""
        if I_out is None or not np.isfinite(I_out).all():
            return np.inf
        return rms(self.I_out - I_out) / (float(np.max(np.abs(self.I_out))) or 1.0)

    def base(self) -> Array | None:
        """What the array gives as it is described, A, (points, cols)."""
        return self.solve(self.crossbar, self.V_in, self.V_out)

    def explained_by(self, I_out: Array | None, base: Array | None) -> bool:
        """Whether these currents explain the given ones, and the described array does not."""
        plain = min(self.difference(base), self.difference(0 * self.I_out))
        return plain > self.tolerance and self.difference(I_out) <= SHARE * plain


def transposed_array(e: CurrentEvidence) -> Finding | None:
    """The currents are those of the transposed conductances."""
    G = e.crossbar.G
    turned = np.ascontiguousarray(G.T).reshape(G.shape)
    if np.array_equal(turned, G):
        return None
    base, other = e.base(), e.solve(e.crossbar.replace(G=turned), e.V_in, e.V_out)
    if not e.explained_by(other, base):
        return None
    return _current_finding(
        e, "transposed weights", base, other,
        "The currents are those of the array with rows and columns exchanged.",
        "G has the shape (rows, cols): rows are word lines and inputs. Transpose it once.",
    )  # fmt: skip


def swapped_signs(e: CurrentEvidence) -> Finding | None:
    """The currents have the opposite sign, or the lines of each pair of columns are exchanged."""
    base = e.base()
    if base is None:
        return None
    cols = base.shape[1]
    if e.explained_by(-base, base):
        return _current_finding(
            e, "swapped polarity", base, -base, "Every current has the opposite sign.",
            "I_out is positive into the sense node: swap the probe, or the sign of V_in.",
        )  # fmt: skip
    exchanged = base[:, np.arange(cols) ^ 1] if cols % 2 == 0 else None
    if exchanged is None or not e.explained_by(exchanged, base):
        return None
    return _current_finding(
        e, "swapped polarity", base, exchanged,
        "The currents of each pair of neighbouring columns are exchanged.",
        "Even columns are the positive lines of the pairs: exchange the two.",
    )  # fmt: skip


def scaled_currents(e: CurrentEvidence) -> Finding | None:
    """The currents are a common positive multiple, neither 1 nor a power of 1000."""
    base = e.base()
    if base is None:
        return None
    factor = common_factor(e.I_out, base)
    if factor <= 0 or abs(factor - 1) <= SCALE or power_of_1000(factor) is not None:
        return None
    if not e.explained_by(factor * base, base):
        return None
    return _current_finding(
        e, "wrong scale", base, factor * base, f"Every current is {factor:.4g} times as large.",
        "Compare the read voltage, the gain of the sense amplifier and the scale of G.",
        factor=factor,
    )  # fmt: skip


def driver_on_the_wrong_side(e: CurrentEvidence) -> Finding | None:
    """Driver and sense resistances are exchanged, or the drivers stand at the lines' other ends."""
    c = e.crossbar
    base = e.base()
    if c.R_driver != c.R_sense:
        other = e.solve(c.replace(R_driver=c.R_sense, R_sense=c.R_driver), e.V_in, e.V_out)
        if e.explained_by(other, base):
            return _current_finding(
                e, "driver resistance on the wrong side", base, other,
                f"The currents are those of R_driver = {c.R_sense:g} ohm and R_sense = "
                f"{c.R_driver:g} ohm: the two are exchanged.",
                "R_driver stands between a source and its line, R_sense between a line and its "
                "sense node.",
            )  # fmt: skip
    ends = c.ends
    for lines, mirrored in (
        ("word lines", LineEnds(**{**ends.__dict__, "wl_left": ends.wl_right,
                                   "wl_right": ends.wl_left})),
        ("bit lines", LineEnds(**{**ends.__dict__, "bl_top": ends.bl_bottom,
                                  "bl_bottom": ends.bl_top})),
    ):  # fmt: skip
        other = e.solve(c.replace(ends=mirrored), e.V_in, e.V_out)
        if e.explained_by(other, base):
            return _current_finding(
                e, "driver resistance on the wrong side", base, other,
                f"The currents are those of an array whose {lines} are held at their other end.",
                "The first cell of a word line is next to its driver, the last cell of a bit line "
                "next to its sense node; say otherwise in `ends`.",
            )  # fmt: skip
    return None


SLIPS = (
    ("G", 1e6, "G in uS where S is meant"),
    ("G", 1e-6, "G in S where uS is meant"),
    ("G", 1e3, "G in mS where S is meant (or resistances in kohm where ohm is meant)"),
    ("G", 1e-3, "G in S where mS is meant (or device resistances in ohm where kohm is meant)"),
    ("R", 1e-3, "wire resistances in kohm where ohm is meant"),
    ("R", 1e3, "wire resistances in ohm where kohm is meant"),
    ("R", 1e6, "wire resistances in Mohm or uohm"),
    ("R", 1e-6, "wire resistances in Mohm or uohm"),
    ("V", 1e3, "voltages in mV where V is meant"),
    ("V", 1e-3, "voltages in V where mV is meant"),
)
"""Quantity, factor that the described array is too large by, and the slip in words."""


def unit_slip(e: CurrentEvidence) -> Finding | None:
    """The currents are those of the array with G, the resistances or the voltages by 10^(3k)."""
    base, c = e.base(), e.crossbar
    if not e.difference(base) > e.tolerance:
        return None
    candidates = []
    for quantity, factor, words in SLIPS:
        if quantity == "V":
            other = e.solve(c, e.V_in / factor, e.V_out / factor)
        elif quantity == "G":
            other = e.solve(c.replace(G=c.G / factor), e.V_in, e.V_out)
        else:
            names = ("R_wl", "R_bl", "R_driver", "R_sense")
            wires = {name: getattr(c, name) / factor for name in names}
            other = e.solve(c.replace(**wires), e.V_in, e.V_out)
        candidates.append((e.difference(other), quantity, factor, words, other))
    best = min(candidates, key=lambda found: found[0])
    if not e.explained_by(best[-1], base):
        return None
    _, quantity, factor, words, other = best
    return _current_finding(
        e, "unit slip", base, other,
        f"The currents are those of the array with {quantity} divided by {factor:g}: {words}.",
        "Everything inside is SI: S, ohm, V, A (100e-6, not 100 for 100 uS).",
        factor=factor,
    )  # fmt: skip


def current_findings(e: CurrentEvidence) -> list[Finding]:
    """All detectors that explain currents; none if the array explains them as it is.

    Where several explain them (a wire resistance that is too large looks much like a wrong scale),
    those that explain them clearly worse than the best one are left out.
    """
    if not e.difference(e.base()) > e.tolerance:
        return []
    found = run_all(
        e, transposed_array, swapped_signs, scaled_currents, driver_on_the_wrong_side, unit_slip
    )
    best = min((f.evidence["explained"] for f in found), default=0.0)
    return [f for f in found if f.evidence["explained"] <= 3 * best + SAME]


def _current_finding(
    e: CurrentEvidence, kind: str, base: Array | None, other: Array | None, text: str,
    remedy: str, **evidence: float,
) -> Finding:  # fmt: skip
    before, after = e.difference(base), e.difference(other)
    return Finding(
        kind=kind, where=e.where,
        text=f"{text} The difference falls from {before:.2g} to {after:.2g} of full scale.",
        remedy=remedy, evidence={"as_is": before, "explained": after, **evidence},
    )  # fmt: skip
