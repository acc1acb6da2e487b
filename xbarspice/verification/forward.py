"""Whole forwards: the import gate, decisions through the circuit, and what each part costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xbarspice.mapping import ArrayConfig
from xbarspice.nn import ArrayMatrix, copy_circuit, crossbar_layers, exact_products, to_torch
from xbarspice.nn.origin import (
    classes,
    origin_of,
    outputs_in_float64,
    outputs_of,
    weights_hash,
)
from xbarspice.nn.through import on_arrays, through
from xbarspice.verification.records import DecisionRecord, ImportRecord, LayerCost
from xbarspice.verification.statistics import agreement_interval

__all__ = [
    "costs",
    "decisions",
    "differing_decisions",
    "exact_outputs",
    "import_gate",
    "matrices_of",
    "outputs_through",
    "with_configs",
]

EXACT_LIMIT = 1e-9
"""Largest import error, over the largest output, where both sides compute in float64."""
SINGLE_LIMIT = 1e-5
"""The same against outputs, or of weights, that were made in single precision."""

Outputs = tuple[Tensor, ...]


def matrices_of(circuit: nn.Module) -> Iterator[ArrayMatrix]:
    """The weight matrices on arrays of a converted model."""
    for layer in crossbar_layers(circuit).values():
        yield from layer.matrices.values()


def exact_outputs(circuit: nn.Module, inputs: tuple[Any, ...]) -> Outputs:
    """Outputs with exact products in the model's own precision."""
    with exact_products():
        return outputs_of(circuit, inputs)


def outputs_through(circuit: nn.Module, inputs: tuple[Any, ...], engine: str) -> Outputs:
    """Outputs with all arrays solved by one engine."""
    with through(engine):
        return outputs_of(circuit, inputs)


def import_gate(circuit: nn.Module, inputs: tuple[Any, ...], expected: Any) -> ImportRecord:
    """Compare the circuit with exact products against what it was made from.

    Against, in this order: `expected` (outputs made elsewhere, in single precision); the original's
    outputs that `convert(calibrate=...)` kept, if the weights are still those; the plain model of
    the same weights, `to_torch(circuit)`.
    """
    origin = origin_of(circuit)
    limit = EXACT_LIMIT
    if expected is not None:
        wanted = tuple(_as_tensors(expected))
        against, limit = "outputs given as `expected`", SINGLE_LIMIT
    elif origin is not None and origin.converted_sha256 == weights_hash(circuit):
        inputs, wanted = origin.inputs, origin.outputs
        against = "the original model's outputs on the calibration inputs, both in float64"
        if origin.rounded:
            limit = SINGLE_LIMIT
            against += "; batch normalisation was folded into weights of single precision"
    else:
        wanted = outputs_in_float64(to_torch(circuit), inputs)
        against = "the plain model of the same weights (to_torch), both in float64"
        if origin is not None:
            against += "; the weights were changed after the conversion"
    with exact_products():
        outputs = outputs_in_float64(circuit, inputs)
    error, decided = _compared(outputs, wanted)
    return ImportRecord(
        against=against,
        outputs=sum(t.numel() for t in wanted),
        error=error,
        limit=limit,
        decisions=decided,
        passed=bool(error <= limit and not decided),
    )


def _as_tensors(value: Any) -> list[Tensor]:
    parts = value if isinstance(value, tuple | list) else [value]
    return [torch.as_tensor(np.asarray(p)) if not isinstance(p, Tensor) else p for p in parts]


def _compared(outputs: Outputs, wanted: Outputs) -> tuple[float, int | None]:
    """Largest difference over the largest output, and decisions that differ."""
    if [t.shape for t in outputs] != [t.shape for t in wanted]:
        return float("inf"), None
    largest = max((float(t.abs().max()) for t in wanted if t.numel()), default=0.0) or 1.0
    error = max(
        (
            float((a.double() - b.double()).abs().max())
            for a, b in zip(outputs, wanted, strict=True)
            if b.numel()
        ),
        default=0.0,
    )
    if not np.isfinite(error):
        error = float("inf")
    both = [classes(outputs), classes(wanted)]
    if both[0] is None or both[1] is None:
        return error / largest, None
    return error / largest, int((both[0] != both[1]).sum())


def differing_decisions(outputs: Outputs, others: Outputs) -> int:
    """Decisions that differ; of models that do not classify, outputs that differ by 1e-6."""
    a, b = classes(outputs), classes(others)
    if a is not None and b is not None:
        return int((a != b).sum())
    return int(_compared(outputs, others)[0] > 1e-6)


def decisions(
    name: str, outputs: Outputs, exact: Outputs, labels: np.ndarray | None
) -> DecisionRecord:
    """Outputs through the circuit beside those with exact products."""
    error, _ = _compared(outputs, exact)
    own, ideal = classes(outputs), classes(exact)
    points = len(outputs[0]) if outputs and outputs[0].ndim else 0
    agreement = interval = right = exact_right = right_interval = margin = None
    if own is not None and ideal is not None:
        equal = int((own == ideal).sum())
        agreement, interval = equal / points, agreement_interval(equal, points)
        top = outputs[0].topk(2, dim=1).values
        margin = float((top[:, 0] - top[:, 1]).min() / (outputs[0].abs().max() or 1.0))
        if labels is not None:
            known = torch.as_tensor(labels)
            count = int((own == known).sum())
            right, exact_right = count / points, int((ideal == known).sum()) / points
            right_interval = agreement_interval(count, points)
    return DecisionRecord(
        through=name,
        points=points,
        error=error,
        agreement=agreement,
        interval=interval,
        accuracy=right,
        exact_accuracy=exact_right,
        accuracy_interval=right_interval,
        smallest_margin=margin,
    )


def with_configs(circuit: nn.Module, change: Callable[[ArrayConfig], ArrayConfig]) -> nn.Module:
    """A copy whose matrices stand on arrays in a changed way."""
    out = copy_circuit(circuit)
    for matrix in matrices_of(out):
        matrix.config = change(matrix.config)
    return out


CAUSES: dict[str, Callable[[ArrayConfig], ArrayConfig]] = {
    "wires and line ends": lambda c: replace(c, R_wl=0.0, R_bl=0.0, R_driver=0.0, R_sense=0.0),
    "device curves": lambda c: replace(c, device="ohmic"),
    "converters": lambda c: replace(c, dac_bits=None, adc_bits=None),
    "levels and cut weights": lambda c: replace(
        c, levels=None, clip=None, cell_code="average", cells=c.cells
    ),
}
"""What all arrays are without one cause of error."""


def costs(
    circuit: nn.Module, inputs: tuple[Any, ...], exact: Outputs, full: Outputs
) -> list[LayerCost]:
    """What each matrix and each cause does to the outputs.

    A matrix: its change of the exact outputs when it alone is on arrays. A cause: the change of the
    circuit's outputs when it is taken away.
    """
    scale = max(float(t.abs().max()) for t in exact if t.numel()) or 1.0
    out = []
    for matrix in matrices_of(circuit):
        with on_arrays([matrix.name]):
            alone = outputs_of(circuit, inputs)
        out.append(LayerCost(what=f"matrix {matrix.name}", rms=_rms(alone, exact) / scale))
    for cause, change in CAUSES.items():
        if any(change(m.config) != m.config for m in matrices_of(circuit)):
            without = outputs_of(with_configs(circuit, change), inputs)
            out.append(LayerCost(what=cause, rms=_rms(full, without) / scale))
    return out


def _rms(a: Outputs, b: Outputs) -> float:
    squares = [(x.double() - y.double()).square().flatten() for x, y in zip(a, b, strict=True)]
    return float(torch.cat(squares).mean().sqrt())
