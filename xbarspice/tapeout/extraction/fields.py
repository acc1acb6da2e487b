"""Current in a sheet of metal of any shape, by linear finite elements on KLayout's triangles.

Solved is ``div (grad V / R_square) = 0`` with insulated edges; electrodes are equipotential. The
answer is what the shape is between its electrodes: their matrix of conductances, in 1 / squares.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csc_array
from scipy.sparse.linalg import splu

from xbarspice.tapeout.drawing.klayout import klayout_db

__all__ = ["Field", "lies_on", "solve_sheet"]

Floats = npt.NDArray[np.float64]

ELEMENTS = 700
"""About how many triangles a shape is cut into at least."""
DIVISIONS = 10
"""Elements that fit into the shorter edge at a corner."""
GROWTH = 1.5
"""Factor from an element to the next one away from a corner."""
SAMPLES = 5
"""Points along each side of a probe."""
OFF_GRID = 2.0
"""Database units by which a slanted electrode may miss the metal's edge, whose corners were put on
the grid."""
QUALITY = 1.0
"""KLayout's measure of the triangles, 1 for equilateral ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """A sheet between electrodes.

    Attributes:
        conductance: between electrodes, (n, n), rows sum to 0, 1 / squares.
        shares: potential of each probe when one electrode is at 1 and all others at 0, (probes, n).
        between_probes: potential of probe k per current into probe m with all electrodes at 0,
            squares; of a probe's own current as if it flowed on over the side that is farthest from
            the electrodes, so that the last segment of a line counts from centre to centre like
            others.
    """

    conductance: Floats
    shares: Floats
    between_probes: Floats


def solve_sheet(
    outline: Sequence[Floats],
    electrodes: Sequence[Floats],
    probes: Sequence[Floats] = (),
    *,
    fineness: float = 1.0,
) -> Field:
    """Solve a sheet.

    Args:
        outline: its hull and holes, (points, 2) each, in database units, electrodes cut out.
        electrodes: polygons (points, 2) or segments (2, 2) at its edge.
        probes: boxes (4,), left, bottom, right, top, through which current flows evenly and whose
            mean potential is asked for.
        fineness: factor on the number of elements along every length.
    """
    points, triangles = _mesh(outline, fineness)
    K = _stiffness(points, triangles)
    member = np.full(len(points), -1)
    for k, electrode in enumerate(electrodes):
        member[lies_on(points, electrode)] = k
    n = len(electrodes)
    inner = member < 0
    fixed = coo_array(
        (np.ones((~inner).sum()), (np.flatnonzero(~inner), member[~inner])), shape=(len(points), n)
    ).toarray()
    M = (
        np.stack([_mean_over(points, triangles, probe) for probe in probes])
        if len(probes)
        else np.zeros((0, len(points)))
    )
    coupling = (K @ fixed)[inner]
    lu = splu(csc_array(K[inner][:, inner]))
    V = np.array(fixed)
    V[inner] = -lu.solve(coupling)
    conductance = V.T @ (K @ V)
    shares = M @ V
    between_probes = np.zeros((len(probes), len(probes)))
    if len(probes):
        sides = [_far_side(probe, electrodes, outline[0]) for probe in probes]
        F = np.stack([_mean_over(points, triangles, side, 8 * SAMPLES) for side in sides])
        between_probes = M[:, inner] @ lu.solve(M[:, inner].T)
        np.fill_diagonal(
            between_probes, np.einsum("kn,nk->k", M[:, inner], lu.solve(F[:, inner].T))
        )
    return Field(
        conductance=(conductance + conductance.T) / 2, shares=shares, between_probes=between_probes
    )


def _mesh(outline: Sequence[Floats], fineness: float) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Points (n, 2) and triangles (m, 3) of the sheet."""
    kdb = klayout_db()
    hull, *holes = (
        [kdb.DPoint(*p) for p in _divide(contour, fineness).tolist()] for contour in outline
    )
    sheet = kdb.DPolygon(hull, True)
    for hole in holes:
        sheet.insert_hole(hole, True)
    corners: dict[tuple[float, float], int] = {}
    triangles = []
    for triangle in sheet.delaunay(sheet.area() / (ELEMENTS * fineness**2), QUALITY):
        triangles.append(
            [corners.setdefault((p.x, p.y), len(corners)) for p in triangle.each_point_hull()]
        )
    return np.array(list(corners)), np.array(triangles, dtype=np.int64)


def _divide(contour: Floats, fineness: float) -> Floats:
    """A closed contour with more points at its corners, where currents crowd."""
    sides = np.hypot(*(np.roll(contour, -1, axis=0) - contour).T)
    step = np.minimum(sides, np.roll(sides, 1)) / (DIVISIONS * fineness)  # at every corner
    parts = []
    for k, (a, b) in enumerate(zip(contour, np.roll(contour, -1, axis=0), strict=True)):
        at = _steps(sides[k], step[k], step[(k + 1) % len(step)])
        parts.append(a + (b - a) * at[:, None] / sides[k])
    return np.concatenate(parts)


def _steps(length: float, first: float, last: float) -> Floats:
    """Distances along an edge, growing by `GROWTH` from both ends; 0 is one, `length` is not."""

    def grow(step: float) -> list[float]:
        out = [0.0]
        while out[-1] + step < length / 2:
            out.append(out[-1] + step)
            step *= GROWTH
        return out

    far = [length - d for d in grow(last)[:0:-1]]
    return np.array(grow(first) + far)


def lies_on(points: Floats, electrode: Floats) -> npt.NDArray[np.bool_]:
    """Which points lie within or on an electrode."""
    steps = np.abs(np.diff(electrode, axis=0))
    tolerance = OFF_GRID if (steps.min(axis=1) > 1e-6).any() else 1e-3
    if len(electrode) == 2:
        return _distance(points, electrode[0], electrode[1]) <= tolerance
    closed = np.concatenate([electrode, electrode[:1]])
    on = np.zeros(len(points), dtype=bool)
    inside = np.zeros(len(points), dtype=bool)
    x, y = points.T
    for a, b in itertools.pairwise(closed):
        on |= _distance(points, a, b) <= tolerance
        crosses = (a[1] > y) != (b[1] > y)
        at = a[0] + (b[0] - a[0]) * (y - a[1]) / np.where(crosses, b[1] - a[1], 1.0)
        inside ^= crosses & (x < at)
    return on | inside


def _distance(points: Floats, a: Floats, b: Floats) -> Floats:
    """Distance of points from a segment."""
    d = b - a
    t = np.clip((points - a) @ d / (d @ d), 0.0, 1.0)
    return np.hypot(*(points - a - t[:, None] * d).T)


def _far_side(box: Floats, electrodes: Sequence[Floats], hull: Floats) -> Floats:
    """The cut through the sheet along the side of a box that is farthest from the electrodes.

    Returns:
        A box without width, (4,).
    """
    left, bottom, right, top = box
    (low_x, low_y), (high_x, high_y) = hull.min(axis=0), hull.max(axis=0)
    centre = np.array([(left + right) / 2, (bottom + top) / 2])
    nearest = min(
        (e.mean(axis=0) for e in electrodes), key=lambda m: float(np.hypot(*(m - centre)))
    )
    dx, dy = centre - nearest
    if abs(dx) > abs(dy):
        x = right if dx > 0 else left
        return np.array([x, low_y, x, high_y])
    y = top if dy > 0 else bottom
    return np.array([low_x, y, high_x, y])


def _mean_over(
    points: Floats, triangles: npt.NDArray[np.int64], box: Floats, samples_a_side: int = SAMPLES
) -> Floats:
    """Weights of the points whose sum is the mean potential over a box, as far as it is metal."""
    low, high = box[:2], box[2:]
    counts = np.where(high > low, samples_a_side, 1)
    steps = [
        a + (b - a) * (np.arange(n) + 0.5) / n for a, b, n in zip(low, high, counts, strict=True)
    ]
    x, y = np.meshgrid(*steps)
    samples = np.stack([x.ravel(), y.ravel()], axis=1)
    corner = points[triangles]
    T = np.stack([corner[:, 0] - corner[:, 2], corner[:, 1] - corner[:, 2]], axis=2)
    local = np.linalg.solve(T[None], (samples[:, None] - corner[None, :, 2])[..., None])[..., 0]
    local = np.concatenate([local, 1 - local.sum(-1, keepdims=True)], axis=2)
    holder = local.min(-1).argmax(1)  # the triangle that holds a sample
    weight = local[np.arange(len(samples)), holder]
    held = weight.min(1) >= -1e-6
    out = np.zeros(len(points))
    if held.any():
        np.add.at(out, triangles[holder[held]], weight[held] / held.sum())
        return out
    centre = samples.mean(0)
    out[np.hypot(*(points - centre).T).argmin()] = 1.0
    return out


def _stiffness(points: Floats, triangles: npt.NDArray[np.int64]) -> csc_array:
    """Conductance matrix of linear elements with one square's conductance 1."""
    p = points[triangles]
    edges = p[:, [2, 0, 1]] - p[:, [1, 2, 0]]  # opposite to each corner
    twice = np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0])
    local = np.einsum("tik,tjk->tij", edges, edges) / (2 * twice)[:, None, None]
    i = np.repeat(triangles, 3, axis=1).ravel()
    j = np.tile(triangles, (1, 3)).ravel()
    n = len(points)
    return csc_array(coo_array((local.ravel(), (i, j)), shape=(n, n)))
