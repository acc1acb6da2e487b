"""Compiled steps between the weights of a layer and the conductances of its pairs."""

from __future__ import annotations

from typing import Any

from numba import njit

__all__ = ["pairs", "pairs_back"]


@njit(cache=True, nogil=True)
def pairs(lines: Any, span: Any, G_min: Any, out: Any) -> None:
    """`mapping.pair_conductances` of (inputs, outputs) weights into even and odd columns of `out`.

    Args:
        lines: weights.
        span: conductance of a weight of 1, S.
        G_min: smallest conductance, S.
        out: (inputs, 2 * outputs), S.
    """
    for j in range(lines.shape[1]):
        for i in range(lines.shape[0]):
            x = span * lines[i, j]
            out[i, 2 * j] = G_min if x < 0 else G_min + x  # a NaN stays one
            out[i, 2 * j + 1] = G_min if x > 0 else G_min - x


@njit(cache=True, nogil=True)
def pairs_back(lines: Any, span: Any, by_pair: Any, out: Any) -> None:
    """Gradient of `pairs`: dL/dweight into `out` from dL/dG, both devices counting at weight 0."""
    for j in range(lines.shape[1]):
        for i in range(lines.shape[0]):
            x = lines[i, j]
            by = by_pair[i, 2 * j] if x >= 0 else by_pair[i, 2 * j] * 0
            if x <= 0:
                by -= by_pair[i, 2 * j + 1]
            out[i, j] = span * by
