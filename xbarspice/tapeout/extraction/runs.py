"""Straight pieces of a polygon, where current flows along two parallel edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xbarspice.tapeout.extraction.shapes import Boxes

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["MARGIN", "Run", "clear_of", "find_runs", "outlines"]

MARGIN = 1.0
"""Widths that a straight piece keeps from everything that disturbs the current; the disturbance
falls by exp(pi) within one width."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A straight piece, in database units.

    Attributes:
        start: middle of its first end, (x, y).
        along: unit vector from the first to the second end.
        length, width: of the piece.
    """

    start: tuple[float, float]
    along: tuple[float, float]
    length: float
    width: float

    @property
    def stop(self) -> tuple[float, float]:
        """Middle of its second end."""
        (x, y), (dx, dy) = self.start, self.along
        return x + self.length * dx, y + self.length * dy

    @property
    def slanted(self) -> bool:
        """Whether it follows neither axis."""
        return min(abs(self.along[0]), abs(self.along[1])) > 1e-9

    def end(self, which: int) -> Floats:
        """Both corners of an end, (2, 2)."""
        x, y = self.start if which == 0 else self.stop
        across = np.array([-self.along[1], self.along[0]]) * self.width / 2
        middle = np.array([x, y])
        return np.stack([middle - across, middle + across])

    def locate(self, points: Floats) -> tuple[Floats, Floats]:
        """Distance along from the first end, and across from the middle, of points (n, 2)."""
        d = points - np.array(self.start)
        (dx, dy) = self.along
        return d[:, 0] * dx + d[:, 1] * dy, d[:, 1] * dx - d[:, 0] * dy

    def outline(self, beyond: float = 0.0) -> Floats:
        """Its four corners, (4, 2), wider by `beyond` on each side."""
        a, b = self.end(0), self.end(1)
        across = np.array([-self.along[1], self.along[0]]) * beyond
        return np.array([a[0] - across, a[1] + across, b[1] + across, b[0] - across])


def find_runs(polygon: kdb.Polygon, blocks: Boxes) -> list[Run]:
    """All straight pieces that are longer than half their width.

    Args:
        polygon: a merged polygon.
        blocks: boxes where current enters or leaves, (n, 4); pieces keep clear of them.
    """
    edges = np.array([(e.x1, e.y1, e.x2, e.y2) for e in polygon.each_edge()], dtype=np.float64)
    length = np.hypot(edges[:, 2] - edges[:, 0], edges[:, 3] - edges[:, 1])
    along = (edges[:, 2:] - edges[:, :2]) / length[:, None]
    corners = np.concatenate(
        [blocks[:, [0, 1]], blocks[:, [0, 3]], blocks[:, [2, 1]], blocks[:, [2, 3]]]
    )
    out: list[Run] = []
    for i in np.argsort(-length, kind="stable").tolist():
        out += _facing(edges, along, length, i, blocks, corners.reshape(4, -1, 2))
    return out


def _facing(
    edges: Floats, along: Floats, length: Floats, i: int, blocks: Boxes, corners: Boxes
) -> list[Run]:
    """Straight pieces between an edge and those that face it; each pair is looked at once."""
    d, origin = along[i], edges[i, :2]
    inward = np.array([d[1], -d[0]])  # the inside lies to the right of an edge
    antiparallel = along @ d < -1 + 1e-12
    later = (length < length[i]) | ((length == length[i]) & (np.arange(len(length)) > i))
    width = (edges[:, :2] - origin) @ inward
    first, second = (edges[:, 2:] - origin) @ d, (edges[:, :2] - origin) @ d
    low, high = np.maximum(first, 0.0), np.minimum(second, length[i])
    long_enough = high - low > (2 * MARGIN + 0.5) * width
    candidates = np.flatnonzero(antiparallel & later & (width > 0.5) & long_enough)
    out: list[Run] = []
    for j in candidates.tolist():
        for a, b in _clear(edges, origin, d, inward, (low[j], high[j]), width[j], blocks, corners):
            if not _is_crossed(edges, origin, d, inward, (a + b) / 2, width[j]):
                start = origin + a * d + inward * width[j] / 2
                run = Run(
                    start=(float(start[0]), float(start[1])),
                    along=(float(d[0]), float(d[1])),
                    length=float(b - a),
                    width=float(width[j]),
                )
                out.append(run)
    return out


def _clear(
    edges: Floats,
    origin: Floats,
    d: Floats,
    inward: Floats,
    span: tuple[float, float],
    width: float,
    blocks: Boxes,
    corners: Boxes,
) -> list[tuple[float, float]]:
    """Parts of a span that keep the margin from vertices and blocks between the two edges."""
    low, high = span
    t, v = (edges[:, :2] - origin) @ d, (edges[:, :2] - origin) @ inward
    between = (t > low) & (t < high) & (v > -0.5) & (v < width + 0.5)
    taken = [(x, x) for x in (low, high, *t[between].tolist())]
    if len(blocks):
        tb, vb = (corners - origin) @ d, (corners - origin) @ inward
        meets = (vb.max(0) > 0) & (vb.min(0) < width) & (tb.max(0) > low) & (tb.min(0) < high)
        taken += list(zip(tb.min(0)[meets].tolist(), tb.max(0)[meets].tolist(), strict=True))
    taken.sort()
    out, reach = [], taken[0][1]
    for start, stop in taken[1:]:
        a, b = reach + MARGIN * width, start - MARGIN * width
        if b - a > 0.5 * width:
            out.append((float(np.ceil(a)), float(np.floor(b))))
        reach = max(reach, stop)
    return out


def _is_crossed(
    edges: Floats, origin: Floats, d: Floats, inward: Floats, t: float, width: float
) -> bool:
    """Whether another edge lies between the two at one place along them."""
    t1, t2 = (edges[:, :2] - origin) @ d, (edges[:, 2:] - origin) @ d
    v1, v2 = (edges[:, :2] - origin) @ inward, (edges[:, 2:] - origin) @ inward
    passes = (np.minimum(t1, t2) <= t) & (np.maximum(t1, t2) >= t) & (np.abs(t2 - t1) > 1e-9)
    v = v1 + (v2 - v1) * (t - t1) / np.where(np.abs(t2 - t1) > 1e-9, t2 - t1, 1.0)
    return bool(np.any(passes & (v > 0.5) & (v < width - 0.5)))


def clear_of(run: Run, boxes: Floats) -> Run | None:
    """A run cut back to where no box stands over its ends; None if too little is left.

    Args:
        run: a straight piece.
        boxes: devices, (n, 4); those that lie wholly on the run stay on it.
    """
    corners = np.stack([boxes[:, [0, 1]], boxes[:, [0, 3]], boxes[:, [2, 1]], boxes[:, [2, 3]]])
    along, across = run.locate(corners.reshape(-1, 2))
    along, across = along.reshape(4, -1), across.reshape(4, -1)
    beside = (across.min(0) >= run.width / 2) | (across.max(0) <= -run.width / 2)
    low, high = along.min(0)[~beside], along.max(0)[~beside]
    start = high[(low < 0) & (high > 0)].max(initial=0.0)
    stop = low[(low < run.length) & (high > run.length)].min(initial=run.length)
    if stop - start < run.width / 4:
        return None
    (x, y), (dx, dy) = run.start, run.along
    return replace(run, start=(x + start * dx, y + start * dy), length=float(stop - start))


def outlines(runs: Sequence[Run], beyond: float) -> list[Floats]:
    """Outlines of runs; slanted ones reach beyond the metal, since corners fall on the grid."""
    return [run.outline(beyond if run.slanted else 0.0) for run in runs]
