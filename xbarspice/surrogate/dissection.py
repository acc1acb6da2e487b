"""The effective matrix of batches of linear arrays, ``I_out = V_in @ G_eff``, with reverse mode.

All arrays of one shape share one elimination tree (`dissection_plan`); compiled kernels take
`LANES` arrays side by side through it (`dissection_kernels`), the groups spread over all cores.
The result is exact: no iteration, no subtraction, every entry to rounding (about 1e-14 relative in
float64, 1e-6 in float32).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt

from xbarspice.array import Crossbar
from xbarspice.errors import broken_rule
from xbarspice.surrogate.dissection_kernels import forward, reverse
from xbarspice.surrogate.dissection_plan import WIRES, Plan, plan_of, topology_of
from xbarspice.surrogate.dissection_simd import LANES

__all__ = ["Reduction", "at_once", "effective_matrix", "reduce"]

Answer = TypeVar("Answer")

KEEP_BYTES = 1 << 30
"""Largest memory for kept factors; beyond it, the reverse mode repeats the elimination."""
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
    """
    crossbar.refuse_floating()
    return reduce(crossbar, dtype=dtype).G_eff.reshape(crossbar.G.shape)


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
        out = np.empty((len(self.G), self.G.shape[1] + len(WIRES)), self.G.dtype)
        given = np.ascontiguousarray(M, dtype=self.G.dtype)
        _on_all_cores(
            given.shape,
            lambda k, n: reverse(self.G, self.wires, given, self.plan, k, n, self.panels, out),
        )
        by_conductance = out[:, -len(WIRES) :].sum(axis=0, dtype=np.float64)
        # g = 1/R, so dL/dR = -g^2 dL/dg
        by_resistance = np.where(self.wires > 0, -(self.wires**2.0) * by_conductance, np.nan)
        return out[:, : -len(WIRES)].reshape(given.shape), by_resistance


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
            "the effective matrix needs a linear device", repr(crossbar.device.name),
            'Use device="ohmic", or solve for every input vector.',
        )  # fmt: skip
    if np.dtype(dtype) not in (np.float64, np.float32):
        raise broken_rule("`dtype` must be float64 or float32", dtype, "Pass one of them.")
    plan = plan_of(topology_of(crossbar))
    G = np.ascontiguousarray(crossbar.G_flat.reshape(-1, crossbar.rows * crossbar.cols), dtype)
    R = np.array([getattr(crossbar, name) for name in WIRES])
    wires = np.divide(1.0, R, out=np.zeros_like(R), where=R > 0).astype(dtype)
    groups = -(-len(G) // LANES)
    size = groups * plan.panels * LANES
    keep = keep and size * G.itemsize <= KEEP_BYTES
    panels = np.empty(size if keep else 0, dtype)
    out = np.zeros((len(G), crossbar.rows, crossbar.cols), dtype)
    _on_all_cores(out.shape, lambda k, n: forward(G, wires, plan, k, n, panels, out))
    return Reduction(G_eff=out, G=G, wires=wires, plan=plan, panels=panels)


def _work(shape: tuple[int, ...]) -> float:
    """Elimination work of arrays (..., rows, cols), in units of about 50 ns."""
    arrays, cells = math.prod(shape[:-2]), shape[-1] * shape[-2]
    return -(-arrays // LANES) * cells**1.5


def at_once(jobs: list[Callable[[], Answer]], shapes: list[tuple[int, ...]]) -> list[Answer]:
    """Results of reductions (or reverse modes) of arrays of these shapes that share the cores."""
    small = sum(_work(shape) for shape in shapes) < WORTH_A_THREAD
    if small or len(jobs) == 1 or numba.get_num_threads() == 1:
        return [job() for job in jobs]
    with ThreadPoolExecutor(numba.get_num_threads()) as pool:
        return list(pool.map(lambda job: job(), jobs))


def _on_all_cores(shape: tuple[int, ...], work: Callable[[int, int], None]) -> None:
    """Call ``work(worker, workers)`` for every worker; kernels release the GIL."""
    workers = min(numba.get_num_threads(), -(-shape[0] // LANES))
    if workers <= 1 or _work(shape) < WORTH_A_THREAD:
        work(0, 1)
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda k: work(k, workers), range(workers)))
