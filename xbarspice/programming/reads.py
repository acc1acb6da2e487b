"""Reads of one device while it is written: exact, or followed from an exact one within a bound."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xbarspice.core.types import Array, Indices
from xbarspice.programming.array_state import ArrayState, Bias
from xbarspice.surrogate import newton

__all__ = ["FOLLOW_FROM", "Reader"]


FOLLOW_FROM = 1024
"""Cells from which following a read takes less time than solving it."""
FLOOR = 1e-6
"""Relative error of a followed read that is always allowed for: curvature of unchanged devices."""


@dataclass(frozen=True, eq=False)
class _Anchor:
    """An exact read: conductances G (S), device voltages w (V), column current and power, and gain.

    `gain` is the share of a small current in parallel to each device that reaches the column.
    """

    G: Array
    w: Array
    current: float
    power: float
    gain: Array | None


class Reader:
    """Reads of the device in `cell`; what it reports is column current over voltage, S.

    A ramp changes one device much and few others a little. From an exact read, the next ones follow
    to first order: device k passes the extra current ``j_k = I(w_k, G') - I(w_k, G)`` at the old
    voltages, of which the column gets ``gain_k j_k``. What this leaves out is the reaction Z of the
    network, ``gain D' Z (1 + D' Z)^-1 j`` with the changes D' of the slopes. Z is positive definite
    and its diagonal at most the resistance of the wires from the cell to its two drivers, and at
    most one over the slope of the device, so that with z = sum |D'_k| Z_kk < 1 it is at most::

        |gain sqrt|D'|| sqrt(z) (sum sqrt(Z_kk) |j_k|) / (1 - z)

    That is exact for linear devices; twice that and `FLOOR` are taken to cover the curvature.
    """

    def __init__(self, state: ArrayState, b: Bias, V: float, cell: tuple[int, int]) -> None:
        self.state, self.b, self.V, self.cell = state, b, V, cell
        self.power = 0.0
        """Power from all sources during the last read, W."""
        self._anchor: _Anchor | None = None

    def exact(self) -> float:
        """Solve the read."""
        b, V = self.b, self.V
        w, I_in, I_out = self.state.solve(b, V)
        self.power = float(V * (b.V_in @ I_in - b.V_out @ I_out))
        current = float(I_out[self.cell[1]])
        self._anchor = _Anchor(self.state.G, w, current, self.power, None)
        return current / V

    def follow(self) -> tuple[float, float]:
        """First-order conductance, S, and the bound of its error, infinite if none is known."""
        anchor = self._anchor
        if anchor is None or anchor.G.size < FOLLOW_FROM:
            return 0.0, np.inf
        if anchor.gain is None:
            anchor = self._with_gain(anchor)
        if anchor.gain is None:
            return 0.0, np.inf
        G, device = self.state.G.ravel(), self.state.device
        changed = np.flatnonzero(anchor.G.ravel() != G)
        w, old, gain = (x.ravel()[changed] for x in (anchor.w, anchor.G, anchor.gain))
        new = G[changed]
        j = newton.current(device, w, new) - newton.current(device, w, old)
        D = newton.slopes(device, w, old)
        change = abs(newton.slopes(device, w, new) - D)
        Z = np.minimum(self._wires(changed), 1.0 / D)
        z = float(change @ Z)
        if not z < 0.5:
            return 0.0, np.inf
        left_out = math.sqrt(change @ gain**2 * z) * float(np.sqrt(Z) @ abs(j)) / (1.0 - z)
        self.power = anchor.power + float(w @ j)
        seen = (anchor.current + float(gain @ j)) / self.V
        return seen, 2.0 * left_out / self.V + FLOOR * abs(seen)

    def _with_gain(self, anchor: _Anchor) -> _Anchor:
        now, self.state.G = self.state.G, anchor.G
        gain = self.state.column_gain(self.b, self.cell[1], anchor.w)
        self.state.G = now
        self._anchor = _Anchor(anchor.G, anchor.w, anchor.current, anchor.power, gain)
        return self._anchor

    def _wires(self, cells: Indices) -> Array:
        """Resistance of both lines from each cell to the drivers, ohm; infinite if one floats."""
        c = self.state.crossbar
        row, col = np.divmod(cells, c.cols)
        R = 2.0 * c.R_driver + c.R_wl * col + c.R_bl * (c.rows - 1.0 - row)
        ends = self.b.ends
        if not isinstance(ends.wl_left, str):  # all but the selected lines float
            R = np.where((row == self.cell[0]) & (col == self.cell[1]), R, np.inf)
        return R
