"""The exact nodal engine: sparse LU of Kirchhoff's equations, Newton for nonlinear devices.

It shares no numerical code with the surrogate: every node is one unknown (`engines.equations`), the
matrix is factored by SuperLU. Each answer is refined with residuals that are summed from branch
currents. Where stiff wires or weak devices leave the output currents uncertain by more than
`engines.error_bound.WARN_ABOVE`, the elimination is one without subtraction and the refinement goes
on in twice the precision (`refinement`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.solution import Stats, Status
from xbarspice.core.types import Array, Indices
from xbarspice.engines.base import Engine, Raw
from xbarspice.engines.error_bound import REFUSE_ABOVE, WARN_ABOVE
from xbarspice.engines.nodal.bound import outputs, share
from xbarspice.engines.nodal.equations import (
    UNIT,
    NodalEquations,
    Topology,
    equations_of,
    topologies,
)
from xbarspice.engines.nodal.many import newton_of_many
from xbarspice.engines.nodal.refinement import RESIDUAL, newton, refine, relative_residual

__all__ = ["NodalEngine"]


CORRECTIONS = 3
NUMBERS_AT_A_TIME = 2_000_000
"""Node voltages of several vectors that are found together."""


class NodalEngine(Engine):
    """Exact sparse solution; a linear array is factored once for all its vectors.

    "Exact" is to rounding of the largest current, which `Stats.error_bound` says; a current far
    below the largest one may be off by more of itself.
    """

    name = "nodal"

    def _prepare(self, crossbar: Crossbar) -> list[Topology]:
        return topologies(crossbar)

    def _solve(self, state: list[Topology], crossbar: Crossbar, drive: Drive, full: bool) -> Raw:
        out = _Answers(crossbar, drive)
        for array in np.unique(drive.array):
            equations = equations_of(crossbar, state, int(array))
            members = np.flatnonzero(drive.array == array)
            if crossbar.device.linear:
                out.solve_linear(equations, members)
            else:
                out.solve_nonlinear(equations, members)
            out.refine(equations, members)
        residual = float(np.max(out.residual, initial=0.0))
        # of what was refined, nothing more precise can be had: its error bound decides
        met = (out.residual <= RESIDUAL) | out.refined & (out.error <= REFUSE_ABOVE)
        refined = int(out.refined.sum())
        note = f"{refined} of {len(out.refined)} solves refined in twice the precision"
        return Raw(
            status=Status.CONVERGED if met.all() else Status.NOT_CONVERGED,
            stats=Stats(
                engine=self.name,
                method="sparse LU",
                newton_steps=out.steps,
                residual=residual,
                notes=(note,) if refined else (),
                error_at_most=float(np.max(out.error, initial=0.0))
                if crossbar.device.is_increasing()
                else math.nan,
            ),
            error=out.error,
            I_out=out.I_out,
            I_in=out.I_in,
            V_wl=out.V_wl,
            V_bl=out.V_bl,
            I_device=out.I_device,
        )


@dataclass(init=False, eq=False)
class _Answers:
    """The answers of a drive as they are found; `error` is a share of the largest output."""

    def __init__(self, crossbar: Crossbar, drive: Drive) -> None:
        count, rows, cols = len(drive.array), crossbar.rows, crossbar.cols
        self.crossbar, self.drive = crossbar, drive
        self.V_wl, self.V_bl, self.I_device = np.empty((3, count, rows, cols))
        self.I_in, self.I_out = np.empty((count, rows)), np.empty((count, cols))
        self.error, self.residual = np.zeros(count), np.zeros(count)
        self.refined = np.zeros(count, bool)
        self.steps = 0

    def solve_linear(self, equations: NodalEquations, members: Indices) -> None:
        """Solve vectors of a linear array, many at a time."""
        solve = equations.factor(equations.slopes(None)) if equations.free.size else None
        some = max(1, NUMBERS_AT_A_TIME // equations.t.fixed.size)
        for first in range(0, len(members), some):
            n = members[first : first + some]
            V = equations.voltages(self.drive.V_in[n], self.drive.V_out[n])
            F, current = equations.sums(V)
            for _ in range(CORRECTIONS if solve is not None else 0):
                trial = V.copy()
                trial[equations.free] += solve(F)  # type: ignore[misc]
                F_new, current_new = equations.sums(trial)
                better = np.abs(F_new).max(axis=0) < np.abs(F).max(axis=0)
                if not better.any():
                    break  # rounding floor
                V, F = np.where(better, trial, V), np.where(better, F_new, F)
                current = np.where(better, current_new, current)
            self.residual[n] = relative_residual(equations, V, F, current)
            self._put(equations, n, V, F, current)

    def solve_nonlinear(self, equations: NodalEquations, members: Indices) -> None:
        """Solve vectors by Newton's method, many at a time where nothing is known of them."""
        some = max(1, NUMBERS_AT_A_TIME // equations.t.fixed.size)
        for first in range(0, len(members), some):
            n = members[first : first + some]
            if len(n) == 1 or self.drive.start is not None:
                for one in n:
                    self._solve_one(equations, int(one))
                continue
            V, steps, residual = newton_of_many(
                equations, equations.voltages(self.drive.V_in[n], self.drive.V_out[n])
            )
            met = residual <= RESIDUAL
            self.residual[n], self.steps = residual, max(self.steps, steps)
            if met.any():
                F, current = equations.sums(V[:, met])
                self._put(equations, n[met], V[:, met], F, current)
            for one in n[~met]:
                self._solve_one(equations, int(one))

    def _solve_one(self, equations: NodalEquations, n: int) -> None:
        """Solve one vector by Newton's method."""
        V_open = equations.voltages(self.drive.V_in[n : n + 1], self.drive.V_out[n : n + 1])[:, 0]
        V, steps, residual = newton(equations, self._start(equations, n, V_open))
        if self.drive.start is not None and not residual <= RESIDUAL:
            V, more, residual = newton(equations, V_open)
            steps += more
        self.residual[n], self.steps = residual, max(self.steps, steps)
        F, current = equations.sums(V[:, None])
        self._put(equations, np.array([n]), V[:, None], F, current)

    def _start(self, equations: NodalEquations, n: int, V_open: Array) -> Array:
        """Node voltages from which the Newton of one vector starts, V, (nodes,)."""
        if self.drive.start is None:
            return V_open
        V, at_start = V_open.copy(), V_open.copy()
        at_start[equations.t.wl] = self.drive.start[0][n]
        at_start[equations.t.bl] = self.drive.start[1][n]
        V[equations.free] = at_start[equations.free]  # the sources stay at their drive
        return V

    def _put(
        self, equations: NodalEquations, n: Indices, V: Array, F: Array, current: Array
    ) -> None:
        self.V_wl[n], self.V_bl[n] = V.T[:, equations.t.wl], V.T[:, equations.t.bl]
        flat = np.zeros((len(n), equations.t.wl.size))
        flat[:, equations.present] = current[equations.g_linear.size :].T
        self.I_device[n] = flat.reshape(len(n), *equations.t.wl.shape)
        self.I_in[n], self.I_out[n] = self.I_device[n].sum(axis=-1), self.I_device[n].sum(axis=-2)
        amperes = np.abs(F).sum(axis=0) + equations.rounding(V, current)
        self._judge(n, amperes if equations.present.size else 0 * amperes)

    def _judge(self, n: Indices, amperes: Array) -> None:
        largest = outputs(self.crossbar, self.I_out[n], self.I_in[n])
        self.error[n] = share(amperes, largest - amperes)

    def refine(self, equations: NodalEquations, members: Indices) -> None:
        """Find in twice the precision what is not certain enough."""
        error, residual = self.error[members], self.residual[members]
        sure = (error <= WARN_ABOVE) & (residual <= RESIDUAL)
        weak = members[~sure & np.isfinite(residual)]
        numbers = NUMBERS_AT_A_TIME // 10 if equations.device.linear else 0
        some = max(1, numbers // equations.t.fixed.size)
        for first in range(0, len(weak), some):
            self._refine(equations, weak[first : first + some])

    def _refine(self, equations: NodalEquations, n: Indices) -> None:
        t = equations.t
        V = np.zeros((t.fixed.size, len(n)))
        V[t.wl.ravel()] = self.V_wl[n].reshape(len(n), -1).T
        V[t.bl.ravel()] = self.V_bl[n].reshape(len(n), -1).T
        V[t.source] = np.concatenate([self.drive.V_in[n], self.drive.V_out[n]], axis=1).T
        refined = refine(equations, V)
        self.V_wl[n], self.V_bl[n] = refined.V[0].T[:, t.wl], refined.V[0].T[:, t.bl]
        flat = np.zeros((len(n), t.wl.size))
        flat[:, equations.present] = refined.device[0].T
        self.I_device[n] = flat.reshape(len(n), *t.wl.shape)
        self.I_in[n], self.I_out[n] = refined.I_in[0].T, refined.I_out[0].T
        most = np.maximum(np.abs(self.I_in[n]).max(axis=1), np.abs(self.I_out[n]).max(axis=1))
        self._judge(n, refined.error + UNIT * most)
        self.residual[n], self.refined[n] = refined.residual, True
