"""Wires and line ends of crossbars as linear operators in torch operations.

A line's wires turn the currents that devices take from it into voltage drops: two cumulative sums
along the line, in proportion to its cells, differentiable in the resistances, of which there may be
one for every segment and end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from xbarspice.core.array import Crossbar
from xbarspice.core.line_ends import End, sides

__all__ = ["LineSystem"]


def _at_ends(crossbar: Crossbar, driver: Tensor, sense: Tensor) -> list[Tensor]:
    """Resistance of the left, right, top and bottom ends, ohm, (..., lines) each; 0 if floating."""
    lines = (crossbar.wl_ends, crossbar.bl_ends)
    zero = 0.0 * (driver.sum() + sense.sum())
    out = [zero.expand(len(ends)) for ends in lines for _ in (0, 1)]
    for end, R in ((End.DRIVEN, driver), (End.SENSED, sense)):
        first = 0
        for kind, k, where in sides(lines, end):
            here = R[..., first : first + where.size] if R.ndim else R
            chosen = torch.tensor(where, device=R.device)
            out[2 * kind + k] = torch.where(chosen, here, out[2 * kind + k])
            first += where.size
    return out


class _Lines:
    """Lines of one kind and what their wires do.

    Args:
        ends: (lines, 2). cells: of every line.
        R_wire: of all segments or of each, ohm, () or (..., lines, cells - 1).
        first, last: of the ends, ohm, (..., lines); 0 where floating.
    """

    def __init__(
        self,
        ends: npt.NDArray[np.object_],
        cells: int,
        R_wire: Tensor,
        first: Tensor,
        last: Tensor,
    ) -> None:
        def mask(values: npt.NDArray[np.bool_]) -> Tensor:
            return torch.tensor(values, device=R_wire.device)[:, None]

        on_first, on_last = (mask(ends[:, k] != End.FLOATING) for k in (0, 1))
        driven = [mask(ends[:, k] == End.DRIVEN) for k in (0, 1)]
        self.R = R_wire if R_wire.ndim else R_wire.expand(len(ends), cells - 1)
        self.first = first[..., None]
        self.at = pad(self.R.cumsum(-1), (1, 0)) + self.first
        back = pad(self.R.flip(-1).cumsum(-1).flip(-1), (0, 1)) + last[..., None]
        total = self.at[..., -1:] + last[..., None]
        shorted = total == 0  # both ends ideal and the wire too: the line is its source
        whole = torch.where(shorted, 1.0, total)
        place = torch.where(shorted, 0.0, self.at / whole)
        only_last, two_ends = on_last & ~on_first, on_first & on_last
        # shares of a cell's current that come from the first end and from the last
        from_first = torch.where(shorted, 0.0, back / whole)
        self.weight = torch.where(only_last, 0.0, torch.where(two_ends, from_first, 1.0))
        self.other = torch.where(only_last, 1.0, torch.where(two_ends, place, 0.0))
        self.from_first, self.from_last = bool((~only_last).any()), bool(on_last.any())
        self.back = torch.where(only_last, back, 0.0 * back)
        ones = torch.ones_like(place)
        by_first, by_last = (d * ones for d in driven)
        self.share = torch.where(
            two_ends, by_first * (1 - place) + by_last * place, by_first + by_last
        )
        self.floating = torch.tensor(np.flatnonzero((ends == End.FLOATING).all(axis=1)))
        self.floating = self.floating.to(R_wire.device)

    @property
    def resistance(self) -> Tensor:
        """Of each cell's node to the sources of its line, ohm, (..., lines, cells)."""
        return self.at * self.weight + self.back

    def drops(self, current: Tensor) -> Tensor:
        """Voltage drops in V for currents (..., lines, cells) in A taken from the line.

        The current of a segment is what the first end feeds behind it less what the last end feeds
        before it: no large numbers are subtracted where a wire is nearly broken.
        """
        level = (current * self.back).sum(-1, keepdim=True)
        through: Tensor | float = 0.0
        if self.from_first:
            fed = current * self.weight
            through = fed.flip(-1).cumsum(-1).flip(-1)[..., 1:]
            level = level + self.first * fed.sum(-1, keepdim=True)
        if self.from_last:
            through = through - (current * self.other).cumsum(-1)[..., :-1]
        return level + pad((self.R * through).cumsum(-1), (1, 0))


class LineSystem:
    """Drops, open-circuit voltages and floating lines of crossbars.

    Args:
        crossbar: line ends and shape (its numbers are not used).
        R: those of `WIRES`, ohm, each one number () or an array as `Crossbar` takes it, whose
            leading axes broadcast to those of the currents and voltages.
    """

    def __init__(self, crossbar: Crossbar, R: Sequence[Tensor] | Tensor) -> None:
        R_wl, R_bl, driver, sense = R
        left, right, top, bottom = _at_ends(crossbar, driver, sense)
        along = R_bl.mT if R_bl.ndim else R_bl
        self.wl = _Lines(crossbar.wl_ends, crossbar.cols, R_wl, left, right)
        self.bl = _Lines(crossbar.bl_ends, crossbar.rows, along, top, bottom)
        self.floating = len(self.wl.floating) + len(self.bl.floating)

    def open_voltages(self, V_in: Tensor, V_out: Tensor) -> Tensor:
        """Device voltages without any current, V, (..., rows, cols)."""
        return V_in[..., :, None] * self.wl.share - V_out[..., None, :] * self.bl.share.mT

    def drops(self, current: Tensor) -> Tensor:
        """Z I: what the wires take from the device voltages, V, (..., rows, cols)."""
        return self.wl.drops(current) + self.bl.drops(current.mT).mT

    def resistance(self) -> Tensor:
        """Diagonal of Z, ohm, (..., rows, cols)."""
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
