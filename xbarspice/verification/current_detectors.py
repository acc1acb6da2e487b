"""Detectors of currents: each makes one mistake on purpose and solves the array again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.line_ends import LineEnds, places
from xbarspice.core.types import Array
from xbarspice.core.wires import as_text
from xbarspice.verification.detectors import CurrentEvidence, register
from xbarspice.verification.finding import SCALE, Finding, common_factor, power_of_1000

__all__ = [
    "driver_on_the_wrong_side",
    "scaled_currents",
    "swapped_signs",
    "transposed_array",
    "unit_slip",
]


@register("transposed array", CurrentEvidence)
def transposed_array(e: CurrentEvidence) -> Finding | None:
    """The currents are those of the transposed conductances."""
    G = e.crossbar.G
    turned = np.ascontiguousarray(G.T).reshape(G.shape)
    if np.array_equal(turned, G):
        return None
    base, model = e.base(), e.solve(e.crossbar.replace(G=turned), e.V_in, e.V_out)
    if not e.agrees_with(model, base):
        return None
    return e.finding(
        "transposed weights",
        "The currents are those of the array with rows and columns exchanged.",
        "G has the shape (rows, cols): rows are word lines and inputs. Transpose it once.",
        base=base,
        model=model,
    )


@register("swapped polarity of currents", CurrentEvidence)
def swapped_signs(e: CurrentEvidence) -> Finding | None:
    """The currents have the opposite sign, or the lines of each pair of columns are exchanged."""
    base = e.base()
    if base is None:
        return None
    if e.agrees_with(-base, base):
        return e.finding(
            "swapped polarity",
            "Every current has the opposite sign.",
            "I_out is positive into the sense node: swap the probe, or the sign of V_in.",
            base=base,
            model=-base,
        )
    cols = base.shape[1]
    exchanged = base[:, np.arange(cols) ^ 1] if cols % 2 == 0 else None
    if exchanged is None or not e.agrees_with(exchanged, base):
        return None
    return e.finding(
        "swapped polarity",
        "The currents of each pair of neighbouring columns are exchanged.",
        "Even columns are the positive lines of the pairs: exchange the two.",
        base=base,
        model=exchanged,
    )


@register("wrong scale of currents", CurrentEvidence)
def scaled_currents(e: CurrentEvidence) -> Finding | None:
    """The currents are a common positive multiple, neither 1 nor a power of 1000."""
    base = e.base()
    if base is None:
        return None
    factor = common_factor(e.I_out, base)
    if factor <= 0 or abs(factor - 1) <= SCALE or power_of_1000(factor) is not None:
        return None
    if not e.agrees_with(factor * base, base):
        return None
    return e.finding(
        "wrong scale",
        f"Every current is {factor:.4g} times as large.",
        "Compare the read voltage, the gain of the sense amplifier and the scale of G.",
        base=base,
        model=factor * base,
        factor=factor,
    )


@register("driver resistance on the wrong side", CurrentEvidence)
def driver_on_the_wrong_side(e: CurrentEvidence) -> Finding | None:
    """Driver and sense resistances are exchanged, or the drivers stand at the lines' other ends."""
    c, base = e.crossbar, e.base()
    kind = "driver resistance on the wrong side"
    if _exchangeable(c):
        model = e.solve(c.replace(R_driver=c.R_sense, R_sense=c.R_driver), e.V_in, e.V_out)
        if e.agrees_with(model, base):
            return e.finding(
                kind,
                f"The currents are those of R_driver = {as_text(c.R_sense)} ohm and R_sense = "
                f"{as_text(c.R_driver)} ohm: the two are exchanged.",
                "R_driver stands between a source and its line, R_sense between a line and its "
                "sense node.",
                base=base,
                model=model,
            )
    for lines, ends in _mirrored_ends(c.ends):
        model = e.solve(c.replace(ends=ends), e.V_in, e.V_out)
        if e.agrees_with(model, base):
            return e.finding(
                kind,
                f"The currents are those of an array whose {lines} are held at their other end.",
                "The first cell of a word line is next to its driver, the last cell of a bit line "
                "next to its sense node; say otherwise in `ends`.",
                base=base,
                model=model,
            )
    return None


def _exchangeable(crossbar: Crossbar) -> bool:
    """Whether driver and sense resistances differ, and each has the shape of the other."""
    pair = (crossbar.R_driver, crossbar.R_sense)
    shapes = places((crossbar.wl_ends, crossbar.bl_ends))
    as_many = shapes["R_driver"] == shapes["R_sense"]
    fits = as_many or not any(isinstance(R, np.ndarray) for R in pair)
    return fits and bool(np.any(np.not_equal(*pair)))


def _mirrored_ends(ends: LineEnds) -> Iterator[tuple[str, LineEnds]]:
    """Line ends with those of the word lines, then of the bit lines, exchanged."""
    yield "word lines", replace(ends, wl_left=ends.wl_right, wl_right=ends.wl_left)
    yield "bit lines", replace(ends, bl_top=ends.bl_bottom, bl_bottom=ends.bl_top)


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


@register("unit slip of currents", CurrentEvidence)
def unit_slip(e: CurrentEvidence) -> Finding | None:
    """The currents are those of the array with G, the resistances or the voltages by 10^(3k)."""
    base = e.base()
    if not e.difference(base) > e.tolerance:
        return None
    models = [_with_slip(e, quantity, factor) for quantity, factor, _ in SLIPS]
    best = int(np.argmin([e.difference(model) for model in models]))
    model, (quantity, factor, words) = models[best], SLIPS[best]
    if not e.agrees_with(model, base):
        return None
    return e.finding(
        "unit slip",
        f"The currents are those of the array with {quantity} divided by {factor:g}: {words}.",
        "Everything inside is SI: S, ohm, V, A (100e-6, not 100 for 100 uS).",
        base=base,
        model=model,
        factor=factor,
    )


def _with_slip(e: CurrentEvidence, quantity: str, factor: float) -> Array | None:
    """Currents of the array with one quantity divided by a factor, A, (points, cols)."""
    c = e.crossbar
    if quantity == "V":
        return e.solve(c, e.V_in / factor, e.V_out / factor)
    if quantity == "G":
        return e.solve(c.replace(G=c.G / factor), e.V_in, e.V_out)
    wires = {name: R / factor for name, R in c.wires.items()}
    return e.solve(c.replace(**wires), e.V_in, e.V_out)
