"""Converters of a matrix on arrays, and its inputs against their range."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xbarspice.nn.pairs import straight_through
from xbarspice.nn.scan import range_of

__all__ = ["RangeRecord", "quantise"]


def quantise(x: Tensor, bits: int | None, full_scale: float | Tensor) -> Tensor:
    """Round to ``2^bits - 1`` levels over [-full_scale, full_scale].

    The gradient goes straight through: it is 1 inside the range and 0 where the value was clipped
    (Bengio et al. 2013, arXiv:1308.3432). `bits` None returns `x` itself.
    """
    if bits is None:
        return x
    full = torch.as_tensor(full_scale, dtype=x.dtype, device=x.device)
    step = full / (2 ** (bits - 1) - 1)
    rounded = (torch.maximum(torch.minimum(x, full), -full) / step).round() * step
    return straight_through(rounded, x, x.abs() <= full)


@dataclass(kw_only=True)
class RangeRecord:
    """Inputs of a matrix against its range, over all calls since `reset`.

    Attributes:
        vectors: input vectors seen.
        values: input values seen.
        beyond: values beyond ``x_scale``.
        largest: largest ``|x - x_centre|``.
        position: index of the input with the largest value.
        saturated: current differences beyond an ADC's range.
    """

    vectors: int = 0
    values: int = 0
    beyond: int = 0
    largest: float = 0.0
    position: int = 0
    saturated: int = 0

    def reset(self) -> None:
        """Forget all calls."""
        self.__init__()

    def add(self, x: Tensor, x_scale: float) -> None:
        """Count the inputs (vectors, groups, inputs) of one call."""
        self.vectors += x.shape[0]
        self.values += x.numel()
        if not x.numel():
            return
        largest, beyond = range_of(x, x_scale)
        self.beyond += beyond
        if largest > self.largest:
            self.largest = largest
            self.position = int(x.detach().abs().amax(dim=(0, 1)).argmax())
