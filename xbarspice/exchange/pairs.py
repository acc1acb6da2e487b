"""Pairs of devices at one node of a bit line: word lines with +V and -V, and no wire between."""

from __future__ import annotations

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.types import Array

__all__ = ["interleave", "pair_segment", "pair_segments"]


def interleave(positive: Array, negative: Array) -> Array:
    """Rows of two matrices in turn, (2 positions, cols) of (positions, cols) each."""
    positions, cols = positive.shape
    return np.stack([positive, negative], axis=1).reshape(2 * positions, cols)


def pair_segments(positions: int, cols: int, R: float) -> Array:
    """`R_bl` of pairs at one node, ohm, (2 positions - 1, cols): 0 inside a pair, `R` between."""
    out = np.zeros((2 * positions - 1, cols))
    out[1::2] = R
    return out


def pair_segment(crossbar: Crossbar) -> float | None:
    """Resistance between pairs of rows that share their nodes on all bit lines, ohm.

    None where rows are no such pairs, or where the resistances between them differ.
    """
    R = crossbar.R_bl
    if not isinstance(R, np.ndarray) or crossbar.rows % 2:
        return None
    between = np.unique(R[1::2])
    if (R[::2] != 0).any() or between.size > 1:
        return None
    return float(between[0]) if between.size else 0.0
