"""One crossbar as a network of conductances between nodes, and its Kirchhoff sums.

Lines without wire resistance are one node, ends without resistance are nodes of fixed voltage
(modified nodal analysis; Ho, Ruehli and Brennan 1975, doi:10.1109/TCS.1975.1084079). Node voltages
are pairs of float64 arrays (`doubledouble`), (nodes, vectors), wherever their differences count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from xbarspice.core.array import Crossbar
from xbarspice.core.line_ends import End
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.engines.nodal import doubledouble as dd
from xbarspice.engines.nodal.elimination import Solve, factor

__all__ = ["NodalEquations", "Topology", "equations_of", "topologies", "topology"]


UNIT = 2.0**-53
"""Largest relative rounding error of one float64 operation."""
ADDED = 2.0**-96
"""Share of the branch currents that sums of pairs over hundreds of branches may lose."""
DEVICE_ROUNDING = 32 * 2.0**-52
"""Share of ``|I| + |V dI/dV|`` by which the equation of a nonlinear device is rounded."""


@dataclass(frozen=True)
class _Branches:
    """Linear branches (wires, line ends) between nodes, ohm; sources have fixed voltages."""

    a: Indices
    b: Indices
    R: Array


@dataclass(frozen=True)
class Topology:
    """Nodes of one crossbar shape: cells to nodes, fixed nodes, linear branches.

    Nodes are numbered: word-line nodes, bit-line nodes, one source node a line (rows, cols), and
    last the ground.
    """

    wl: Indices
    bl: Indices
    source: Indices
    fixed: Flags
    wires: _Branches
    ends: _Branches


def _lines(first: int, segments: Array) -> tuple[Indices, int]:
    """Node of every cell of parallel lines, shape (lines, cells), and the next free number.

    Cells that are joined by segments of 0 ohm, (lines, cells - 1), are one node.
    """
    begins = np.pad(segments > 0, ((0, 0), (1, 0)), constant_values=True)
    node = first - 1 + np.cumsum(begins).reshape(begins.shape)
    return node, int(node[-1, -1]) + 1


def topology(crossbar: Crossbar) -> Topology:
    """The nodes and linear branches of one array, or of arrays that share their wires."""
    rows, cols = crossbar.rows, crossbar.cols
    along_wl, along_bl = (R.reshape(R.shape[-2:]) for R in crossbar.segment_resistances)
    at_wl, at_bl = (R.reshape(R.shape[-2:]) for R in crossbar.end_resistances)
    wl, free = _lines(0, along_wl)
    bl, free = _lines(free, along_bl.T)
    nodes = free + rows + cols + 1
    source = free + np.arange(rows + cols)
    ground = nodes - 1
    wires: list[tuple[Indices, Indices, Array]] = []
    ends: list[tuple[int, int, float]] = []
    merged = np.arange(nodes)
    for node, segments in ((wl, along_wl), (bl, along_bl.T)):
        present = segments > 0
        wires.append((node[:, :-1][present], node[:, 1:][present], segments[present]))
    lines = [(wl, crossbar.wl_ends, at_wl, 0), (bl, crossbar.bl_ends, at_bl, rows)]
    for node, kinds, resistances, offset in lines:
        for line, pair in enumerate(kinds):
            for k, end in enumerate(pair):
                if end == End.FLOATING:
                    continue
                cell = node[line, -k]
                origin = source[offset + line] if end == End.DRIVEN else ground
                R = resistances[line, k]
                if R == 0:
                    merged[cell] = origin
                else:
                    ends.append((origin, cell, R))
    fixed = np.zeros(nodes, bool)
    fixed[free:] = True
    end = np.array(ends, dtype=float).reshape(-1, 3)
    joined = [np.concatenate(part) for part in zip(*wires, strict=True)]
    as_nodes = lambda n: merged[np.asarray(n, dtype=np.intp)]  # noqa: E731
    return Topology(
        wl=as_nodes(wl),
        bl=as_nodes(bl).T,
        source=source,
        fixed=fixed,
        wires=_Branches(as_nodes(joined[0]), as_nodes(joined[1]), np.asarray(joined[2], float)),
        ends=_Branches(as_nodes(end[:, 0]), as_nodes(end[:, 1]), end[:, 2]),
    )


def topologies(crossbar: Crossbar) -> list[Topology]:
    """The topology of all arrays of a batch if they share their wires, or of each of them."""
    if crossbar.wires_shared:
        return [topology(crossbar)]
    return [topology(crossbar.array(k)) for k in range(len(crossbar.G_flat))]


class NodalEquations:
    """Kirchhoff's equations of one array of conductances G, S, (rows, cols)."""

    def __init__(self, nodes: Topology, crossbar: Crossbar, G: Array) -> None:
        self.t = nodes
        self.device = crossbar.device
        self.shape = G.shape
        self.present = np.flatnonzero(G.ravel() > 0)
        self.a = nodes.wl.ravel()[self.present]
        self.b = nodes.bl.ravel()[self.present]
        self.G = G.ravel()[self.present]
        self.from_ = np.concatenate([nodes.wires.a, nodes.ends.a, self.a])
        self.to = np.concatenate([nodes.wires.b, nodes.ends.b, self.b])
        self.R = np.concatenate([nodes.wires.R, nodes.ends.R])
        self.g_linear = 1 / self.R
        self.used = np.zeros(nodes.fixed.size, bool)
        self.used[self.from_] = self.used[self.to] = True
        self.free = np.flatnonzero(self.used & ~nodes.fixed)
        self.position = np.full(nodes.fixed.size, -1)
        self.position[self.free] = np.arange(self.free.size)
        self.incidence = self._incidence()

    def _incidence(self) -> sp.csr_matrix:
        """+1 where a branch enters a free node and -1 where it leaves, (free nodes, branches)."""
        i, j = self.position[self.to], self.position[self.from_]
        row = np.concatenate([i, j])
        order = np.argsort(row, kind="stable")  # by hand: half the time of SciPy's conversion
        order = order[np.searchsorted(row[order], 0) :]
        first = np.searchsorted(row[order], np.arange(self.free.size + 1))
        sign = np.where(order < i.size, 1.0, -1.0)
        return sp.csr_matrix((sign, order % i.size, first), shape=(self.free.size, i.size))

    def voltages(self, V_in: Array, V_out: Array) -> Array:
        """Node voltages to start from, (nodes, vectors): the sources, and 0 V elsewhere.

        Where all sources of a vector that reach the network have one voltage, every node has it.
        """
        V = np.zeros((self.t.fixed.size, len(V_in)))
        V[self.t.source] = np.concatenate([V_in, V_out], axis=1).T
        sources = V[self.used & self.t.fixed]
        if sources.size:
            V[self.free] = np.where((sources == sources[0]).all(axis=0), sources[0], 0.0)
        return V

    def slopes(self, V: Array | None) -> Array:
        """Slopes of the devices that are present, S, at the node voltages of one vector or 0 V."""
        v = np.zeros(self.G.size) if V is None else V[self.a] - V[self.b]
        return np.broadcast_to(np.asarray(self.device.derivative(v, self.G), float), v.shape)

    def factor(self, slopes: Array, *, lu: bool = True) -> Solve:
        """Solution of the network of the free nodes with the given device slopes, S."""
        g = np.concatenate([self.g_linear, slopes])
        i, j = self.position[self.from_], self.position[self.to]
        return factor(self.free.size, i, j, g, lu=lu)

    def sums(self, V: Array) -> tuple[Array, Array]:
        """Kirchhoff sums at the free nodes and branch currents, A, (..., vectors)."""
        linear = self.g_linear.size
        difference = V[self.from_] - V[self.to]
        current = np.empty(difference.shape)
        current[:linear] = self.g_linear[:, None] * difference[:linear]
        current[linear:] = self.device.current(difference[linear:], self.G[:, None])
        return self.incidence @ current, current

    def rounding(self, V: Array, current: Array) -> Array:
        """What rounding may add to the |Kirchhoff sums| of `sums` and to line currents, A.

        Args:
            V: node voltages, V, (nodes, vectors).
            current: the branch currents that `sums` gave, A.

        Returns:
            A limit of the sum over all nodes for each vector, (vectors,).
        """
        most = int(np.diff(self.incidence.indptr).max(initial=0)) + sum(self.shape)
        lost = (8 + 2 * most) * UNIT * np.abs(current).sum(axis=0)
        if not self.device.linear:
            v, I_device = V[self.a] - V[self.b], current[self.g_linear.size :]
            slope = np.asarray(self.device.derivative(v, self.G[:, None]), float)
            lost += DEVICE_ROUNDING * (np.abs(I_device) + np.abs(v * slope)).sum(axis=0)
        return lost

    def exact_sums(self, V: dd.Pair) -> tuple[dd.Pair, dd.Pair, Array]:
        """Kirchhoff sums at the free nodes, device currents, and a limit of their rounding, A.

        Returns:
            Pairs (free nodes, vectors) and (devices present, vectors), and for each vector what
            rounding may add to the sum of all |Kirchhoff sums|.
        """
        across, wires = self._wires(V)
        device, lost = self._device(across)
        current = _join(wires, device)
        return self._gather(current), device, lost + ADDED * np.abs(current[0]).sum(axis=0)

    def linear_sums(self, x: dd.Pair, slopes: Array) -> dd.Pair:
        """Change of the Kirchhoff sums, A, (free nodes, vectors), by a change of the voltages.

        Args:
            x: change of the voltages of the free nodes, V, (free nodes, vectors).
            slopes: of the devices that are present, S.
        """
        shape = self.used.size, x[0].shape[1]
        V: dd.Pair = np.zeros(shape), np.zeros(shape)
        V[0][self.free], V[1][self.free] = x
        across, wires = self._wires(V)
        g = np.broadcast_to(slopes[:, None], across[0].shape)
        return self._gather(_join(wires, dd.times(across, (g, np.zeros_like(g)))))

    def _wires(self, V: dd.Pair) -> tuple[dd.Pair, dd.Pair]:
        """Voltages across the devices and currents of the linear branches."""
        ends = [(V[0][n], V[1][n]) for n in (self.from_, self.to)]
        high, low = dd.subtract(ends[0], ends[1])
        n = self.R.size
        g_high, g_low = dd.reciprocal(self.R[:, None])
        return (high[n:], low[n:]), dd.times((high[:n], low[:n]), (g_high, g_low))

    def _device(self, v: dd.Pair) -> tuple[dd.Pair, Array]:
        """Device currents, A, at the device voltages v, and what rounding may change in them."""
        G = self.G[:, None]
        if self.device.linear:
            G = np.broadcast_to(np.asarray(self.device.derivative(0 * v[0], G), float), v[0].shape)
            return dd.times(v, (G, 0 * G)), np.zeros(v[0].shape[1])
        current = np.asarray(self.device.current(v[0], G), float)
        slope = np.asarray(self.device.derivative(v[0], G), float)
        lost = DEVICE_ROUNDING * (np.abs(current) + np.abs(v[0] * slope)).sum(axis=0)
        return dd.add_float((current, np.zeros_like(current)), slope * v[1]), lost

    def _gather(self, current: dd.Pair) -> dd.Pair:
        """Sum of the branch currents that flow into each free node."""
        node = np.concatenate([self.position[self.to], self.position[self.from_]])
        sign = np.repeat([1.0, -1.0], self.to.size)[:, None]
        signed = tuple(np.concatenate([part, part]) * sign for part in current)
        shape = self.free.size, current[0].shape[1]
        out: dd.Pair = np.zeros(shape), np.zeros(shape)
        order = np.argsort(node, kind="stable")
        order = order[np.searchsorted(node[order], 0) :]
        for some in _one_a_node(node[order]):
            branch, at = order[some], node[order[some]]
            new = dd.add((out[0][at], out[1][at]), (signed[0][branch], signed[1][branch]))
            out[0][at], out[1][at] = new
        return out

    def line_currents(self, device: dd.Pair) -> tuple[dd.Pair, dd.Pair]:
        """`I_in` (rows, vectors) and `I_out` (cols, vectors) of the device currents, A."""
        vectors = device[0].shape[1]
        cells = []
        for part in device:
            whole = np.zeros((self.shape[0] * self.shape[1], vectors))
            whole[self.present] = part
            cells.append(whole.reshape(*self.shape, vectors))
        return dd.total((cells[0], cells[1]), 1), dd.total((cells[0], cells[1]), 0)


def equations_of(crossbar: Crossbar, nodes: list[Topology], array: int) -> NodalEquations:
    """The equations of one array of a batch, of which `topologies` made the nodes."""
    return NodalEquations(nodes[array if len(nodes) > 1 else 0], crossbar, crossbar.G_flat[array])


def _join(x: dd.Pair, y: dd.Pair) -> dd.Pair:
    return np.concatenate([x[0], y[0]]), np.concatenate([x[1], y[1]])


def _one_a_node(node: Indices) -> list[Indices]:
    """Positions in a sorted list, in groups of which none holds a node twice."""
    first = np.flatnonzero(np.r_[True, node[1:] != node[:-1]]) if node.size else node
    count = np.diff(np.r_[first, node.size])
    return [first[count > k] + k for k in range(int(count.max(initial=0)))]
