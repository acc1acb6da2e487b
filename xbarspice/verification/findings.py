"""What is suspicious about a model on arrays before and after a forward."""

from __future__ import annotations

import numpy as np
from torch import nn

from xbarspice.nn import ArrayMatrix, coverage, crossbar_layers
from xbarspice.studies.verify.detectors import chance_labels
from xbarspice.verification.records import Finding

__all__ = ["findings"]

OUTLIER = 10.0
"""Times the 99th percentile of |w| from which the largest weight is called an outlier."""
UNUSED = 0.5
"""Share of a matrix's pairs that hold no weight from which it is called unused."""


def findings(
    circuit: nn.Module, labels: np.ndarray | None, decisions: np.ndarray | None
) -> list[Finding]:
    """Overdriven inputs, saturated converters, outliers, unused devices, silent layers, labels.

    Args:
        circuit: a converted model after a forward.
        labels: classes, (points,).
        decisions: with exact products, (points,); None of a model that does not classify.
    """
    out = []
    for layer in crossbar_layers(circuit).values():
        for name, weight, _bias in layer.weight_blocks():
            values = weight.detach().abs().cpu().numpy().ravel()
            out += _of_matrix(layer.matrices[name], values)
    for name in coverage(circuit).silent:
        out.append(
            Finding(
                kind="silent layer",
                where=name,
                text="It is on arrays, and this forward neither called it nor read its weights.",
                remedy="Its arrays were solved with dense probes alone.",
            )
        )
    chance = None if labels is None or decisions is None else chance_labels(decisions, labels)
    return [*out, *([chance] if chance is not None else [])]


def _of_matrix(matrix: ArrayMatrix, values: np.ndarray) -> list[Finding]:
    out, ranges, x_scale = [], matrix.ranges, matrix.config.x_scale
    if ranges.beyond:
        out.append(
            Finding(
                kind="input beyond its range",
                where=matrix.name,
                text=f"{ranges.beyond} of {ranges.values} input values exceed x_scale = "
                f"{x_scale:.4g}; input {ranges.position} is the largest, {ranges.largest:.4g} "
                f"({ranges.largest / x_scale * matrix.config.V_read:.3g} V).",
                remedy="Convert with calibrate=inputs that cover the data.",
                evidence={"beyond": ranges.beyond, "largest": ranges.largest, "x_scale": x_scale},
            )
        )
    if ranges.saturated:
        out.append(
            Finding(
                kind="saturated converters",
                where=matrix.name,
                text=f"{ranges.saturated} current differences exceed the range of the converters.",
                remedy="Convert with calibrate=inputs that cover the data, or set adc_range.",
                evidence={"saturated": ranges.saturated},
            )
        )
    largest = float(values.max(initial=0.0))
    most = float(np.percentile(values, 99)) if values.size else 0.0
    if matrix.config.clip is None and values.size >= 100 and largest > OUTLIER * most > 0:
        out.append(
            Finding(
                kind="outliers among the weights",
                where=matrix.name,
                text=f"The largest weight is {largest / most:.3g} times the 99th percentile, so "
                "most weights use a small part of the conductance range.",
                remedy="Try clip=99.9 or w_scale='output'.",
                evidence={"ratio": largest / most},
            )
        )
    zero = float(np.mean(values == 0)) if values.size else 0.0
    if zero > UNUSED:
        out.append(
            Finding(
                kind="unused devices",
                where=matrix.name,
                text=f"{100 * zero:.3g} % of its weights are 0; their pairs only load the wires.",
                remedy="Remove the pruned rows and columns before the conversion.",
                evidence={"zero": zero},
            )
        )
    return out
