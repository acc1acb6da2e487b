"""Detectors of single arrays: magnitudes, clipped conductances, voltages beyond the device."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xbarspice.core.wires import WIRES, typical_of
from xbarspice.engines.overdrive import overdrive
from xbarspice.report.units import percent
from xbarspice.verification.detectors import ArrayEvidence, MagnitudeEvidence, register
from xbarspice.verification.finding import Finding

__all__ = ["beyond_device", "clipped_conductances", "saturated_range", "unlikely_magnitudes"]

CLIPPED, CLIPPED_COUNT = 0.05, 4
"""Share and number of devices at one end of the range that count as clipped."""
LEVELS = 16
"""Arrays of at most so many different conductances are quantised, not clipped."""
PLAUSIBLE = {"G": (1e-10, 2e-2), "R": (1e-4, 2e4), "V": (1e-4, 20.0)}
"""Magnitudes that memristor arrays have: device conductance, S; wire or end, ohm; voltage, V."""


@register("unlikely magnitudes", MagnitudeEvidence)
def unlikely_magnitudes(e: MagnitudeEvidence) -> Finding | None:
    """Conductances (S), resistances (ohm) or voltages (V) of a magnitude that no array has.

    The limits are `PLAUSIBLE`. An array that gives all its devices as shorts (G > 20 mS) is taken
    for a slip; a single shorted device is not: the median counts.
    """
    texts, evidence = [], {}
    for name, value, unit in _magnitudes(e):
        low, high = PLAUSIBLE[name]
        if low <= value <= high:
            continue
        slip = "a prefix too much" if value > high else "a prefix too little"
        texts.append(f"{name} is about {value:.4g} {unit}, outside {low:g} to {high:g}: {slip}")
        evidence[name] = value
    if not texts:
        return None
    return Finding(
        kind="unit slip",
        where=e.where,
        text="; ".join(dict.fromkeys(texts)) + ".",
        remedy="Give G in S (100 uS is 100e-6), resistances in ohm and voltages in V.",
        evidence=evidence,
    )


def _magnitudes(e: MagnitudeEvidence) -> list[tuple[str, float, str]]:
    """Quantity, value (the median where there are many) and unit of all that is not 0."""
    present = e.crossbar.G[e.crossbar.G > 0]
    values = [("G", float(np.median(present)), "S")] if present.size else []
    wires = (typical_of(getattr(e.crossbar, name)) for name in WIRES)
    values += [("R", resistance, "ohm") for resistance in wires if resistance > 0]
    return [*values, *([("V", e.V, "V")] if e.V > 0 else [])]


@register("clipped conductances", MagnitudeEvidence)
def clipped_conductances(e: MagnitudeEvidence) -> Finding | None:
    """Many devices of an array at its own smallest or largest conductance."""
    present = e.crossbar.G[e.crossbar.G > 0]
    if e.pairs or not present.size:
        return None
    low, high = float(present.min()), float(present.max())
    return saturated_range(e.crossbar.G, low, high, pairs=False, where=e.where)


def saturated_range(
    G: npt.ArrayLike,
    G_min: float,
    G_max: float,
    *,
    pairs: bool,
    where: str = "",
    by_design: int = 0,
) -> Finding | None:
    """Many devices stand exactly at an end of the conductance range: weights were clipped.

    Args:
        G: conductances, S, any shape; 0 means absent.
        G_min, G_max: the range, S.
        pairs: differential pairs, whose smaller device is at `G_min` by design and whose largest
            weight is at `G_max`: then only `G_max` counts, relative to the number of pairs.
        where: what the conductances are of.
        by_design: devices that stand at `G_max` by design: the largest weight of every scale.

    Arrays of at most `LEVELS` different conductances are quantised and never reported.
    """
    G = np.asarray(G, float)
    present = G[G > 0]
    if np.unique(present).size <= LEVELS:
        return None
    total = present.size / 2 if pairs else present.size
    at = {"G_max": int(np.sum(present >= G_max * (1 - 1e-9))) - by_design}
    if not pairs:
        at["G_min"] = int(np.sum(present <= G_min * (1 + 1e-9)))
    clipped = {k: n for k, n in at.items() if n >= max(CLIPPED_COUNT, CLIPPED * total)}
    if not clipped:
        return None
    share = ", ".join(f"{percent(n / total)} at {name}" for name, n in clipped.items())
    return Finding(
        kind="saturated range",
        where=where,
        text=f"Many {'weights' if pairs else 'devices'} are clipped at the end of the "
        f"conductance range ({G_min * 1e6:.4g} to {G_max * 1e6:.4g} uS): {share}.",
        remedy="Raise w_scale (scale by the largest weight), widen G_min..G_max, or accept "
        "it if the network was trained with clipped weights.",
        evidence={name: n / total for name, n in clipped.items()},
    )


@register("beyond the device's range", ArrayEvidence)
def beyond_device(e: ArrayEvidence) -> Finding | None:
    """Sources beyond the range that the source of the device model vouches for."""
    beyond = overdrive(e.crossbar, e.crossbar.drive(e.V_in, e.V_out))
    if beyond is None:
        return None
    text = f"{beyond.text[0].upper()}{beyond.text[1:]}."
    remedy = "Lower the voltages, or use a device model that is valid there."
    evidence = {"value": beyond.V, "limit": beyond.limit}
    if e.largest:
        text = (
            f"Sources put up to {beyond.V:.4g} V across devices; the source of "
            f"{beyond.device!r} vouches for {beyond.limit:g} V."
        )
        remedy = (
            "Lower V_read, calibrate on inputs that cover the data, or use a device model "
            "that is valid there."
        )
    else:
        evidence["count"] = float(beyond.count)
    return Finding(
        kind="beyond the device's range", where=e.where, text=text, remedy=remedy, evidence=evidence
    )
