"""Reads of one device while it is written: exact, or followed from an exact one within a bound."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from xbarspice.core.types import Array, Indices
from xbarspice.programming.array_state import ArrayState, Bias

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
    gain: Array | None = None


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
        solution = self.state.solve(b, V)
        self.power = b.power(V, solution)
        current = float(solution.I_out[self.cell[1]])
        w = solution.V_wl - solution.V_bl
        self._anchor = _Anchor(self.state.G, w, current, self.power)
        return current / V

    def follow(self) -> tuple[float, float]:
        """First-order conductance, S, and the bound of its error, infinite if none is known."""
        anchor = self._anchor
        if anchor is None or anchor.G.size < FOLLOW_FROM or not self.state.engine.exact:
            return 0.0, np.inf
        gain_of_all = anchor.gain
        if gain_of_all is None:
            gain_of_all = self.state.column_gain(self.b, self.cell[1], anchor.G, anchor.w)
            self._anchor = replace(anchor, gain=gain_of_all)
        G, device = self.state.G.ravel(), self.state.device
        changed = np.flatnonzero(anchor.G.ravel() != G)
        w, old, gain = (x.ravel()[changed] for x in (anchor.w, anchor.G, gain_of_all))
        new = G[changed]
        j = device.current(w, new) - device.current(w, old)
        D = device.derivative(w, old)
        change = abs(device.derivative(w, new) - D)
        Z = np.minimum(self._wires(changed), 1.0 / D)
        z = float(change @ Z)
        if not z < 0.5:
            return 0.0, np.inf
        left_out = math.sqrt(change @ gain**2 * z) * float(np.sqrt(Z) @ abs(j)) / (1.0 - z)
        self.power = anchor.power + float(w @ j)
        conductance = (anchor.current + float(gain @ j)) / self.V
        return conductance, 2.0 * left_out / self.V + FLOOR * abs(conductance)

    def _wires(self, cells: Indices) -> Array:
        """Resistance of both lines from each cell to the drivers, ohm; infinite if one floats."""
        c = self.state.array(self.b.ends)
        row, col = np.divmod(cells, c.cols)
        at_wl, at_bl = c.end_resistances  # infinite where the scheme lets a line float
        along_wl, along_bl = c.segment_resistances
        from_left = np.pad(along_wl, ((0, 0), (1, 0))).cumsum(axis=1)
        from_bottom = np.pad(along_bl, ((0, 1), (0, 0)))[::-1].cumsum(axis=0)[::-1]
        R = at_wl[row, 0] + at_bl[col, 1]
        return R + from_left[row, col] + from_bottom[row, col]
