"""Transfers that a tester's procedure leaves behind, for the training loop.

The procedure sorts, counts and tries: what it leaves on healthy devices beside their targets is a
constant until the next transfers are drawn. Targets follow the weights, those of compensated
partners too; stuck devices pass no gradient of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from xbarspice.core.seeds import child_seed
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.training.procedures import Procedure
from xbarspice.training.products import Circuit
from xbarspice.training.slices import Slices
from xbarspice.training.tester import Tester
from xbarspice.training.writing import Stack, Writing, compensated, stacks_of

__all__ = ["ProgrammedDraws"]

PARTS = ("stuck", "value", "error")


@dataclass(eq=False, kw_only=True)
class ProgrammedDraws:
    """Draws of arrays as a procedure leaves them; used as `ErrorDraws`.

    Errors stay with the lines of what is placed: wires are those of the lines as they come.

    Attributes:
        model: converted.
        procedure: how it is programmed, from its present weights.
        calibration: points and classes that the tester uses.
        draws: transfers programmed together.
        seed: of the random numbers.
        circuit, one_by_one: as of `ErrorDraws`.
    """

    model: nn.Module
    procedure: Procedure
    calibration: tuple[Tensor, Tensor]
    draws: int
    seed: int = 0
    circuit: Circuit = "shared_gradient"
    one_by_one: bool = False
    _label: str | None = field(default=None, init=False)
    _left: list[Mapping[str, Tensor]] = field(default_factory=list, init=False)
    _stacks: list[Stack] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._stacks = stacks_of(self.model)

    @property
    def count(self) -> int:
        """Draws in all."""
        return self.draws

    @property
    def weights(self) -> Tensor:
        """Probability of every draw, (count,), with the sum 1."""
        return torch.full((self.draws,), 1 / self.draws)

    def tester(self) -> Tester:
        """A tester of the model's present weights."""
        return Tester(self.model, self.procedure, self.calibration, circuit=self.circuit)

    def begin(self, label: str, *, first: int = 0, tester: Tester | None = None) -> None:
        """Program transfers from the present weights, unless those of this label are there.

        Args:
            label: names their random numbers.
            first: number of their first draw, which nothing depends on.
            tester: of the present weights; None makes one.
        """
        del first
        if label == self._label:
            return
        names = {stack.name for stack in self._stacks}
        generators = {
            name: [torch.Generator().manual_seed(child_seed(self.seed, f"{name}: {label}"))]
            for name in names
        }
        writings = (tester or self.tester()).program(self.draws, generators)
        self._label, self._left = label, [_left_behind(writing) for writing in writings]

    def outputs(self, x: Tensor, *, nominal: bool = False) -> Tensor:
        """What the model answers in every draw, (count, points, ...); see `Slices.outputs`.

        Args:
            x: inputs, (points, ...), the axis that the model keeps first.
            nominal: put the answer without errors before the draws, (1 + count, points, ...).

        Raises:
            InputError: as `Slices.outputs`.
        """
        return self._slices().outputs(x, self.draws, nominal=nominal)

    def keeps_apart(self, x: Tensor) -> bool:
        """Whether all draws can be computed in one forward pass; see `Slices.keeps_apart`."""
        return self._slices().keeps_apart(x, self.draws)

    def _slices(self) -> Slices:
        sums = self.procedure.fit_of_sums(self.calibration[0])
        return Slices(self.model, self._arrays, self.circuit, one_by_one=self.one_by_one, sums=sums)

    def _arrays(self, name: str, matrix: ArrayMatrix, stacks: Sequence[Tensor]) -> list[Tensor]:
        del matrix
        pairs = zip(self._stacks, self._left, strict=True)
        held = [(stack, left) for stack, left in pairs if stack.name == name]
        return [self._of_stack(s, left, G) for (s, left), G in zip(held, stacks, strict=True)]

    def _of_stack(self, stack: Stack, left: Mapping[str, Tensor], wanted: Tensor) -> Tensor:
        """The arrays of a stack in all draws, S, from what the weights ask for."""
        target = wanted.expand(self.draws, *wanted.shape)
        if self.procedure.compensate:
            target = compensated(stack, target, left["stuck"], left["value"])
        return torch.where(left["stuck"], left["value"], (target + left["error"]).clamp(min=0.0))

    def state(self) -> dict[str, Any]:
        """What the draws of the present label depend on."""
        return {"label": self._label, "left": [dict(left) for left in self._left]}

    def take(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._label, self._left = state["label"], state["left"]


def _left_behind(writing: Writing) -> dict[str, Tensor]:
    """Stuck devices, their conductances, and the errors of all others, S."""
    error = torch.where(writing.stuck, torch.zeros_like(writing.G), writing.G - writing.target)
    return dict(zip(PARTS, (writing.stuck, writing.value, error), strict=True))
