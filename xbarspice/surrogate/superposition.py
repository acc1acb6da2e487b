"""Many vectors on a linear array: sums of the currents of unit drives, which are solved once.

The unit drives (1 V on one driver, 0 V on all others) are solved like any other vectors. So their
currents have error bounds, and those of a sum are at most the sum of the bounds, each times its
voltage, and the rounding of the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.solution import Stats, Status
from xbarspice.core.types import Array, Indices
from xbarspice.engines.base import Raw
from xbarspice.engines.error_bound import SLOW, UNMEASURED, WARN_ABOVE

__all__ = ["Side", "UnitDrives", "superpose"]


WORTH_CELLS = 10_000
"""Cells of the solves to be saved for which the products pay."""
KEEP_BYTES = 1 << 28
"""Largest memory for the currents of the unit drives of a crossbar."""
ROUNDING = 2.0**-53
"""Largest relative rounding error of one operation."""

Side = Literal["V_in", "V_out"]


@dataclass(frozen=True, kw_only=True, eq=False)
class UnitDrives:
    """What every array of a crossbar carries at 1 V on one of its word (or bit) lines.

    Attributes:
        I_out, I_in: currents, A, (arrays, lines, cols) and (arrays, lines, rows).
        error: what each of them may be wrong by, with its share of the rounding of a sum over all
            lines, A, (arrays, lines); infinite where nothing is known.
        stats: of their solves.
    """

    I_out: Array
    I_in: Array
    error: Array
    stats: Stats

    @classmethod
    def of(cls, crossbar: Crossbar, side: Side, solve: Callable[[Drive], Raw]) -> UnitDrives:
        """The unit drives of all word lines ("V_in") or bit lines ("V_out")."""
        arrays, rows, cols = crossbar.G_flat.shape
        lines = rows if side == "V_in" else cols
        volts = np.tile(np.eye(lines), (arrays, 1))
        zeros = np.zeros((len(volts), cols if side == "V_in" else rows))
        V_in, V_out = (volts, zeros) if side == "V_in" else (zeros, volts)
        array = np.repeat(np.arange(arrays), lines)
        raw = solve(Drive(batch=array.shape, array=array, V_in=V_in, V_out=V_out))
        largest = np.maximum(np.abs(raw.I_out).max(axis=1), np.abs(raw.I_in).max(axis=1))
        error = _amperes(raw) + (rows + cols + 2) * ROUNDING * largest
        if not raw.status.ok:
            error[:] = np.inf
        return cls(
            I_out=raw.I_out.reshape(arrays, lines, cols),
            I_in=raw.I_in.reshape(arrays, lines, rows),
            error=error.reshape(arrays, lines),
            stats=raw.stats,
        )


def superpose(
    units: dict[Side, UnitDrives], crossbar: Crossbar, drive: Drive, solve: Callable[[Drive], Raw]
) -> Raw | None:
    """Currents of all vectors as sums over the unit drives, if that pays and its bound is good.

    Whether it pays depends on this call alone, so that equal calls have equal answers.

    Args:
        units: unit drives that are known; those that are needed are added.
        crossbar: linear arrays.
        drive: the vectors.
        solve: solves vectors one by one.

    Returns:
        The currents with their error bounds, or None: solve the vectors one by one.
    """
    if len(drive.array) <= crossbar.rows:  # the common case, kept short
        return None
    sides: list[Side] = ["V_in", "V_out"] if drive.V_out.any() else ["V_in"]
    if not _pays(crossbar, sides, len(drive.array)):
        return None
    for side in sides:
        if side not in units:
            units[side] = UnitDrives.of(crossbar, side, solve)
    by_side = [units[side] for side in sides]
    if not all(np.isfinite(unit.error).all() for unit in by_side):
        return None
    count = len(drive.array)
    I_out, I_in = np.zeros((count, crossbar.cols)), np.zeros((count, crossbar.rows))
    amperes = np.zeros(count)
    for k, members in _by_array(crossbar, drive.array):
        for side, unit in zip(sides, by_side, strict=True):
            V = getattr(drive, side)[members]
            I_out[members] += V @ unit.I_out[k]
            I_in[members] += V @ unit.I_in[k]
            amperes[members] += np.abs(V) @ unit.error[k]
    error = _share(amperes, np.abs(I_out).max(axis=1))
    limit = WARN_ABOVE if 2 * crossbar.rows * crossbar.cols <= SLOW else UNMEASURED
    if not (error <= limit).all():
        return None
    stats = _stats([unit.stats for unit in by_side], float(error.max(initial=0.0)))
    return Raw(I_out=I_out, I_in=I_in, status=Status.CONVERGED, stats=stats, error=error)


def _pays(crossbar: Crossbar, sides: list[Side], count: int) -> bool:
    arrays, rows, cols = crossbar.G_flat.shape
    lines = rows if sides == ["V_in"] else rows + cols
    saved = (count - arrays * lines) * rows * cols
    return saved >= WORTH_CELLS and 8 * arrays * lines * (rows + cols) <= KEEP_BYTES


def _by_array(crossbar: Crossbar, array: Indices) -> Iterator[tuple[int, slice | Indices]]:
    """Arrays with the positions of their vectors."""
    if not crossbar.batch:
        yield 0, slice(None)
        return
    order = np.argsort(array, kind="stable")
    bounds = np.searchsorted(array[order], np.arange(len(crossbar.G_flat) + 1))
    for k, (start, stop) in enumerate(pairwise(bounds)):
        yield k, order[start:stop]


def _amperes(raw: Raw) -> Array:
    """The error bounds of some solves, A, (N,): the inverse of `_share`."""
    share, largest = raw.error, np.abs(raw.I_out).max(axis=1)
    if share is None:
        return np.full(len(largest), np.inf)
    finite = np.isfinite(share)
    share = np.where(finite, share, 0.0)
    return np.where(finite, share * largest / (1.0 + share), np.inf)


def _share(amperes: Array, largest: Array) -> Array:
    """Errors in A as shares of the least that the largest output currents (A) can be."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(largest > amperes, amperes / (largest - amperes), np.inf)
    return np.where(amperes == 0, 0.0, share)


def _stats(of_units: list[Stats], error: float) -> Stats:
    first = of_units[0]
    return replace(
        first,
        method=f"sums of unit drives, each by {first.method}",
        iterations=max(stats.iterations for stats in of_units),
        residual=max(stats.residual for stats in of_units),
        error_at_most=error,
        notes=tuple(note for stats in of_units for note in stats.notes),
    )
