"""The exact nodal engine: sparse LU of Kirchhoff's equations, Newton for nonlinear devices.

It shares no numerical code with the surrogate: every node is one unknown (lines without wire
resistance are merged into one node, ends without resistance are given), the matrix is assembled
from the elements as in modified nodal analysis (Ho, Ruehli and Brennan 1975,
doi:10.1109/TCS.1975.1084079) and factored by SuperLU. Each answer is refined with residuals that
are summed from branch currents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.linalg import SuperLU, splu

from xbarspice.array import Crossbar, Drive, End
from xbarspice.engines.base import Engine, Raw
from xbarspice.errors import ConvergenceError
from xbarspice.solution import Stats, Status

__all__ = ["NodalEngine"]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

RESIDUAL = 1e-12
"""Kirchhoff residual, relative to the largest current, at which Newton stops."""
MAX_STEPS = 60
ROUNDING = 1e-15
"""Relative rounding error of a voltage difference."""


@dataclass(frozen=True)
class _Branches:
    """Linear branches (wires, line ends) between nodes; sources are nodes with known voltage."""

    a: Index
    b: Index
    g: Array


@dataclass(frozen=True)
class _Topology:
    """Nodes of one crossbar shape: cells to nodes, known nodes, linear branches.

    Nodes are numbered: word-line nodes, bit-line nodes, then one source node a line (rows, cols).
    """

    wl: Index
    bl: Index
    source: Index
    known: npt.NDArray[np.bool_]
    wires: _Branches
    ends: _Branches


def _lines(first: int, lines: int, cells: int, R: float) -> tuple[Index, int]:
    """Node of every cell of parallel lines, shape (lines, cells), and the next free number."""
    if R == 0:
        node = np.repeat(first + np.arange(lines)[:, None], cells, axis=1)
        return node, first + lines
    return first + np.arange(lines * cells).reshape(lines, cells), first + lines * cells


def _topology(crossbar: Crossbar) -> _Topology:
    rows, cols = crossbar.rows, crossbar.cols
    wl, free = _lines(0, rows, cols, crossbar.R_wl)
    bl, free = _lines(free, cols, rows, crossbar.R_bl)
    nodes = free + rows + cols + 1
    source = free + np.arange(rows + cols)
    ground = nodes - 1
    wires: list[tuple[Index, Index, Array]] = []
    ends: list[tuple[int, int, float]] = []
    merged = np.arange(nodes)
    for node, R in ((wl, crossbar.R_wl), (bl, crossbar.R_bl)):
        if R > 0 and node.shape[1] > 1:
            pairs = np.stack([node[:, :-1].ravel(), node[:, 1:].ravel()])
            wires.append((pairs[0], pairs[1], np.full(pairs.shape[1], 1 / R)))
    lines = [(wl, crossbar.wl_ends, 0), (bl, crossbar.bl_ends, rows)]
    for node, kinds, offset in lines:
        for line, pair in enumerate(kinds):
            for k, end in enumerate(pair):
                if end == End.FLOATING:
                    continue
                cell = node[line, -k]
                origin = source[offset + line] if end == End.DRIVEN else ground
                R = crossbar.end_resistance(end)
                if R == 0:
                    merged[cell] = origin
                else:
                    ends.append((origin, cell, 1 / R))
    known = np.zeros(nodes, bool)
    known[free:] = True
    end = np.array(ends, dtype=float).reshape(-1, 3)
    joined = [np.concatenate(part) for part in zip(*wires, strict=True)] if wires else [[], [], []]
    as_nodes = lambda n: merged[np.asarray(n, dtype=np.intp)]  # noqa: E731
    return _Topology(
        wl=as_nodes(wl),
        bl=as_nodes(bl).T,
        source=source,
        known=known,
        wires=_Branches(as_nodes(joined[0]), as_nodes(joined[1]), np.asarray(joined[2], float)),
        ends=_Branches(as_nodes(end[:, 0]), as_nodes(end[:, 1]), end[:, 2]),
    )


class NodalEngine(Engine):
    """Exact sparse solution, one vector at a time; a linear array is factored once."""

    name = "nodal"

    def _prepare(self, crossbar: Crossbar) -> _Topology:
        return _topology(crossbar)

    def _solve(self, state: _Topology, crossbar: Crossbar, drive: Drive, full: bool) -> Raw:
        count = len(drive.array)
        V = np.empty((count, state.known.size))
        steps, worst = 0, 0.0
        for array in np.unique(drive.array):
            members = np.flatnonzero(drive.array == array)
            system = _System(state, crossbar, crossbar.G_flat[array])
            linear = crossbar.device.linear and system.free.size > 0
            factor = system.factor(system.slopes(None)) if linear else None
            for n in members:
                V[n], used, residual = system.newton(drive.V_in[n], drive.V_out[n], factor)
                steps = max(steps, used)
                worst = float(np.maximum(worst, residual))  # NaN stays
        converged = worst <= RESIDUAL
        return Raw(
            status=Status.CONVERGED if converged else Status.NOT_CONVERGED,
            stats=Stats(engine=self.name, method="sparse LU", newton_steps=steps, residual=worst),
            **_collect(state, crossbar, drive, V),
        )


class _System:
    """Kirchhoff's equations of one array."""

    def __init__(self, topology: _Topology, crossbar: Crossbar, G: Array) -> None:
        self.t = topology
        self.device = crossbar.device
        present = G.ravel() > 0
        self.a = topology.wl.ravel()[present]
        self.b = topology.bl.ravel()[present]
        self.G = G.ravel()[present]
        self.from_ = np.concatenate([topology.wires.a, topology.ends.a, self.a])
        self.to = np.concatenate([topology.wires.b, topology.ends.b, self.b])
        self.g_linear = np.concatenate([topology.wires.g, topology.ends.g])
        used = np.zeros(topology.known.size, bool)
        used[self.from_] = used[self.to] = True
        self.free = np.flatnonzero(used & ~topology.known)
        self.position = np.full(topology.known.size, -1)
        self.position[self.free] = np.arange(self.free.size)

    def slopes(self, V: Array | None) -> Array:
        v = np.zeros(self.G.size) if V is None else V[self.a] - V[self.b]
        return self.device.derivative(v, self.G)

    def factor(self, slopes: Array) -> SuperLU:
        """LU of the nodal matrix (of the free nodes) with the given device slopes, S."""
        g = np.concatenate([self.g_linear, slopes])
        i, j = self.position[self.from_], self.position[self.to]
        on_i, on_j = i >= 0, j >= 0
        both = on_i & on_j
        row = np.concatenate([i[on_i], j[on_j], i[both], j[both]])
        col = np.concatenate([i[on_i], j[on_j], j[both], i[both]])
        val = np.concatenate([g[on_i], g[on_j], -g[both], -g[both]])
        size = self.free.size
        if not np.isfinite(val).all():
            raise ConvergenceError(
                "the slopes of all devices must be finite: a slope is NaN or infinite. Check the "
                "voltages and the device's derivative."
            )
        return splu(sp.csc_matrix((val, (row, col)), shape=(size, size)))

    def residual(self, V: Array) -> tuple[Array, float]:
        """Kirchhoff sum at the free nodes (A) and the current it is judged against (A).

        That is the largest branch current, unless stiff wires make the rounding of the node
        voltages alone exceed the promised share of it.
        """
        linear = self.g_linear.size
        difference = V[self.from_] - V[self.to]
        current = np.empty(difference.size)
        current[:linear] = self.g_linear * difference[:linear]
        current[linear:] = self.device.current(difference[linear:], self.G)
        total = np.zeros(V.size)
        total += np.bincount(self.to, current, V.size)
        total -= np.bincount(self.from_, current, V.size)
        rounding = ROUNDING * np.max(self.g_linear, initial=0.0) * np.max(np.abs(V), initial=0.0)
        scale = max(float(np.max(np.abs(current), initial=0.0)), rounding / RESIDUAL)
        return total[self.free], scale

    def newton(self, V_in: Array, V_out: Array, factor: SuperLU | None) -> tuple[Array, int, float]:
        """Damped Newton; a linear array with its factor needs one step and refinements of it.

        Returns the node voltages (V), the number of Newton steps and the relative residual.
        """
        V = np.zeros(self.t.known.size)
        V[self.t.source] = np.concatenate([V_in, V_out])
        linear = factor is not None or self.free.size == 0
        F, scale = self.residual(V)
        norm = np.max(np.abs(F), initial=0.0)
        relative = 0.0 if norm == 0 else float(norm / scale)
        step = 0
        while norm > 0 and step < (3 if linear else MAX_STEPS):
            lu = factor or self.factor(self.slopes(V))
            move = lu.solve(F)
            trial, damping = V.copy(), 1.0
            while True:
                trial[self.free] = V[self.free] + damping * move
                F_new, scale_new = self.residual(trial)
                norm_new = np.max(np.abs(F_new))
                if norm_new < norm or damping < 1e-4:
                    break
                damping /= 2
            if not norm_new < norm:
                break  # rounding floor
            V, F, norm, step = trial, F_new, norm_new, step + 1
            relative = norm / scale_new
            if relative < 1e-16:
                break
        return V, 0 if linear else step, relative


def _collect(t: _Topology, crossbar: Crossbar, drive: Drive, V: Array) -> dict[str, Array]:
    V_wl, V_bl = V[:, t.wl], V[:, t.bl]
    I_device = crossbar.device.current(V_wl - V_bl, crossbar.G_flat[drive.array])
    return {
        "V_wl": V_wl,
        "V_bl": V_bl,
        "I_device": I_device,
        "I_in": I_device.sum(axis=-1),
        "I_out": I_device.sum(axis=-2),
    }
