"""The surrogate engine: exact answers from compiled ladder solves, on NumPy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.errors import broken_rule
from xbarspice.core.solution import Stats, Status
from xbarspice.core.types import Array
from xbarspice.engines.base import Engine, Raw
from xbarspice.engines.series import Series
from xbarspice.surrogate import newton
from xbarspice.surrogate.ladders import linear
from xbarspice.surrogate.ladders.lines import Network, networks
from xbarspice.surrogate.series import SurrogateSeries
from xbarspice.surrogate.superposition import Side, UnitDrives, superpose
from xbarspice.surrogate.threads import cores, share

__all__ = ["Prepared", "SurrogateEngine", "solve", "spread"]


WORTH_A_THREAD = 20_000
"""Cells to solve for which starting another thread pays."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """What does not depend on the voltages: ladders, device slopes (S) or equations.

    There is one network for all arrays, or one for each. The unit drives of linear arrays come when
    many vectors ask for them.
    """

    nets: tuple[Network, ...]
    D: Array | None
    form: newton.ClosedForm | None
    units: dict[Side, UnitDrives] = field(default_factory=dict)


class SurrogateEngine(Engine):
    """Exact solution by conjugate gradients between ladders, with Newton for nonlinear devices.

    "Exact" is to rounding of the largest current: a current that is 1e-10 of the largest may be off
    by 1e-2 of itself. `Stats.error_bound` says by how much.

    Args:
        threads: solves of one batch that run at the same time; None for all available cores.
        direct: use the direct method from the start, for checks; see `surrogate.direct`.
    """

    name = "surrogate"

    def __init__(self, *, threads: int | None = None, direct: bool = False) -> None:
        if threads is not None and threads < 1:
            raise broken_rule("`threads` must be >= 1", threads, "Use None for all cores.")
        self.threads = threads or cores()
        self.direct = direct

    def _prepare(self, crossbar: Crossbar) -> Prepared:
        state = _PREPARED.get(crossbar)
        if state is None:
            state = _PREPARED[crossbar] = _prepare(crossbar)
        return state

    def _solve(self, state: Prepared, crossbar: Crossbar, drive: Drive, full: bool) -> Raw:
        def one_by_one(drive: Drive) -> Raw:
            return self.run(state, crossbar, drive, full)[0]

        if full or self.direct or state.D is None:
            return one_by_one(drive)
        return superpose(state.units, crossbar, drive, one_by_one) or one_by_one(drive)

    def series(
        self, crossbar: Crossbar, V_in: npt.ArrayLike, V_out: npt.ArrayLike | None = None
    ) -> Series:
        """As `Engine.series`."""
        return SurrogateSeries(self, crossbar, V_in, V_out)

    def run(
        self, state: Prepared, crossbar: Crossbar, drive: Drive, full: bool
    ) -> tuple[Raw, linear.Problem]:
        """The answer of the back end and, for the gradients, the solved problem."""
        p = linear.problem(crossbar, state.nets, drive, full)
        solve(
            p,
            crossbar,
            state,
            threads=self.threads,
            direct=self.direct,
            V_start=drive.start,
        )
        stats = _stats(p.report, crossbar.device.is_increasing())
        converged = stats.residual <= linear.RESIDUAL
        raw = Raw(
            I_out=p.I_out,
            I_in=p.I_in,
            status=Status.CONVERGED if converged else Status.NOT_CONVERGED,
            stats=stats,
            error=p.report[:, 3],
            V_wl=p.inner[0] if full else None,
            V_bl=p.inner[1] if full else None,
            I_device=p.inner[2] if full else None,
        )
        return raw, p


_PREPARED: WeakKeyDictionary[Crossbar, Prepared] = WeakKeyDictionary()
"""Crossbars are frozen: each is prepared once, so that its next solve finds its factors."""


def _prepare(crossbar: Crossbar) -> Prepared:
    nets = networks(crossbar)
    device, G = crossbar.device, np.ascontiguousarray(crossbar.G_flat)
    if device.linear:
        return Prepared(nets, G, None)
    return Prepared(nets, None, newton.closed_form(device, G))


def solve(
    p: linear.Problem,
    crossbar: Crossbar,
    state: Prepared,
    *,
    threads: int,
    direct: bool = False,
    V_start: tuple[Array, Array] | None = None,
) -> None:
    """Fill the answers of a problem, its solves spread over threads.

    Newton starts from the node voltages `V_start`, V, (N, rows, cols) each, if they are known.
    """
    G = crossbar.G_flat
    drops = None if V_start is None or state.D is not None else linear.drops(p, *V_start)

    def work(start: int, stop: int) -> None:
        if direct:
            for n in range(start, stop):
                if state.D is not None:
                    linear.solve_directly(p, state.D[p.index[n]], n)
                else:
                    newton.solve_generic(p, crossbar.device, G[p.index[n]], n, direct=True)
        elif state.D is not None:
            linear.solve_range(p, state.D, state, start, stop)
        else:
            newton.solve_range(p, crossbar.device, state.form, G, start, stop, drops)

    spread(work, len(p.index), threads, crossbar.rows * crossbar.cols)


def spread(work: Callable[[int, int], None], count: int, threads: int, cells: int) -> None:
    """Run work(start, stop) over 0..count in threads, as far as their number of cells pays."""
    threads = max(1, min(threads, count, count * cells // WORTH_A_THREAD))
    if threads == 1:
        work(0, count)
        return
    pieces = min(count, 4 * threads)  # a few a thread, since solves differ in length
    edges = [count * k // pieces for k in range(pieces + 1)]
    share(lambda k: work(edges[k], edges[k + 1]), pieces, threads)


def _stats(report: Array, increasing: bool) -> Stats:
    if len(report) == 1:  # the common case, kept short
        iterations, steps, residual, error = report[0].tolist()
        direct = int(iterations == linear.DIRECT)
        iterations = max(iterations, 0.0)
    else:
        iterations, steps, residual, error = report.max(axis=0, initial=0.0).tolist()
        direct = int((report[:, 0] == linear.DIRECT).sum())
    notes = (f"{direct} of {len(report)} solves by the direct method",)
    return Stats(
        engine="surrogate",
        method="conjugate gradients between exact ladders",
        iterations=int(iterations),
        newton_steps=int(steps),
        residual=residual,
        error_at_most=error if increasing else math.nan,
        notes=notes if direct else (),
    )
