"""A series of solves by the surrogate, from drops to drops."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import G_HIGH, Crossbar, Drive
from xbarspice.core.solution import Fields, Solution, Stats, Status
from xbarspice.core.types import Array
from xbarspice.engines.error_bound import WARN_ABOVE, ErrorBound
from xbarspice.engines.overdrive import SLACK, overdrive
from xbarspice.engines.series import Series, weights
from xbarspice.surrogate import newton
from xbarspice.surrogate.ladders import linear
from xbarspice.surrogate.ladders.lines import networks

if TYPE_CHECKING:
    from xbarspice.surrogate.engine import SurrogateEngine

__all__ = ["SurrogateSeries"]


class SurrogateSeries(Series):
    """Starts Newton from the drops of the solves before, without a crossbar for every solve.

    An answer that meets the stated residual and error bound is returned at once. Everything else
    (other devices, conductances to refuse, a doubtful answer) is left to `Series`.
    """

    def __init__(
        self,
        engine: SurrogateEngine,
        crossbar: Crossbar,
        V_in: npt.ArrayLike,
        V_out: npt.ArrayLike | None = None,
    ) -> None:
        super().__init__(engine, crossbar, V_in, V_out)
        crossbar.refuse_floating()
        device, G = crossbar.device, crossbar.G
        self._nets = networks(crossbar)
        self._knows = (
            not engine.direct
            and not device.linear
            and device.is_increasing()
            and newton.closed_form(device, G[None]) is not None
        )
        self._present = None if all(held.all() for held in crossbar.held) else G > 0
        self._highest = overdrive(crossbar, self.drive, above=0.0)
        self._drops: list[tuple[float, Array]] = []

    def solve(self, G: npt.ArrayLike, scale: float = 1.0) -> Solution:
        """As `Series.solve`."""
        if not (isinstance(G, np.ndarray) and self._is_plain(G)):
            return super().solve(G, scale)
        drive = Drive(
            batch=(),
            array=self.drive.array,
            V_in=scale * self.drive.V_in,
            V_out=scale * self.drive.V_out,
        )
        p = linear.problem(self.crossbar, self._nets, drive, True)
        device = self.crossbar.device
        form = newton.closed_form(device, G[None])
        newton.solve_range(p, device, form, G[None], 0, 1, self._first_drops(scale))
        iterations, steps, residual, error = p.report[0].tolist()
        if not (residual <= linear.RESIDUAL and error <= WARN_ABOVE and iterations >= 0):
            self._drops = []
            return super().solve(G, scale)
        self._drops = [*(s for s in self._drops[-1:] if s[0] != scale), (scale, p.inner[4:, 0])]
        return Solution(
            I_out=p.I_out[0],
            I_in=p.I_in[0],
            status=Status.CONVERGED,
            stats=Stats(
                engine=self.engine.name,
                method="conjugate gradients between exact ladders",
                iterations=int(iterations),
                newton_steps=int(steps),
                residual=residual,
                error_at_most=error,
                notes=self._notes(scale),
                bound=lambda: ErrorBound(
                    self.crossbar.replace(G=G), drive, p.I_out, p.I_in, error
                )(),
            ),
            fields=Fields(V_wl=p.inner[0, 0], V_bl=p.inner[1, 0], I_device=p.inner[2, 0]),
        )

    def _is_plain(self, G: Array) -> bool:
        """Whether nothing of these arguments needs the checks of `Series`."""
        return (
            self._knows
            and G.shape == self.crossbar.G.shape
            and G.dtype == np.float64
            and G.flags.c_contiguous
            and bool(G.min() >= 0)
            and bool(G.max() <= G_HIGH)
            and (self._present is None or np.array_equal(G > 0, self._present))
        )

    def _notes(self, scale: float) -> tuple[str, ...]:
        """What `overdrive` says of the sources at a scale."""
        V = 0.0 if self._highest is None else abs(scale) * self._highest.V
        if self._highest is None or self.crossbar.device.V_max * SLACK >= V:
            return ()
        return (replace(self._highest, V=V).text,)

    def _first_drops(self, scale: float) -> Array | None:
        """Drops a and b to start from, V, (1, 2, rows, cols)."""
        if not self._drops:
            return None
        (first, x), (last, y) = self._drops[0], self._drops[-1]
        of_x, of_y = weights(first, last, scale)
        return (of_y * y if of_x == 0 else of_x * x + of_y * y)[None]
