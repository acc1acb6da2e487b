"""Detectors of common mistakes: small functions, each with its own finding and remedy.

There are three kinds of evidence, and each detector looks at one of them:

- *weights*: the weights that were wanted and those that the programmed conductance pairs stand
  for (`weight_findings`);
- *currents*: an array, its voltages, and currents that disagree with what it gives
  (`current_detectors`). Each detector makes one mistake on purpose, solves the array again and
  speaks up if that explains the currents;
- *magnitudes*: conductances, resistances and voltages by themselves (`magnitude_findings`).

A mistake explains what was seen if the remaining rms difference is at most `SHARE` of what it is
without the mistake. Small differences (programming noise, rounding) are nobody's mistake: below
`NOTICED` (weights) or the caller's tolerance (currents) no detector speaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.types import Array
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
    "WeightEvidence", "chance_labels", "magnitude_findings", "saturated_range", "scaled_weights",
    "swapped_polarity", "transposed_weights", "unit_of_weights", "unlikely_units",
    "weight_findings",
]  # fmt: skip


NOTICED = 0.05
"""Relative rms difference of weights below which nothing is wrong."""
CLIPPED, CLIPPED_COUNT = 0.05, 4
"""Share and number of devices at one end of the range that count as clipped."""
LABELLED = 20
"""Fewer labels than this say nothing about the network that they belong to."""
LEVELS = 16
"""Arrays of at most so many different conductances are quantised, not clipped."""
PLAUSIBLE = {"G": (1e-10, 2e-2), "R": (1e-4, 2e4), "V": (1e-4, 20.0)}
"""Magnitudes that memristor arrays have: device conductance, S; wire or end, ohm; voltage, V."""


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightEvidence:
    """Wanted weights and those the arrays hold, each (inputs, outputs), in one unit."""

    wanted: Array
    found: Array
    where: str = ""

    def difference(self, model: Array) -> float:
        """``rms(found - model) / rms(wanted)``."""
        return rms(self.found - model) / (rms(self.wanted) or 1.0)

    def explained_by(self, model: Array) -> bool:
        """Whether the found weights are this model of them, and not the wanted ones."""
        base = self.difference(self.wanted)
        return base > NOTICED and self.difference(model) <= SHARE * base


def transposed_weights(e: WeightEvidence) -> Finding | None:
    """The found weights are the wanted ones with inputs and outputs exchanged."""
    turned = np.ascontiguousarray(e.wanted.T).reshape(e.wanted.shape)
    if not e.explained_by(turned):
        return None
    square = e.wanted.shape[0] == e.wanted.shape[1]
    how = "the transpose of" if square else "read in column order from"
    return Finding(
        kind="transposed weights", where=e.where,
        text=f"The programmed weights are {how} the wanted ones: the difference falls from "
        f"{e.difference(e.wanted):.2g} to {e.difference(turned):.2g}.",
        remedy="W has the shape (inputs, outputs); PyTorch's `weight` is (outputs, inputs). "
        "Transpose exactly once, or load the state_dict with xbarspice.",
        evidence={"as_is": e.difference(e.wanted), "transposed": e.difference(turned)},
    )  # fmt: skip


def swapped_polarity(e: WeightEvidence) -> Finding | None:
    """The found weights have the opposite sign: + and - of the pairs are exchanged."""
    if not e.explained_by(-e.wanted):
        return None
    return Finding(
        kind="swapped polarity", where=e.where,
        text="Every programmed weight has the opposite sign of the wanted one.",
        remedy="Exchange the positive and the negative line of each pair (`lines_in` or "
        "`lines_out`), or swap G_pos and G_neg where the conductances are made.",
        evidence={"as_is": e.difference(e.wanted), "negated": e.difference(-e.wanted)},
    )  # fmt: skip


def scaled_weights(e: WeightEvidence) -> Finding | None:
    """The found weights are a common positive multiple of the wanted ones, not 1."""
    factor = common_factor(e.found, e.wanted)
    if factor <= 0 or abs(factor - 1) <= SCALE or power_of_1000(factor) is not None:
        return None
    if not e.explained_by(factor * e.wanted):
        return None
    return Finding(
        kind="wrong scale", where=e.where,
        text=f"Every programmed weight is {factor:.4g} times the wanted one.",
        remedy="Compare w_scale, G_min, G_max, V_read and x_scale of the mapping with those that "
        "the conductances were made with.",
        evidence={"factor": factor},
    )  # fmt: skip


def unit_of_weights(e: WeightEvidence) -> Finding | None:
    """The found weights are a power of 1000 times the wanted ones: a prefix was lost."""
    factor = common_factor(e.found, e.wanted)
    power = power_of_1000(factor)
    if power is None or not e.explained_by(factor * e.wanted):
        return None
    return Finding(
        kind="unit slip", where=e.where,
        text=f"Every programmed weight is 1e{3 * power:+d} times the wanted one.",
        remedy="Give conductances in S (100e-6, not 100 for 100 uS) and voltages in V.",
        evidence={"factor": factor},
    )  # fmt: skip


def weight_findings(e: WeightEvidence) -> list[Finding]:
    """All detectors that compare weights."""
    return run_all(e, transposed_weights, swapped_polarity, scaled_weights, unit_of_weights)


def unlikely_units(crossbar: Crossbar, V: npt.ArrayLike = 0.0, where: str = "") -> Finding | None:
    """Conductances (S), resistances (ohm) or voltages (V) of a magnitude that no array has.

    The limits are `PLAUSIBLE`. An array that gives all its devices as shorts (G > 20 mS) is taken
    for a slip; a single shorted device is not: the median counts.
    """
    present = crossbar.G[crossbar.G > 0]
    found = [("G", float(np.median(present)), "S")] if present.size else []
    found += [
        ("R", getattr(crossbar, name), "ohm")
        for name in ("R_wl", "R_bl", "R_driver", "R_sense")
        if getattr(crossbar, name) > 0
    ]
    largest = float(np.max(np.abs(np.asarray(V, float)), initial=0.0))
    if largest > 0:
        found.append(("V", largest, "V"))
    texts, evidence = [], {}
    for name, value, unit in found:
        low, high = PLAUSIBLE[name]
        if low <= value <= high:
            continue
        slip = "a prefix too much" if value > high else "a prefix too little"
        texts.append(f"{name} is about {value:.4g} {unit}, outside {low:g} to {high:g}: {slip}")
        evidence[name] = value
    if not texts:
        return None
    return Finding(
        kind="unit slip", where=where, text="; ".join(dict.fromkeys(texts)) + ".",
        remedy="Give G in S (100 uS is 100e-6), resistances in ohm and voltages in V.",
        evidence=evidence,
    )  # fmt: skip


def saturated_range(
    G: npt.ArrayLike, G_min: float, G_max: float, *, pairs: bool, where: str = "", usual: int = 0
) -> Finding | None:
    """Many devices stand exactly at an end of the conductance range: weights were clipped.

    Args:
        G: conductances, S, any shape; 0 means absent.
        G_min, G_max: the range, S.
        pairs: differential pairs, whose smaller device is at `G_min` by design and whose largest
            weight is at `G_max`: then only `G_max` counts, relative to the number of pairs.
        where: what the conductances are of.
        usual: devices that stand at `G_max` by design: the largest weight of every scale.

    Arrays of at most `LEVELS` different conductances are quantised and never reported.
    """
    G = np.asarray(G, float)
    present = G[G > 0]
    if np.unique(present).size <= LEVELS:
        return None
    total = present.size / 2 if pairs else present.size
    at = {"G_max": int(np.sum(present >= G_max * (1 - 1e-9))) - usual}
    if not pairs:
        at["G_min"] = int(np.sum(present <= G_min * (1 + 1e-9)))
    clipped = {k: n for k, n in at.items() if n >= max(CLIPPED_COUNT, CLIPPED * total)}
    if not clipped:
        return None
    share = ", ".join(f"{100 * n / total:.3g} % at {name}" for name, n in clipped.items())
    return Finding(
        kind="saturated range", where=where,
        text=f"Many {'weights' if pairs else 'devices'} are clipped at the end of the "
        f"conductance range ({G_min * 1e6:.4g} to {G_max * 1e6:.4g} uS): {share}.",
        remedy="Raise w_scale (scale by the largest weight), widen G_min..G_max, or accept "
        "it if the network was trained with clipped weights.",
        evidence={name: n / total for name, n in clipped.items()},
    )  # fmt: skip


def magnitude_findings(
    crossbar: Crossbar, V: npt.ArrayLike, G_min: float, G_max: float, *, pairs: bool, where: str
) -> list[Finding]:
    """All detectors that look at magnitudes alone."""
    found = [
        unlikely_units(crossbar, V, where),
        saturated_range(crossbar.G, G_min, G_max, pairs=pairs, where=where),
    ]
    return [f for f in found if f is not None]


def chance_labels(decisions: npt.ArrayLike, y: npt.ArrayLike) -> Finding | None:
    """The network in software is no better on its labels than naming the commonest class.

    Weights, activation or labels are then probably not those that belong together. The 95 %
    binomial (Clopper-Pearson) interval of the accuracy must lie above the share of the commonest
    class. Nothing is said of fewer than `LABELLED` labels or of a single class.

    Args:
        decisions: of the network without any circuit, (points,).
        y: classes, (points,); points below 0 have none and are left out.
    """
    from scipy.stats import binomtest

    labels = np.asarray(y)
    known = labels >= 0
    counts = np.unique(labels[known], return_counts=True)[1]
    if known.sum() < LABELLED or counts.size < 2:
        return None
    count, share = int(known.sum()), float(counts.max() / known.sum())
    right = int(np.sum(np.asarray(decisions)[known] == labels[known]))
    low = float(binomtest(right, count).proportion_ci(0.95).low)
    if low > share:
        return None
    return Finding(
        kind="labels at chance level",
        where="the labelled inputs",
        text=f"The network in software is right for {100 * right / count:.3g} % of {count} labels "
        f"(at least {100 * low:.3g} % with 95 % confidence); the commonest class alone gives "
        f"{100 * share:.3g} %.",
        remedy="Check --activation, the order of the layers, the scaling of the inputs, and that "
        "the labels count classes from 0 in the network's order.",
        evidence={"accuracy": right / count, "low": low, "commonest_class": share},
    )
