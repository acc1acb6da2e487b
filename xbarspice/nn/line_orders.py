"""Orders of the lines of many equal arrays at once, as `mapping.reads.LineOrder` has it of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

__all__ = ["LineOrders", "from_lines", "to_lines"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LineOrders:
    """Which lines of arrays carry which lines of what stands on them.

    Attributes:
        rows: word line that carries each row, (..., rows), a permutation in each array.
        cols: bit line that carries each column, (..., cols), likewise.
    """

    rows: Tensor
    cols: Tensor

    @classmethod
    def as_they_come(cls, shape: Sequence[int], device: torch.device) -> Self:
        """Lines that stand as they come, of arrays (..., rows, cols)."""
        *lead, rows, cols = shape
        return cls(
            rows=torch.arange(rows, device=device).expand(*lead, rows),
            cols=torch.arange(cols, device=device).expand(*lead, cols),
        )

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The orders of several parts, one after the other along the first axis."""
        return cls(
            rows=torch.cat([part.rows for part in parts]),
            cols=torch.cat([part.cols for part in parts]),
        )

    def __getitem__(self, index: Any) -> LineOrders:
        """Those at an index of the leading axes, as of a tensor."""
        return LineOrders(rows=self.rows[index], cols=self.cols[index])

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, chosen: Tensor, others: LineOrders) -> LineOrders:
        """The orders of `others` for chosen arrays, (..., 1), these for the rest."""
        return LineOrders(
            rows=torch.where(chosen, others.rows, self.rows),
            cols=torch.where(chosen, others.cols, self.cols),
        )

    @property
    def of_pairs(self) -> LineOrders:
        """The same for pairs of neighbouring columns, which stay together."""
        return LineOrders(rows=self.rows, cols=self.cols[..., ::2] // 2)

    @property
    def unmoved(self) -> LineOrders:
        """Lines of the same arrays that stand as they come."""
        shape = (*self.rows.shape, self.cols.shape[-1])
        return LineOrders.as_they_come(shape, self.rows.device)

    @property
    def _inverse(self) -> LineOrders:
        return LineOrders(rows=self.rows.argsort(dim=-1), cols=self.cols.argsort(dim=-1))

    def by_line(self, values: Tensor) -> Tensor:
        """Values by row and column, from those of devices of the arrays, (..., rows, cols)."""
        at_rows = values.take_along_dim(self.rows[..., :, None], -2)
        return at_rows.take_along_dim(self.cols[..., None, :], -1)

    def on_arrays(self, values: Tensor) -> Tensor:
        """Values where they stand on the arrays, (..., rows, cols): undoes `by_line`."""
        return self._inverse.by_line(values)


def to_lines(values: Tensor, order: Tensor) -> Tensor:
    """Values of the lines of one side of arrays, (..., lines), from those of what they carry.

    Args:
        values: by row or column, (..., lines).
        order: `LineOrders.rows` or `cols`, whose leading axes may be fewer.
    """
    return from_lines(values, order.argsort(dim=-1))


def from_lines(values: Tensor, order: Tensor) -> Tensor:
    """Values by row or column, (..., lines), from those of the lines: undoes `to_lines`."""
    return values.take_along_dim(order.expand(values.shape), -1)
