"""The lines of a crossbar as ladders: their resistances, ends and open-circuit voltages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.line_ends import End, LineEnds
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.core.wires import Resistance
from xbarspice.surrogate.ladders import kernels, modes
from xbarspice.surrogate.native.library import aligned, lanes

__all__ = ["Lines", "Network", "networks"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Lines:
    """All lines of one kind as ladders.

    Attributes:
        along_rows: whether they are word lines, which run along the rows of arrays of cells.
        R: resistance of one wire segment, ohm; NaN where they differ.
        cells: number of cells of every line.
        ends: what `kernels` needs of the ends: conductance of the first end (S), whether the first
            node is free, admittance handed on by an ideal first node (S), conductance of the last
            end, whether the last node is free; (5, lines).
        share: open-circuit voltage as a share of the driver voltage: value at cell 0 and increase
            from cell to cell, (2, lines).
        segments: resistances of the segments where they differ, ohm, (lines, cells - 1).
        by_cell: open-circuit voltages as shares where they do not rise evenly, (lines, cells).
        total: resistance from one end's source to the other's, ohm, inf if an end is floating,
            (lines,).
    """

    along_rows: bool
    R: float
    cells: int
    ends: Array
    share: Array
    segments: Array | None
    by_cell: Array | None
    total: Array

    @cached_property
    def record(self) -> kernels.LinesRecord:
        """The lines for kernels."""
        R, g = self.segments, None
        if R is not None:
            g = np.divide(1.0, R, out=np.zeros_like(R), where=R > 0)
        slowest = self._modes(g)
        return kernels.LinesRecord(
            R=self.R,
            cells=self.cells,
            count=self.ends.shape[1],
            ends=self.ends,
            share=self.share,
            along_rows=self.along_rows,
            resistances=None if R is None else _in_order(self._as_cells(R), self.along_rows),
            conductances=None if g is None else self._as_cells(g),
            shorts=0 if R is None else np.count_nonzero(R == 0),
            by_cell=None if self.by_cell is None else self._as_cells(self.by_cell),
            modes=len(slowest.values),
            mode_values=slowest.values,
            mode_vectors=slowest.vectors,
        )

    def _modes(self, g: Array | None) -> modes.Modes:
        """The slowest modes for segments that differ, of conductance g, S, or all of 1/R."""
        if self.R == 0 or self.joined.any():
            return modes.NONE
        mean = np.full(self.cells - 1, 1.0 / self.R) if g is None else g.mean(axis=0)
        at_ends = (np.where(self.ends[k + 1] > 0, self.ends[k], np.inf) for k in (0, 3))
        return modes.slowest_modes(self.ends.shape[1], mean, *at_ends)

    def _as_cells(self, values: Array) -> Array:
        """Values of every line as they stand in arrays of cells."""
        return np.ascontiguousarray(values if self.along_rows else values.T)

    @property
    def joined(self) -> Flags:
        """Whether a segment joins two nodes to one, (lines, cells - 1)."""
        count = self.ends.shape[1]
        if self.segments is None:
            return np.full((count, self.cells - 1), self.R == 0)
        return self.segments == 0

    @cached_property
    def first_node(self) -> Indices:
        """First of the nodes that are one with each node, (lines, cells)."""
        starts = np.pad(~self.joined, ((0, 0), (1, 0)), constant_values=True)
        return np.maximum.accumulate(np.where(starts, np.arange(self.cells), 0), axis=1)

    @cached_property
    def free(self) -> Flags:
        """Whether the voltage of a node can differ from `V_open`: no ideal end holds it.

        (lines, cells).
        """
        first = self.first_node
        on_first, on_last = first == 0, first == first[:, -1:]
        held_first, held_last = self.ends[1] == 0, self.ends[4] == 0
        return ~(on_first & held_first[:, None] | on_last & held_last[:, None])

    @cached_property
    def doubly_held(self) -> Flags:
        """Which lines are one node that two ideal ends hold, (lines,)."""
        one_node = self.first_node[:, -1] == 0
        return one_node & (self.ends[1] == 0) & (self.ends[4] == 0)

    @cached_property
    def V_open(self) -> Array:
        """Open-circuit voltage of each node as a share of the driver voltage, (lines, cells)."""
        if self.by_cell is not None:
            return self.by_cell
        return self.share[0][:, None] + self.share[1][:, None] * np.arange(self.cells)


def _in_order(R: Array, along_rows: bool) -> Array:
    """Resistances in the order in which the sweeps of `kernels` take them.

    Those of word lines are turned: of as many lines as a vector has lanes, cell by cell, up to
    whole squares.
    """
    if not along_rows:
        out = aligned(*R.shape)
        out[:] = R
        return out
    n = lanes(R.dtype)
    rows, cols = R.shape[0], R.shape[1] + 1
    blocks, width = -(-rows // n), -(-cols // n) * n
    whole = np.zeros((blocks * n, width))
    whole[:rows, : cols - 1] = R
    out = aligned(blocks, width, n)
    out[:] = whole.reshape(blocks, n, width).transpose(0, 2, 1)
    return out


class _Kind(NamedTuple):
    """What decides the ladders of one kind.

    Attributes:
        along_rows: whether they are word lines.
        cells: of every line.
        R: resistance of the segments, ohm, one number or (lines, cells - 1).
        at_ends: resistance of both ends, ohm, inf where floating, (lines, 2).
        driven: which ends are driven, (lines, 2).
    """

    along_rows: bool
    cells: int
    R: Resistance
    at_ends: Array
    driven: Flags

    def lines(self) -> Lines:
        """The ladders."""
        R = self.R
        return Lines(
            along_rows=self.along_rows,
            R=math.nan if isinstance(R, np.ndarray) else R,
            cells=self.cells,
            ends=_frozen(self._ends()),
            share=_frozen(self._share()),
            segments=R if isinstance(R, np.ndarray) else None,
            by_cell=self._by_cell(R) if isinstance(R, np.ndarray) else None,
            total=self._total(),
        )

    def _total(self) -> Array:
        """`Lines.total`."""
        first, last = self.at_ends.T
        if isinstance(self.R, np.ndarray):
            return first + self.R.sum(axis=1) + last
        driver, sense = np.where(self.driven[:, 1], (last, first), (first, last))
        return driver + self.R * (self.cells - 1) + sense

    def _divided(self) -> Flags:
        """Which lines are voltage dividers: driven at one end and sensed at the other."""
        return np.isfinite(self.at_ends).all(axis=1) & (self.driven.sum(axis=1) == 1)

    def _ends(self) -> Array:
        """`Lines.ends`."""
        first, last = self.at_ends.T
        g = np.divide(1.0, self.at_ends, out=np.zeros_like(self.at_ends), where=self.at_ends > 0)
        handed_on = np.zeros_like(first)
        if not isinstance(self.R, np.ndarray) and self.R > 0:
            handed_on[first == 0] = 1.0 / self.R
        return np.array([g[:, 0], first != 0, handed_on, g[:, 1], last != 0])

    def _share(self) -> Array:
        """`Lines.share`; 0 for dividers whose segments differ."""
        out = np.zeros((2, len(self.driven)))
        out[0] = self.driven.any(axis=1)
        divided = self._divided()
        if not divided.any():
            return out
        out[:, divided] = 0.0
        if not isinstance(self.R, np.ndarray):
            forward, total = self.driven[divided, 0], self._total()[divided]
            sense = np.where(forward, self.at_ends[divided, 1], self.at_ends[divided, 0])
            length = self.R * (self.cells - 1)
            out[0, divided] = np.where(forward, length + sense, sense) / total
            out[1, divided] = np.where(forward, -self.R, self.R) / total
        return out

    def _by_cell(self, R: Array) -> Array | None:
        """`Lines.by_cell` for segments R, ohm, (lines, cells - 1)."""
        if not self._divided().any():
            return None
        out = np.zeros((len(R), self.cells))
        out[self.driven.any(axis=1)] = 1.0
        total = self._total()
        for line in np.flatnonzero(self._divided()):
            first, last = self.at_ends[line]
            if self.driven[line, 0]:  # resistance from every cell to the sense node
                to_sense = np.cumsum([last, *R[line, ::-1]])[::-1]
            else:
                to_sense = np.cumsum([first, *R[line]])
            out[line] = to_sense / total[line]
        return out


def _frozen(values: Array) -> Array:
    values.setflags(write=False)
    return values


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """The linear part of a crossbar: its word lines and its bit lines."""

    wl: Lines
    bl: Lines

    @cached_property
    def record(self) -> kernels.NetworkRecord:
        """The network for kernels."""
        return kernels.NetworkRecord(wl=self.wl.record, bl=self.bl.record)


def networks(crossbar: Crossbar) -> tuple[Network, ...]:
    """The ladders of the arrays of a batch: one network for all if they share their wires.

    Where all four resistances are numbers it is made once for all crossbars of these and of such
    ends.
    """
    if crossbar.uniform:
        wires = tuple(crossbar.wires.values())
        return (_uniform(crossbar.rows, crossbar.cols, wires, crossbar.ends),)
    if crossbar.wires_shared:
        return (_network(crossbar),)
    return tuple(_network(crossbar.array(k)) for k in range(len(crossbar.G_flat)))


def _network(crossbar: Crossbar) -> Network:
    """The ladders of arrays that share wires whose resistances differ."""
    kinds = (crossbar.wl_ends, crossbar.bl_ends)
    at_wl, at_bl = (R.reshape(R.shape[-2:]) for R in crossbar.end_resistances)
    wl, bl = (kind == End.DRIVEN for kind in kinds)
    R_wl, R_bl = (
        R.reshape(R.shape[-2:]) if isinstance(R, np.ndarray) else R
        for R in (crossbar.R_wl, crossbar.R_bl)
    )
    R_bl = R_bl.T if isinstance(R_bl, np.ndarray) else R_bl
    return Network(
        wl=_Kind(True, crossbar.cols, R_wl, at_wl, wl).lines(),
        bl=_Kind(False, crossbar.rows, R_bl, at_bl, bl).lines(),
    )


@lru_cache(maxsize=64)
def _uniform(rows: int, cols: int, wires: tuple[float, ...], ends: LineEnds) -> Network:
    """The ladders of arrays of that shape where each resistance (`WIRES`, ohm) is one number."""
    R_wl, R_bl, driver, sense = wires

    def kind(along_rows: bool, cells: int, R: float, words: npt.NDArray[np.object_]) -> Lines:
        driven = words == End.DRIVEN
        at_ends = np.where(driven, driver, np.where(words == End.SENSED, sense, math.inf))
        return _Kind(along_rows, cells, R, at_ends, driven).lines()

    return Network(
        wl=kind(True, cols, R_wl, ends.word_lines(rows)),
        bl=kind(False, rows, R_bl, ends.bit_lines(cols)),
    )
