"""A tester with one model to program: what it knows, and how it goes through a procedure.

Its answers for the calibration points are computed from the conductances that it reads back and
from what it knows of the circuit: wires exactly, of the lines where everything stands; curves of
devices at the wanted conductances.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from xbarspice.core.errors import broken_rule
from xbarspice.nn.line_orders import LineOrders
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.training.objectives import margins
from xbarspice.training.placing import choose_lines
from xbarspice.training.procedures import SENSITIVITY, Procedure
from xbarspice.training.products import Circuit
from xbarspice.training.slices import Slices
from xbarspice.training.sums import SumFit
from xbarspice.training.writing import Writing, by_generator, lines_by_name, stacks_of
from xbarspice.variability import ReadNoise

__all__ = ["Tester"]

DEVICES = 1 << 22
"""Devices of all slices that are computed together, at most (and at least one slice)."""
ANSWERS = 1 << 16
"""Answers of all slices that are computed together, likewise."""


class Tester:
    """A tester, a model and what it asks of devices.

    Args:
        model: converted; it is left as it is.
        procedure: what is done.
        calibration: points (points, ...) and classes (points,) that the tester may use; needed by
            procedures that weigh devices.
        circuit: of the answers; see `ErrorDraws`.

    Attributes:
        stacks: arrays of the model.
        sensitivity: mean change of the squashed margins of the calibration points, 1/S, by device,
            (..., rows, cols) for each stack, on the lines as they come; None where devices are not
            weighed.

    Raises:
        InputError: a procedure that weighs devices has no calibration points with classes, or is
            to place lines that were placed before.
    """

    def __init__(
        self,
        model: nn.Module,
        procedure: Procedure,
        calibration: tuple[Tensor, Tensor | None] | None,
        *,
        circuit: Circuit = "shared_gradient",
    ) -> None:
        self.model, self.procedure = model, procedure
        self.circuit: Circuit = circuit
        self.stacks = stacks_of(model)
        self.devices = sum(stack.wanted.numel() for stack in self.stacks)
        self.sensitivity: list[Tensor] | None = None
        if procedure.remap and any(stack.matrix.orders for stack in self.stacks):
            raise broken_rule(
                "the lines of arrays are placed once",
                "`remap` on arrays whose lines are placed already",
                "Take them away with xb.nn.place_lines(circuit, None), or leave `remap` out.",
            )
        if not procedure.weighs:
            return
        if calibration is None or calibration[1] is None:
            raise broken_rule(
                "a procedure that weighs devices needs calibration points with classes",
                f"{procedure}",
                "Give training points and their classes; never test points.",
            )
        self.x, self.y = calibration[0], calibration[1]
        with _evaluating(model):
            probe = self._slices([s.wanted[None] for s in self.stacks])
            self.one_by_one = not probe.keeps_apart(self.x[:2], 1)
            self.wanted = self.answers([s.wanted[None] for s in self.stacks])[0]
            at_wanted = margins(self.wanted, self.y)
            self.share = float((at_wanted > 0).double().mean())
            self.typical = max(float(at_wanted.abs().median()), 1e-12)
            self.sensitivity = self._sensitivity()

    def _slices(
        self,
        arrays: Sequence[Tensor],
        lines: Sequence[LineOrders | None] | None = None,
        *,
        one_by_one: bool = False,
        sums: SumFit | None = None,
    ) -> Slices:
        """The model on these arrays, the lines of each stack placed so."""
        by_name: dict[str, list[Tensor]] = {}
        for stack, G in zip(self.stacks, arrays, strict=True):
            by_name.setdefault(stack.name, []).append(G)

        def held(name: str, matrix: ArrayMatrix, stacks: Sequence[Tensor]) -> list[Tensor]:
            del matrix, stacks
            return by_name[name]

        placed = {} if lines is None else lines_by_name(self.stacks, lines)
        return Slices(
            self.model, held, self.circuit, one_by_one=one_by_one, lines=placed, sums=sums
        )

    @torch.no_grad()
    def answers(
        self, arrays: Sequence[Tensor], lines: Sequence[LineOrders | None] | None = None
    ) -> Tensor:
        """Answers for the calibration points, (transfers, points, outputs).

        Args:
            arrays: conductances by row and column, S, (transfers, ..., rows, cols), for each stack.
            lines: their orders, for each stack; None where no line was placed.
        """
        most = max(1, min(DEVICES // self.devices, ANSWERS // len(self.x)))
        out, count, sums = [], len(arrays[0]), self.procedure.fit_of_sums(self.x)
        for first in range(0, count, most):
            part = slice(first, first + most)
            placed = None if lines is None else [None if o is None else o[part] for o in lines]
            slices = self._slices(
                [G[part] for G in arrays], placed, one_by_one=self.one_by_one, sums=sums
            )
            out.append(slices.outputs(self.x, min(most, count - first)))
        return torch.cat(out).flatten(2) if out[0].ndim > 2 else torch.cat(out)[..., None]

    def _sensitivity(self) -> list[Tensor]:
        """By derivatives, point by point: slice p of a forward pass answers for point p."""
        total = [torch.zeros_like(stack.wanted) for stack in self.stacks]
        most = max(1, min(DEVICES // self.devices, int(ANSWERS**0.5)))
        for x, y in zip(self.x.split(most), self.y.split(most), strict=True):
            count = len(x)
            arrays = [
                s.wanted.expand(count, *s.wanted.shape).clone().requires_grad_()
                for s in self.stacks
            ]
            slices = self._slices(arrays, one_by_one=self.one_by_one)
            with torch.enable_grad():
                out = slices.outputs(x, count)
                margin = margins(out.reshape(count, count, -1), y).diagonal()
                score = torch.tanh(margin / self.typical).sum()
                slopes = torch.autograd.grad(score, arrays)
            for sum_, slope in zip(total, slopes, strict=True):
                sum_ += slope.abs().sum(dim=0) / len(self.x)
        return total

    @torch.no_grad()
    def program(
        self, count: int, generators: Mapping[str, Sequence[torch.Generator]]
    ) -> list[Writing]:
        """Go through the procedure with some transfers at once.

        Args:
            count: transfers.
            generators: random numbers by the name of the arrays: one a transfer, or one for all.

        Returns:
            The arrays of each stack as they are left behind.
        """
        p = self.procedure
        with _evaluating(self.model):
            writings = [Writing(stack, count, generators[stack.name]) for stack in self.stacks]
            if p.remap:
                choose_lines(writings, self._score, p.remap, compensate=p.compensate)
            for k, writing in enumerate(writings):
                if p.compensate:
                    writing.compensate()
                writing.rank = self._rank(writing, k)
                writing.write(None, 0)
            for number in range(1, p.passes):
                if not self._tune(writings, number):
                    break
        return writings

    def _score(self, arrays: Sequence[Tensor], lines: Sequence[LineOrders | None]) -> Tensor:
        """How good answers are, (transfers,): the squashed margins, mean over the points."""
        margin = margins(self.answers(arrays, lines), self.y)
        return torch.tanh(margin / self.typical).mean(dim=-1)

    def _rank(self, writing: Writing, number: int) -> Tensor:
        """Write order of a stack by the lines of what is placed, (..., rows, cols)."""
        if self.procedure.order == SENSITIVITY and self.sensitivity is not None:
            of_devices = self.sensitivity[number]
            order = of_devices.flatten(-2).argsort(dim=-1, stable=True)
            return order.argsort(dim=-1).reshape(of_devices.shape)
        return writing.place_rank(self.procedure.order)

    def _tune(self, writings: Sequence[Writing], number: int) -> bool:
        """One further pass on transfers that are not good enough; False if all are."""
        if self.sensitivity is None:
            raise AssertionError("further passes weigh devices")
        noise = ReadNoise()
        read_back = [
            by_generator(w.generators(f"read back {number}"), noise.apply, w.G) for w in writings
        ]
        open_ = ~self._good_enough(self.answers(read_back, [w.lines for w in writings]))
        if not bool(open_.any()):
            return False
        for writing, G, weight in zip(writings, read_back, self.sensitivity, strict=True):
            chosen = open_.reshape(-1, *[1] * (G.ndim - 1))
            error = (G - writing.target).abs() * weight * ~writing.stuck
            flat = error.flatten(-2)
            few = min(self.procedure.rewrite, flat.shape[-1])
            least = flat.topk(few, dim=-1).values[..., -1, None, None]
            before = writing.G
            writing.write((error >= least) & (error > 0) & chosen, number)
            writing.G = torch.where(chosen, writing.G, before)
        return True

    def _good_enough(self, answers: Tensor) -> Tensor:
        """Transfers that need no further pass, (transfers,)."""
        if (correction := self.procedure.correction) is not None:
            answers = correction(answers, self.wanted, self.y).apply(answers)
        right = (margins(answers, self.y) > 0).double().mean(dim=-1)
        return right >= self.procedure.enough * self.share - 1e-12


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """A block in which a model is in evaluation."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
