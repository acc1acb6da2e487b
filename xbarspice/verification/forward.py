"""Whole forwards: the import gate, decisions through the circuit, and what each part costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xbarspice.core.counts import counted
from xbarspice.mapping import ArrayConfig
from xbarspice.nn import copy_circuit, exact_products, to_torch
from xbarspice.nn.arguments import points_of
from xbarspice.nn.layers import matrices_of
from xbarspice.nn.origin import (
    classes,
    origin_of,
    outputs_in_float64,
    outputs_of,
    weights_hash,
)
from xbarspice.nn.through import on_arrays, through
from xbarspice.verification.results import DecisionRecord, ImportRecord, LayerCost
from xbarspice.verification.statistics import agreement_interval

__all__ = [
    "costs",
    "decisions",
    "differing_decisions",
    "exact_outputs",
    "import_gate",
    "outputs_through",
    "whole_forward",
    "without",
]

EXACT_LIMIT = 1e-9
"""Largest import error, over the largest output, where both sides compute in float64."""
SINGLE_LIMIT = 1e-5
"""The same against outputs, or of weights, that were made in single precision."""

Outputs = tuple[Tensor, ...]


def exact_outputs(circuit: nn.Module, inputs: tuple[Any, ...]) -> Outputs:
    """Outputs with exact products in the model's own precision."""
    with exact_products():
        return outputs_of(circuit, inputs)


def outputs_through(circuit: nn.Module, inputs: tuple[Any, ...], engine: str) -> Outputs:
    """Outputs with all arrays solved by one engine."""
    with through(engine):
        return outputs_of(circuit, inputs)


def import_gate(
    circuit: nn.Module, inputs: tuple[Any, ...], expected: Any, source: str = ""
) -> ImportRecord:
    """Compare the circuit with exact products against what it was made from.

    Against, in this order: `expected` (outputs made elsewhere, in single precision; `source` says
    by what); the original's outputs that `convert(calibrate=...)` kept, if the weights are still
    those; the plain model of the same weights, `to_torch(circuit)`.
    """
    origin = origin_of(circuit)
    limit = EXACT_LIMIT
    if expected is not None:
        target = tuple(_as_tensors(expected))
        against = f"outputs of {source}" if source else "outputs given as `expected`"
        limit = SINGLE_LIMIT
    elif origin is not None and origin.converted_sha256 == weights_hash(circuit):
        inputs, target = origin.inputs, origin.outputs
        against = "the original model's outputs on the calibration inputs, both in float64"
        if origin.rounded:
            limit = SINGLE_LIMIT
            against += "; batch normalisation was folded into weights of single precision"
    else:
        target = outputs_in_float64(to_torch(circuit), inputs)
        against = "the plain model of the same weights (to_torch), both in float64"
        if origin is not None:
            against += "; the weights were changed after the conversion"
    with exact_products():
        outputs = outputs_in_float64(circuit, inputs)
    if expected is not None and len(target) < len(outputs):  # whoever made them left whole numbers
        outputs = tuple(t for t in outputs if t.is_floating_point())
    error, differing, unequal = compare(outputs, target)
    return ImportRecord(
        against=against,
        outputs=sum(t.numel() for t in target),
        error=error,
        limit=limit,
        decisions=differing,
        unequal=unequal,
        passed=bool(error <= limit and not differing and not unequal),
    )


def _as_tensors(value: Any) -> list[Tensor]:
    parts = value if isinstance(value, tuple | list) else [value]
    return [torch.as_tensor(np.asarray(p)) if not isinstance(p, Tensor) else p for p in parts]


def compare(
    outputs: Outputs, target: Outputs, labels: np.ndarray | None = None
) -> tuple[float, int | None, int | None]:
    """Outputs beside a target.

    Returns:
        Largest difference over the largest floating-point output, infinite where shapes differ;
        decisions that differ; whole numbers and truth values that differ. None where there are
        none.
    """
    if [t.shape for t in outputs] != [t.shape for t in target]:
        return float("inf"), None, None
    pairs = [(a, b) for a, b in zip(outputs, target, strict=True) if b.numel()]
    real = [(a.double(), b.double()) for a, b in pairs if b.is_floating_point()]
    whole = [int((a != b).sum()) for a, b in pairs if not b.is_floating_point()]
    largest = max((float(b.abs().max()) for _, b in real), default=0.0) or 1.0
    error = max((float((a - b).abs().max()) for a, b in real), default=0.0)
    if not np.isfinite(error):
        error = float("inf")
    differing, pair = None, (classes(outputs, labels), classes(target, labels))
    if pair[0] is not None and pair[1] is not None:
        differing = int((pair[0] != pair[1]).sum())
    return error / largest, differing, sum(whole) if whole else None


def differing_decisions(outputs: Outputs, target: Outputs, labels: np.ndarray | None = None) -> int:
    """Decisions and whole numbers that differ; of other models, 1 if outputs differ by 1e-6."""
    error, differing, unequal = compare(outputs, target, labels)
    if differing is None and unequal is None:
        return int(error > 1e-6)
    return (differing or 0) + (unequal or 0)


def decisions(
    name: str, outputs: Outputs, exact: Outputs, labels: np.ndarray | None
) -> DecisionRecord:
    """Outputs through the circuit beside those with exact products; labels of -1 are unknown."""
    error, _, unequal = compare(outputs, exact, labels)
    decided, ideal = classes(outputs, labels), classes(exact, labels)
    scores = next(t for t in outputs if t.is_floating_point())
    points = len(scores) if scores.ndim else 0
    agreement = interval = right = exact_right = right_interval = margin = None
    if decided is not None and ideal is not None:
        equal = int((decided == ideal).sum())
        agreement, interval = equal / points, agreement_interval(equal, points)
        margin = _smallest_margin(scores)
        y = None if labels is None else torch.as_tensor(labels)
        if y is not None and (count := int((y >= 0).sum())):
            hits = int(((decided == y) & (y >= 0)).sum())
            right, exact_right = hits / count, int(((ideal == y) & (y >= 0)).sum()) / count
            right_interval = agreement_interval(hits, count)
    return DecisionRecord(
        through=name,
        points=points,
        error=error,
        unequal=unequal,
        agreement=agreement,
        interval=interval,
        accuracy=right,
        exact_accuracy=exact_right,
        accuracy_interval=right_interval,
        smallest_margin=margin,
    )


def _smallest_margin(scores: Tensor) -> float:
    """Smallest distance from another decision over the largest score."""
    largest = float(scores.abs().max()) or 1.0
    if scores.ndim == 1 or scores.shape[1] == 1:
        return float(scores.abs().min()) / largest
    top = scores.topk(2, dim=1).values
    return float((top[:, 0] - top[:, 1]).min()) / largest


def without(circuit: nn.Module, cause: str) -> nn.Module | None:
    """A copy whose arrays are without one of `CAUSES`; None where they have nothing of it."""
    out, changed = copy_circuit(circuit), False
    for matrix in matrices_of(out):
        config, wires = matrix.config, matrix.wires
        new = CAUSES[cause](config)
        if cause == "wires and line ends":
            matrix.change(**new.wires)
        else:
            matrix.config = new
        changed |= matrix.config != config or matrix.wires is not wires
    return out if changed else None


CAUSES: dict[str, Callable[[ArrayConfig], ArrayConfig]] = {
    "wires and line ends": ArrayConfig.without_wires,
    "device curves": ArrayConfig.without_curves,
    "converters": ArrayConfig.without_converters,
    "conductance levels and cut weights": ArrayConfig.without_levels,
}
"""What all arrays are without one cause of error."""


def costs(
    circuit: nn.Module, inputs: tuple[Any, ...], exact: Outputs, full: Outputs
) -> list[LayerCost]:
    """What each matrix and each cause does to the outputs.

    A matrix: its change of the exact outputs when it alone is on arrays. A cause: the change of the
    circuit's outputs when it is taken away.
    """
    real = [t for t in exact if t.is_floating_point() and t.numel()]
    scale = max((float(t.abs().max()) for t in real), default=0.0) or 1.0
    out = []
    for matrix in matrices_of(circuit):
        with on_arrays([matrix.name]):
            alone = outputs_of(circuit, inputs)
        out.append(LayerCost(what=f"matrix {matrix.name}", rms=_rms(alone, exact) / scale))
    for cause in CAUSES:
        ideal = without(circuit, cause)
        if ideal is not None:
            rms = _rms(full, outputs_of(ideal, inputs))
            out.append(LayerCost(what=cause, rms=rms / scale))
    return out


def _rms(a: Outputs, b: Outputs) -> float:
    """Root mean square difference of the floating-point outputs."""
    squares = [
        (x.double() - y.double()).square().flatten()
        for x, y in zip(a, b, strict=True)
        if x.is_floating_point()
    ]
    return float(torch.cat(squares).mean().sqrt())


def whole_forward(
    circuit: nn.Module,
    inputs: tuple[Any, ...],
    tiles: int,
    reference: str,
    budget: int,
) -> tuple[str, tuple[Tensor, ...] | None]:
    """The outputs through the reference where that is within the budget, and a sentence."""
    points = points_of(inputs)
    size = tiles * points
    if size > budget:
        return (
            f"The whole forward was not run through {reference}: {counted(tiles, 'array')} x "
            f"{counted(points, 'point')} = {size} exceed the budget of {budget} (`whole`). Its "
            "arrays were solved one by one.",
            None,
        )
    outputs = outputs_through(circuit, inputs, reference)
    which = f"All {points} points" if points > 1 else "The point"
    return f"{which} went through {reference} as a whole.", outputs
