"""The direct fallback: sparse LU of the same drop equations, for arrays that iterate too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xbarspice.errors import ConvergenceError

if TYPE_CHECKING:
    from xbarspice.surrogate.linear import Lines, Network

__all__ = ["Direct"]

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


class Direct:
    """Sparse LU of W a + D b = F_wl, D a + B b = F_bl for one array with device slopes D (S).

    With the bit-line unknowns negated these are the equations of a network of conductances.
    """

    def __init__(self, net: Network, D: Array) -> None:
        import scipy.sparse as sp  # only where it is needed: a fifth of a second
        from scipy.sparse.linalg import splu

        wl, free = _unknowns(net.wl, 0)
        self.bl, size = _unknowns(net.bl, free)
        branches = [*_ladder(net.wl, wl), *_ladder(net.bl, self.bl)]
        self.wl, self.size = wl.T, size
        branches.append((self.wl.ravel(), self.bl.ravel(), D.ravel()))
        i, j, g = (np.concatenate(part) for part in zip(*branches, strict=True))
        on_i, on_j = i >= 0, j >= 0
        both = on_i & on_j
        row = np.concatenate([i[on_i], j[on_j], i[both], j[both]])
        col = np.concatenate([i[on_i], j[on_j], j[both], i[both]])
        value = np.concatenate([g[on_i], g[on_j], -g[both], -g[both]])
        if not np.isfinite(value).all():
            raise ConvergenceError(
                "the slopes of all devices must be finite: a slope is NaN or infinite. Check the "
                "voltages and the device's derivative."
            )
        self.lu = splu(sp.csc_matrix((value, (row, col)), shape=(size, size))) if size else None

    def correct(self, F_wl: Array, F_bl: Array) -> tuple[Array, Array]:
        """The corrections a and b in V, (rows, cols), for Kirchhoff sums in A of that shape."""
        if self.lu is None:
            return np.zeros_like(F_wl), np.zeros_like(F_bl)
        rhs = np.zeros(self.size)
        np.add.at(rhs, self.wl[self.wl >= 0], F_wl[self.wl >= 0])
        np.add.at(rhs, self.bl[self.bl >= 0], -F_bl[self.bl >= 0])
        x = np.append(self.lu.solve(rhs), 0.0)  # the last entry stands for held nodes
        return x[self.wl], -x[self.bl]
