"""Linear arrays: the lines of a crossbar, the scratch memory, and one exact solve of one vector."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice.array import Crossbar, End
from xbarspice.surrogate import direct, kernels

__all__ = ["Factors", "Lines", "Network", "Outcome", "Workspace", "network", "workspace"]

Array = npt.NDArray[np.float64]

RESIDUAL = 1e-12
"""Stated Kirchhoff residual, relative to the largest current."""
PCG_SHARE = 1e-13
"""Kirchhoff residual (root of the sum of squares) at which the conjugate gradients stop."""
MAX_CORRECTIONS = 4
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
    """The linear part of a crossbar: its word lines and its bit lines."""

    wl: Lines
    bl: Lines


def network(crossbar: Crossbar) -> Network:
    """The ladders of a crossbar."""
    return Network(
        wl=_lines(crossbar, crossbar.wl_ends, crossbar.cols, crossbar.R_wl),
        bl=_lines(crossbar, crossbar.bl_ends, crossbar.rows, crossbar.R_bl),
    )


class Factors:
    """Folded ladders of one array with given device slopes; buffers that can be refilled."""

    def __init__(self, rows: int, cols: int) -> None:
        self.DT = np.empty((cols, rows))
        self.sT = np.empty((cols, rows))
        self.invT = np.empty(rows)
        self.s = np.empty((rows, cols))
        self.inv = np.empty(cols)
        self.D: Array = np.empty((0, 0))

    def fill(self, net: Network, D: Array) -> None:
        """Factor for device slopes D, S, (rows, cols); D is kept, not copied."""
        self.D = D
        kernels.transpose(D, self.DT)
        kernels.factor(self.DT, net.wl.R, net.wl.ends, self.sT, self.invT)
        kernels.factor(D, net.bl.R, net.bl.ends, self.s, self.inv)


class Workspace:
    """Scratch memory for one solve of a (rows, cols) array, kept between solves."""

    def __init__(self, rows: int, cols: int) -> None:
        self.shape = rows, cols
        self.r, self.b, self.p, self.Bp, self.c, self.g = np.zeros((6, rows, cols))
        self.e, self.w, self.current, self.a_sum, self.b_sum = np.zeros((5, rows, cols))
        self.fT, self.cT, self.aT = np.zeros((3, cols, rows))
        self.z = np.zeros(cols)
        self.factors = Factors(rows, cols)


_LOCAL = threading.local()


def workspace(rows: int, cols: int) -> Workspace:
    """This thread's scratch memory for that shape."""
    kept = getattr(_LOCAL, "workspace", None)
    if kept is None or kept.shape != (rows, cols):
        kept = _LOCAL.workspace = Workspace(rows, cols)
    return kept


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one solve ended: iterations, Newton steps, relative Kirchhoff residual, fallback."""

    iterations: int
    residual: float
    newton_steps: int = 0
    direct: bool = False

    @property
    def ok(self) -> bool:
        """Whether the stated residual is met (NaN is not)."""
        return self.residual <= RESIDUAL


def limit(rows: int, cols: int) -> int:
    """Iterations beyond which the direct method is the faster one."""
    size = max(rows, cols)
    return 60 + size if size < 128 else 160 + size // 8


Solver = Callable[[Network, Factors, Workspace, float], tuple[int, bool]]
"""A linear correction as in `correct`: returns iterations and whether it was a direct solve."""


def correct(net: Network, f: Factors, ws: Workspace, tolerance: float) -> tuple[int, bool]:
    """One linear correction: W a + D b = F_wl, D a + B b = F_bl.

    On entry ws.fT (cols, rows) holds F_wl and ws.r (rows, cols) holds F_bl, in A. On return
    ws.aT and ws.b hold the corrections in V and ws.r what remains of F_bl. The word lines are
    solved exactly. If the gradients need more iterations than pay, the direct method takes over.
    Returns the iterations used and whether that happened.
    """
    most = limit(*ws.shape)
    original = ws.r.copy()
    kernels.ladder(ws.fT, net.wl.R, f.sT, f.invT, ws.cT, ws.aT)
    kernels.transpose(ws.aT, ws.g)
    ws.r -= f.D * ws.g
    used, square = kernels.pcg(
        f.D, net.bl.R, net.bl.ends, f.s, f.inv, net.wl.R, f.sT, f.invT,
        ws.r, ws.b, ws.p, ws.Bp, ws.c, ws.g, ws.aT, ws.cT, ws.z, tolerance**2, most,
    )  # fmt: skip
    np.multiply(f.D, ws.b, out=ws.g)
    kernels.transpose(ws.g, ws.aT)
    np.subtract(ws.fT, ws.aT, out=ws.aT)
    kernels.ladder(ws.aT, net.wl.R, f.sT, f.invT, ws.cT, ws.aT)
    if square <= tolerance**2:
        return used, False
    ws.r[:] = original
    correct_directly(net, f, ws, tolerance)
    return used, True


def true_residual(net: Network, ws: Workspace, largest: float, stiffest: float) -> float:
    """Relative Kirchhoff residual of ws.current at the drops ws.a_sum, ws.b_sum.

    Summed from branch currents, which are left in ws.fT (word lines) and ws.r (bit lines), A. They
    are judged against the largest current, unless stiff wires, or the stiffest device (S), make the
    rounding of the voltages alone exceed the stated share of it.
    """
    kernels.transpose(ws.current, ws.cT)
    kernels.transpose(ws.a_sum, ws.aT)
    on_wl, rounding_wl = kernels.network_residual(ws.cT, ws.aT, net.wl.R, net.wl.ends, ws.fT)
    on_bl, rounding_bl = kernels.network_residual(ws.current, ws.b_sum, net.bl.R, net.bl.ends, ws.r)
    if not math.isfinite(largest):
        return math.nan
    rounding = max(rounding_wl, rounding_bl, stiffest * float(np.abs(ws.e).max()))
    scale = max(largest, ROUNDING / RESIDUAL * rounding)
    worst = max(on_wl, on_bl)
    return worst / scale if scale > 0.0 else worst


def solve_linear(
    net: Network, f: Factors, ws: Workspace, I_out: Array, I_in: Array, solver: Solver
) -> Outcome:
    """Solve a linear array whose open-circuit device voltages are in ws.e.

    Leaves the drops in ws.a_sum and ws.b_sum, device voltages in ws.w and currents in ws.current,
    and fills I_out (cols,) and I_in (rows,). Corrections repeat until the stated residual is met.
    """
    ws.a_sum[:] = 0.0
    ws.b_sum[:] = 0.0
    np.multiply(f.D, ws.e, out=ws.current)
    largest = kernels.currents(ws.current, I_in, I_out)
    stiffest = float(f.D.max())
    ws.r[:] = ws.current
    kernels.transpose(ws.current, ws.fT)
    iterations, residual = 0, math.inf if largest > 0 else 0.0
    direct = False
    for _ in range(MAX_CORRECTIONS):
        if residual <= RESIDUAL:
            break
        used, was_direct = solver(net, f, ws, PCG_SHARE * largest)
        iterations, direct = iterations + used, direct or was_direct
        kernels.transpose(ws.aT, ws.g)
        ws.a_sum += ws.g
        ws.b_sum += ws.b
        np.subtract(ws.e, ws.a_sum, out=ws.w)
        ws.w -= ws.b_sum
        np.multiply(f.D, ws.w, out=ws.current)
        largest = kernels.currents(ws.current, I_in, I_out)
        residual = true_residual(net, ws, largest, stiffest)
    return Outcome(iterations=iterations, residual=residual, direct=direct)


def correct_directly(net: Network, f: Factors, ws: Workspace, tolerance: float) -> tuple[int, bool]:
    """`correct` by the direct method alone; the tolerance plays no part."""
    direct.correct(net, f, ws)
    ws.r[:] = 0.0
    return 0, True
