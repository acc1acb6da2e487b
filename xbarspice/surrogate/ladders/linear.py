"""Linear arrays: the lines of a crossbar, the scratch memory, and one exact solve of one vector."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.line_ends import End, EndSpec, LineEnds
from xbarspice.core.types import Array, Indices
from xbarspice.core.wires import numbers_of
from xbarspice.surrogate.ladders import direct, kernels, solves, sweeps

__all__ = [
    "DIRECT",
    "Lines",
    "Network",
    "Problem",
    "State",
    "aims",
    "drops",
    "network",
    "open_state",
    "problem",
    "solve_directly",
    "solve_range",
    "store",
    "true_residual",
    "uncertain_share",
    "workspace",
]


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

    @cached_property
    def record(self) -> kernels.LinesRecord:
        """The lines for kernels."""
        count = self.ends.shape[1]
        return kernels.LinesRecord(
            R=self.R, cells=self.cells, count=count, ends=self.ends, share=self.share
        )

    @cached_property
    def V_open(self) -> Array:
        """Open-circuit voltage of each node as a share of the driver voltage, (lines, cells)."""
        return self.share[0][:, None] + self.share[1][:, None] * np.arange(self.cells)

    @cached_property
    def can_drop(self) -> Array:
        """1 where the voltage of a node can differ from `V_open`, 0 at ideal ends, (lines, cells).

        A line without wire resistance is one node.
        """
        out = np.ones((self.ends.shape[1], self.cells))
        first, last = self.ends[1] != 0, self.ends[4] != 0
        if self.R == 0:
            return out * (first & last)[:, None]
        out[:, 0] *= first
        out[:, -1] *= last
        return out


@dataclass(frozen=True)
class _Wires:
    """Resistances that make a line: its segments, a driver's, a sense node's, ohm; its cells."""

    R: float
    driver: float
    sense: float
    cells: int


@lru_cache(maxsize=256)
def _uniform(first: str, last: str, wires: _Wires, lines: int) -> Lines:
    """Lines that all have the same two ends."""
    pair = End(first), End(last)
    ends = np.repeat(np.array(_ends(pair, wires))[:, None], lines, axis=1)
    share = np.repeat(np.array(_share(pair, wires))[:, None], lines, axis=1)
    for shared in (ends, share):
        shared.setflags(write=False)
    return Lines(R=wires.R, cells=wires.cells, ends=ends, share=share)


def _lines(sides: tuple[EndSpec, EndSpec], kinds: npt.NDArray[np.object_], wires: _Wires) -> Lines:
    first, last = sides
    if isinstance(first, str) and isinstance(last, str):
        return _uniform(str(first), str(last), wires, len(kinds))
    one = [_uniform(str(a), str(b), wires, 1) for a, b in kinds]
    return Lines(
        R=wires.R,
        cells=wires.cells,
        ends=np.concatenate([line.ends for line in one], axis=1),
        share=np.concatenate([line.share for line in one], axis=1),
    )


def _ends(pair: tuple[End, End], wires: _Wires) -> list[float]:
    known = {End.DRIVEN: wires.driver, End.SENSED: wires.sense, End.FLOATING: math.inf}
    first, last = (known[end] for end in pair)
    return [
        1.0 / first if 0 < first < math.inf else 0.0,
        float(first != 0),
        1.0 / wires.R if first == 0 and wires.R > 0 else 0.0,
        1.0 / last if 0 < last < math.inf else 0.0,
        float(last != 0),
    ]


def _share(pair: tuple[End, End], wires: _Wires) -> tuple[float, float]:
    """Open-circuit voltage of a line at cell k, as share[0] + share[1] k of its driver voltage."""
    if End.DRIVEN not in pair:
        return 0.0, 0.0
    if End.SENSED not in pair:
        return 1.0, 0.0
    length = wires.R * (wires.cells - 1)
    total = wires.driver + length + wires.sense
    if pair[0] == End.DRIVEN:
        return (length + wires.sense) / total, -wires.R / total
    return wires.sense / total, wires.R / total


@dataclass(frozen=True, kw_only=True)
class Network:
    """The linear part of a crossbar: its word lines and its bit lines."""

    wl: Lines
    bl: Lines

    @cached_property
    def record(self) -> kernels.NetworkRecord:
        """The network for kernels."""
        return kernels.NetworkRecord(wl=self.wl.record, bl=self.bl.record)


def network(crossbar: Crossbar) -> Network:
    """The ladders of a crossbar: made once for all crossbars of the same wires and ends."""
    R = numbers_of(crossbar, "the surrogate engine")
    return _network(
        _Wires(R["R_wl"], R["R_driver"], R["R_sense"], crossbar.cols),
        _Wires(R["R_bl"], R["R_driver"], R["R_sense"], crossbar.rows),
        crossbar.ends,
    )


@lru_cache(maxsize=64)
def _network(wl: _Wires, bl: _Wires, ends: LineEnds) -> Network:
    rows, cols = bl.cells, wl.cells
    return Network(
        wl=_lines((ends.wl_left, ends.wl_right), ends.word_lines(rows), wl),
        bl=_lines((ends.bl_top, ends.bl_bottom), ends.bit_lines(cols), bl),
    )


class Workspace:
    """Scratch memory for solves of (rows, cols) arrays, kept between solves by each thread.

    `owner` and `folded` say whose factors it holds: an object and the number of its array.
    """

    def __init__(self, rows: int, cols: int) -> None:
        self.shape = rows, cols
        # one more row than needed: arrays a power of two apart would crowd the same cache lines
        self.work = _aligned(solves.scratch_arrays(), rows + 1, cols)
        self.record = solves.ScratchRecord(
            work=self.work,
            step=(rows + 1) * cols,
            lines=_aligned(sweeps.row_scratch(rows, cols)),
            lane=_aligned(2, cols),
        )
        self.owner: object = None
        self.folded = -1


def _aligned(*shape: int) -> Array:
    """Zeros that start on a line of the caches."""
    count, line = math.prod(shape), 64
    memory = np.zeros(8 * count + line, np.uint8)
    first = -memory.ctypes.data % line
    return memory[first : first + 8 * count].view(np.float64).reshape(shape)


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
        report: to fill: iterations, Newton steps, relative residual, and what the line currents may
            be wrong by as a share of the largest output current, (N, 4).
    """

    net: Network
    index: Indices
    V_in: Array
    V_out: Array
    I_out: Array
    I_in: Array
    inner: Array
    report: Array

    @cached_property
    def record(self) -> solves.BatchRecord:
        """The solves for kernels."""
        return solves.BatchRecord(
            index=self.index,
            V_in=self.V_in,
            V_out=self.V_out,
            I_out=self.I_out,
            I_in=self.I_in,
            inner=self.inner if self.inner.size else None,
            kept=self.inner.shape[1],
            report=self.report,
        )


def problem(crossbar: Crossbar, net: Network, drive: Drive, full: bool) -> Problem:
    """The solves of a drive with room for the answers, with `full` also for the inside."""
    count, rows, cols = len(drive.array), crossbar.rows, crossbar.cols
    return Problem(
        net=net,
        index=np.ascontiguousarray(drive.array),
        V_in=np.ascontiguousarray(drive.V_in),
        V_out=np.ascontiguousarray(drive.V_out),
        I_out=np.empty((count, cols)),
        I_in=np.empty((count, rows)),
        inner=np.empty((6, count if full else 0, rows, cols)),
        report=np.zeros((count, 4)),
    )


def drops(p: Problem, V_wl: Array, V_bl: Array) -> Array:
    """Drops a and b of all solves at node voltages, V, (N, 2, rows, cols).

    They keep what Newton takes for granted of a state: ideal ends are at their source's voltage,
    and the nodes of a line without wire resistance at one voltage.
    """
    wl, bl = p.net.wl, p.net.bl
    out = np.empty((len(p.index), 2, *V_wl.shape[1:]))
    a, b = out[:, 0], out[:, 1]
    np.multiply(p.V_in[:, :, None] * wl.V_open - V_wl, wl.can_drop, out=a)
    np.multiply(V_bl - p.V_out[:, None, :] * bl.V_open.T, bl.can_drop.T, out=b)
    if wl.R == 0:
        a[:] = a[:, :, :1]
    if bl.R == 0:
        b[:] = b[:, :1]
    return out


@lru_cache(maxsize=64)
def aims(rows: int, cols: int) -> solves.AimsRecord:
    """What solves of arrays of that shape aim at."""
    return solves.AimsRecord(
        residual=RESIDUAL,
        gradient_share=PCG_SHARE,
        rounding=ROUNDING / RESIDUAL,
        # sparse LU costs as much as 600 iterations at 16x16, 2500 at 64x64, 7600 at 256x256
        limit=100 + 16 * max(rows, cols),
    )


def solve_range(p: Problem, G: Array, owner: object, start: int, stop: int) -> None:
    """Solve start..stop of a problem on linear arrays of conductance G, S, (arrays, rows, cols).

    The factors of the last array stay in this thread's scratch memory for the same `owner`. What
    the gradients leave unfinished is done directly, and reported as `DIRECT`.
    """
    rows, cols = G.shape[1:]
    ws = workspace(rows, cols)
    folded = ws.folded if ws.owner is owner else -1
    ws.folded = solves.linear(
        p.net.record, aims(rows, cols), ws.record, p.record, G, start, stop, folded
    )
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
    kernels.open_circuit(p.net.record, p.V_in[n], p.V_out[n], e)
    a, b, current, F_wl, F_bl = np.zeros((5, *shape))
    return State(e=e, a=a, b=b, w=e.copy(), current=current, F_wl=F_wl, F_bl=F_bl)


def true_residual(net: Network, s: State, largest: float, stiffest: float) -> float:
    """Relative Kirchhoff residual of a state, from branch currents, which are left in F_wl, F_bl.

    It is judged against the largest current, unless stiff wires, or the stiffest device (S), make
    the rounding of the voltages alone exceed the stated share of it.
    """
    wl, bl = net.wl.record, net.bl.record
    worst = max(
        kernels.network_residual_rows(s.current, s.a, wl, s.F_wl),
        kernels.network_residual(s.current, s.b, bl, s.F_bl),
    )
    wire = max(kernels.stiff_current(s.a, wl), kernels.stiff_current(s.b, bl))
    scale = max(largest, ROUNDING / RESIDUAL * max(wire, stiffest * float(np.abs(s.e).max())))
    if not (math.isfinite(largest) and math.isfinite(worst)):
        return math.inf
    return worst / scale if scale > 0.0 else worst


def uncertain_share(p: Problem, n: int, s: State, D: Array, steps: float, rounding: float) -> float:
    """What the currents of solve n may be wrong by; see `kernels.uncertainty`."""
    volts, sums = (s.e, s.a, s.b), (s.current, s.F_wl, s.F_bl)
    amperes = kernels.uncertainty(p.net.record, D, volts, sums, steps, rounding)
    return kernels.share(amperes, p.I_out[n])


def store(p: Problem, n: int, s: State) -> None:
    """Keep the inner quantities of solve n, if room for them was given."""
    if n < p.inner.shape[1]:
        wl, bl = p.net.wl.share, p.net.bl.share
        cell, row = np.arange(bl.shape[1]), np.arange(wl.shape[1])[:, None]
        p.inner[0, n] = p.V_in[n][:, None] * (wl[0][:, None] + wl[1][:, None] * cell) - s.a
        p.inner[1, n] = p.V_out[n] * (bl[0] + bl[1] * row) + s.b
        p.inner[2:, n] = s.current, s.w, s.a, s.b


def solve_directly(p: Problem, G: Array, n: int) -> None:
    """Solve n of a problem on one linear array directly, refined with branch currents."""
    s = open_state(p, n, (G.shape[0], G.shape[1]))
    solver = direct.Direct(p.net, G)
    np.multiply(G, s.e, out=s.current)
    largest = kernels.currents(s.current, p.I_in[n], p.I_out[n])
    s.F_wl[:] = s.F_bl[:] = s.current  # all 0 where no current flows at all
    residual = 0.0 if largest == 0.0 else math.inf
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
    p.report[n] = DIRECT, 0.0, residual, uncertain_share(p, n, s, G, 0.0, 0.0)
