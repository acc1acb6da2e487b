"""A network that is a chain of weight matrices on arrays, with activations between them.

Plain numbers and arrays, without torch: what a whole network needs to be written as one deck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Indices
from xbarspice.core.values import array_of
from xbarspice.mapping.activations import Activation
from xbarspice.mapping.reads import Read, differences

__all__ = ["Chain", "Pass", "Stage"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pass:
    """One read of one array for a stage.

    Attributes:
        name: of the array and matrix.
        crossbar: a single array with the line ends and leads of this read.
        read: which of its lines carry the matrix.
        lines: first and last + 1 of the stage's lines (inputs, then the bias) on it.
        outputs: output of the stage that each sum adds to, (sums,).
        weights: how much it adds, (sums,).
    """

    name: str
    crossbar: Crossbar
    read: Read
    lines: tuple[int, int]
    outputs: Indices
    weights: Array

    def drive(self, volts: Array) -> tuple[Array, Array]:
        """Line voltages (V_in, V_out), V, for those of the stage's lines, (points, lines)."""
        shape = len(volts), self.crossbar.rows
        V_in, V_out = np.zeros(shape), np.zeros((len(volts), self.crossbar.cols))
        return self.read.drive(volts[:, slice(*self.lines)], V_in, V_out)

    def add(self, currents: Array, total: Array) -> None:
        """Add the currents of its sums, A, (points, sums, 1 or 2), to (points, outputs)."""
        parts = differences(currents) * self.weights
        for k, output in enumerate(self.outputs.tolist()):
            total[:, output] += parts[:, k]


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """One weight matrix and what follows it.

    Attributes:
        name: of the matrix.
        inputs, outputs: its size.
        V_read: voltage that stands for a full-scale input, V.
        x_scale: input that corresponds to `V_read`.
        V_bias: voltage of the bias line, V; None without one.
        scale: weighted sum that a current difference of 1 A stands for, (outputs,).
        digital: added to the weighted sums after reading, (outputs,).
        passes: the reads of its arrays.
        activation: what its sums go through; None for nothing.
    """

    name: str
    inputs: int
    outputs: int
    V_read: float
    x_scale: float
    V_bias: float | None
    scale: Array
    digital: Array
    passes: tuple[Pass, ...]
    activation: Activation | None = None

    def voltages(self, x: Array) -> Array:
        """Voltages of its lines, V, (points, lines), for its inputs (points, inputs)."""
        volts = x * (self.V_read / self.x_scale)
        if self.V_bias is None:
            return volts
        return np.hstack([volts, np.full((len(x), 1), self.V_bias)])

    def sums(self, currents: Sequence[Array]) -> Array:
        """Weighted sums, (points, outputs), from the currents of all its passes, A."""
        total = np.zeros((len(currents[0]), self.outputs))
        for part, current in zip(self.passes, currents, strict=True):
            part.add(current, total)
        return total * self.scale + self.digital

    def activate(self, sums: Array) -> Array:
        """What the next stage is given."""
        return sums if self.activation is None else self.activation.numpy(sums)


@dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """Stages in the order in which they compute."""

    stages: tuple[Stage, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Inputs, and outputs of every stage."""
        return (self.stages[0].inputs, *(stage.outputs for stage in self.stages))

    @property
    def passes(self) -> tuple[Pass, ...]:
        """The reads of all stages in order."""
        return tuple(part for stage in self.stages for part in stage.passes)

    @property
    def decides(self) -> bool:
        """Whether outputs stand for a class: several, or one that is above 0 or not."""
        return self.stages[-1].outputs > 1 or self.stages[-1].activation is None

    def points(self, x: npt.ArrayLike) -> Array:
        """Checked inputs, (points, inputs).

        Raises:
            InputError: they do not fit, are none, or are not finite.
        """
        width = self.stages[0].inputs
        out = array_of("x", x, rank=2, remedy=f"Pass (points, {width}).")
        if out.shape[1] != width or not len(out):
            raise broken_rule(
                f"inputs of the network must be (points, {width}), at least one row",
                f"shape {out.shape}",
                "Pass one row a point.",
            )
        return out

    def decide(self, outputs: Array) -> Indices:
        """Class of each point, (points,): the first of the largest, or whether one is above 0."""
        if outputs.shape[1] == 1:
            return (outputs[:, 0] > 0).astype(np.intp)
        return outputs.argmax(axis=1)
