"""How the transfers of a study are programmed: written once, or as a tester's procedure says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xbarspice.core.errors import broken_rule
from xbarspice.nn import program_each
from xbarspice.nn.origin import outputs_of

__all__ = ["Calibration", "Programming", "each_transfer", "packed", "refuse_nan"]

Outputs = tuple[Tensor, ...]
Calibration = tuple[Any, npt.ArrayLike | None]
"""Inputs, as of a study, and their classes: for what a tester does, never those that are judged."""


class Programming(Protocol):
    """How transfers are programmed, such as a `training.Procedure`; the default writes once."""

    @property
    def words(self) -> str:
        """What is done, in words."""
        ...

    def each(
        self, circuit: nn.Module, numbers: Sequence[int], calibration: Calibration | None
    ) -> Iterator[Callable[[Outputs], Outputs]]:
        """Let the arrays hold one transfer after another; yields what mends its outputs."""
        ...


def each_transfer(
    circuit: nn.Module,
    arguments: tuple[Any, ...],
    numbers: Sequence[int],
    procedure: Programming | None = None,
    calibration: Calibration | None = None,
) -> Iterator[Outputs]:
    """Outputs of a model in one transfer after another.

    Args:
        circuit: a converted model, in evaluation.
        arguments: of it.
        numbers: of the transfers.
        procedure: how they are programmed; None writes every device once.
        calibration: of the procedure.

    Raises:
        InputError: an output is NaN.
    """
    if procedure is None:
        for _ in program_each(circuit, numbers):
            yield refuse_nan(outputs_of(circuit, arguments))
        return
    for mend in procedure.each(circuit, numbers, calibration):
        yield refuse_nan(mend(outputs_of(circuit, arguments)))


def refuse_nan(outputs: Outputs) -> Outputs:
    """Outputs as they are.

    Raises:
        InputError: one is NaN: a decision made of it would be none.
    """
    for number, tensor in enumerate(outputs):
        if tensor.is_floating_point() and tensor.isnan().any():
            raise broken_rule(
                "the outputs of a model must be numbers",
                f"{int(tensor.isnan().sum())} of {tensor.numel()} NaN in output {number}",
                "Look for a logarithm, root or division by 0 in the digital part of the model.",
            )
    return outputs


def packed(calibration: Calibration | None) -> Calibration | None:
    """Calibration points as plain arrays, which travel to other processes."""
    if calibration is None:
        return None
    x, y = calibration
    arguments = x if isinstance(x, tuple) else (x,)
    points = tuple(torch.as_tensor(each).cpu().numpy() for each in arguments)
    return points, None if y is None else np.asarray(y)
