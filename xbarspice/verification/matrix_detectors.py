"""Detectors of weight matrices on arrays: ranges, outliers, zeros, the conductances they hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xbarspice.report.units import percent
from xbarspice.verification.array_detectors import saturated_range
from xbarspice.verification.detectors import MatrixEvidence, find, register
from xbarspice.verification.finding import Finding

__all__ = [
    "clipped_weights",
    "inputs_beyond_range",
    "other_conductances",
    "saturated_converters",
    "unused_devices",
    "weight_outliers",
]

OUTLIER = 10.0
"""Times the 99th percentile of |w| from which the largest weight is called an outlier."""
UNUSED = 0.5
"""Share of a matrix's pairs that hold no weight from which it is called unused."""


@register("input beyond its range", MatrixEvidence)
def inputs_beyond_range(e: MatrixEvidence) -> Finding | None:
    """Inputs larger than the range that the arrays were scaled for."""
    ranges, x_scale = e.matrix.ranges, e.matrix.config.x_scale
    if not ranges.beyond:
        return None
    return Finding(
        kind="input beyond its range",
        where=e.where,
        text=f"{ranges.beyond} of {ranges.values} input values exceed x_scale = "
        f"{x_scale:.4g}; input {ranges.position} is the largest, {ranges.largest:.4g} "
        f"({ranges.largest / x_scale * e.matrix.config.V_read:.3g} V).",
        remedy="Convert with calibrate=inputs that cover the data.",
        evidence={"beyond": ranges.beyond, "largest": ranges.largest, "x_scale": x_scale},
    )


@register("saturated converters", MatrixEvidence)
def saturated_converters(e: MatrixEvidence) -> Finding | None:
    """Current differences beyond the range of the converters."""
    saturated = e.matrix.ranges.saturated
    if not saturated:
        return None
    return Finding(
        kind="saturated converters",
        where=e.where,
        text=f"{saturated} current differences exceed the range of the converters.",
        remedy="Convert with calibrate=inputs that cover the data, or set adc_range.",
        evidence={"saturated": saturated},
    )


@register("outliers among the weights", MatrixEvidence)
def weight_outliers(e: MatrixEvidence) -> Finding | None:
    """A largest weight that leaves all others a small part of the conductance range."""
    largest = float(e.sizes.max(initial=0.0))
    most = float(np.percentile(e.sizes, 99)) if e.sizes.size else 0.0
    plenty = e.sizes.size >= 100 and largest > OUTLIER * most > 0
    if e.matrix.config.clip is not None or not plenty:
        return None
    return Finding(
        kind="outliers among the weights",
        where=e.where,
        text=f"The largest weight is {largest / most:.3g} times the 99th percentile, so "
        "most weights use a small part of the conductance range.",
        remedy="Try clip=99.9 or w_scale='output'.",
        evidence={"ratio": largest / most},
    )


@register("unused devices", MatrixEvidence)
def unused_devices(e: MatrixEvidence) -> Finding | None:
    """Pairs of devices that hold no weight."""
    zero = float(np.mean(e.sizes == 0)) if e.sizes.size else 0.0
    if zero <= UNUSED:
        return None
    return Finding(
        kind="unused devices",
        where=e.where,
        text=f"{percent(zero)} of its weights are 0; their pairs only load the wires.",
        remedy="Remove the pruned rows and columns before the conversion.",
        evidence={"zero": zero},
    )


@register("other conductances than the weights ask for", MatrixEvidence)
def other_conductances(e: MatrixEvidence) -> Iterator[Finding]:
    """What detectors of weights find in the conductances that were put on the arrays."""
    for weights in e.weights():
        yield from find(weights)


@register("clipped weights", MatrixEvidence)
def clipped_weights(e: MatrixEvidence) -> Finding | None:
    """Many weights at the end of the conductance range."""
    config = e.matrix.config
    if config.placement != "low" or config.clip is not None or config.cell_code != "average":
        return None
    scales = e.weight.shape[0] * (e.weight.shape[1] if config.w_scale == "output" else 1)
    return saturated_range(
        e.G_held,
        config.G_min,
        config.G_max,
        pairs=True,
        where=e.where,
        by_design=scales * config.cells,
    )
