"""The effective matrix of batches of linear arrays, ``I_out = V_in @ G_eff``, with reverse mode.

All arrays of one shape share one elimination tree (`plan`); compiled kernels take groups of arrays
side by side through it (`kernels`), the groups spread over all cores.
The result is exact: no iteration, no subtraction, every entry to rounding (about 1e-14 relative in
float64, 1e-6 in float32).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.line_ends import End, by_role
from xbarspice.core.types import Array, Indices
from xbarspice.core.values import array_of
from xbarspice.core.wires import WIRES, Resistance, sum_like
from xbarspice.mapping.tiling import Tiling
from xbarspice.surrogate.dissection.network import topology_of
from xbarspice.surrogate.dissection.plan import Plan, plan_of
from xbarspice.surrogate.dissection.reduction import Places, Reduction, unreduced
from xbarspice.surrogate.superposition import UnitDrives
from xbarspice.surrogate.trust import warn_outside

__all__ = [
    "EffectiveMatrices",
    "effective_matrix",
    "effective_matrix_error",
    "reduce",
    "reduce_pairs",
]


def effective_matrix(
    crossbar: Crossbar, *, dtype: npt.DTypeLike = np.float64
) -> npt.NDArray[np.floating]:
    """The matrix that a linear crossbar multiplies by, ``I_out = V_in @ G_eff`` (with V_out = 0).

    Args:
        crossbar: one array or a batch of arrays, with any line ends and resistances.
        dtype: float64 (relative error of an entry about 1e-14) or float32 (about 1e-6);
            `effective_matrix_error` bounds it.

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
    if reduction.dtype == np.float32:
        warn_outside("float32", [crossbar], 0.0)  # a linear array's error knows no voltage
    return reduction.G_eff.reshape(crossbar.G.shape)


def effective_matrix_error(crossbar: Crossbar, G_eff: npt.ArrayLike) -> Array:
    """What the entries of an effective matrix may be wrong by, whoever computed it.

    The currents at 1 V on one word line are solved with their error bound, for every word line: a
    matrix is wrong by no more than its difference from them and that bound.

    Args:
        crossbar: the linear arrays that it is of.
        G_eff: S, (..., rows, cols), of any dtype: from `effective_matrix`, `xb.nn.effective_matrix`
            or an approximation of it.

    Returns:
        The bound of all entries of a row, S, (..., rows): a current of ``V_in @ G_eff`` is wrong by
        at most ``abs(V_in) @ bound`` and the rounding of the product. It is infinite where nothing
        is known.

    Raises:
        InputError: the device is not linear, or the shape is not that of `crossbar.G`.
        FloatingNodeError: a line has no path to any source.
    """
    from xbarspice.surrogate.engine import SurrogateEngine

    _check_linear(crossbar)
    matrix = array_of("G_eff", G_eff, shape=crossbar.G.shape, finite=False)
    engine = SurrogateEngine()
    state = engine.prepare(crossbar)
    unit = UnitDrives.of(
        crossbar, "V_in", lambda drive: engine.run(state, crossbar, drive, full=False)[0]
    )
    difference = np.abs(matrix.reshape(unit.I_out.shape) - unit.I_out).max(axis=2)
    bound = np.where(np.isfinite(difference), difference + unit.error, np.inf)
    if not crossbar.device.is_increasing():
        bound[:] = np.inf
    return bound.reshape(crossbar.G.shape[:-1])


def _check_linear(crossbar: Crossbar) -> None:
    if not crossbar.device.linear:
        raise broken_rule(
            "the effective matrix needs a linear device",
            repr(crossbar.device.name),
            'Use device="ohmic", or solve for every input vector.',
        )


@dataclass(frozen=True, eq=False)
class EffectiveMatrices:
    """The effective matrices of a crossbar, with what the reverse mode needs.

    Attributes:
        crossbar: the arrays.
        parts: arrays on one elimination tree, and their reduction; several where arrays of a batch
            have resistances of 0 in different places.
    """

    crossbar: Crossbar
    parts: tuple[tuple[Indices | slice, Reduction], ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """In what they were computed."""
        return self.parts[0][1].G.dtype

    @cached_property
    def G_eff(self) -> npt.NDArray[Any]:
        """Effective matrices, S, (arrays, rows, cols)."""
        out = np.empty(self.crossbar.G_flat.shape, self.dtype)
        for members, reduction in self.parts:
            matrices = reduction.out.reshape(-1, *out.shape[1:])
            if len(self.parts) == 1:
                return matrices
            out[members] = matrices
        return out

    def reverse(self, M: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], dict[str, Resistance]]:
        """Gradients for ``M = dL/dG_eff``.

        Args:
            M: (arrays, rows, cols).

        Returns:
            dL/dG (arrays, rows, cols), and dL/dR of `WIRES`, each of the shape that the crossbar
            has, summed over the arrays that share it. The latter are NaN for a resistance of
            exactly 0, whose nodes were merged.
        """
        if len(self.parts) == 1:
            by_G, dR = self.parts[0][1].reverse(M)
            return by_G.reshape(M.shape), self._by_resistance(dR)
        dG = np.empty(M.shape, self.dtype)
        dR = np.empty((len(dG), self.parts[0][1].wires.shape[-1]))
        for members, reduction in self.parts:
            by_G, dR[members] = reduction.reverse(M[members])
            dG[members] = by_G.reshape(-1, *dG.shape[1:])
        return dG, self._by_resistance(dR)

    def _by_resistance(self, dR: Array) -> dict[str, Resistance]:
        """dL/dR of `WIRES` from those of all places, (arrays, wires)."""
        c = self.crossbar
        if c.uniform:
            return {name: float(dR[:, k].sum()) for k, name in enumerate(WIRES)}
        shapes = [R.shape[-2:] for R in (*c.segment_resistances, *c.end_resistances)]
        edges = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        wl, bl, at_wl, at_bl = (
            part.reshape(-1, *shape)
            for part, shape in zip(np.split(dR, edges, axis=1), shapes, strict=True)
        )
        lines = (c.wl_ends, c.bl_ends)
        driver, sense = (by_role(lines, end, at_wl, at_bl) for end in (End.DRIVEN, End.SENSED))
        values = zip(c.wires.items(), (wl, bl, driver, sense), strict=True)
        return {name: sum_like(R, each, c.batch) for (name, R), each in values}


def _resistances(crossbar: Crossbar) -> Array:
    """Resistances of `WIRES`, or of all segments and ends, ohm: `Reduction.R`."""
    if crossbar.uniform:
        return np.array([*crossbar.wires.values()])
    lead = () if crossbar.wires_shared else crossbar.batch
    count = math.prod(lead)
    parts = (*crossbar.segment_resistances, *crossbar.end_resistances)
    flat = [
        np.broadcast_to(R.reshape(R.shape[-2:]) if not lead else R, (*lead, *R.shape[-2:]))
        for R in parts
    ]
    out = np.concatenate([R.reshape(count, -1) for R in flat], axis=1)
    return out if lead else out[0]


def reduce(
    crossbar: Crossbar, *, dtype: npt.DTypeLike = np.float64, keep: bool = False
) -> EffectiveMatrices:
    """Reduce every array of a linear crossbar to its effective matrix.

    Args:
        crossbar: arrays without floating islands (`Crossbar.refuse_floating`).
        dtype: float64 or float32.
        keep: keep the factors for `EffectiveMatrices.reverse`, if they fit `KEEP_BYTES`.

    Raises:
        InputError: the device is not linear, or another dtype.
    """
    _check_linear(crossbar)
    if np.dtype(dtype) not in (np.float64, np.float32):
        raise broken_rule("`dtype` must be float64 or float32", dtype, "Pass one of them.")
    G, R = np.ascontiguousarray(crossbar.G_flat, dtype), _resistances(crossbar)
    if R.ndim == 1 or ((R == 0) == (R[0] == 0)).all():
        return EffectiveMatrices(crossbar, ((slice(None), _reduced(crossbar, G, R, keep)),))
    _, kinds = np.unique(R == 0, axis=0, return_inverse=True)
    groups = [np.flatnonzero(kinds.ravel() == kind) for kind in range(int(kinds.max()) + 1)]
    parts = ((group, _reduced(crossbar, G[group], R[group], keep)) for group in groups)
    return EffectiveMatrices(crossbar, tuple(parts))


def _reduced(crossbar: Crossbar, G: npt.NDArray[Any], R: Array, keep: bool) -> Reduction:
    """Arrays G of a crossbar with `Reduction.R` of R, whose zeros are in the same places."""
    cells = crossbar.rows * crossbar.cols
    first = np.arange(0, G.size, cells)
    where = Places(first, np.zeros((first.size, 2), np.int64), crossbar.cols)
    plan = plan_of(topology_of(crossbar, R if R.ndim == 1 else R[0]))
    flat = np.ascontiguousarray(G).ravel()
    reduction = unreduced(flat, where, R, plan, keep, np.zeros_like(flat))
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
    reduction = unreduced(flat, where, R, plan, keep, out.ravel())
    reduction.fill()
    return out, reduction


@lru_cache(maxsize=64)
def _read_plan(rows: int, cols: int, R: tuple[float, ...]) -> Plan:
    """The tree of an array of this shape in read mode."""
    one = Crossbar(np.ones((rows, cols)), **dict(zip(WIRES, R, strict=True)))
    return plan_of(topology_of(one, np.array(R)))
