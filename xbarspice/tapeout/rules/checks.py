"""One check a kind of rule, each by operations of KLayout on the regions of a cell.

Distances between edges are Euclidean; edges that meet at 90 degrees or more are not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xbarspice.tapeout.drawing.klayout import klayout_db
from xbarspice.tapeout.rules.density import find_dense, find_sparse
from xbarspice.tapeout.rules.rule import Kind, Rule
from xbarspice.tapeout.rules.shapes import Shapes

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["Mark", "Marks", "find_marks"]

Measure = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A place that breaks a rule.

    Attributes:
        box: around it, database units.
        measure: gives the measured value in the unit of the rule; computed where it is shown.
    """

    box: kdb.Box
    measure: Measure


Marks = Iterator[Mark]


def find_marks(rule: Rule, shapes: Shapes) -> Marks:
    """Every place of a cell that breaks a rule.

    Args:
        rule: one of `rules_of` the technology of the shapes.
        shapes: of the cell.
    """
    return _CHECKS[rule.kind](rule, shapes)


def _of_pairs(pairs: kdb.EdgePairs, dbu: float) -> Marks:
    """Edges that are too close, each pair a place, also where both were held against the other."""
    alike = {tuple(sorted((p.first, p.second))): p for p in pairs.each()}
    for pair in alike.values():
        yield Mark(box=pair.bbox(), measure=lambda pair=pair: _distance(pair) * dbu)


def _distance(pair: kdb.EdgePair) -> float:
    """Between the nearest points of two edges that do not cross, database units."""
    a, b = pair.first, pair.second
    return min(
        *(a.euclidian_distance(p) for p in (b.p1, b.p2)),
        *(b.euclidian_distance(p) for p in (a.p1, a.p2)),
    )


def _find_off_grid(rule: Rule, shapes: Shapes) -> Marks:
    """Corners of the drawn shapes, also of those that vanish when shapes are joined."""
    step, dbu = shapes.units(rule.limit), shapes.dbu
    for pair in shapes.raw(rule.layer).grid_check(step, step).each():
        point = pair.first.p1
        off = max(min(v % step, -v % step) for v in (point.x, point.y))
        yield Mark(box=pair.bbox(), measure=lambda off=off: off * dbu)


def _find_narrow(rule: Rule, shapes: Shapes) -> Marks:
    region, metric = shapes.merged(rule.layer), klayout_db().Region.Euclidian
    return _of_pairs(
        region.width_check(shapes.units(rule.limit), metrics=metric),
        shapes.dbu,
    )


def _find_close(rule: Rule, shapes: Shapes) -> Marks:
    """Two shapes, or a shape and itself across a notch or a hole.

    Only shapes with edges that are close are held against each other: shapes whose boxes overlap,
    such as hundreds of bent leads, cost too much otherwise. Edges alone see metal in between for a
    gap, and not every acute notch.
    """
    region, limit = shapes.merged(rule.layer), shapes.units(rule.limit)
    metric = klayout_db().Region.Euclidian
    marks = region.edges().space_check(limit, metrics=metric).polygons(1)
    suspects = region.interacting(marks) + region.non_rectilinear()
    return _of_pairs(suspects.space_check(limit, metrics=metric), shapes.dbu)


def _find_close_to_wide(rule: Rule, shapes: Shapes) -> Marks:
    """Edges of the parts that are wide in both directions against all edges of the metal."""
    metal, half = shapes.merged(rule.layer), int(rule.above / shapes.dbu + 1e-6) // 2
    wide = metal.sized(-half).sized(half) & metal
    edges = metal.edges()
    pairs = (wide.edges() & edges).separation_check(
        edges, shapes.units(rule.limit), metrics=klayout_db().Region.Euclidian
    )
    return _of_pairs(pairs, shapes.dbu)


def _find_small(rule: Rule, shapes: Shapes) -> Marks:
    """Joined shapes with less area, holes left out."""
    dbu = shapes.dbu
    least = -int(-rule.limit / dbu**2 + 1e-3)
    for polygon in shapes.merged(rule.layer).with_area(0, least, False).each():
        yield Mark(box=polygon.bbox(), measure=lambda p=polygon: p.area() * dbu**2)


def _find_lonely(rule: Rule, shapes: Shapes) -> Marks:
    vias = klayout_db().Region()
    for name in rule.others:
        vias += shapes.merged(name)
    for polygon in shapes.merged(rule.layer).not_interacting(vias).each():
        yield Mark(box=polygon.bbox(), measure=lambda: 0.0)


def _find_other_sizes(rule: Rule, shapes: Shapes) -> Marks:
    """Cuts that are no square of the size; the side that is farthest from it is measured."""
    side, dbu = shapes.units(rule.limit), shapes.dbu
    for polygon in shapes.merged(rule.layer).each():
        box = polygon.bbox()
        sides = (box.width(), box.height())
        if not polygon.is_box() or sides != (side, side):
            worst = max(sides, key=lambda length: abs(length - side))
            yield Mark(box=box, measure=lambda worst=worst: worst * dbu)


def _find_bare(rule: Rule, shapes: Shapes) -> Marks:
    """Edges that are too close to that of the metal around, and parts that lie outside it."""
    inner, outer = shapes.merged(rule.layer), shapes.merged(rule.others[0])
    metric = klayout_db().Region.Euclidian
    limit, dbu = shapes.units(rule.limit), shapes.dbu
    if limit:
        yield from _of_pairs(inner.enclosed_check(outer, limit, metrics=metric), dbu)
    for polygon in (inner - outer).each():
        box = polygon.bbox()
        yield Mark(box=box, measure=lambda b=box: -min(b.width(), b.height()) * dbu)


def _find_short(rule: Rule, shapes: Shapes) -> Marks:
    """Shapes that the metal does not exceed by the limit on two opposite sides."""
    inner, outer = shapes.merged(rule.layer).dup(), shapes.merged(rule.others[0])
    inner.merged_semantics = False  # two that grow together must stay apart
    limit, dbu = shapes.units(rule.limit), shapes.dbu
    grown = [inner.sized(x, y, 2) for x, y in ((limit, 0), (0, limit))]
    if any((region - outer).is_empty() for region in grown):
        return  # as for all devices of an array, along its lines
    covered = klayout_db().Region()
    for region in grown:
        region.merged_semantics = False
        covered += region.inside(outer)
    for polygon in inner.not_inside(covered.merged()).each():
        box = polygon.bbox()
        yield Mark(box=box, measure=lambda b=box: _reach(b, outer, limit) * dbu)


def _reach(box: kdb.Box, outer: kdb.Region, limit: int) -> int:
    """How far a region exceeds a box on two opposite sides, at most `limit`; the better pair."""
    kdb = klayout_db()
    left, bottom, right, top = box.left, box.bottom, box.right, box.top
    sides = {
        "left": kdb.Box(left - limit, bottom, left, top),
        "right": kdb.Box(right, bottom, right + limit, top),
        "bottom": kdb.Box(left, bottom - limit, right, bottom),
        "top": kdb.Box(left, top, right, top + limit),
    }
    reach = {}
    for side, strip in sides.items():
        hole = (kdb.Region(strip) - outer).bbox()
        free = {
            "left": left - hole.right,
            "right": hole.left - right,
            "bottom": bottom - hole.top,
            "top": hole.bottom - top,
        }
        reach[side] = limit if hole.empty() else max(0, free[side])
    if not (kdb.Region(box) - outer).is_empty():
        return 0
    return max(min(reach["left"], reach["right"]), min(reach["bottom"], reach["top"]))


def _find_touching(rule: Rule, shapes: Shapes) -> Marks:
    """Joined shapes of more than one drawn shape, also of equal ones on one another."""
    drawn, merged = shapes.raw(rule.layer), shapes.merged(rule.layer)
    several = merged.interacting(drawn, 2) | merged.interacting(drawn.merged(False, 2))
    drawn_shapes = klayout_db().Shapes()
    if not several.is_empty():
        drawn_shapes.insert(drawn)
    for polygon in several.each():
        yield Mark(box=polygon.bbox(), measure=lambda p=polygon: _count(drawn_shapes, p))


def _count(shapes: kdb.Shapes, polygon: kdb.Polygon) -> float:
    """How many shapes touch a polygon."""
    Region = klayout_db().Region
    near = (Region(shape.polygon) for shape in shapes.each_touching(polygon.bbox()))
    return float(sum(not region.interacting(Region(polygon)).is_empty() for region in near))


def _find_overlaps(rule: Rule, shapes: Shapes) -> Marks:
    """Parts that lie on one another; the smaller side of the part is measured."""
    dbu = shapes.dbu
    for polygon in (shapes.outside_foundry_cell(rule.others[0]) & shapes.merged(rule.layer)).each():
        box = polygon.bbox()
        yield Mark(box=box, measure=lambda b=box: min(b.width(), b.height()) * dbu)


def _find_windows(rule: Rule, shapes: Shapes) -> Marks:
    find = find_dense if rule.kind == "largest density" else find_sparse
    for box, share in find(rule, shapes):
        yield Mark(box=box, measure=lambda share=share: share)


_CHECKS: dict[Kind, Callable[[Rule, Shapes], Marks]] = {
    "grid": _find_off_grid,
    "width": _find_narrow,
    "space": _find_close,
    "wide space": _find_close_to_wide,
    "area": _find_small,
    "contact": _find_lonely,
    "largest density": _find_windows,
    "smallest density": _find_windows,
    "size": _find_other_sizes,
    "enclosure": _find_bare,
    "one direction": _find_short,
    "touching": _find_touching,
    "exclusion": _find_overlaps,
}
