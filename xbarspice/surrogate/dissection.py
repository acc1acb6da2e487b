"""The effective matrix of batches of linear arrays, ``I_out = V_in @ G_eff``, with reverse mode.

All arrays of one shape share one elimination tree (`dissection_plan`); compiled kernels take
`LANES` arrays side by side through it (`dissection_kernels`), the groups spread over all cores.
The result is exact: no iteration, no subtraction, every entry to rounding (about 1e-14 relative in
float64, 1e-6 in float32).
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from xbarspice.array import Crossbar
from xbarspice.errors import ConvergenceError, broken_rule
from xbarspice.surrogate.dissection_kernels import forward, reverse, workspace
from xbarspice.surrogate.dissection_plan import WIRES, Plan, plan_of, topology_of
from xbarspice.surrogate.simd import LANES
from xbarspice.surrogate.threads import share
from xbarspice.surrogate.trust import warn_outside

__all__ = ["Reduction", "effective_matrix", "reduce", "reduce_all", "reduce_stacks", "reverse_all"]

KEEP_BYTES = 1 << 30
"""Largest memory for kept factors; beyond it, the reverse mode repeats the elimination."""
SPARE_BYTES = 1 << 28
"""Largest memory held for the factors of later reductions."""
HUGE_PAGES = 1 << 22
"""NumPy asks for huge pages from this size on; small ones cost a miss for every row of a front."""
WORTH_A_THREAD = 10_000
"""Work (see `_work`) for which starting threads pays."""


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
    """Arrays reduced to their effective matrices, with what the reverse mode needs.

    Attributes:
        G_eff: S, (arrays, rows, cols).
        G: device conductances, S, (arrays, rows * cols).
        wires: conductances of `WIRES`, S, (4,); 0 stands for a resistance of exactly 0.
        plan: the elimination tree.
        panels: kept factors, or empty.
    """

    G_eff: npt.NDArray[Any]
    G: npt.NDArray[Any]
    wires: npt.NDArray[Any]
    plan: Plan
    panels: npt.NDArray[Any]

    def reverse(self, M: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Gradients for ``M = dL/dG_eff``.

        Args:
            M: (arrays, rows, cols).

        Returns:
            dL/dG (arrays, rows, cols), and dL/dR of `WIRES` summed over the arrays (4,); the latter
            is NaN for a resistance of exactly 0, whose nodes were merged.
        """
        return reverse_all([self], [M])[0]


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
    return reduce_all([crossbar], dtype=dtype, keep=keep)[0]


def reduce_all(
    crossbars: Sequence[Crossbar], *, dtype: npt.DTypeLike = np.float64, keep: bool = False
) -> list[Reduction]:
    """`reduce` for several shapes of arrays that share the cores."""
    return _reduce([_prepared(crossbar, np.dtype(dtype), keep) for crossbar in crossbars])


def reduce_stacks(
    stacks: Sequence[npt.NDArray[Any]], wires: dict[str, float], *, keep: bool = False
) -> list[Reduction]:
    """`reduce_all` for ohmic arrays in read mode that are known to be in order.

    Args:
        stacks: checked conductances, S, each (..., rows, cols), float64 or float32.
        wires: `WIRES` in ohm.
        keep: as for `reduce`.
    """
    out = []
    for tiles in stacks:
        rows, cols = tiles.shape[-2:]
        R = np.array([wires[name] for name in WIRES], np.float64)
        G = np.ascontiguousarray(tiles.reshape(-1, rows * cols))
        out.append(_unreduced(G, R, _read_plan(rows, cols, tuple(R.tolist())), keep))
    return _reduce(out)


@lru_cache(maxsize=64)
def _read_plan(rows: int, cols: int, R: tuple[float, ...]) -> Plan:
    """The tree of an array of this shape in read mode."""
    one = Crossbar(np.ones((rows, cols)), **dict(zip(WIRES, R, strict=True)))
    return plan_of(topology_of(one))


def _reduce(out: list[Reduction]) -> list[Reduction]:
    """Fill in the G_eff of prepared reductions."""
    jobs = [
        _Job(
            shape=r.G_eff.shape,
            kernel=partial(forward, r.G, r.wires, r.plan, panels=r.panels, out=r.G_eff),
            work=workspace(r.plan, reverse=False, kept=r.panels.size > 0),
        )
        for r in out
    ]
    _on_all_cores(jobs, out[0].G.dtype)
    for r in out:
        if not (math.isfinite(r.G_eff.sum()) or np.isfinite(r.G_eff).all()):
            raise ConvergenceError(
                f"the effective matrix must be finite in {r.G_eff.dtype}: an entry is not. "
                "Check the array for conductances and resistances near the limits of its numbers."
            )
    return out


def reverse_all(
    reductions: Sequence[Reduction], Ms: Sequence[npt.NDArray[Any]]
) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """`Reduction.reverse` of several reductions that share the cores."""
    outs = [np.empty((len(r.G), r.G.shape[1] + len(WIRES)), r.G.dtype) for r in reductions]
    given = [np.ascontiguousarray(M, dtype=r.G.dtype) for r, M in zip(reductions, Ms, strict=True)]
    jobs = [
        _Job(
            shape=M.shape,
            kernel=partial(reverse, r.G, r.wires, M, r.plan, panels=r.panels, out=out),
            work=workspace(r.plan, reverse=True, kept=r.panels.size > 0),
        )
        for r, M, out in zip(reductions, given, outs, strict=True)
    ]
    _on_all_cores(jobs, outs[0].dtype)
    answers = []
    for r, M, out in zip(reductions, given, outs, strict=True):
        by_conductance = out[:, -len(WIRES) :].sum(axis=0, dtype=np.float64)
        # g = 1/R, so dL/dR = -g^2 dL/dg
        by_resistance = np.where(r.wires > 0, -(r.wires**2.0) * by_conductance, np.nan)
        answers.append((out[:, : -len(WIRES)].reshape(M.shape), by_resistance))
    return answers


def _prepared(crossbar: Crossbar, dtype: np.dtype[Any], keep: bool) -> Reduction:
    """A reduction whose G_eff is still 0."""
    if not crossbar.device.linear:
        raise broken_rule(
            "the effective matrix needs a linear device", repr(crossbar.device.name),
            'Use device="ohmic", or solve for every input vector.',
        )  # fmt: skip
    if dtype not in (np.float64, np.float32):
        raise broken_rule("`dtype` must be float64 or float32", dtype, "Pass one of them.")
    G = np.ascontiguousarray(crossbar.G_flat.reshape(-1, crossbar.rows * crossbar.cols), dtype)
    R = np.array([getattr(crossbar, name) for name in WIRES])
    return _unreduced(G, R, plan_of(topology_of(crossbar)), keep)


def _unreduced(G: npt.NDArray[Any], R: npt.NDArray[Any], plan: Plan, keep: bool) -> Reduction:
    """A reduction of G (arrays, rows * cols), S, with `WIRES` of R, ohm; its G_eff is still 0."""
    wires = np.divide(1.0, R, out=np.zeros_like(R), where=R > 0).astype(G.dtype)
    size = -(-len(G) // LANES) * plan.panels * LANES * G.itemsize
    keep = keep and 0 < size <= KEEP_BYTES
    out = Reduction(
        G_eff=np.zeros((len(G), plan.rows, plan.cols), G.dtype),
        G=G,
        wires=wires,
        plan=plan,
        panels=_buffers.take(size).view(G.dtype) if keep else np.empty(0, G.dtype),
    )
    if keep:
        weakref.finalize(out, _buffers.give, out.panels).atexit = False
    return out


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
        return np.empty(max(-(-size // 8) * 8, HUGE_PAGES), np.uint8)  # whole float64 numbers

    def give(self, panels: npt.NDArray[Any]) -> None:
        """Return a buffer; the oldest ones go while more than `SPARE_BYTES` are held."""
        with self.lock:
            self.free.append(panels.view(np.uint8))
            while sum(buffer.nbytes for buffer in self.free) > SPARE_BYTES:
                self.free.pop(0)


_buffers = _Buffers()


def _work(shape: tuple[int, ...]) -> float:
    """Elimination work of arrays (..., rows, cols), in units of about 50 ns."""
    arrays, cells = math.prod(shape[:-2]), shape[-1] * shape[-2]
    return -(-arrays // LANES) * cells**1.5


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A kernel on arrays of a shape; it takes (worker, workers, work) and releases the GIL."""

    shape: tuple[int, ...]
    kernel: Callable[..., None]
    work: int


def _on_all_cores(jobs: list[_Job], dtype: np.dtype[Any]) -> None:
    work = sum(_work(job.shape) for job in jobs)
    workers = numba.get_num_threads() if work >= WORTH_A_THREAD else 1
    scratch = max(job.work for job in jobs) * dtype.itemsize

    def part(k: int) -> None:
        buffer = _buffers.take(scratch)
        try:
            for n, job in enumerate(jobs):  # shifted: short jobs go to different workers
                job.kernel(worker=(k + n) % workers, workers=workers, work=buffer.view(dtype))
        finally:
            _buffers.give(buffer)

    share(part, workers, workers)
