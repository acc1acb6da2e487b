"""The effective matrix of batches of linear arrays, ``I_out = V_in @ G_eff``, with reverse mode.

All arrays of one shape share one elimination tree (`plan`); compiled kernels take groups of arrays
side by side through it (`kernels`), the groups spread over all cores.
The result is exact: no iteration, no subtraction, every entry to rounding (about 1e-14 relative in
float64, 1e-6 in float32).
"""

from __future__ import annotations

import ctypes
import math
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import ConvergenceError, broken_rule
from xbarspice.core.wires import WIRES, numbers_of
from xbarspice.mapping.tiling import Tiling
from xbarspice.surrogate import threads
from xbarspice.surrogate.dissection.kernels import KERNELS, best_lanes, record_of, workspace
from xbarspice.surrogate.dissection.plan import Plan, plan_of, topology_of
from xbarspice.surrogate.native.library import Record
from xbarspice.surrogate.trust import warn_outside

__all__ = ["Reduction", "effective_matrix", "reduce", "reduce_pairs"]

KEEP_BYTES = 1 << 30
"""Largest memory for kept factors; beyond it, the reverse mode repeats the elimination."""
SPARE_BYTES = 1 << 28
"""Largest memory held for the factors of later reductions."""
HUGE_PAGES = 1 << 22
"""NumPy asks for huge pages from this size on; small ones cost a miss for every row of a front."""
WORTH_A_THREAD = 80_000
"""Cells of an array to the power of 3/2, summed over arrays, for which starting threads pays."""
ALIGNMENT = 64
"""Vectors of kernels begin at multiples of this (bytes)."""


class Places(NamedTuple):
    """Where arrays stand in flat memory: of one shape, but for a few rows and columns.

    A smaller array is one whose word lines at the top, or bit lines on the right, have no devices,
    in read mode: the ends of the other lines there lead nowhere.

    Attributes:
        first: position of the first cell of every array; also where it is absent.
        absent: upper rows and right columns that an array has not, (arrays, 2).
        row: distance of the rows.
    """

    first: npt.NDArray[np.int64]
    absent: npt.NDArray[np.int64]
    row: int


def effective_matrix(
    crossbar: Crossbar, *, dtype: npt.DTypeLike = np.float64
) -> npt.NDArray[np.floating]:
    """The matrix that a linear crossbar multiplies by, ``I_out = V_in @ G_eff`` (with V_out = 0).

    Args:
        crossbar: one array or a batch of arrays, with any line ends and resistances.
        dtype: float64 (relative error of an entry about 1e-14) or float32 (about 1e-6).

    Returns:
        G_eff in S, (..., rows, cols); rows of word lines without a driven end and columns of bit
        lines with two floating ends are 0.

    Raises:
        InputError: the device is not linear, or another dtype.
        FloatingNodeError: a line has no path to any source.
        ConvergenceError: an entry is not finite.

    Warns:
        TrustWarning: float32 where the trust map does not vouch for it, once an array.
    """
    crossbar.refuse_floating()
    reduction = reduce(crossbar, dtype=dtype)
    if reduction.G.dtype == np.float32:
        warn_outside("float32", [crossbar], 0.0)  # a linear array's error knows no voltage
    return reduction.G_eff.reshape(crossbar.G.shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class Reduction:
    """Arrays of one shape reduced to their effective matrices, with what the reverse mode needs.

    Attributes:
        out: G_eff, S, flat, or the differences of its pairs of columns.
        G: device conductances, S, flat.
        where: where the arrays stand in `G`.
        wires: conductances of `WIRES`, S, (4,); 0 stands for a resistance of exactly 0.
        plan: the elimination tree.
        lanes: arrays side by side in a group.
        panels: kept factors, or empty.
    """

    out: npt.NDArray[Any]
    G: npt.NDArray[Any]
    where: Places
    wires: npt.NDArray[Any]
    plan: Plan
    lanes: int
    panels: npt.NDArray[Any]

    @property
    def G_eff(self) -> npt.NDArray[Any]:
        """Effective matrices, S, (arrays, rows, cols), of arrays that fill `G`."""
        return self.out.reshape(-1, self.plan.rows, self.plan.cols)

    @property
    def groups(self) -> int:
        """Number of groups of arrays."""
        return -(-self.where.first.size // self.lanes)

    @cached_property
    def record(self) -> Record:
        """The arrays as kernels take them."""
        return KERNELS[self.G.dtype].Batch(
            G=self.G,
            first=self.where.first,
            absent=self.where.absent,
            arrays=self.where.first.size,
            row=self.where.row,
            wires=self.wires,
            pairs=self.out.size < self.G.size,
            lanes=self.lanes,
            panels=self.panels,
            kept=self.panels.size > 0,
        )

    def reverse(self, M: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Gradients for ``M = dL/dG_eff``.

        Args:
            M: (arrays, rows, cols).

        Returns:
            dL/dG (arrays, rows, cols), and dL/dR of `WIRES` summed over the arrays (4,); the latter
            is NaN for a resistance of exactly 0, whose nodes were merged.
        """
        dG, by_wires = self._gradients(M)
        # g = 1/R, so dL/dR = -g^2 dL/dg
        dR = -(self.wires**2.0) * by_wires.sum(axis=0, dtype=np.float64)
        return dG.reshape(self.G_eff.shape), np.where(self.wires > 0, dR, np.nan)

    def reverse_pairs(self, M: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """dL/dG (..., lines, 2 * columns) for M = dL/d(what `reduce_pairs` gave)."""
        return self._gradients(M)[0].reshape(*M.shape[:-1], -1)

    def fill(self) -> None:
        """Add the effective matrices to `out`, which is 0.

        Raises:
            ConvergenceError: an entry is not finite.
        """
        out = self.out
        self._on_all_cores(KERNELS[out.dtype].forward, (out,), reverse=False)
        if not (math.isfinite(out.sum()) or np.isfinite(out).all()):
            raise ConvergenceError(
                f"the effective matrix must be finite in {out.dtype}: an entry is not. "
                "Check the array for conductances and resistances near the limits of its numbers."
            )

    def _gradients(self, M: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """dL/dG, flat, and dL/d(conductance) of `WIRES`, (arrays, 4), for M = dL/d(out)."""
        flat, dG = np.ascontiguousarray(M, dtype=self.G.dtype).ravel(), np.empty_like(self.G)
        by_wires = np.empty((self.where.first.size, len(WIRES)), self.G.dtype)
        kernel = KERNELS[self.G.dtype].reverse
        self._on_all_cores(kernel, (flat, dG, by_wires), reverse=True)
        return dG, by_wires

    def _on_all_cores(
        self, kernel: Callable[..., None], arguments: tuple[Any, ...], *, reverse: bool
    ) -> None:
        """Run a kernel on all groups of arrays."""
        workers = min(_workers(self.plan, self.where.first.size), self.groups)
        task = ctypes.byref(record_of(self.plan)), ctypes.byref(self.record)
        vectors = workspace(self.plan, reverse=reverse, kept=self.panels.size > 0)
        size = vectors * self.lanes * self.G.itemsize

        def part(worker: int) -> None:
            buffer = _buffers.take(size)
            try:
                kernel(*task, worker, workers, buffer.view(self.G.dtype), *arguments)
            finally:
                _buffers.give(buffer)

        threads.share(part, workers, workers)


def reduce(
    crossbar: Crossbar, *, dtype: npt.DTypeLike = np.float64, keep: bool = False
) -> Reduction:
    """Reduce every array of a linear crossbar to its effective matrix.

    Args:
        crossbar: arrays without floating islands (`Crossbar.refuse_floating`).
        dtype: float64 or float32.
        keep: keep the factors for `Reduction.reverse`, if they fit `KEEP_BYTES`.

    Raises:
        InputError: the device is not linear, or another dtype.
    """
    if not crossbar.device.linear:
        raise broken_rule(
            "the effective matrix needs a linear device",
            repr(crossbar.device.name),
            'Use device="ohmic", or solve for every input vector.',
        )
    if np.dtype(dtype) not in (np.float64, np.float32):
        raise broken_rule("`dtype` must be float64 or float32", dtype, "Pass one of them.")
    G = np.ascontiguousarray(crossbar.G_flat, dtype).ravel()
    cells = crossbar.rows * crossbar.cols
    first = np.arange(0, G.size, cells)
    where = Places(first, np.zeros((first.size, 2), np.int64), crossbar.cols)
    R = np.array([*numbers_of(crossbar, "the effective matrix").values()])
    plan = plan_of(topology_of(crossbar))
    reduction = _unreduced(G, where, R, plan, keep, np.zeros_like(G))
    reduction.fill()
    return reduction


def reduce_pairs(
    G: npt.NDArray[Any], tiling: Tiling, wires: dict[str, float], *, keep: bool = False
) -> tuple[npt.NDArray[Any], Reduction]:
    """Differences of the effective columns of pairs, for ohmic tiles in read mode, in one pass.

    Args:
        G: checked conductances, S, (..., lines, 2 * columns), float64 or float32; even columns +.
        tiling: how the matrix is cut into arrays; with pairs.
        wires: `WIRES` in ohm.
        keep: as for `reduce`.

    Returns:
        The differences, S, (..., lines, columns), and the reduction of all tiles.
    """
    lines, columns = G.shape[-2:]
    out = np.zeros((*G.shape[:-1], columns // 2), G.dtype)
    R = np.array([wires[name] for name in WIRES], np.float64)
    flat = np.ascontiguousarray(G).ravel()
    regions = list(tiling.regions(G.shape))
    rows, cols = max(r.rows for r in regions), max(r.cols for r in regions)
    wholes = np.arange(0, flat.size, lines * columns)
    first, absent = [], []
    for r in regions:
        top = r.top - (rows - r.rows) + r.rows * np.arange(r.down)
        across = r.left + r.cols * np.arange(r.across)
        first.append(np.add.outer(np.add.outer(wholes, top * columns), across).ravel())
        absent.append(np.tile([rows - r.rows, cols - r.cols], (first[-1].size, 1)))
    where = Places(np.concatenate(first), np.concatenate(absent), columns)
    plan = _read_plan(rows, cols, tuple(R.tolist()))
    reduction = _unreduced(flat, where, R, plan, keep, out.ravel())
    reduction.fill()
    return out, reduction


@lru_cache(maxsize=64)
def _read_plan(rows: int, cols: int, R: tuple[float, ...]) -> Plan:
    """The tree of an array of this shape in read mode."""
    one = Crossbar(np.ones((rows, cols)), **dict(zip(WIRES, R, strict=True)))
    return plan_of(topology_of(one))


def _unreduced(
    G: npt.NDArray[Any],
    where: Places,
    R: npt.NDArray[Any],
    plan: Plan,
    keep: bool,
    out: npt.NDArray[Any],
) -> Reduction:
    """A reduction with `WIRES` of R, ohm, which has not yet been added to `out`."""
    wires = np.divide(1.0, R, out=np.zeros_like(R), where=R > 0).astype(G.dtype)
    arrays = where.first.size
    lanes = best_lanes(arrays, G.dtype, _workers(plan, arrays))
    size = -(-arrays // lanes) * lanes * plan.panels * G.itemsize
    keep = keep and 0 < size <= KEEP_BYTES
    panels = _buffers.take(size).view(G.dtype) if keep else np.empty(0, G.dtype)
    reduction = Reduction(
        out=out, G=G, where=where, wires=wires, plan=plan, lanes=lanes, panels=panels
    )
    if keep:
        weakref.finalize(reduction, _buffers.give, panels).atexit = False
    return reduction


def _workers(plan: Plan, arrays: int) -> int:
    """Threads that pay for some arrays."""
    effort = arrays * float(plan.rows * plan.cols) ** 1.5
    return threads.available() if effort >= WORTH_A_THREAD else 1


class _Buffers:
    """Memory of reductions that are gone, for the next ones: new pages cost more than the work."""

    def __init__(self) -> None:
        self.free: list[npt.NDArray[Any]] = []
        self.lock = threading.Lock()

    def take(self, size: int) -> npt.NDArray[Any]:
        """At least `size` bytes; a free buffer is taken if it fits without much waste."""
        with self.lock:
            for k, buffer in enumerate(self.free):
                if size <= buffer.nbytes <= max(2 * size, HUGE_PAGES):
                    return self.free.pop(k)
        size = max(-(-size // ALIGNMENT) * ALIGNMENT, HUGE_PAGES)
        buffer = np.empty(size + ALIGNMENT, np.uint8)
        first = -buffer.ctypes.data % ALIGNMENT
        return buffer[first : first + size]

    def give(self, panels: npt.NDArray[Any]) -> None:
        """Return a buffer; the oldest ones go while more than `SPARE_BYTES` are held."""
        with self.lock:
            self.free.append(panels.view(np.uint8))
            while sum(buffer.nbytes for buffer in self.free) > SPARE_BYTES:
                self.free.pop(0)


_buffers = _Buffers()
