"""Solves of one array in a row, while its conductances and the size of its drive change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.solution import Solution

if TYPE_CHECKING:
    from xbarspice.engines.base import Engine

__all__ = ["Series", "weights"]


class Series:
    """One array with one pattern of voltages, solved again and again; see `Engine.series`.

    Each solve starts from the two before it, so those of a ramp of pulses, or of reads of an array
    that changes little, take few steps.
    """

    def __init__(
        self,
        engine: Engine[Any],
        crossbar: Crossbar,
        V_in: npt.ArrayLike,
        V_out: npt.ArrayLike | None = None,
    ) -> None:
        self.drive = crossbar.drive(V_in, V_out)
        if crossbar.batch or self.drive.batch:
            raise broken_rule(
                "a series solves one array with one vector",
                f"batches {crossbar.batch} and {self.drive.batch}",
                "Make one series for each of them.",
            )
        self.engine, self.crossbar = engine, crossbar
        self._before: list[tuple[float, Solution]] = []

    def solve(self, G: npt.ArrayLike, scale: float = 1.0) -> Solution:
        """The answer at other conductances and other voltages, with all fields.

        Args:
            G: conductances, S, (rows, cols).
            scale: what all voltages of the series are multiplied by.

        Raises:
            InputError: `G` breaks a rule of `Crossbar`.
            EngineError: as from `Engine.solve`, whose checks are made of every answer.
        """
        crossbar = self.crossbar.replace(G=G)
        solution = self.engine.solve(
            self.engine.prepare(crossbar),
            crossbar,
            scale * self.drive.V_in[0],
            scale * self.drive.V_out[0],
            full=True,
            start=self._start(scale),
        )
        self._before = [*(s for s in self._before[-1:] if s[0] != scale), (scale, solution)]
        return solution

    def _start(self, scale: float) -> tuple[npt.ArrayLike, npt.ArrayLike] | None:
        if not self._before:
            return None
        (first, x), (last, y) = self._before[0], self._before[-1]
        of_x, of_y = weights(first, last, scale)
        return of_x * x.V_wl + of_y * y.V_wl, of_x * x.V_bl + of_y * y.V_bl


def weights(first: float, last: float, scale: float) -> tuple[float, float]:
    """Weights of the voltages at the scales `first` and `last` in those expected at `scale`.

    A voltage's share of the drive is nearly linear in its square, as device currents are odd.
    """
    share = (scale**2 - first**2) / (last**2 - first**2) if abs(first) != abs(last) else 1.0
    if first == 0 or not 1.0 < share <= 3.0:
        return 0.0, float(np.divide(scale, last)) if last else 0.0
    return scale * (1.0 - share) / first, scale * share / last
