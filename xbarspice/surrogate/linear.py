"""Linear arrays: the lines of a crossbar, the scratch memory, and one exact solve of one vector."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice.array import Crossbar, Drive, End
from xbarspice.surrogate import direct, kernels, solves

__all__ = [
    "DIRECT",
    "Lines",
    "Network",
    "Problem",
    "State",
    "aims",
    "network",
    "open_state",
    "problem",
    "solve_directly",
    "solve_range",
    "store",
    "true_residual",
    "workspace",
]

Array = npt.NDArray[np.float64]

DIRECT = -2.0
"""Iterations reported for a solve that was finished by the direct method."""
RESIDUAL = 1e-12
"""Stated Kirchhoff residual, relative to the largest current."""
PCG_SHARE = 1e-13
"""Kirchhoff residual (root of the sum of squares) at which the conjugate gradients stop."""
ROUNDING = 1e-15
"""Relative rounding error of a voltage difference."""


@dataclass(frozen=True, kw_only=True)
class Lines:
    """All lines of one kind as ladders.

    Attributes:
        R: resistance of one wire segment, ohm.
        cells: number of cells of every line.
        ends: what `kernels` needs of the ends: conductance of the first end (S), whether the first
            node is free, admittance handed on by an ideal first node (S), conductance of the last
            end, whether the last node is free; (5, lines).
        share: open-circuit voltage as a share of the driver voltage: value at cell 0 and increase
            from cell to cell, (2, lines).
    """

    R: float
    cells: int
    ends: Array
    share: Array


def _lines(crossbar: Crossbar, kinds: npt.NDArray[np.object_], cells: int, R: float) -> Lines:
    ends = np.zeros((5, len(kinds)))
    share = np.zeros((2, len(kinds)))
    known: dict[tuple[End, End], tuple[list[float], tuple[float, float]]] = {}
    for line, pair in enumerate(kinds):
        key = (pair[0], pair[1])
        if key not in known:
            known[key] = _ends(crossbar, key, R), _share(crossbar, key, cells, R)
        ends[:, line], share[:, line] = known[key]
    return Lines(R=R, cells=cells, ends=ends, share=share)


def _ends(crossbar: Crossbar, pair: tuple[End, End], R: float) -> list[float]:
    first, last = (crossbar.end_resistance(end) for end in pair)
    return [
        1.0 / first if 0 < first < math.inf else 0.0,
        float(first != 0),
        1.0 / R if first == 0 and R > 0 else 0.0,
        1.0 / last if 0 < last < math.inf else 0.0,
        float(last != 0),
    ]


def _share(crossbar: Crossbar, pair: tuple[End, End], cells: int, R: float) -> tuple[float, float]:
    """Open-circuit voltage of a line at cell k, as share[0] + share[1] k of its driver voltage."""
    if End.DRIVEN not in pair:
        return 0.0, 0.0
    if End.SENSED not in pair:
        return 1.0, 0.0
    wire = R * (cells - 1)
    total = crossbar.R_driver + wire + crossbar.R_sense
    if pair[0] == End.DRIVEN:
        return (wire + crossbar.R_sense) / total, -R / total
    return crossbar.R_sense / total, R / total


@dataclass(frozen=True, kw_only=True)
class Network:
    """The linear part of a crossbar: its word lines and its bit lines; R holds (R_wl, R_bl)."""

    wl: Lines
    bl: Lines
    R: Array


def network(crossbar: Crossbar) -> Network:
    """The ladders of a crossbar."""
    return Network(
        wl=_lines(crossbar, crossbar.wl_ends, crossbar.cols, crossbar.R_wl),
        bl=_lines(crossbar, crossbar.bl_ends, crossbar.rows, crossbar.R_bl),
        R=np.array([crossbar.R_wl, crossbar.R_bl]),
    )


class Workspace:
    """Scratch memory for solves of (rows, cols) arrays, kept between solves by each thread.

    `owner` and `folded` say whose factors it holds: an object and the number of its array.
    """

    def __init__(self, rows: int, cols: int) -> None:
        self.shape = rows, cols
        self.work = np.zeros((solves.ARRAYS, rows, cols))
        self.workT = np.zeros((2, cols, rows))
        self.inv, self.lane = np.zeros((2, cols))
        self.invT = np.zeros(rows)
        self.owner: object = None
        self.folded = -1

    def scratch(self) -> tuple[Array, Array, Array, Array, Array]:
        """The arrays in the order in which the kernels take them."""
        return self.work, self.workT, self.inv, self.invT, self.lane


_LOCAL = threading.local()


def workspace(rows: int, cols: int) -> Workspace:
    """This thread's scratch memory for that shape."""
    kept = getattr(_LOCAL, "workspace", None)
    if kept is None or kept.shape != (rows, cols):
        kept = _LOCAL.workspace = Workspace(rows, cols)
    return kept


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """N solves on one crossbar, and the room for their answers.

    Attributes:
        index: array that each solve belongs to, (N,).
        V_in, V_out: driver voltages, V, (N, rows) and (N, cols).
        I_out, I_in: line currents to fill, A, (N, cols) and (N, rows).
        inner: V_wl, V_bl, I_device, device voltage and the drops a, b to fill, (6, N or 0, rows,
            cols), in V and A.
        report: iterations, Newton steps and relative residual to fill, (N, 3).
    """

    net: Network
    index: npt.NDArray[np.intp]
    V_in: Array
    V_out: Array
    I_out: Array
    I_in: Array
    inner: Array
    report: Array


def problem(crossbar: Crossbar, net: Network, drive: Drive, full: bool) -> Problem:
    """The solves of a drive with room for the answers, with `full` also for the inside."""
    count, rows, cols = len(drive.array), crossbar.rows, crossbar.cols
    return Problem(
        net=net,
        index=drive.array,
        V_in=np.ascontiguousarray(drive.V_in),
        V_out=np.ascontiguousarray(drive.V_out),
        I_out=np.empty((count, cols)),
        I_in=np.empty((count, rows)),
        inner=np.empty((6, count if full else 0, rows, cols)),
        report=np.zeros((count, 3)),
    )


def aims(rows: int, cols: int) -> Array:
    """Stated residual, share at which the gradients stop, rounding allowance, iteration limit."""
    size = max(rows, cols)
    limit = 60 + size if size < 128 else 160 + size // 8  # beyond it the direct method is faster
    return np.array([RESIDUAL, PCG_SHARE, ROUNDING / RESIDUAL, limit])


def solve_range(p: Problem, G: Array, owner: object, start: int, stop: int) -> None:
    """Solve start..stop of a problem on linear arrays of conductance G, S, (arrays, rows, cols).

    The factors of the last array stay in this thread's scratch memory for the same `owner`. What
    the gradients leave unfinished is done by sparse LU, and reported as `DIRECT`.
    """
    rows, cols = G.shape[1:]
    ws = workspace(rows, cols)
    net = p.net
    ws.folded = solves.linear(
        start, stop, p.index, G, p.V_in, p.V_out, net.wl.share, net.bl.share, net.R, net.wl.ends,
        net.bl.ends, aims(rows, cols), *ws.scratch(), ws.folded if ws.owner is owner else -1,
        p.I_out, p.I_in, p.inner, p.report,
    )  # fmt: skip
    ws.owner = owner
    for n in range(start, stop):
        if p.report[n, 2] == solves.UNFINISHED:
            solve_directly(p, G[p.index[n]], n)


@dataclass(kw_only=True, eq=False)
class State:
    """Where one solve stands, (rows, cols) each.

    Open-circuit device voltages e, drops a and b, device voltages w (V), device currents (A) and
    the Kirchhoff sums of the word and bit lines (A).
    """

    e: Array
    a: Array
    b: Array
    w: Array
    current: Array
    F_wl: Array
    F_bl: Array


def open_state(p: Problem, n: int, shape: tuple[int, int]) -> State:
    """The state of solve n before any current flows."""
    e = np.empty(shape)
    kernels.open_circuit(p.V_in[n], p.V_out[n], p.net.wl.share, p.net.bl.share, e)
    a, b, current, F_wl, F_bl = np.zeros((5, *shape))
    return State(e=e, a=a, b=b, w=e.copy(), current=current, F_wl=F_wl, F_bl=F_bl)


def true_residual(net: Network, s: State, largest: float, stiffest: float) -> float:
    """Relative Kirchhoff residual of a state, from branch currents, which are left in F_wl, F_bl.

    It is judged against the largest current, unless stiff wires, or the stiffest device (S), make
    the rounding of the voltages alone exceed the stated share of it.
    """
    wl, wire_wl = kernels.network_residual_rows(s.current, s.a, net.R[0], net.wl.ends, s.F_wl)
    bl, wire_bl = kernels.network_residual(s.current, s.b, net.R[1], net.bl.ends, s.F_bl)
    rounding = max(wire_wl, wire_bl, stiffest * float(np.abs(s.e).max()))
    scale = max(largest, ROUNDING / RESIDUAL * rounding)
    if not (math.isfinite(largest) and math.isfinite(max(wl, bl))):
        return math.inf
    return max(wl, bl) / scale if scale > 0.0 else max(wl, bl)


def store(p: Problem, n: int, s: State) -> None:
    """Keep the inner quantities of solve n, if room for them was given."""
    if n < p.inner.shape[1]:
        wl, bl = p.net.wl.share, p.net.bl.share
        cell, row = np.arange(bl.shape[1]), np.arange(wl.shape[1])[:, None]
        p.inner[0, n] = p.V_in[n][:, None] * (wl[0][:, None] + wl[1][:, None] * cell) - s.a
        p.inner[1, n] = p.V_out[n] * (bl[0] + bl[1] * row) + s.b
        p.inner[2:, n] = s.current, s.w, s.a, s.b


def solve_directly(p: Problem, G: Array, n: int) -> None:
    """Solve n of a problem on one linear array by sparse LU, refined with branch currents."""
    s = open_state(p, n, (G.shape[0], G.shape[1]))
    solver = direct.Direct(p.net, G)
    np.multiply(G, s.e, out=s.current)
    largest = kernels.currents(s.current, p.I_in[n], p.I_out[n])
    s.F_wl[:] = s.F_bl[:] = s.current
    residual = math.inf if largest > 0.0 else 0.0
    for _ in range(solves.MAX_CORRECTIONS):
        if residual <= RESIDUAL:
            break
        a, b = solver.correct(s.F_wl, s.F_bl)
        s.a += a
        s.b += b
        s.w[:] = s.e - s.a - s.b
        np.multiply(G, s.w, out=s.current)
        largest = kernels.currents(s.current, p.I_in[n], p.I_out[n])
        residual = true_residual(p.net, s, largest, float(G.max()))
    store(p, n, s)
    p.report[n] = DIRECT, 0.0, residual
