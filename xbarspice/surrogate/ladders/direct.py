"""The direct method for the same drop equations, for arrays that iterate too long.

Sparse LU where the conductances are of one kind. Where they are not, LU loses a weak path to the
ends beside a stiff wire in the diagonal; then the nodes are eliminated one by one without any
subtraction (Grassmann, Taksar and Heyman 1985, doi:10.1287/opre.33.5.1107), keeping the
conductance to the ends instead of the diagonal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xbarspice.core.errors import ConvergenceError
from xbarspice.core.types import Array, Indices
from xbarspice.surrogate.native.library import F64, INT, function

if TYPE_CHECKING:
    from xbarspice.surrogate.ladders.lines import Lines, Network

__all__ = ["Direct"]

_eliminate_band = function("eliminate_band", F64, F64, INT, INT)
_solve_band = function("solve_band", F64, F64, INT, INT)

ALIKE = 1e7
"""Spread of the conductances (largest over smallest) up to which sparse LU is used."""


def _unknowns(lines: Lines, first: int) -> tuple[Indices, int]:
    """Unknown of every node (cells, lines), -1 where the node is held; and the next free number."""
    first_node, free = lines.first_node.T, lines.free.T
    begins = free & (first_node == np.arange(lines.cells)[:, None])
    number = np.cumsum(begins.ravel()).reshape(free.shape) - 1 + first
    node = np.where(free, np.take_along_axis(number, first_node, axis=0), -1)
    return node, first + int(begins.sum())


def _ladder(lines: Lines, node: Indices) -> list[tuple[Indices, Indices, Array]]:
    """Branches (from, to or -1 for ground, conductance in S) of the wires and ends."""
    ground = np.full(node.shape[1], -1)
    out = [(node[0], ground, lines.ends[0]), (node[-1], ground, lines.ends[3])]
    apart = ~lines.joined.T
    R = np.full(apart.shape, lines.R) if lines.segments is None else lines.segments.T
    out.append((node[:-1][apart], node[1:][apart], 1 / R[apart]))
    return out


def _band(size: int, i: Indices, j: Indices, place: Indices) -> int:
    """Distance of the furthest two joined nodes in an order."""
    both = (i >= 0) & (j >= 0)
    return int(np.abs(place[i[both]] - place[j[both]]).max(initial=0)) if size else 0


def _order(wl: Indices, bl: Indices, size: int, i: Indices, j: Indices) -> Indices:
    """Place of every unknown: cell by cell along the axis that keeps joined nodes closer."""
    found = []
    for transposed in (False, True):
        first = np.full(size + 1, 2 * wl.size)
        for kind, node in enumerate((wl, bl)):
            flat = node.T.ravel() if transposed else node.ravel()
            np.minimum.at(first, flat, 2 * np.arange(flat.size) + kind)
        place = np.empty(size, np.intp)
        place[np.argsort(first[:size], kind="stable")] = np.arange(size)
        found.append(place)
    return min(found, key=lambda place: _band(size, i, j, place))


class _Banded:
    """Elimination without subtraction.

    Row k of `band` is the conductance of node k when its turn comes (S), then the shares of a
    current at it that go on to the next nodes.
    """

    def __init__(self, size: int, i: Indices, j: Indices, g: Array, place: Indices) -> None:
        self.place = place
        self.band = np.zeros((size, 1 + _band(size, i, j, place)))
        known = np.zeros(size)
        for node, other in ((i, j), (j, i)):
            ends = (node >= 0) & (other < 0)
            np.add.at(known, place[node[ends]], g[ends])
        both = (i >= 0) & (j >= 0) & (i != j)
        a, b = place[i[both]], place[j[both]]
        np.add.at(self.band, (np.minimum(a, b), np.abs(a - b)), g[both])
        _eliminate_band(self.band, known, size, self.band.shape[1] - 1)

    def solve(self, currents: Array) -> Array:
        x = np.empty_like(currents)
        x[self.place] = currents
        _solve_band(self.band, x, len(x), self.band.shape[1] - 1)
        return x[self.place]


def _lu(size: int, i: Indices, j: Indices, g: Array) -> Any:
    import scipy.sparse as sp  # only where it is needed: a fifth of a second
    from scipy.sparse.linalg import splu

    on_i, on_j = i >= 0, j >= 0
    both = on_i & on_j
    row = np.concatenate([i[on_i], j[on_j], i[both], j[both]])
    col = np.concatenate([i[on_i], j[on_j], j[both], i[both]])
    value = np.concatenate([g[on_i], g[on_j], -g[both], -g[both]])
    return splu(sp.csc_matrix((value, (row, col)), shape=(size, size)))


class Direct:
    """Solves W a + D b = F_wl, D a + B b = F_bl for one array with device slopes D (S).

    With the bit-line unknowns negated these are the equations of a network of conductances.

    Raises:
        ConvergenceError: a slope is not finite.
    """

    def __init__(self, net: Network, D: Array) -> None:
        wl, free = _unknowns(net.wl, 0)
        self.bl, size = _unknowns(net.bl, free)
        branches = [*_ladder(net.wl, wl), *_ladder(net.bl, self.bl)]
        self.wl, self.size = wl.T, size
        branches.append((self.wl.ravel(), self.bl.ravel(), D.ravel()))
        i, j, g = (np.concatenate(part) for part in zip(*branches, strict=True))
        if not np.isfinite(g).all():
            raise ConvergenceError(
                "the slopes of all devices must be finite: a slope is NaN or infinite. Check the "
                "voltages and the device's derivative."
            )
        joins = (g > 0) & ((i >= 0) | (j >= 0))
        i, j, g = i[joins], j[joins], g[joins]
        alike = g.max(initial=1.0) <= ALIKE * g.min(initial=1.0)
        if not size:
            self.factors = None
        elif alike:
            self.factors = _lu(size, i, j, g)
        else:
            self.factors = _Banded(size, i, j, g, _order(self.wl, self.bl, size, i, j))

    def correct(self, F_wl: Array, F_bl: Array) -> tuple[Array, Array]:
        """The corrections a and b in V, (rows, cols), for Kirchhoff sums in A of that shape."""
        if self.factors is None:
            return np.zeros_like(F_wl), np.zeros_like(F_bl)
        rhs = np.zeros(self.size)
        np.add.at(rhs, self.wl[self.wl >= 0], F_wl[self.wl >= 0])
        np.add.at(rhs, self.bl[self.bl >= 0], -F_bl[self.bl >= 0])
        x = np.append(self.factors.solve(rhs), 0.0)  # the last entry stands for held nodes
        return x[self.wl], -x[self.bl]
