"""The slowest modes of a mean line, which the coarse correction of ``native/coarse.hpp`` takes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xbarspice.core.types import Array

__all__ = ["Modes", "slowest_modes"]


CELLS_A_MODE = 8
"""Cells of a line, or lines, for each mode."""
FEWEST = 8
"""Fewer modes than these are not worth their time."""
MOST = 32
KNOTS_A_MODE = 4
HELD = 1e3
"""Conductance that stands for an ideal end, in those of a segment."""


class Modes(NamedTuple):
    """Modes of unit length of a line without devices, the slowest first.

    Attributes:
        values: current over voltage, S, (modes,).
        vectors: (modes, cells).
    """

    values: Array
    vectors: Array


NONE = Modes(np.empty(0), np.empty((0, 0)))


def slowest_modes(lines: int, g: Array, first: Array, last: Array) -> Modes:
    """Modes for lines of some conductances, as many as an array of this size has use for.

    They are Ritz vectors of piecewise linear voltages. With means of conductances their values are
    what such voltages cost; with means of resistances the correction would be too large.

    Args:
        lines: number of lines.
        g: mean conductance of the segments, S, (cells - 1,).
        first, last: conductance of the ends of every line, S, infinite where ideal, (lines,).
    """
    cells = g.size + 1
    count = min(MOST, min(lines, cells) // CELLS_A_MODE)
    if count < FEWEST:
        return NONE
    at_ends = [np.minimum(ends, HELD * g.mean()).mean() for ends in (first, last)]
    knots = np.linspace(0, cells - 1, KNOTS_A_MODE * count)
    hats = np.maximum(0.0, 1.0 - np.abs(np.arange(cells)[:, None] - knots) / knots[1])
    drops = np.diff(hats, axis=0) * np.sqrt(g)[:, None]
    stiffness = drops.T @ drops
    for at_end, hat in zip(at_ends, (hats[0], hats[-1]), strict=True):
        stiffness += at_end * np.outer(hat, hat)
    inverse = np.linalg.inv(np.linalg.cholesky(hats.T @ hats))
    values, vectors = np.linalg.eigh(inverse @ stiffness @ inverse.T)
    modes = vectors[:, :count].T @ inverse @ hats.T
    return Modes(np.maximum(values[:count], 0.0), np.ascontiguousarray(modes))
