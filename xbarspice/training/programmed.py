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
from torch import Tensor

from xbarspice.core.seeds import child_seed
from xbarspice.nn.line_orders import LineOrders
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.training.draws import Draws
from xbarspice.training.procedures import Procedure
from xbarspice.training.tester import Tester
from xbarspice.training.writing import Stack, Writing, compensated, lines_by_name, stacks_of

__all__ = ["ProgrammedDraws"]


@dataclass(eq=False)
class ProgrammedDraws(Draws):
    """Draws of arrays as a procedure leaves them, on the wires of the lines where they stand.

    Attributes:
        procedure: how the model is programmed, from its present weights.
        calibration: points and classes that the tester uses.
    """

    procedure: Procedure = field(kw_only=True)
    calibration: tuple[Tensor, Tensor] = field(kw_only=True)
    _label: str | None = field(default=None, init=False)
    _outcomes: list[Mapping[str, Tensor]] = field(default_factory=list, init=False)
    _stacks: list[Stack] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sums = self.procedure.fit_of_sums(self.calibration[0])
        self._stacks = stacks_of(self.model)

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
        self._label, self._outcomes = label, [_outcome(writing) for writing in writings]

    @property
    def lines(self) -> dict[str, tuple[LineOrders, ...]]:
        """Where the tester placed lines."""
        if not self._outcomes:
            return {}
        return lines_by_name(self._stacks, [_lines_of(outcome) for outcome in self._outcomes])

    def arrays(self, name: str, matrix: ArrayMatrix, stacks: Sequence[Tensor]) -> list[Tensor]:
        """The arrays as the tester left them, S, (count, ..., rows, cols) for each stack."""
        del matrix
        pairs = zip(self._stacks, self._outcomes, strict=True)
        held = [(stack, outcome) for stack, outcome in pairs if stack.name == name]
        return [self._of_stack(s, outcome, G) for (s, outcome), G in zip(held, stacks, strict=True)]

    def _of_stack(self, stack: Stack, outcome: Mapping[str, Tensor], wanted: Tensor) -> Tensor:
        """The arrays of a stack in all draws, S, from what the weights ask for."""
        target = wanted.expand(self.draws, *wanted.shape)
        if self.procedure.compensate:
            target = compensated(stack, target, outcome["stuck"], outcome["value"])
        return torch.where(
            outcome["stuck"], outcome["value"], (target + outcome["error"]).clamp(min=0.0)
        )

    def state(self) -> dict[str, Any]:
        """What the tester left behind for the present label."""
        return {"label": self._label, "outcomes": [dict(outcome) for outcome in self._outcomes]}

    def take(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._label, self._outcomes = state["label"], state["outcomes"]


def _outcome(writing: Writing) -> dict[str, Tensor]:
    """Stuck devices, their conductances, the errors of all others, S, and the lines."""
    error = torch.where(writing.stuck, torch.zeros_like(writing.G), writing.G - writing.target)
    out = {"stuck": writing.stuck, "value": writing.value, "error": error}
    if writing.lines is not None:
        out |= {"rows": writing.lines.rows, "cols": writing.lines.cols}
    return out


def _lines_of(outcome: Mapping[str, Tensor]) -> LineOrders | None:
    return LineOrders(rows=outcome["rows"], cols=outcome["cols"]) if "rows" in outcome else None
