"""One array of a converted model while one of its matrices is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.solution import Solution
from xbarspice.core.types import Array
from xbarspice.mapping.config import ArrayConfig
from xbarspice.mapping.reads import Read

__all__ = ["Tile"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """One array while one matrix is read on it.

    Attributes:
        matrix: full name of the matrix.
        group, row, col: which of its groups, and which tile down and across.
        lines: first and last + 1 of the matrix's lines on this array (inputs, then the bias).
        columns: first and last + 1 of its columns, even +, odd -.
        config: how the matrix stands on arrays.
        crossbar: the array as programmed, with the line ends and leads of this read.
        read: which lines of the array carry the matrix.
        array: name of the physical array that it stands on.
    """

    matrix: str
    group: int
    row: int
    col: int
    lines: tuple[int, int]
    columns: tuple[int, int]
    config: ArrayConfig
    crossbar: Crossbar
    read: Read
    array: str

    @property
    def name(self) -> str:
        """The tile in one word: ``matrix[group,row,col]``."""
        return f"{self.matrix}[{self.group},{self.row},{self.col}]"

    @property
    def size(self) -> int:
        """Lines of the matrix on this array: voltages that `drive` takes."""
        return self.lines[1] - self.lines[0]

    def drive(self, volts: Array) -> tuple[Array, Array]:
        """Line voltages (V_in, V_out), V, (vectors, rows) and (vectors, cols), of the array.

        Args:
            volts: of the matrix's lines on it, V, (vectors, lines).
        """
        count = len(volts)
        V_in, V_out = np.zeros((count, self.crossbar.rows)), np.zeros((count, self.crossbar.cols))
        return self.read.drive(volts, V_in, V_out)

    def currents(self, solution: Solution) -> Array:
        """Currents into the sense nodes, A, of a solve with `drive`.

        (vectors, columns) where pairs stand in two sensed lines, even +, odd -; (vectors, sums)
        where they stand in two driven ones.
        """
        currents: Array = self.read.currents(solution.I_in, solution.I_out)
        return currents.reshape(*currents.shape[:-2], -1)
