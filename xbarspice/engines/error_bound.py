"""The error bound of an answer: how it is measured, and what it may be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.types import Array, Indices

__all__ = ["REFUSE_ABOVE", "UNMEASURED", "WARN_ABOVE", "ErrorBound"]


WARN_ABOVE = 1e-9
"""Error bound, a share of the largest output current, above which the user is warned."""
REFUSE_ABOVE = 1e-3
"""Error bound above which an answer is refused."""
ZERO = 1e-12
"""Share of the largest device's current at the drive voltage below which outputs count as 0: no
share of them is promised or judged."""
SLOW = 50_000
"""Nodes of an array above which a reference takes seconds: the error bound is then measured only
where the user asks for it, or before an answer is refused."""
UNMEASURED = 1e-6
"""Upper bound up to which an answer whose bound was not measured has a note and no warning:
rounding of 100 000 voltages alone leaves an upper bound of some 1e-9."""
LARGE = 300_000
"""Nodes of an array above which no reference is sought."""


@dataclass(eq=False)
class ErrorBound:
    """The error bound of an answer, measured when it is called, each solve once.

    Attributes:
        crossbar, drive: what was solved.
        I_out, I_in: the currents to judge, A, (N, cols) and (N, rows).
        at_most: an upper bound that was known before; NaN if none was.
        measured: error in A and least largest output current in A of each solve, NaN until they
            are measured, (2, N).
    """

    crossbar: Crossbar
    drive: Drive
    I_out: Array
    I_in: Array
    at_most: float
    measured: Array | None = None

    def __call__(self) -> float:
        """The bound; see `Stats.error_bound`."""
        from xbarspice.engines.nodal.bound import share

        if not self.crossbar.device.is_increasing():
            return math.nan
        if self.nodes > LARGE:
            return math.inf if math.isnan(self.at_most) else self.at_most
        amperes, output = self.measure(np.arange(len(self.I_out))).max(axis=1, initial=0.0)
        return float(share(amperes, output))

    @property
    def nodes(self) -> int:
        """Nodes of one array."""
        return 2 * self.crossbar.rows * self.crossbar.cols

    def measure(self, members: Indices) -> Array:
        """Error and least largest output of some solves, A, (2, members)."""
        from xbarspice.engines.nodal.bound import distances  # SciPy takes a while to load

        if self.measured is None:
            self.measured = np.full((2, len(self.I_out)), np.nan)
        new = members[np.isnan(self.measured[0, members])]
        if new.size:
            self.measured[:, new] = distances(self.crossbar, self.drive, self.I_out, self.I_in, new)
        return self.measured[:, members]

    def worst(self, error: Array) -> float:
        """Largest error of an answer as a share of its largest output current.

        Args:
            error: upper bounds of the N solves, as shares, (N,); those above `WARN_ABOVE` are
                measured.
        """
        from xbarspice.engines.nodal.bound import outputs, share

        if self.nodes > LARGE or (self.nodes > SLOW and error.max() <= REFUSE_ABOVE):
            return float(error.max())
        weak = ~(error <= WARN_ABOVE)
        output = outputs(self.crossbar, self.I_out, self.I_in)
        drive, G = self.drive, self.crossbar.G_flat
        volts = max(float(np.abs(v).max()) for v in (drive.V_in, drive.V_out))
        zero = ZERO * volts * float(G.max())
        amperes, least = self.measure(np.flatnonzero(weak)).max(axis=1, initial=0.0)
        if output.max() <= zero and amperes <= zero:
            return 0.0
        largest = max(least, (output[~weak] * (1 - 2 * WARN_ABOVE)).max(initial=0.0))
        return max(float(share(amperes, largest)), float(error[~weak].max(initial=0.0)))
