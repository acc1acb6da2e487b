"""One array of a converted model while one of its matrices is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice.array import Crossbar
from xbarspice.mapping import ArrayConfig
from xbarspice.solution import Solution

__all__ = ["Tile"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """One array while one matrix is read on it.

    Attributes:
        matrix: full name of the matrix.
        group, row, col: which of its groups, and which tile down and across.
        lines: first and last + 1 of the matrix's lines on this array (inputs, then the bias).
        columns: first and last + 1 of its columns, even +, odd -.
        config: how the matrix stands on arrays.
        crossbar: the array as programmed, with the line ends of this read.
    """

    matrix: str
    group: int
    row: int
    col: int
    lines: tuple[int, int]
    columns: tuple[int, int]
    config: ArrayConfig
    crossbar: Crossbar

    @property
    def name(self) -> str:
        """The tile in one word: ``matrix[group,row,col]``."""
        return f"{self.matrix}[{self.group},{self.row},{self.col}]"

    @property
    def array(self) -> str:
        """Name of the physical array that it stands on."""
        return self.name

    def drive(self, volts: Array) -> tuple[Array, Array]:
        """Line voltages (V_in, V_out), V, for the voltages (vectors, lines) of its lines."""
        return volts, np.zeros((len(volts), self.crossbar.cols))

    def currents(self, solution: Solution) -> Array:
        """Currents of its columns, A, (vectors, columns), of a solve with `drive`."""
        return solution.I_out
