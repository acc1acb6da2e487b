"""A copy of a model whose one array takes devices of a die, on any of its lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xbarspice.calibration.assignment import Group
from xbarspice.calibration.measured import MeasuredArray
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Indices
from xbarspice.mapping.reads import LargerArray, LineOrder
from xbarspice.nn import (
    PhysicalArray,
    arrays,
    copy_circuit,
    crossbar_layers,
    place_lines,
    program,
    put_conductances,
)
from xbarspice.nn.origin import decisions_of, outputs_of

__all__ = ["Bench", "Lines", "Points", "typical_score"]

Lines = tuple[Indices, Indices]
T = TypeVar("T", bound=np.generic)

MOST = 64
"""Points by which the sensitivity of the devices is found."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Inputs of a model and their classes.

    Attributes:
        arguments: of the model.
        y: classes, (points,).
    """

    arguments: tuple[Any, ...]
    y: Indices

    def take(self, where: slice | Indices) -> Points:
        """Some of them."""
        return Points(arguments=tuple(a[where] for a in self.arguments), y=self.y[where])


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """A copy of a model whose one array takes devices and lines.

    Attributes:
        circuit: the copy.
        plain: the array with its lines as they come, on no larger array.
        measured: the same on the first lines of the die.
        held: devices that were put on the other arrays, S.
        unused: what lines that carry nothing are; see `LargerArray`.
    """

    circuit: Any
    plain: PhysicalArray
    measured: MeasuredArray
    held: dict[str, Array]
    unused: Literal["driven", "floating"]

    @classmethod
    def of(
        cls,
        circuit: nn.Module,
        measured: MeasuredArray,
        unused: Literal["driven", "floating"] = "driven",
    ) -> Bench:
        """A copy of a converted model, and the die for one of its arrays.

        Raises:
            InputError: the die is smaller than the array.
        """
        name, copied = measured.array.name, copy_circuit(circuit)
        layers = crossbar_layers(copied).values()
        put = any(m.conductances is not None for k in layers for m in k.matrices.values())
        other_arrays = [a for a in arrays(copied) if a.name != name]
        orders = {a.name: o for a in other_arrays if (o := a.tiles[0].read.order) is not None}
        conductances = {a.name: a.crossbar.G for a in other_arrays if put}
        program(copied, None)
        put_conductances(copied, None)
        place_lines(copied, None)
        plain = next(a for a in arrays(copied) if a.name == name)
        place_lines(copied, orders)
        rows, cols = plain.crossbar.G.shape
        if rows > measured.die.G.shape[0] or cols > measured.die.G.shape[1]:
            raise broken_rule(
                f"a die must have the {rows} word lines and {cols} bit lines of {name}, or more",
                " x ".join(map(str, measured.die.G.shape)),
                "Take a larger die, or a smaller array.",
            )
        out = cls(circuit=copied, plain=plain, measured=measured, held=conductances, unused=unused)
        return replace(out, measured=out.place(out.first_lines))

    @property
    def name(self) -> str:
        """Of the array."""
        return self.plain.name

    @property
    def first_lines(self) -> Lines:
        """Lines as they come: the first of the die."""
        rows, cols = self.plain.crossbar.G.shape
        return np.arange(rows), np.arange(cols)

    @property
    def width(self) -> int:
        """Neighbouring bit lines that move together."""
        return 2 if self.plain.bit_lines_in_pairs else 1

    @property
    def sides(self) -> tuple[list[Group], list[Group]]:
        """Groups of word lines, and of bit lines or pairs of them, with the lines they may take."""
        words, bits = self.plain.like_lines
        units = [group[:: self.width] // self.width for group in bits]
        rows, cols = self.measured.die.G.shape
        return _with_places(words, rows), _with_places(units, cols // self.width)

    def in_units(self, values: npt.NDArray[T]) -> npt.NDArray[T]:
        """Values by line as (rows, units, bit lines that move together)."""
        whole = values[:, : self.width * (values.shape[1] // self.width)]
        return whole.reshape(len(values), -1, self.width)

    def bit_lines(self, units: Indices) -> Indices:
        """Bit lines of units of neighbouring ones."""
        return (self.width * units[:, None] + np.arange(self.width)).reshape(-1)

    def order(self, lines: Lines) -> LineOrder:
        """These lines of the die as `nn.place_lines` takes them."""
        rows, cols = (tuple(side.tolist()) for side in lines)
        G = self.measured.die.G
        if self.plain.crossbar.G.shape == G.shape:
            return LineOrder(rows=rows, cols=cols)
        held = LargerArray(G=tuple(map(tuple, G.tolist())), unused=self.unused)
        return LineOrder(rows=rows, cols=cols, array=held)

    def place(self, lines: Lines) -> MeasuredArray:
        """The array as the weights ask for it, on these lines, and the die."""
        put_conductances(self.circuit, None)
        place_lines(self.circuit, {self.name: self.order(lines)})
        put_conductances(self.circuit, self.held)
        array = next(a for a in arrays(self.circuit) if a.name == self.name)
        return replace(self.measured, array=array)

    def put(self, lines: Lines, G: Array) -> None:
        """Devices of the die, S, (rows, cols), on these lines."""
        place_lines(self.circuit, {self.name: self.order(lines)})
        put_conductances(self.circuit, {self.name: G})

    def right(self, points: Points) -> Array:
        """Which of the points are classified right, (points,) of 0 and 1."""
        decided = decisions_of(outputs_of(self.circuit, points.arguments), points.y)
        return (decided == points.y).astype(float)

    def draws(
        self, lines: Lines, G: Iterable[Array], points: Points, step: Callable[[], None]
    ) -> Array:
        """Which points are right with each of some conductances of the die, (draws, points)."""
        out = []
        for devices in G:
            self.put(lines, devices)
            out.append(self.right(points))
            step()
        return np.array(out)

    def scores(self, points: Points, *, gradients: bool = False) -> Tensor:
        """How far each point is on the right side, (points,), in units of the outputs.

        Raises:
            InputError: the model gives no classes.
        """
        outputs = outputs_of(self.circuit, points.arguments, gradients=gradients)
        if decisions_of(outputs, points.y) is None:
            raise broken_rule(
                "a model on a die is judged by the classes of its points",
                f"outputs of shape {tuple(outputs[0].shape)}",
                "Give a model that classifies, and the class of every point as y.",
            )
        z = next(t for t in outputs if t.is_floating_point())
        y = torch.as_tensor(points.y, device=z.device).long()
        if z.ndim == 1 or z.shape[1] == 1:
            return z.reshape(-1) * (2 * y - 1)
        of_label = z.gather(1, y[:, None])[:, 0]
        of_other_classes = z.scatter(1, y[:, None], -math.inf)
        return of_label - of_other_classes.max(dim=1).values

    def sensitivity(self, points: Points) -> Array:
        """Mean change of the squashed scores by a device, 1/S, by row and column of the array."""
        measured = self.place(self.first_lines)
        self.put(self.first_lines, measured.array.crossbar.G)
        few = points.take(slice(MOST))
        layers = crossbar_layers(self.circuit).values()
        matrices = {m.name: m for layer in layers for m in layer.matrices.values()}
        held = {}
        for tile in measured.array.tiles:
            conductances = matrices[tile.matrix].conductances
            if conductances is None:
                raise AssertionError("they have just been put")
            held[tile.matrix] = conductances.requires_grad_()
        scores = self.scores(few, gradients=True)
        scores = torch.tanh(scores / typical_score(scores))
        out = np.zeros(measured.array.crossbar.G.shape)
        total = {name: torch.zeros_like(leaf) for name, leaf in held.items()}
        for score in scores:
            slopes = torch.autograd.grad(
                score, list(held.values()), retain_graph=True, allow_unused=True
            )
            for name, slope in zip(held, slopes, strict=True):
                if slope is not None:
                    total[name] += slope.abs() / len(scores)
        for tile in measured.array.tiles:
            part = total[tile.matrix][tile.group, slice(*tile.lines), slice(*tile.columns)]
            out = tile.read.put(part.numpy(), out)
        for matrix in matrices.values():
            if matrix.conductances is not None:
                matrix.conductances = matrix.conductances.detach()
        rows, cols = self.plain.crossbar.G.shape
        return out[:rows, :cols]


def typical_score(scores: Tensor) -> float:
    """How far a point is on its side, as a rule."""
    return max(float(scores.detach().abs().median()), 1e-12)


def _with_places(groups: list[Indices], available: int) -> list[Group]:
    """Lines that are alike and what they may take: each other's places, or any with spare lines."""
    count = sum(len(group) for group in groups)
    if available == count:
        return [(group, group) for group in groups]
    return [(np.arange(count), np.arange(available))]
