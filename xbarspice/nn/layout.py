"""How weight matrices stand on physical arrays: the contract of a layout, and all by name."""

from __future__ import annotations

import abc
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Self

from torch import Tensor

from xbarspice.core.registry import Registry
from xbarspice.engines import Engine
from xbarspice.mapping import ArrayConfig
from xbarspice.mapping.reads import Read
from xbarspice.mapping.tile import Tile
from xbarspice.nn.pairs import PairConductances

if TYPE_CHECKING:
    from xbarspice.nn.layers import CrossbarLayer
    from xbarspice.nn.matrix import ArrayMatrix

__all__ = ["Layout", "arrange", "layouts"]


class Layout(abc.ABC):
    """How one matrix is programmed, solved and described on its arrays.

    A matrix has *groups* of equal shape, *lines* (its inputs, then the bias line) and *columns*:
    two for each pair of devices, even +, odd -.
    """

    @classmethod
    @abc.abstractmethod
    def of(cls, matrix: ArrayMatrix) -> Self:
        """The layout of a matrix.

        Raises:
            InputError: the matrix cannot stand so by itself.
        """

    @classmethod  # noqa: B027 - most layouts share no arrays
    def arrange(cls, layers: Sequence[CrossbarLayer]) -> None:
        """Let layers share arrays where this layout asks for it; by default they do not.

        Args:
            layers: those of a model whose configuration names this layout, in the model's order.

        Raises:
            InputError: they cannot stand on arrays together.
        """

    @abc.abstractmethod
    def sources(self) -> tuple[Tensor | None, ...]:
        """Parameters of other layers that stand on the same arrays."""

    @abc.abstractmethod
    def state(self) -> tuple[Hashable, ...]:
        """What else the arrays depend on, beside weights, transfer and configuration."""

    @abc.abstractmethod
    def program(
        self, matrix: ArrayMatrix, placed: PairConductances, *, training: bool
    ) -> PairConductances:
        """The matrix as it stands on its arrays, with errors where there are any.

        Args:
            matrix: whose conductances, transfer and seed count.
            placed: its pairs without errors.
            training: whether new errors are drawn.
        """

    @abc.abstractmethod
    def name_of(self, matrix: ArrayMatrix) -> str:
        """Name of the arrays that hold the matrix; matrices that share arrays share it."""

    @abc.abstractmethod
    def physical(self, matrix: ArrayMatrix, placed: PairConductances) -> list[Tensor]:
        """The arrays without errors, S, (..., rows, cols) for each stack of equal ones."""

    @abc.abstractmethod
    def logical(
        self, matrix: ArrayMatrix, placed: PairConductances, stacks: Sequence[Tensor]
    ) -> PairConductances:
        """The matrix on arrays whose devices have changed: undoes `physical`.

        Args:
            matrix: that stands on them.
            placed: its pairs without errors.
            stacks: the arrays, S, of the shapes that `physical` gives, with the same leading axes
                (such as draws) before each; `G` and `array` of the result have them too.
        """

    @abc.abstractmethod
    def reads_of(self, shape: tuple[int, ...]) -> tuple[Read, ...]:
        """All read passes of an array (rows, cols) that `physical` gives."""

    @abc.abstractmethod
    def places_of(
        self, matrix: ArrayMatrix, placed: PairConductances
    ) -> list[list[tuple[int, int, int]]]:
        """Which tiles (group, row, col) the arrays of each stack of `physical` are, in its order.

        Arrays that two matrices share are those of the matrix that is read first.
        """

    @abc.abstractmethod
    def columns(self, state: PairConductances, config: ArrayConfig) -> Tensor:
        """Currents of linear arrays for 1 V, S, by line and column, (groups, lines, columns)."""

    @abc.abstractmethod
    def pairs(self, state: PairConductances, config: ArrayConfig) -> Tensor:
        """Differences of linear arrays for 1 V, S, (states, groups, lines, pairs).

        Args:
            state: `G` and `array` with one more axis before the others, that of states.
            config: how the matrix stands on arrays.
        """

    @abc.abstractmethod
    def currents(
        self,
        programmed: PairConductances,
        volts: Tensor,
        config: ArrayConfig,
        engine: Engine | None,
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Solve the arrays for line voltages, V, (vectors, groups, lines).

        Args:
            programmed: what stands on the arrays.
            volts: of the lines.
            config: how the matrix stands there.
            engine: that solves; None for the differentiable surrogate.

        Yields:
            For every stack of equal tiles its first line; the currents into the sense nodes, A,
            (vectors, groups, down, across, columns); and their differences, A, (vectors, groups,
            down, across, pairs).
        """

    @abc.abstractmethod
    def bands(self, values: Tensor, config: ArrayConfig) -> list[Tensor]:
        """Values (groups, lines, pairs) cut into the lines that one array sums."""

    @abc.abstractmethod
    def size(self, matrix: ArrayMatrix, lines: int, columns: int) -> tuple[int, int]:
        """Arrays and devices of one group."""

    @abc.abstractmethod
    def tiles(self, matrix: ArrayMatrix, programmed: PairConductances) -> Iterator[Tile]:
        """The arrays as programmed, group by group, by rows of tiles."""


layouts: Registry[type[Layout]] = Registry("layout")
"""Layouts by the word of `ArrayConfig.layout`."""

layouts.add("tiled", "xbarspice.nn.tiled:Tiled")
layouts.add("folded", "xbarspice.nn.folded:Folded")


def arrange(layers: Sequence[CrossbarLayer]) -> None:
    """Let the layers of a model share arrays where their layout asks for it.

    Args:
        layers: all layers on arrays, in the model's order.

    Raises:
        InputError: layers cannot stand on arrays together.
    """
    for name in layouts:
        members = [
            layer
            for layer in layers
            if any(matrix.config.layout == name for matrix in layer.matrices.values())
        ]
        layouts.get(name).arrange(members)
