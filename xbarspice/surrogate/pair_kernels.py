"""Compiled steps between the weights of a layer and the conductances of its pairs."""

from __future__ import annotations

from typing import Any

from numba import njit

__all__ = ["place_low", "place_low_back"]

BLOCK = 16
"""Outputs side by side: weights are read along inputs, conductances written along outputs."""
OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**OPTIONS)
def place_low(weight: Any, scale: Any, line: Any, span: Any, G_min: Any, out: Any) -> None:
    """Conductances of pairs whose smaller device stands at `G_min`: even columns +, odd -.

    Args:
        weight: (groups, outputs, inputs).
        scale: weight of the full range, (groups, outputs), positive.
        line: values of the bias line, (groups, 1, outputs), or (groups, 0, outputs) for none.
        span: conductance of a value of 1, S.
        G_min: smallest conductance, S.
        out: (groups, inputs + lines of the bias, 2 * outputs), S.
    """
    groups, outputs, inputs = weight.shape
    for g in range(groups):
        for first in range(0, outputs, BLOCK):
            for i in range(out.shape[1]):
                for o in range(first, min(first + BLOCK, outputs)):
                    value = weight[g, o, i] / scale[g, o] if i < inputs else line[g, i - inputs, o]
                    x = span * value
                    out[g, i, 2 * o] = G_min if x < 0 else G_min + x  # a NaN stays one
                    out[g, i, 2 * o + 1] = G_min if x > 0 else G_min - x


@njit(**OPTIONS)
def place_low_back(
    weight: Any,
    scale: Any,
    line: Any,
    span: Any,
    by_pair: Any,
    by_weight: Any,
    by_scale: Any,
    by_line: Any,
) -> None:
    """Gradients of `place_low`; both devices count where a value is 0.

    Args:
        weight, scale, line, span: as for `place_low`.
        by_pair: gradient by its `out`.
        by_weight, by_line: receive the gradients by `weight` and `line`.
        by_scale: receives that by `scale`; float64, zeros before.
    """
    groups, outputs, inputs = weight.shape
    none = span - span
    for g in range(groups):
        for first in range(0, outputs, BLOCK):
            for i in range(by_pair.shape[1]):
                for o in range(first, min(first + BLOCK, outputs)):
                    value = weight[g, o, i] / scale[g, o] if i < inputs else line[g, i - inputs, o]
                    up = by_pair[g, i, 2 * o] if value >= 0 else none
                    down = by_pair[g, i, 2 * o + 1] if value <= 0 else none
                    by = span * (up - down)
                    if i < inputs:
                        by_weight[g, o, i] = by / scale[g, o]
                        by_scale[g, o] -= by * value / scale[g, o]
                    else:
                        by_line[g, i - inputs, o] = by
