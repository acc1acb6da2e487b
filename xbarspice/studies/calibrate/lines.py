"""Lines of an array in other places: which may change, what stands where, and partners of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.array import Crossbar, Drive
from xbarspice.engines import Engine, get
from xbarspice.engines.base import Raw, with_bound
from xbarspice.mapping.reads import Read

__all__ = ["LinesMoved", "alike", "compensated", "moved"]

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]


def alike(reads: Sequence[Read], shape: tuple[int, ...]) -> tuple[list[Index], list[Index]]:
    """Groups of word lines, and of bit lines, that may take each other's place.

    A line that is sensed in a reading pass may not change with one that is not.

    Args:
        reads: all reading passes of the array.
        shape: rows and columns of the array.
    """
    out = []
    for size, reverse in zip(shape, (True, False), strict=True):
        sensed = [np.isin(np.arange(size), r.lines_out) for r in reads if r.reverse == reverse]
        kinds = np.array(sensed, dtype=bool).reshape(-1, size)
        _, kind = np.unique(kinds, axis=1, return_inverse=True)
        out.append([np.flatnonzero(kind.ravel() == k) for k in range(int(kind.max()) + 1)])
    return out[0], out[1]


def compensated(
    reads: Sequence[Read], wanted: Array, stuck: Bools, value: Array, limits: tuple[float, float]
) -> Array:
    """Targets with the partners of stuck devices moved, so that the pairs' differences are kept.

    Args:
        reads: all reading passes of the array.
        wanted: conductances, S, (..., rows, cols).
        stuck, value: stuck devices and their conductances, (..., rows, cols).
        limits: smallest and largest conductance of a target, S.
    """
    out = wanted.copy()
    for read in reads:
        pairs_out = read.lines_out.shape[1] == 2
        lines = read.lines_out if pairs_out else read.lines_in
        on_rows = read.reverse if pairs_out else not read.reverse
        for a, b in ((0, 1), (1, 0)):
            mine, other = (
                (..., lines[:, k], slice(None)) if on_rows else (..., lines[:, k]) for k in (a, b)
            )
            new = np.clip(value[mine] - (wanted[mine] - wanted[other]), *limits)
            out[other] = np.where(stuck[mine] & ~stuck[other], new, out[other])
    return out


def moved(values: Array, lines: tuple[Index, Index]) -> Array:
    """Values (..., rows, cols) of an array's lines, put onto other lines.

    Args:
        values: at the lines as mapped.
        lines: physical word line of each row, and physical bit line of each column.
    """
    out = np.empty_like(values)
    out[(..., *np.ix_(*lines))] = values
    return out


class LinesMoved(Engine):
    """The surrogate on arrays whose lines stand in other places; it answers at the lines as mapped.

    Only lines whose ends are alike may change (`alike`); wires stay where they are.

    Args:
        rows, cols: physical word line of each row, and physical bit line of each column.
        engine: who solves the physical array.
    """

    name = "lines moved"

    def __init__(self, rows: Index, cols: Index, engine: str | Engine = "surrogate") -> None:
        self.rows, self.cols, self.engine = rows, cols, get(engine)

    def _prepare(self, crossbar: Crossbar) -> Any:
        physical = crossbar.replace(G=moved(crossbar.G, (self.rows, self.cols)))
        return physical, self.engine.prepare(physical)

    def _solve(self, state: Any, crossbar: Crossbar, drive: Drive, full: bool) -> Raw:
        physical, prepared = state
        V_in, V_out = np.empty_like(drive.V_in), np.empty_like(drive.V_out)
        V_in[:, self.rows], V_out[:, self.cols] = drive.V_in, drive.V_out
        there = replace(drive, V_in=V_in, V_out=V_out)
        raw = self.engine._solve(prepared, physical, there, full)
        raw = self.engine.checked(raw, physical, there, True)
        here = (slice(None), *np.ix_(self.rows, self.cols))
        fields = {
            name: None if value is None else value[here]
            for name, value in (("V_wl", raw.V_wl), ("V_bl", raw.V_bl), ("I_device", raw.I_device))
        }
        return replace(
            raw,
            I_out=raw.I_out[:, self.cols],
            I_in=raw.I_in[:, self.rows],
            stats=with_bound(raw, physical, there),
            **fields,
        )
