"""A gain and an offset of every value, as a tester sets them after programming."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Correction"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Correction:
    """What is done to digital values: ``gain * values + offset``.

    Attributes:
        gain, offset: of the shape of the values, or what broadcasts to it. Of the answers of draws
            (draws, 1, outputs); of the sums of a matrix (groups, outputs).
    """

    gain: Tensor
    offset: Tensor

    def apply(self, values: Tensor) -> Tensor:
        """The values after it, in their dtype."""
        return self.gain.to(values.dtype) * values + self.offset.to(values.dtype)
