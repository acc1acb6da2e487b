"""Detectors of weights: what a mistake on purpose makes of the weights that were asked for."""

from __future__ import annotations

import numpy as np

from xbarspice.verification.detectors import WeightEvidence, register
from xbarspice.verification.finding import SCALE, Finding, common_factor, power_of_1000

__all__ = ["scaled_weights", "swapped_polarity", "transposed_weights", "unit_of_weights"]


@register("transposed weights", WeightEvidence)
def transposed_weights(e: WeightEvidence) -> Finding | None:
    """The held weights are the target with inputs and outputs exchanged."""
    turned = np.ascontiguousarray(e.target.T).reshape(e.target.shape)
    if not e.agrees_with(turned):
        return None
    square = e.target.shape[0] == e.target.shape[1]
    how = "the transpose of" if square else "read in column order from"
    return Finding(
        kind="transposed weights",
        where=e.where,
        text=f"The programmed weights are {how} the wanted ones: the difference falls from "
        f"{e.difference(e.target):.2g} to {e.difference(turned):.2g}.",
        remedy="W has the shape (inputs, outputs); PyTorch's `weight` is (outputs, inputs). "
        "Transpose exactly once, or load the state_dict with xbarspice.",
        evidence={"as_is": e.difference(e.target), "transposed": e.difference(turned)},
    )


@register("swapped polarity of weights", WeightEvidence)
def swapped_polarity(e: WeightEvidence) -> Finding | None:
    """The held weights have the opposite sign: + and - of the pairs are exchanged."""
    if not e.agrees_with(-e.target):
        return None
    return Finding(
        kind="swapped polarity",
        where=e.where,
        text="Every programmed weight has the opposite sign of the wanted one.",
        remedy="Exchange the positive and the negative line of each pair (`lines_in` or "
        "`lines_out`), or swap G_pos and G_neg where the conductances are made.",
        evidence={"as_is": e.difference(e.target), "negated": e.difference(-e.target)},
    )


@register("wrong scale of weights", WeightEvidence)
def scaled_weights(e: WeightEvidence) -> Finding | None:
    """The held weights are a common positive multiple of the target, not 1."""
    factor = common_factor(e.held, e.target)
    if factor <= 0 or abs(factor - 1) <= SCALE or power_of_1000(factor) is not None:
        return None
    if not e.agrees_with(factor * e.target):
        return None
    return Finding(
        kind="wrong scale",
        where=e.where,
        text=f"Every programmed weight is {factor:.4g} times the wanted one.",
        remedy="Compare w_scale, G_min, G_max, V_read and x_scale of the mapping with those that "
        "the conductances were made with.",
        evidence={"factor": factor},
    )


@register("unit slip of weights", WeightEvidence)
def unit_of_weights(e: WeightEvidence) -> Finding | None:
    """The held weights are a power of 1000 times the target: a prefix was lost."""
    factor = common_factor(e.held, e.target)
    power = power_of_1000(factor)
    if power is None or not e.agrees_with(factor * e.target):
        return None
    return Finding(
        kind="unit slip",
        where=e.where,
        text=f"Every programmed weight is 1e{3 * power:+d} times the wanted one.",
        remedy="Give conductances in S (100e-6, not 100 for 100 uS) and voltages in V.",
        evidence={"factor": factor},
    )
