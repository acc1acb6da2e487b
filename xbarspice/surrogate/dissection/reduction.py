"""Arrays of one shape on one elimination tree: their kernels, memory and threads."""

from __future__ import annotations

import ctypes
import math
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xbarspice.core.errors import ConvergenceError
from xbarspice.core.types import Array
from xbarspice.surrogate import threads
from xbarspice.surrogate.dissection.kernels import KERNELS, best_lanes, record_of, workspace
from xbarspice.surrogate.dissection.plan import Plan
from xbarspice.surrogate.native.library import Record

__all__ = ["Places", "Reduction", "unreduced"]

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Reduction:
    """Arrays of one shape reduced to their effective matrices, with what the reverse mode needs.

    Attributes:
        out: effective matrices, S, flat, or the differences of their pairs of columns.
        G: device conductances, S, flat.
        where: where the arrays stand in `G`.
        R: resistances of `WIRES`, or of all segments and ends (`Plan.element`), ohm, (wires,), or
            where arrays have their own, (arrays, wires).
        wires: their conductances, S; 0 stands for a resistance of exactly 0.
        plan: the elimination tree.
        lanes: arrays side by side in a group.
        panels: kept factors, or empty.
    """

    out: npt.NDArray[Any]
    G: npt.NDArray[Any]
    where: Places
    R: Array
    wires: npt.NDArray[Any]
    plan: Plan
    lanes: int
    panels: npt.NDArray[Any]

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
            each=self.wires.ndim == 2,
            pairs=self.out.size < self.G.size,
            lanes=self.lanes,
            panels=self.panels,
            kept=self.panels.size > 0,
        )

    def reverse(self, M: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Array]:
        """Gradients for ``M = dL/d(out)``.

        Returns:
            dL/dG, flat, and dL/dR, (arrays, wires); the latter is NaN for a resistance of exactly
            0, whose nodes were merged.
        """
        dG, by_wires = self._gradients(M)
        # g = 1/R, so dL/dR = -g^2 dL/dg
        dR = -(self.wires.astype(np.float64) ** 2) * by_wires
        return dG, np.where(self.R > 0, dR, np.nan)

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
        """dL/dG, flat, and dL/d(conductance) of `wires`, (arrays, wires), for M = dL/d(out)."""
        flat, dG = np.ascontiguousarray(M, dtype=self.G.dtype).ravel(), np.empty_like(self.G)
        by_wires = np.empty((self.where.first.size, self.wires.shape[-1]), self.G.dtype)
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


def unreduced(
    G: npt.NDArray[Any],
    where: Places,
    R: npt.NDArray[Any],
    plan: Plan,
    keep: bool,
    out: npt.NDArray[Any],
) -> Reduction:
    """A reduction with `Reduction.R` of R, which has not yet been added to `out`."""
    wires = np.divide(1.0, R, out=np.zeros_like(R), where=R > 0).astype(G.dtype)
    arrays = where.first.size
    lanes = best_lanes(arrays, G.dtype, _workers(plan, arrays))
    size = -(-arrays // lanes) * lanes * plan.panels * G.itemsize
    keep = keep and 0 < size <= KEEP_BYTES
    panels = _buffers.take(size).view(G.dtype) if keep else np.empty(0, G.dtype)
    reduction = Reduction(
        out=out, G=G, where=where, R=R, wires=wires, plan=plan, lanes=lanes, panels=panels
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
