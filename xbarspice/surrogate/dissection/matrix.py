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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import ConvergenceError, broken_rule
from xbarspice.core.wires import WIRES
from xbarspice.mapping.tiling import Tiling
from xbarspice.surrogate import threads
from xbarspice.surrogate.dissection.kernels import KERNELS, record_of, workspace
from xbarspice.surrogate.dissection.plan import Plan, plan_of, topology_of
from xbarspice.surrogate.native.library import Record, lanes
from xbarspice.surrogate.trust import warn_outside

__all__ = ["Reduction", "effective_matrix", "reduce", "reduce_pairs", "reverse_pairs"]

KEEP_BYTES = 1 << 30
"""Largest memory for kept factors; beyond it, the reverse mode repeats the elimination."""
SPARE_BYTES = 1 << 28
"""Largest memory held for the factors of later reductions."""
HUGE_PAGES = 1 << 22
"""NumPy asks for huge pages from this size on; small ones cost a miss for every row of a front."""
WORTH_A_THREAD = 10_000
"""Effort (see `_Job`) for which starting threads pays."""
ALIGNMENT = 64
"""Vectors of kernels begin at multiples of this (bytes)."""


class Places(NamedTuple):
    """Where arrays of one shape stand in flat memory.

    Attributes:
        first: position of the first cell of every array.
        row: distance of the rows.
    """

    first: npt.NDArray[np.int64]
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
        panels: kept factors, or empty.
    """

    out: npt.NDArray[Any]
    G: npt.NDArray[Any]
    where: Places
    wires: npt.NDArray[Any]
    plan: Plan
    panels: npt.NDArray[Any]

    @property
    def G_eff(self) -> npt.NDArray[Any]:
        """Effective matrices, S, (arrays, rows, cols), of arrays that fill `G`."""
        return self.out.reshape(-1, self.plan.rows, self.plan.cols)

    @cached_property
    def record(self) -> Record:
        """The arrays as kernels take them."""
        return KERNELS[self.G.dtype].Batch(
            G=self.G,
            first=self.where.first,
            arrays=self.where.first.size,
            row=self.where.row,
            wires=self.wires,
            pairs=self.out.size < self.G.size,
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
        dG, (dR,) = _reverse([self], M)
        return dG.reshape(self.G_eff.shape), dR


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
    where = Places(np.arange(0, G.size, cells), crossbar.cols)
    R = np.array([*crossbar.wires.values()])
    plan = plan_of(topology_of(crossbar))
    reduction = _unreduced(G, where, R, plan, keep, np.zeros_like(G))
    _reduce([reduction])
    return reduction


def reduce_pairs(
    G: npt.NDArray[Any], tiling: Tiling, wires: dict[str, float], *, keep: bool = False
) -> tuple[npt.NDArray[Any], list[Reduction]]:
    """Differences of the effective columns of pairs, for ohmic tiles in read mode, in one pass.

    Args:
        G: checked conductances, S, (..., lines, 2 * columns), float64 or float32; even columns +.
        tiling: how the matrix is cut into arrays; with pairs.
        wires: `WIRES` in ohm.
        keep: as for `reduce`.

    Returns:
        The differences, S, (..., lines, columns), and the reductions of the stacks of tiles.
    """
    lines, columns = G.shape[-2:]
    out = np.zeros((*G.shape[:-1], columns // 2), G.dtype)
    R = np.array([wires[name] for name in WIRES], np.float64)
    flat = np.ascontiguousarray(G).ravel()
    wholes = np.arange(0, flat.size, lines * columns)
    reductions = []
    for r in tiling.regions(G.shape):
        down = (r.top + r.rows * np.arange(r.down)) * columns
        across = r.left + r.cols * np.arange(r.across)
        first = np.add.outer(np.add.outer(wholes, down), across).ravel()
        plan = _read_plan(r.rows, r.cols, tuple(R.tolist()))
        reductions.append(_unreduced(flat, Places(first, columns), R, plan, keep, out.ravel()))
    _reduce(reductions)
    return out, reductions


def reverse_pairs(reductions: Sequence[Reduction], M: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """dL/dG (..., lines, 2 * columns) for M = dL/d(what `reduce_pairs` gave)."""
    dG, _dR = _reverse(reductions, M)
    return dG.reshape(*M.shape[:-1], -1)


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
    size = _groups(where.first.size, G.dtype) * plan.panels * lanes(G.dtype) * G.itemsize
    keep = keep and 0 < size <= KEEP_BYTES
    panels = _buffers.take(size).view(G.dtype) if keep else np.empty(0, G.dtype)
    reduction = Reduction(out=out, G=G, where=where, wires=wires, plan=plan, panels=panels)
    if keep:
        weakref.finalize(reduction, _buffers.give, panels).atexit = False
    return reduction


def _groups(arrays: int, dtype: np.dtype[Any]) -> int:
    """Number of groups that kernels make of arrays."""
    return -(-arrays // lanes(dtype))


def _reduce(reductions: list[Reduction]) -> None:
    """Fill in the common `out` of prepared reductions."""
    out = reductions[0].out
    forward = KERNELS[out.dtype].forward
    _on_all_cores([_Job(r, forward, (r.out,), reverse=False) for r in reductions])
    if not (math.isfinite(out.sum()) or np.isfinite(out).all()):
        raise ConvergenceError(
            f"the effective matrix must be finite in {out.dtype}: an entry is not. "
            "Check the array for conductances and resistances near the limits of its numbers."
        )


def _reverse(
    reductions: Sequence[Reduction], M: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], list[npt.NDArray[Any]]]:
    """dL/dG, flat, and dL/dR of every reduction, for the gradient M by their common `out`."""
    G = reductions[0].G
    flat, dG = np.ascontiguousarray(M, dtype=G.dtype).ravel(), np.empty_like(G)
    by_wires = [np.empty((r.where.first.size, len(WIRES)), G.dtype) for r in reductions]
    reverse = KERNELS[G.dtype].reverse
    _on_all_cores(
        [
            _Job(r, reverse, (flat, dG, by), reverse=True)
            for r, by in zip(reductions, by_wires, strict=True)
        ]
    )
    # g = 1/R, so dL/dR = -g^2 dL/dg
    return dG, [
        np.where(r.wires > 0, -(r.wires**2.0) * by.sum(axis=0, dtype=np.float64), np.nan)
        for r, by in zip(reductions, by_wires, strict=True)
    ]


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


class _Job:
    """A kernel on the arrays of a reduction; it releases the GIL."""

    def __init__(
        self,
        reduction: Reduction,
        kernel: Callable[..., None],
        arguments: tuple[Any, ...],
        *,
        reverse: bool,
    ) -> None:
        plan, dtype = reduction.plan, reduction.G.dtype
        kept = reduction.panels.size > 0
        self.kernel, self.arguments, self.dtype = kernel, arguments, dtype
        self.task = ctypes.byref(record_of(plan)), ctypes.byref(reduction.record)
        self.work = workspace(plan, dtype, reverse=reverse, kept=kept) * dtype.itemsize
        groups = _groups(reduction.where.first.size, dtype)
        self.effort = groups * (plan.rows * plan.cols) ** 1.5

    def run(self, worker: int, workers: int, work: npt.NDArray[np.uint8]) -> None:
        """Do every `workers`-th group of arrays, beginning with group `worker`."""
        self.kernel(*self.task, worker, workers, work.view(self.dtype), *self.arguments)


def _on_all_cores(jobs: list[_Job]) -> None:
    effort = sum(job.effort for job in jobs)
    workers = threads.available() if effort >= WORTH_A_THREAD else 1
    scratch = max(job.work for job in jobs)

    def part(k: int) -> None:
        buffer = _buffers.take(scratch)
        try:
            for n, job in enumerate(jobs):  # shifted: short jobs go to different workers
                job.run((k + n) % workers, workers, buffer)
        finally:
            _buffers.give(buffer)

    threads.share(part, workers, workers)
