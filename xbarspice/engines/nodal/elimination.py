"""Solving a network of conductances: sparse LU, and elimination without subtraction.

LU forms the diagonal of a node as the sum of all its conductances, in which a small path to the
sources is lost next to a stiff wire. The elimination of Grassmann, Taksar and Heyman (1985,
doi:10.1287/opre.33.5.1107) keeps the conductance to the sources itself instead: removing node k
joins its neighbours i, j by g_ik g_kj / g_k and each to the sources by g_ik g_k0 / g_k (star and
mesh), sums of positive terms, so every factor is right to a few roundings whatever the values are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import reverse_cuthill_mckee
from scipy.sparse.linalg import splu

from xbarspice.core.types import Array, Indices

__all__ = ["factor"]

Solve = Callable[[Array], Array]

ALIKE = 1e6
"""Spread of the conductances below which LU need not be checked."""
LU_ERROR = 1e-6
"""Error of an LU, by a solution known beforehand, above which it is not used."""


def factor(size: int, i: Indices, j: Indices, g: Array, *, lu: bool = True) -> Solve:
    """Prepare the solution of Kirchhoff's equations of conductances between free nodes.

    Args:
        size: number of free nodes.
        i, j: the two nodes of each conductance, -1 for a node of known voltage.
        g: the conductances, S, >= 0.
        lu: try sparse LU, which is faster, and take it where its solution of a known case is right.

    Returns:
        A function from injected currents, A, (size, vectors), to node voltages, V.
    """
    if size == 0:
        return np.zeros_like
    use = (g > 0) & (i != j)
    i, j, g = i[use], j[use], g[use]
    solve = _lu(size, i, j, g) if lu else None
    return _Eliminated(size, i, j, g).solve if solve is None else solve


def _lu(size: int, i: Indices, j: Indices, g: Array) -> Solve | None:
    """Sparse LU, or None where too much is lost in it."""
    on_i, on_j = i >= 0, j >= 0
    between = on_i & on_j
    row = np.concatenate([i[on_i], j[on_j], i[between], j[between]])
    col = np.concatenate([i[on_i], j[on_j], j[between], i[between]])
    val = np.concatenate([g[on_i], g[on_j], -g[between], -g[between]])
    if not np.isfinite(val).all():
        return None
    try:
        lu = splu(sp.csc_matrix((val, (row, col)), shape=(size, size)))
    except RuntimeError:  # "Factor is exactly singular": the path to the sources was lost
        return None
    if g.max() > ALIKE * g.min():
        # with all sources at 1 V every node is at 1 V
        to_sources = _to_known(size, i, j, g)
        error = np.abs(lu.solve(to_sources) - 1.0).max()
        if not error <= LU_ERROR:
            return None
    # SuperLU takes five times as long for each of many vectors at a time
    return lambda f: np.stack([lu.solve(x) for x in f.reshape(size, -1).T], 1).reshape(f.shape)


def _to_known(size: int, i: Indices, j: Indices, g: Array) -> Array:
    """Conductance of every free node to the nodes of known voltage, S."""
    out = np.zeros(size)
    np.add.at(out, i[j < 0], g[j < 0])
    np.add.at(out, j[i < 0], g[i < 0])
    return out


class _Eliminated:
    """The factors of an elimination without subtraction, in a band.

    Row k of `share` holds what part of a current at node k goes on to each of the next nodes, and
    `through` the conductance that node k has to these and to the sources, S.
    """

    def __init__(self, size: int, i: Indices, j: Indices, g: Array) -> None:
        between = (i >= 0) & (j >= 0)
        a, b, c = i[between], j[between], g[between]
        graph = sp.csr_matrix((np.ones(2 * a.size), (np.r_[a, b], np.r_[b, a])), (size, size))
        self.order = reverse_cuthill_mckee(graph, symmetric_mode=True).astype(np.intp)
        place = np.empty(size, np.intp)
        place[self.order] = np.arange(size)
        first, last = np.minimum(place[a], place[b]), np.maximum(place[a], place[b])
        self.width = width = int(np.max(last - first, initial=1))
        # entry (i, j) of the upper triangle lies at i * width + j of the flat memory
        band = np.zeros((size + width + 1, width + 1))
        np.add.at(band, (first, last - first), c)
        to_sources = np.zeros(size + width)
        to_sources[:size] = _to_known(size, i, j, g)[self.order]
        self.share, self.through = band, np.empty(size)
        self._eliminate(band, to_sources)

    def _eliminate(self, band: Array, to_sources: Array) -> None:
        width, step = self.width, band.itemsize
        flat = band.reshape(-1)
        upper = np.triu(np.ones((width, width)), 1)
        for k in range(self.through.size):
            row = band[k, 1:]
            self.through[k] = through = row.sum() + to_sources[k]
            share = row / through if through > 0 else 0.0 * row
            corner = flat[(k + 1) * (width + 1) :]
            mesh = np.lib.stride_tricks.as_strided(corner, (width, width), (width * step, step))
            mesh += np.outer(row, share) * upper
            to_sources[k + 1 : k + 1 + width] += share * to_sources[k]
            band[k, 1:] = share

    def solve(self, currents: Array) -> Array:
        """Node voltages, V, (nodes, ...), for the injected currents, A."""
        size, width = self.through.size, self.width
        f = np.zeros((size + width, *currents.shape[1:]))
        f[:size] = currents[self.order]
        share = self.share[:, 1:].reshape(len(self.share), width, *(1 for _ in f.shape[1:]))
        for k in range(size):
            f[k + 1 : k + 1 + width] += share[k] * f[k]
        through = np.where(self.through > 0, self.through, np.inf)
        for k in range(size - 1, -1, -1):
            f[k] = f[k] / through[k] + (share[k] * f[k + 1 : k + 1 + width]).sum(axis=0)
        out = np.empty(currents.shape)
        out[self.order] = f[:size]
        return out
