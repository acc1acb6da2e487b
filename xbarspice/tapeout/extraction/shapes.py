"""Merged shapes of one layer as polygons and as trapezoids, and which of two layers overlap."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["Boxes", "Integers", "Shapes", "box_array", "find_overlaps", "overlaps_of"]

Integers = npt.NDArray[np.int64]
Boxes = npt.NDArray[np.int64]
"""(n, 4): left, bottom, right, top in database units."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shapes:
    """One layer of a drawing, merged: touching shapes are one polygon, touching corners are not.

    Attributes:
        name: of the layer in the technology.
        polygons: the merged polygons.
        boxes: outlines of the trapezoids that the polygons consist of, (trapezoids, 4).
        owner: polygon of every trapezoid, (trapezoids,).
        slanted: trapezoid -> itself, for those that are no boxes.
    """

    name: str
    polygons: list[kdb.Polygon]
    boxes: Boxes
    owner: Integers
    slanted: dict[int, kdb.Polygon] = field(default_factory=dict)

    @classmethod
    def of(cls, region: kdb.Region, name: str, *, horizontal: bool = True) -> Shapes:
        """Merge a region.

        Args:
            region: all shapes of a layer.
            name: of the layer.
            horizontal: cut polygons into horizontal trapezoids, else into vertical ones.
        """
        merged = region.dup()
        merged.min_coherence = True
        polygons: list[kdb.Polygon] = list(merged.merged().each())
        return cls.of_polygons(polygons, name, horizontal=horizontal)

    @classmethod
    def of_polygons(
        cls, polygons: list[kdb.Polygon], name: str, *, horizontal: bool = True
    ) -> Shapes:
        """As `of`, of polygons that do not overlap."""
        parts: list[kdb.Polygon | kdb.SimplePolygon] = []
        owner: list[int] = []
        slanted: dict[int, kdb.Polygon] = {}
        for k, polygon in enumerate(polygons):
            pieces = [polygon] if polygon.is_box() else _trapezoids(polygon, horizontal)
            for piece in pieces:
                if not piece.is_box():
                    slanted[len(parts)] = piece
                parts.append(piece)
                owner.append(k)
        return cls(
            name=name,
            polygons=polygons,
            boxes=box_array([part.bbox() for part in parts]),
            owner=np.array(owner, dtype=np.int64),
            slanted=slanted,
        )

    def subset(self, which: Integers, *, horizontal: bool) -> Shapes:
        """Some of the polygons, cut anew."""
        chosen = [self.polygons[k] for k in which.tolist()]
        return Shapes.of_polygons(chosen, self.name, horizontal=horizontal)


def _trapezoids(polygon: kdb.Polygon, horizontal: bool) -> list[kdb.Polygon]:
    import klayout.db as kdb

    mode = kdb.Polygon.TD_htrapezoids if horizontal else kdb.Polygon.TD_vtrapezoids
    return list(kdb.Region(polygon).decompose_trapezoids_to_region(mode).each())


def box_array(boxes: list[kdb.Box]) -> Boxes:
    """Boxes as an array, (n, 4)."""
    values = [(b.left, b.bottom, b.right, b.top) for b in boxes]
    return np.array(values, dtype=np.int64).reshape(-1, 4)


def find_overlaps(a: Boxes, b: Boxes, *, touching: bool = False) -> tuple[Integers, Integers]:
    """Every pair of a box of `a` and one of `b` that share area.

    Args:
        a, b: (n, 4) and (m, 4).
        touching: also those that share a part of an edge; corners never count.

    Returns:
        Index in `a` and index in `b` of every pair.
    """
    if not len(a) or not len(b):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    extent = np.max(b[:, 2:] - b[:, :2], axis=1)
    size_class = np.floor(np.log2(np.maximum(extent, 1)) / 2).astype(int)
    classes = (np.flatnonzero(size_class == k) for k in np.unique(size_class))
    i, j = (
        np.concatenate(columns)
        for columns in zip(*(_candidates(a, b, chosen) for chosen in classes), strict=True)
    )
    width = np.minimum(a[i, 2], b[j, 2]) - np.maximum(a[i, 0], b[j, 0])
    height = np.minimum(a[i, 3], b[j, 3]) - np.maximum(a[i, 1], b[j, 1])
    meets = (width > 0) & (height > 0)
    if touching:
        meets |= ((width == 0) & (height > 0)) | ((width > 0) & (height == 0))
    return i[meets], j[meets]


def _candidates(a: Boxes, b: Boxes, chosen: Integers) -> tuple[Integers, Integers]:
    """Pairs of near boxes; those of `b` that are chosen are of similar size.

    The corners of `b` are sorted into squares as large as the largest of them; a box of `a` looks
    through the rows of squares that it covers, and one more below and to the left.
    """
    size = int(np.max(b[chosen, 2:] - b[chosen, :2])) + 1
    origin = b[chosen, :2].min(axis=0)
    square = (b[chosen, :2] - origin) // size
    columns = int(square[:, 0].max()) + 1
    key = square[:, 1] * columns + square[:, 0]
    order = np.argsort(key, kind="stable")
    key, last = key[order], square.max(axis=0)
    low = np.maximum((a[:, :2] - origin) // size - 1, 0)
    high = np.minimum((a[:, 2:] - origin) // size, last)
    rows = np.where((high >= low).all(axis=1), high[:, 1] - low[:, 1] + 1, 0)
    i, row = _expand(np.arange(len(a)), low[:, 1], rows)
    first = np.searchsorted(key, row * columns + low[i, 0], side="left")
    stop = np.searchsorted(key, row * columns + high[i, 0], side="right")
    i, at = _expand(i, first, stop - first)
    return i, chosen[order[at]]


def _expand(values: Integers, first: Integers, count: Integers) -> tuple[Integers, Integers]:
    """Each value `count` times, beside numbers that rise from `first`."""
    starts = np.repeat(first - (np.cumsum(count) - count), count)
    return np.repeat(values, count), starts + np.arange(int(count.sum()))


def overlaps_of(a: Shapes, b: Shapes) -> tuple[Integers, Integers]:
    """Every pair of a polygon of `a` and one of `b` that share area, each once."""
    i, j = find_overlaps(a.boxes, b.boxes)
    if a.slanted or b.slanted:
        exact = [_share_area(a, p, b, q) for p, q in zip(i.tolist(), j.tolist(), strict=True)]
        i, j = i[exact], j[exact]
    pairs = np.unique(np.stack([a.owner[i], b.owner[j]], axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _share_area(a: Shapes, p: int, b: Shapes, q: int) -> bool:
    if p not in a.slanted and q not in b.slanted:
        return True
    import klayout.db as kdb

    first, second = (
        kdb.Region(s.slanted[k] if k in s.slanted else kdb.Box(*map(int, s.boxes[k])))
        for s, k in ((a, p), (b, q))
    )
    return not (first & second).is_empty()
