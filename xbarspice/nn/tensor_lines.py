"""Wires and line ends of crossbars as linear operators in torch operations.

A line's wires turn the currents that devices take from it into voltage drops: two cumulative sums
along the line, in proportion to its cells, differentiable in the resistances.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from xbarspice.core.array import Crossbar
from xbarspice.core.line_ends import End

__all__ = ["LineSystem"]


class _Lines:
    """Lines of one kind and what their wires do; R_wire is a scalar or (lines, cells - 1), ohm."""

    def __init__(
        self,
        ends: npt.NDArray[np.object_],
        cells: int,
        R_wire: Tensor,
        R_driver: Tensor,
        R_sense: Tensor,
    ) -> None:
        def mask(values: npt.NDArray[np.bool_]) -> Tensor:
            return torch.tensor(values, device=R_wire.device)

        first, last = (mask(ends[:, k] != End.FLOATING) for k in (0, 1))
        driven = [mask(ends[:, k] == End.DRIVEN) for k in (0, 1)]
        at_end = [torch.where(d, R_driver, R_sense) for d in driven]
        self.R = R_wire.expand(len(ends), cells - 1)
        along = pad(self.R.cumsum(-1), (1, 0))
        self.at = along + torch.where(first, at_end[0], 0.0 * R_sense)[:, None]
        back = along[:, -1:] - along + at_end[1][:, None]
        total = self.at[:, -1:] + at_end[1][:, None]
        shorted = total == 0  # both ends ideal and the wire too: the line is its source
        place = torch.where(shorted, 0.0, self.at / torch.where(shorted, 1.0, total))
        only_last = (last & ~first)[:, None]
        two_ends = (first & last)[:, None]
        self.weight = torch.where(two_ends, (back / torch.where(shorted, 1.0, total)), 1.0)
        self.weight = torch.where(only_last, 0.0, self.weight)
        self.back = torch.where(only_last, back, 0.0 * back)
        ones = torch.ones_like(place)
        by_first, by_last = (d[:, None] * ones for d in driven)
        self.share = torch.where(
            two_ends, by_first * (1 - place) + by_last * place, by_first + by_last
        )
        self.floating = torch.tensor(np.flatnonzero((ends == End.FLOATING).all(axis=1)))
        self.floating = self.floating.to(R_wire.device)

    @property
    def resistance(self) -> Tensor:
        """Of each cell's node to the sources of its line, ohm, (lines, cells)."""
        return self.at * self.weight + self.back

    def drops(self, current: Tensor) -> Tensor:
        """Voltage drops in V for currents (..., lines, cells) in A taken from the line."""
        lost = pad((self.R * current.cumsum(-1)[..., :-1]).cumsum(-1), (1, 0))
        entering = (current * self.weight).sum(-1, keepdim=True)
        return self.at * entering + (current * self.back).sum(-1, keepdim=True) - lost


class LineSystem:
    """Drops, open-circuit voltages and floating lines of one crossbar; R (4,) in ohm."""

    def __init__(self, crossbar: Crossbar, R: Tensor) -> None:
        self.wl = _Lines(crossbar.wl_ends, crossbar.cols, R[0], R[2], R[3])
        self.bl = _Lines(crossbar.bl_ends, crossbar.rows, R[1], R[2], R[3])
        self.floating = len(self.wl.floating) + len(self.bl.floating)

    def open_voltages(self, V_in: Tensor, V_out: Tensor) -> Tensor:
        """Device voltages without any current, V, (..., rows, cols)."""
        return V_in[..., :, None] * self.wl.share - V_out[..., None, :] * self.bl.share.mT

    def drops(self, current: Tensor) -> Tensor:
        """Z I: what the wires take from the device voltages, V, (..., rows, cols)."""
        return self.wl.drops(current) + self.bl.drops(current.mT).mT

    def resistance(self) -> Tensor:
        """Diagonal of Z, ohm, (rows, cols)."""
        return self.wl.resistance + self.bl.resistance.mT

    def raise_lines(self, x: Tensor, like: Tensor) -> Tensor:
        """S x: device voltages that floating lines at x (..., floating) add, V."""
        words, rows, cols = len(self.wl.floating), like.shape[-2], like.shape[-1]
        by_word = x.new_zeros(*x.shape[:-1], rows).index_add(-1, self.wl.floating, x[..., :words])
        by_bit = x.new_zeros(*x.shape[:-1], cols).index_add(-1, self.bl.floating, x[..., words:])
        return (by_word[..., :, None] - by_bit[..., None, :]).expand_as(like)

    def line_currents(self, current: Tensor) -> Tensor:
        """S' I: sums over floating lines, A, (..., floating)."""
        words = current.index_select(-2, self.wl.floating).sum(-1)
        bits = current.index_select(-1, self.bl.floating).sum(-2)
        return torch.cat([words, -bits], dim=-1)

    def remainder(
        self, w: Tensor, x: Tensor, current: Tensor, opened: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the equations leave at device voltages w and floating lines x.

        Args:
            w: V, (..., rows, cols). x: V, (..., floating).
            current: of the devices at w, A. opened: device voltages without current, V.

        Returns:
            ``w - V_open + Z I - S x`` in V, and the currents ``S' I`` of floating lines in A.
        """
        voltage = w - opened + self.drops(current) - self.raise_lines(x, w)
        return voltage, self.line_currents(current)
