"""Which lines of an array carry a weight matrix while it is read, for NumPy and torch alike.

A weight is a pair of devices. It stands either in two lines whose currents are subtracted, or in
two lines that are driven with +V and -V.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from xbarspice.core.errors import broken_rule
from xbarspice.core.line_ends import READ, End, EndSpec, LineEnds
from xbarspice.core.types import Indices

__all__ = [
    "LargerArray",
    "LineOrder",
    "Read",
    "differences",
    "first_folded_read",
    "like_lines",
    "second_folded_read",
    "tiled_read",
]


@dataclass(frozen=True, kw_only=True)
class LargerArray:
    """An array with more lines than what is placed on it.

    All its devices belong to the circuit, those of unused lines as well: currents flow through
    them.

    Attributes:
        G: conductances, S, by word and bit line; those where something is placed do not count.
        unused: "driven": word lines that carry nothing are held at 0 V by their drivers, bit lines
            by their sense nodes, whose currents nobody reads; "floating": both ends are open.
    """

    G: tuple[tuple[float, ...], ...]
    unused: Literal["driven", "floating"] = "driven"

    def __post_init__(self) -> None:
        values = np.array(self.G, dtype=float)
        if values.ndim != 2 or not (np.isfinite(values) & (values >= 0)).all():
            raise broken_rule(
                "conductances of a larger array must be rows of numbers >= 0",
                f"shape {values.shape}",
                "Give S, 0 for no device.",
            )
        if self.unused not in ("driven", "floating"):
            raise broken_rule(
                "unused lines must be driven or floating", repr(self.unused), "Use one of them."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Word lines and bit lines."""
        return len(self.G), len(self.G[0])


@dataclass(frozen=True, kw_only=True)
class LineOrder:
    """Which lines of an array carry which lines of what stands on it.

    Attributes:
        rows: ``rows[i]`` is the word line that carries row i, (rows,): a permutation, or some
            of the lines of `array`, each once.
        cols: ``cols[j]`` is the bit line that carries column j, (cols,), likewise.
        array: with more lines than these; None: it has no others.
    """

    rows: tuple[int, ...]
    cols: tuple[int, ...]
    array: LargerArray | None = None

    def on_array(self, G: Any) -> Any:
        """Devices where they stand on the array, from those by row and column, (rows, cols).

        On a larger array they may have leading axes.
        """
        if self.array is None:
            return G[np.argsort(self.rows)][:, np.argsort(self.cols)]
        held, shape = np.array(self.array.G), (*G.shape[:-2], *self.array.shape)
        if isinstance(G, np.ndarray):
            out = np.broadcast_to(held, shape).copy()
        else:
            out = G.new_tensor(held).expand(shape).clone()
        out[..., np.array(self.rows)[:, None], np.array(self.cols)] = G
        return out

    def by_line(self, G: Any) -> Any:
        """Devices by row and column, from those of the array, (rows, cols): undoes `on_array`."""
        return G[list(self.rows)][:, list(self.cols)]

    def voltages(self, volts: Any) -> Any:
        """Voltages of the word lines, V, (..., lines), from those by row, (..., rows)."""
        if self.array is None:
            return volts[..., np.argsort(self.rows)]
        out = volts.new_zeros(*volts.shape[:-1], self.array.shape[0])
        out[..., list(self.rows)] = volts
        return out

    def ends(self, ends: LineEnds) -> LineEnds:
        """Line ends of the array, from those of lines in use; the others float if they shall."""
        if self.array is None or self.array.unused == "driven":
            return ends
        rows, cols = self.array.shape
        return LineEnds(
            wl_left=_connect(ends.wl_left, self.rows, rows),
            bl_bottom=_connect(ends.bl_bottom, self.cols, cols),
        )


def _connect(end: EndSpec, lines: Sequence[int], count: int) -> list[str | End]:
    """The end of lines in use, and floating ones, (count,)."""
    if not isinstance(end, str):
        raise AssertionError("a read pass treats the lines of a side alike")
    return [end if k in lines else End.FLOATING for k in range(count)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Read:
    """One read pass of an array.

    Attributes:
        lines_in: number of the line that each input drives, (inputs, 1), or of the two lines that
            are driven with +V and -V, (inputs, 2).
        lines_out: number of the line that is sensed for each sum, (sums, 1), or of the two whose
            currents are subtracted, (sums, 2).
        reverse: inputs drive the bit lines and the word lines are sensed.
        order: of the lines, where they were placed.
    """

    lines_in: Indices
    lines_out: Indices
    reverse: bool = False
    order: LineOrder | None = None

    @property
    def ends(self) -> LineEnds:
        """Line ends in this pass.

        In a reverse pass no word line carries an input; one that is held at 0 V beside the sensed
        ones is the same circuit, so that all are called sensed.
        """
        ends = LineEnds(wl_left=End.SENSED, bl_bottom=End.DRIVEN) if self.reverse else READ
        return ends if self.order is None else self.order.ends(ends)

    def on_lines(self, order: LineOrder | None) -> Read:
        """The same pass where the lines stand in another order."""
        if order is None:
            return self
        rows, cols = np.array(order.rows, np.intp), np.array(order.cols, np.intp)
        into, out = (cols, rows) if self.reverse else (rows, cols)
        return Read(
            lines_in=into[self.lines_in],
            lines_out=out[self.lines_out],
            reverse=self.reverse,
            order=order,
        )

    def wires(self, wires: dict[str, Any]) -> dict[str, Any]:
        """Resistances of a `Crossbar` in this pass, ohm, from those of the array.

        A line end has one lead, whichever way it is used: the array's `R_driver` is that of the
        word lines, `R_sense` that of the bit lines. A reverse pass drives bit lines and senses word
        lines, so that the two change places in it.
        """
        if not self.reverse:
            return wires
        return {**wires, "R_driver": wires["R_sense"], "R_sense": wires["R_driver"]}

    def drive(self, volts: Any, V_in: Any, V_out: Any) -> tuple[Any, Any]:
        """Write the voltages of the inputs, V, (..., inputs), into those of all lines.

        `V_in` (..., rows) and `V_out` (..., cols) hold 0; they are changed and returned.
        """
        lines = V_out if self.reverse else V_in
        for sign, column in zip((1.0, -1.0), self.lines_in.T, strict=False):
            lines[..., column] = sign * volts
        return V_in, V_out

    def currents(self, I_in: Any, I_out: Any) -> Any:
        """Current into the sense node of every sensed line, A, (..., sums, 1 or 2)."""
        return -I_in[..., self.lines_out] if self.reverse else I_out[..., self.lines_out]

    def take(self, G: Any) -> Any:
        """Pairs of the matrix, (..., inputs, 2 * sums), from devices, (..., rows, cols)."""
        rows, cols = self._devices()
        return G[..., rows, cols]

    def put(self, pairs: Any, G: Any) -> Any:
        """Write pairs of the matrix, as `take` gives them, into `G`, which is returned."""
        rows, cols = self._devices()
        G[..., rows, cols] = pairs
        return G

    def _devices(self) -> tuple[Indices, Indices]:
        """Row and column of the device of each input and column of the matrix, even columns +."""
        shape = (*self.lines_in.shape[:1], *self.lines_out.shape[:1], 2)
        inputs = np.array(np.broadcast_to(self.lines_in[:, None, :], shape)).reshape(shape[0], -1)
        sums = np.array(np.broadcast_to(self.lines_out[None, :, :], shape)).reshape(shape[0], -1)
        return (sums, inputs) if self.reverse else (inputs, sums)


def differences(currents: Any) -> Any:
    """The difference of two currents, or the one current, A, (..., sums) of (..., sums, 1 or 2)."""
    return currents[..., 0] - currents[..., 1] if currents.shape[-1] == 2 else currents[..., 0]


def like_lines(
    reads: Sequence[Read], shape: tuple[int, ...]
) -> tuple[list[Indices], list[Indices]]:
    """Groups of word lines, and of bit lines, that may take each other's place.

    A line that is sensed in a read pass may not change with one that is not.

    Args:
        reads: all read passes of the array.
        shape: rows and columns of the array.
    """
    out = []
    for size, reverse in zip(shape, (True, False), strict=True):
        sensed = [np.isin(np.arange(size), r.lines_out) for r in reads if r.reverse == reverse]
        kinds = np.array(sensed, dtype=bool).reshape(-1, size)
        _, kind = np.unique(kinds, axis=1, return_inverse=True)
        out.append([np.flatnonzero(kind.ravel() == k) for k in range(int(kind.max()) + 1)])
    return out[0], out[1]


def tiled_read(rows: int, cols: int) -> Read:
    """Inputs on the word lines, pairs in neighbouring bit lines, even +, odd -."""
    return Read(
        lines_in=np.arange(rows)[:, None],
        lines_out=np.arange(cols).reshape(-1, 2),
    )


def first_folded_read(inputs: int, hidden: int) -> Read:
    """Word lines ``2 i`` and ``2 i + 1`` carry +V and -V of input i; bit lines are the sums."""
    return Read(
        lines_in=np.arange(2 * inputs).reshape(-1, 2),
        lines_out=np.arange(hidden)[:, None],
    )


def second_folded_read(top: int, hidden: int, outputs: int) -> Read:
    """Bit lines carry the hidden values; two word lines an output are sensed, from `top` on."""
    return Read(
        lines_in=np.arange(hidden)[:, None],
        lines_out=top + np.arange(2 * outputs).reshape(-1, 2),
        reverse=True,
    )
