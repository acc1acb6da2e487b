"""Share of a window that a metal covers, for all windows of a cell at once.

Windows begin at the lower left corner of the cell's drawing layers and move by the step; the last
one of a direction ends at the opposite edge. Where the cell is smaller than the window there is
one window, and what stands beyond the cell counts as empty: it is judged against the largest
density only. Where slanted edges are cut their ends are rounded to database units: shares are right
to 1e-5.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array
from xbarspice.tapeout.drawing.klayout import klayout_db
from xbarspice.tapeout.rules.rule import Rule
from xbarspice.tapeout.rules.shapes import Shapes

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["find_dense", "find_sparse", "is_smaller", "starts"]

_MOST = 250_000
"""Windows of one rule and cell."""
_CLOSE = 1e-9

Window = tuple["kdb.Box", float]


def find_dense(rule: Rule, shapes: Shapes) -> Iterator[Window]:
    """Windows of which metal covers more than the limit, and the share that it covers."""
    return ((box, share) for box, share in _windows(rule, shapes) if share > rule.limit + _CLOSE)


def find_sparse(rule: Rule, shapes: Shapes) -> Iterator[Window]:
    """Windows of which metal covers less than the limit, and the share that it covers."""
    if is_smaller(rule, shapes):
        return iter(())
    return ((box, share) for box, share in _windows(rule, shapes) if share < rule.limit - _CLOSE)


def is_smaller(rule: Rule, shapes: Shapes) -> bool:
    """Whether a cell is smaller than the window in one direction."""
    extent, side = shapes.extent(), shapes.units(rule.above)
    return min(extent.width(), extent.height()) < side


def starts(low: int, high: int, side: int, step: int) -> list[int]:
    """Where the windows of one direction begin, database units."""
    if high - low <= side:
        return [low]
    regular = list(range(low, high - side, step))
    return [*regular, high - side]


def _windows(rule: Rule, shapes: Shapes) -> Iterator[Window]:
    extent, side, step = shapes.extent(), shapes.units(rule.above), shapes.units(rule.step)
    if extent.empty():
        return
    count = ((extent.width() - side) // step + 2) * ((extent.height() - side) // step + 2)
    if count > _MOST:
        raise broken_rule(
            f"{rule.name} must ask for at most {_MOST} windows",
            f"{count} in {shapes.cell}",
            "Raise the step of the density in the technology.",
        )
    x = starts(extent.left, extent.right, side, step)
    y = starts(extent.bottom, extent.top, side, step)
    edges = [np.unique([*low, *(v + side for v in low)]) for low in (x, y)]
    sums = np.pad(_areas(shapes.merged(rule.layer), *edges), ((1, 0), (1, 0)))
    sums = sums.cumsum(axis=0).cumsum(axis=1)
    for left in x:
        i, k = np.searchsorted(edges[0], [left, left + side])
        for bottom in y:
            j, m = np.searchsorted(edges[1], [bottom, bottom + side])
            area = sums[k, m] - sums[i, m] - sums[k, j] + sums[i, j]
            box = klayout_db().Box(left, bottom, left + side, bottom + side)
            yield box, float(area) / side**2


def _areas(region: kdb.Region, x: Array, y: Array) -> Array:
    """Area of a region in every cell between neighbouring lines, (x cells, y cells)."""
    kdb = klayout_db()
    areas = np.zeros((len(x) - 1, len(y) - 1))
    for polygon in region.each():
        for part in polygon.decompose_trapezoids():
            box = part.bbox()
            i, k = _span(x, box.left, box.right)
            j, m = _span(y, box.bottom, box.top)
            if part.is_box():
                wide, high = (
                    np.diff(np.clip(lines, low, high))
                    for lines, low, high in (
                        (x[i : k + 1], box.left, box.right),
                        (y[j : m + 1], box.bottom, box.top),
                    )
                )
                areas[i:k, j:m] += wide[:, None] * high[None, :]
                continue
            piece = kdb.Region(kdb.Polygon(part))
            for a, (left, right) in enumerate(pairwise(x[i : k + 1].tolist()), i):
                for b, (bottom, top) in enumerate(pairwise(y[j : m + 1].tolist()), j):
                    areas[a, b] += (piece & kdb.Region(kdb.Box(left, bottom, right, top))).area()
    return areas


def _span(lines: Array, low: int, high: int) -> tuple[int, int]:
    """First and last + 1 of the cells between lines that an interval meets."""
    first = int(np.searchsorted(lines, low, side="right")) - 1
    last = int(np.searchsorted(lines, high, side="left"))
    return max(first, 0), min(max(last, 0), len(lines) - 1)
