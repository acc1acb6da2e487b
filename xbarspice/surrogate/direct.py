"""The direct fallback: sparse LU of the same drop equations, for arrays that iterate too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.linalg import splu

if TYPE_CHECKING:
    from xbarspice.surrogate.linear import Factors, Lines, Network, Workspace

__all__ = ["correct"]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


def _unknowns(lines: Lines, first: int) -> tuple[Index, int]:
    """Unknown of every node (cells, lines), -1 where the node is held; and the next free number."""
    count = lines.ends.shape[1]
    free = np.ones((lines.cells, count), bool)
    free[0] &= lines.ends[1] > 0
    free[-1] &= lines.ends[4] > 0
    if lines.R == 0:  # the line is one node
        free[:] = free.all(axis=0)
        number = np.where(free[0], np.cumsum(free[0]) - 1 + first, -1)
        return np.broadcast_to(number, free.shape), first + int(free[0].sum())
    number = np.where(free, np.cumsum(free.ravel()).reshape(free.shape) - 1 + first, -1)
    return number, first + int(free.sum())


def _ladder(lines: Lines, node: Index) -> list[tuple[Index, Index, Array]]:
    """Branches (from, to or -1 for ground, conductance in S) of the wires and ends."""
    ground = np.full(node.shape[1], -1)
    out = [(node[0], ground, lines.ends[0]), (node[-1], ground, lines.ends[3])]
    if lines.R > 0 and lines.cells > 1:
        a, b = node[:-1].ravel(), node[1:].ravel()
        out.append((a, b, np.full(a.size, 1 / lines.R)))
    return out


def correct(net: Network, f: Factors, ws: Workspace) -> None:
    """Solve what `linear.correct` states, in place, by one sparse factorisation.

    With the bit-line unknowns negated the equations are those of a network of conductances.
    """
    wl, free = _unknowns(net.wl, 0)
    bl, size = _unknowns(net.bl, free)
    branches = [*_ladder(net.wl, wl), *_ladder(net.bl, bl)]
    branches.append((wl.T.ravel(), bl.ravel(), f.D.ravel()))
    i, j, g = (np.concatenate(part) for part in zip(*branches, strict=True))
    on_i, on_j = i >= 0, j >= 0
    both = on_i & on_j
    row = np.concatenate([i[on_i], j[on_j], i[both], j[both]])
    col = np.concatenate([i[on_i], j[on_j], j[both], i[both]])
    value = np.concatenate([g[on_i], g[on_j], -g[both], -g[both]])
    matrix = sp.csc_matrix((value, (row, col)), shape=(size, size))
    rhs = np.zeros(size)
    np.add.at(rhs, wl[wl >= 0], ws.fT[wl >= 0])
    np.add.at(rhs, bl[bl >= 0], -ws.r[bl >= 0])
    x = np.append(splu(matrix).solve(rhs), 0.0)  # the last entry stands for held nodes
    ws.aT[:] = x[wl]
    ws.b[:] = -x[bl]
