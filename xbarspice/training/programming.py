"""One transfer after another on the arrays of a model, each programmed by a procedure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from xbarspice.core.errors import broken_rule
from xbarspice.core.seeds import child_seed
from xbarspice.mapping.reads import LineOrder
from xbarspice.nn.layers import crossbar_layers, matrices_of
from xbarspice.nn.origin import arguments_of, classes, outputs_of
from xbarspice.nn.pairs import PairConductances, place
from xbarspice.nn.product import Product
from xbarspice.nn.through import running
from xbarspice.training.procedures import Procedure
from xbarspice.training.sums import Calibrator
from xbarspice.training.tester import DEVICES, Tester
from xbarspice.training.writing import Stack, Writing

__all__ = ["Mend", "program_by"]

TOGETHER = 64
"""Transfers that are programmed together, at most."""
Outputs = tuple[Tensor, ...]
Mend = Callable[[Outputs], Outputs]
"""Outputs of a transfer after what is done to them."""


def program_by(
    circuit: nn.Module,
    procedure: Procedure,
    numbers: Sequence[int],
    calibration: tuple[Any, Any] | None = None,
) -> Iterator[Mend]:
    """Let the arrays hold one transfer after another, programmed by a procedure.

    With the default procedure transfer k is the one of `nn.program_each`, bit for bit; all others
    draw the same random numbers as far as they go. What is placed on other lines has the wires of
    those lines. When the loop ends the arrays hold what they held before.

    Args:
        circuit: a converted model, in evaluation; its first axis is that of the points.
        procedure: how it is programmed.
        numbers: of the transfers.
        calibration: inputs and classes (points,) that a tester may use, never those that are
            judged; None where the procedure needs none. Without classes those without errors.

    Yields:
        For every transfer, while the arrays hold it, what mends outputs of the circuit.

    Raises:
        InputError: the procedure needs calibration points.
    """
    digital = procedure.correction is not None or procedure.sums is not None
    if calibration is None and digital:
        raise broken_rule(
            "a correction of sums or outputs is fitted on calibration points",
            f"`calibration` None with sums={procedure.sums!r} and outputs={procedure.outputs!r}",
            "Give training points and their classes; never test points.",
        )
    points = None if calibration is None else _Points(circuit, *calibration)
    tester = Tester(circuit, procedure, None if points is None else points.of_tester)
    matrices = list(matrices_of(circuit))
    before = [(m.conductances, m.orders, m.correction) for m in matrices]
    sums: Calibrator | None = None
    if procedure.sums is not None and points is not None:
        sums = Calibrator(circuit, procedure.sums, points.run)

    def restore() -> None:
        for matrix, (conductances, orders, correction) in zip(matrices, before, strict=True):
            matrix.conductances, matrix.orders = conductances, orders
            matrix.correction = correction

    together = max(1, min(TOGETHER, DEVICES // max(tester.devices, 1)))
    try:
        for start in range(0, len(numbers), together):
            chunk = numbers[start : start + together]
            generators = {s.name: _generators(s, chunk) for s in tester.stacks}
            writings = tester.program(len(chunk), generators)
            held = _Held(circuit, writings, len(chunk))
            for k in range(len(chunk)):
                held.put(k)
                if sums is not None:
                    sums.correct()
                yield _mend(procedure, points)
            restore()
    finally:
        restore()


class _Points:
    """Calibration points of a circuit, and its answers for them without errors."""

    def __init__(self, circuit: nn.Module, x: Any, y: Any) -> None:
        self.circuit, self.arguments = circuit, arguments_of(circuit, x)
        outputs = self.run()
        self.wanted = _flat(outputs)
        decided = classes(outputs) if y is None else torch.as_tensor(y)
        decided = None if decided is None else decided.to(self.wanted.device)
        self.targets = self.wanted if decided is None else decided
        self.of_tester = (self.arguments[0], decided)

    @torch.no_grad()
    def run(self) -> Outputs:
        """Outputs for the calibration points of what the arrays hold."""
        return outputs_of(self.circuit, self.arguments)

    def answers(self) -> Tensor:
        """Of the transfer that the arrays hold, (1, points, outputs)."""
        return _flat(self.run())[None]


def _flat(outputs: Outputs) -> Tensor:
    (answers,) = outputs
    return answers.reshape(len(answers), -1)


def _generators(stack: Stack, numbers: Sequence[int]) -> list[torch.Generator]:
    """Those of plain transfers of these numbers."""
    seeds = (child_seed(stack.matrix.seed, f"{stack.name}: transfer {k}") for k in numbers)
    return [torch.Generator().manual_seed(seed) for seed in seeds]


class _Held:
    """What the arrays hold in some transfers, by line and column of every matrix."""

    def __init__(self, circuit: nn.Module, writings: Sequence[Writing], count: int) -> None:
        self.writings = writings
        by_name: dict[str, list[Tensor]] = {}
        for writing in writings:
            by_name.setdefault(writing.stack.name, []).append(writing.G)
        self.states: list[tuple[Product, PairConductances]] = []
        with torch.no_grad():
            for layer in crossbar_layers(circuit).values():
                for key, weight, bias in layer.weight_matrices():
                    matrix = layer.matrices[key]
                    placed = place(weight, matrix.line(bias), matrix.config)
                    stacks = by_name[matrix.layout.name_of(matrix)]
                    state = matrix.layout.logical(matrix, placed, stacks)
                    self.states.append((Product(matrix, weight, bias, training=False), state))
        self.maps = [self._maps(product, state, count) for product, state in self.states]

    def _maps(self, product: Product, state: PairConductances, count: int) -> list[Any] | None:
        """Affine maps of all transfers at once, where arrays have them and no line was placed."""
        placed = any(writing.lines is not None for writing in self.writings)
        if placed or running().by_tile or not product.matrix.is_affine:
            return None
        arrays = [None] * count if state.array is None else list(state.array)
        with torch.no_grad():
            each = [replace(state, G=G, array=a) for G, a in zip(state.G, arrays, strict=True)]
            return list(product.matrix.reduce(each))

    def put(self, number: int) -> None:
        """Let the arrays hold one of the transfers."""
        for writing in self.writings:
            if writing.lines is not None:
                writing.stack.matrix.orders = _orders(writing, number)
        for product, state in self.states:
            product.matrix.conductances = state.G[number]
        for (product, _), maps in zip(self.states, self.maps, strict=True):
            if maps is not None:
                product.matrix.cache(product, maps[number])


def _orders(writing: Writing, number: int) -> dict[tuple[int, int, int], LineOrder]:
    """Orders of the lines of all arrays of the stack's matrix in one transfer."""
    if writing.lines is None:
        raise AssertionError("lines are placed")
    out = dict(writing.stack.matrix.orders)
    orders = writing.lines[number]
    rows, cols = (side.reshape(-1, side.shape[-1]) for side in (orders.rows, orders.cols))
    for place_, of_rows, of_cols in zip(writing.stack.places, rows, cols, strict=True):
        order = LineOrder(rows=tuple(of_rows.tolist()), cols=tuple(of_cols.tolist()))
        moved = (sorted(side) != list(side) for side in (order.rows, order.cols))
        out.pop(place_, None)
        if any(moved):
            out[place_] = order
    return out


def _mend(procedure: Procedure, points: _Points | None) -> Mend:
    correction = procedure.correction
    if correction is None or points is None:
        return lambda outputs: outputs
    known = points

    def mend(outputs: Outputs) -> Outputs:
        (answers,) = outputs
        fitted = correction(known.answers(), known.wanted, known.targets)
        return (fitted.apply(_flat(outputs)[None]).reshape(answers.shape),)

    return mend
