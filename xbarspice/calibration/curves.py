"""One device's curve, point by point in the order of time: branches, scatter, what a look marks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xbarspice.calibration.robust import robust_std
from xbarspice.core.types import Array, Flags, Indices

__all__ = [
    "CHANGE",
    "LEVEL",
    "SMALL",
    "Mark",
    "log_conductance",
    "nothing",
    "rising_points",
    "scatter_of",
    "segments_of",
]

SMALL = 0.05
"""Currents below this share of the largest one are not judged: offsets and noise floors are."""
LEVEL = 2e-3
"""Share of clean files in which one statistical look (drift, range switches) sees something."""
CHANGE = 0.01
"""Drift and steps below this share of the current are not named."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Mark:
    """What one look saw.

    Attributes:
        points: where, (points,).
        size: of it, relative to the current, or as the look says.
        words: the size in words.
        option: of the command that handles it; empty for that of the look.
        limit: of current (A) or voltage (V) that the option names, if it does.
    """

    points: Flags
    size: float = 0.0
    words: str = ""
    option: str = ""
    limit: float | None = None

    def __bool__(self) -> bool:
        return bool(self.points.any())


def rising_points(V: Array) -> Flags:
    """Whether |V| rises to each point; the first of a polarity counts as the second, (points,)."""
    out = np.ones(len(V), dtype=bool)
    turns = np.flatnonzero(np.diff(np.sign(V)) != 0) + 1
    for part in np.split(np.arange(len(V)), turns):
        step = np.diff(np.abs(V[part]))
        if len(step):
            out[part] = np.concatenate([step[:1], step]) >= 0
    return out


def nothing(V: Array) -> Mark:
    """A mark of no point."""
    return Mark(points=np.zeros(len(V), dtype=bool))


def log_conductance(V: Array, current: Array) -> tuple[Indices, Array]:
    """Points whose current counts, and log |I/V| of these."""
    top = np.abs(current).max(initial=0.0)
    judged = np.flatnonzero((V != 0) & (np.abs(current) > SMALL * top) & (V * current > 0))
    return judged, np.log(np.abs(current[judged] / V[judged]))


def scatter_of(V: Array, current: Array) -> Array:
    """Relative scatter of each point: sqrt(a^2 + (f/I)^2), robust, of second differences in time.

    a is that of the larger half of the currents, f (A) that of the smaller half; infinite where
    fewer than 8 points are judged.
    """
    judged, y = log_conductance(V, current)
    if len(y) < 8:
        return np.full(len(V), np.inf)
    second = np.abs(y[2:] - 2 * y[1:-1] + y[:-2]) / np.sqrt(6)
    size = np.abs(current[judged][1:-1])
    large = size >= np.median(size)
    relative = robust_std(second[large])
    small = ~large if (~large).sum() >= 3 else large
    floor = robust_std((second * size)[small])
    whole = np.hypot(relative, floor / np.maximum(np.abs(current), 1e-300))
    return np.where(np.abs(current) > np.median(size), relative, whole)


def segments_of(V: Array) -> Iterator[Indices]:
    """Points of one polarity and one branch, by rising |V|."""
    rising = rising_points(V)
    for sign in (1, -1):
        for branch in (rising, ~rising):
            points = np.flatnonzero(branch & (sign * V > 0))
            if len(points):
                yield points[np.argsort(np.abs(V[points]), kind="stable")]
