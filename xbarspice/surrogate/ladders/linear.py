"""Linear arrays: the solves of a batch, the scratch memory, and one exact solve of one vector."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np

from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.types import Array, Indices
from xbarspice.surrogate.ladders import direct, kernels, solves, sweeps
from xbarspice.surrogate.ladders.lines import Network
from xbarspice.surrogate.native.library import aligned

__all__ = [
    "DIRECT",
    "Problem",
    "State",
    "aims",
    "drops",
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


class Workspace:
    """Scratch memory for solves of (rows, cols) arrays, kept between solves by each thread.

    `owner` and `folded` say whose factors it holds: an object and the number of its array.
    """

    def __init__(self, rows: int, cols: int) -> None:
        self.shape = rows, cols
        # one more row than needed: arrays a power of two apart would crowd the same cache lines
        self.work = aligned(solves.scratch_arrays(), rows + 1, cols)
        self.record = solves.ScratchRecord(
            work=self.work,
            step=(rows + 1) * cols,
            lines=aligned(sweeps.row_scratch(rows, cols)),
            lane=aligned(2, cols),
        )
        self.owner: object = None
        self.folded = -1


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
        nets: ladders of every array, or one for all.
        index: array that each solve belongs to, (N,).
        V_in, V_out: driver voltages, V, (N, rows) and (N, cols).
        I_out, I_in: line currents to fill, A, (N, cols) and (N, rows).
        inner: V_wl, V_bl, I_device, device voltage and the drops a, b to fill, (6, N or 0, rows,
            cols), in V and A.
        report: to fill: iterations, Newton steps, relative residual, and what the line currents may
            be wrong by as a share of the largest output current, (N, 4).
    """

    nets: tuple[Network, ...]
    index: Indices
    V_in: Array
    V_out: Array
    I_out: Array
    I_in: Array
    inner: Array
    report: Array

    def net(self, n: int) -> Network:
        """The ladders of solve n."""
        return self.nets[0] if len(self.nets) == 1 else self.nets[self.index[n]]

    def stretches(self, start: int, stop: int) -> Iterator[tuple[Network, int, int]]:
        """Parts of the solves start..stop on one network: its ladders, first solve, and end."""
        if len(self.nets) == 1:
            yield self.nets[0], start, stop
            return
        edges = np.flatnonzero(np.diff(self.index[start:stop])) + start + 1
        for first, last in pairwise([start, *edges.tolist(), stop]):
            yield self.net(first), first, last

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


def problem(crossbar: Crossbar, nets: tuple[Network, ...], drive: Drive, full: bool) -> Problem:
    """The solves of a drive with room for the answers, with `full` also for the inside."""
    count, rows, cols = len(drive.array), crossbar.rows, crossbar.cols
    return Problem(
        nets=nets,
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
    and nodes that are joined without resistance at one voltage.
    """
    out = np.empty((len(p.index), 2, *V_wl.shape[1:]))
    for net, start, stop in p.stretches(0, len(out)):
        wl, bl = net.wl, net.bl
        a, b = out[start:stop, 0], out[start:stop, 1]
        V_in, V_out = p.V_in[start:stop, :, None], p.V_out[start:stop, None, :]
        np.multiply(V_in * wl.V_open - V_wl[start:stop], wl.free, out=a)
        np.multiply(V_bl[start:stop] - V_out * bl.V_open.T, bl.free.T, out=b)
        if wl.joined.any():
            a[:] = np.take_along_axis(a, wl.first_node[None], axis=2)
        if bl.joined.any():
            b[:] = np.take_along_axis(b, bl.first_node.T[None], axis=1)
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
    for net, first, last in p.stretches(start, stop):
        folded = solves.linear(
            net.record, aims(rows, cols), ws.record, p.record, G, first, last, folded
        )
    ws.folded, ws.owner = folded, owner
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
    kernels.open_circuit(p.net(n).record, p.V_in[n], p.V_out[n], e)
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
    amperes = kernels.uncertainty(p.net(n).record, D, volts, sums, steps, rounding)
    return kernels.share(amperes, p.I_out[n])


def store(p: Problem, n: int, s: State) -> None:
    """Keep the inner quantities of solve n, if room for them was given."""
    if n < p.inner.shape[1]:
        net = p.net(n)
        p.inner[0, n] = p.V_in[n][:, None] * net.wl.V_open - s.a
        p.inner[1, n] = p.V_out[n] * net.bl.V_open.T + s.b
        p.inner[2:, n] = s.current, s.w, s.a, s.b


def solve_directly(p: Problem, G: Array, n: int) -> None:
    """Solve n of a problem on one linear array directly, refined with branch currents."""
    s, net = open_state(p, n, (G.shape[0], G.shape[1])), p.net(n)
    solver = direct.Direct(net, G)
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
        residual = true_residual(net, s, largest, float(G.max()))
    store(p, n, s)
    p.report[n] = DIRECT, 0.0, residual, uncertain_share(p, n, s, G, 0.0, 0.0)
