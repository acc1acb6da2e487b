"""Newton's method on node voltages, continued with Kirchhoff sums of twice the precision.

How wrong the line currents of a state are is bounded without any condition number. Let the branch
currents of a state violate Kirchhoff's law by r_n at the free nodes n. Its difference from the
solution solves a linear network of the secant conductances of all branches, none of them negative
where device currents rise with the voltage. A current injected into a node of such a network leaves
through the sources in shares between 0 and 1 (maximum principle), so no line current is wrong by
more than the sum of all |r_n|. What rounding changes in the current of a branch acts like a source
of that current beside it and is added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xbarspice.core.types import Array
from xbarspice.engines.nodal import doubledouble as dd
from xbarspice.engines.nodal.elimination import Solve
from xbarspice.engines.nodal.equations import NodalEquations

__all__ = ["RESIDUAL", "Refined", "newton", "refine", "relative_residual"]


RESIDUAL = 1e-12
"""Kirchhoff residual, relative to the largest current, at which Newton has converged."""
MAX_STEPS = 60
MAX_REFINEMENTS = 60
MAX_CORRECTIONS = 6
GOOD = 1e-9
"""Share of the Kirchhoff sums that a correction may leave."""
SMALLEST_STEP = 1e-4
ROUNDING = 1e-15
"""Relative rounding error of a voltage difference."""
SMALLEST_DRIVE = 1e-9
"""Share of the drive below which raising it step by step is given up."""
NEGLIGIBLE = 1e-20
"""Kirchhoff sums below this share of the largest device current are not refined any more."""


def relative_residual(equations: NodalEquations, V: Array, F: Array, current: Array) -> Array:
    """Largest Kirchhoff sum of each vector as a share of its currents; infinity if not finite.

    It is judged against the largest branch current, unless stiff wires make the rounding of the
    node voltages alone exceed the promised share of it.

    Args:
        equations: the equations.
        V: node voltages, V, (nodes, vectors).
        F, current: their Kirchhoff sums and branch currents, A, as from `NodalEquations.sums`.
    """
    norm, most = (np.abs(x).max(axis=0, initial=0.0) for x in (F, current))
    stiff = ROUNDING * np.max(equations.g_linear, initial=0.0) * np.abs(V).max(axis=0, initial=0.0)
    scale = np.maximum(most, stiff / RESIDUAL)
    finite = np.isfinite(norm) & np.isfinite(scale)
    return np.where(finite, norm / np.where(scale > 0, scale, 1.0), np.inf)


def _sums(equations: NodalEquations, V: Array) -> tuple[Array, float, float]:
    """Kirchhoff sums of one vector, A, the largest of them, and the relative residual."""
    with np.errstate(over="ignore", invalid="ignore"):
        F, current = equations.sums(V[:, None])
        residual = float(relative_residual(equations, V[:, None], F, current)[0])
    norm = float(np.max(np.abs(F), initial=0.0))
    return F[:, 0], norm if residual < np.inf else np.inf, residual


def newton(equations: NodalEquations, V: Array) -> tuple[Array, int, float]:
    """Damped Newton from the node voltages V of one vector, V, with the sources at their drive.

    Where that fails (equations that overflow far from the solution) the drive is raised in steps.

    Returns:
        The node voltages, the number of Newton steps and the relative residual (inf: none found).
    """
    solution, steps, residual = _newton(equations, V)
    share = 1.0
    while not residual <= RESIDUAL and share > SMALLEST_DRIVE:
        share /= 8
        solution, more, residual = _newton(equations, share * V)
        steps += more
    while residual <= RESIDUAL and share < 1:
        last, share = share, min(2 * share, 1.0)
        solution, more, residual = _newton(
            equations, _along(equations, solution, (share - last) * V)
        )
        steps += more
    return solution, steps, residual


def _along(equations: NodalEquations, V: Array, change: Array) -> Array:
    """Node voltages after the sources moved by `change`, V, with the slopes of before."""
    slopes = equations.slopes(V)
    change = np.where(equations.t.fixed, change, 0.0)
    g = np.concatenate([equations.g_linear, slopes])
    current = g * (change[equations.from_] - change[equations.to])
    out = V + change
    out[equations.free] += equations.factor(slopes)(equations.incidence @ current)
    return out


def _newton(equations: NodalEquations, V: Array) -> tuple[Array, int, float]:
    F, norm, residual = _sums(equations, V)
    step = 0
    while 0 < norm < np.inf and step < MAX_STEPS and residual >= 1e-16:
        with np.errstate(over="ignore", invalid="ignore"):
            move = equations.factor(equations.slopes(V))(F)
        trial, damping = V.copy(), 1.0
        while True:
            trial[equations.free] = V[equations.free] + damping * move
            F_new, norm_new, residual_new = _sums(equations, trial)
            if norm_new < norm or damping < SMALLEST_STEP:
                break
            damping /= 2
        if not norm_new < norm:
            break  # rounding floor
        V, F, norm, residual, step = trial, F_new, norm_new, residual_new, step + 1
    return V, step, residual


@dataclass(frozen=True, kw_only=True)
class Refined:
    """Node voltages, device and line currents as pairs, (..., vectors), V and A.

    `error` is what the line currents may be wrong by, A, and `residual` the largest Kirchhoff sum
    as a share of the largest device current, (vectors,); infinity where a number is not finite.
    """

    V: dd.Pair
    device: dd.Pair
    I_in: dd.Pair
    I_out: dd.Pair
    error: Array
    residual: Array


def refine(equations: NodalEquations, V: Array) -> Refined:
    """Continue Newton's method in twice the precision until Kirchhoff's law holds to rounding.

    Args:
        equations: the equations.
        V: node voltages to start from, V, (nodes, vectors); one vector for nonlinear devices.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        state = _iterate(equations, (V, np.zeros_like(V)))
        I_in, I_out = equations.line_currents(state.device)
    finite = np.isfinite(state.violation + state.lost) | (equations.present.size == 0)
    most = np.abs(state.device[0]).max(axis=0, initial=0.0)
    norm = np.abs(state.F[0]).max(axis=0, initial=0.0)
    return Refined(
        V=state.V,
        device=state.device,
        I_in=I_in,
        I_out=I_out,
        error=np.where(
            finite, (state.violation + state.lost) * bool(equations.present.size), np.inf
        ),
        residual=np.where(finite, norm / np.where(most > 0, most, 1.0), np.inf),
    )


@dataclass
class _State:
    """Voltages, Kirchhoff and device currents, and for each vector the sum of what is left, A."""

    V: dd.Pair
    F: dd.Pair
    device: dd.Pair
    lost: Array

    @property
    def violation(self) -> Array:
        return np.abs(self.F[0]).sum(axis=0)

    @property
    def converged(self) -> bool:
        largest = np.abs(self.device[0]).max(axis=0, initial=0.0)
        return bool((self.violation <= np.maximum(self.lost / 8, NEGLIGIBLE * largest)).all())

    def with_better(self, new: _State) -> _State:
        """Vector by vector the state in which less is left."""
        better = new.violation < self.violation
        pick = lambda a, b: tuple(np.where(better, y, x) for x, y in zip(a, b, strict=True))  # noqa: E731
        return _State(
            V=pick(self.V, new.V),
            F=pick(self.F, new.F),
            device=pick(self.device, new.device),
            lost=np.where(better, new.lost, self.lost),
        )


def _iterate(equations: NodalEquations, V: dd.Pair) -> _State:
    state = _State(V, *equations.exact_sums(V))
    correction: _Correction | None = None
    for _ in range(MAX_REFINEMENTS):
        if state.converged or not np.isfinite(state.violation).all():
            break
        if correction is None:
            linear = equations.device.linear
            slopes = equations.slopes(None if linear else state.V[0][:, 0])
            correction = _Correction(equations, slopes)
        before, state = state.violation, _step(equations, state, correction(state.F))
        if (state.violation >= 0.99 * before).all():
            break
        if not equations.device.linear and (state.violation > 1e-2 * before).any():
            correction = None
    return state


class _Correction:
    """Changes of the node voltages, V, that make Kirchhoff sums vanish if the slopes stay."""

    def __init__(self, equations: NodalEquations, slopes: Array) -> None:
        self.equations, self.slopes, self.lu = equations, slopes, True
        self.solve: Solve = equations.factor(slopes)

    def __call__(self, F: dd.Pair) -> dd.Pair:
        """The change as a pair, (free nodes, vectors), for Kirchhoff sums F, A.

        The rounding of a first solution of float64 may leave larger sums at stiff wires than there
        were; the second removes them.
        """
        x, remaining = self._correct(F)
        if self.lu and not remaining <= GOOD:
            self.lu, self.solve = False, self.equations.factor(self.slopes, lu=False)
            x, remaining = self._correct(F)
        return x

    def _correct(self, F: dd.Pair) -> tuple[dd.Pair, float]:
        """The change, and the largest share of any vector's sums that is left."""
        all_of_it = np.abs(F[0]).sum(axis=0)
        all_of_it[all_of_it == 0] = 1.0
        x: dd.Pair = np.zeros_like(F[0]), np.zeros_like(F[0])
        best, least, residual = x, np.inf, F
        for _ in range(MAX_CORRECTIONS):
            x = dd.add_float(x, self.solve(residual[0]))
            residual = dd.add(F, self.equations.linear_sums(x, self.slopes))
            now = float((np.abs(residual[0]).sum(axis=0) / all_of_it).max())
            if now < least:
                best, least = x, now
            if not now > GOOD:
                break
        return best, least


def _step(equations: NodalEquations, state: _State, move: dd.Pair) -> _State:
    """The state after a Newton step, halved until less is left (not at all, if that fails)."""
    before, t, free = state.violation, 1.0, equations.free
    while True:
        high, low = state.V[0].copy(), state.V[1].copy()
        high[free], low[free] = dd.add((high[free], low[free]), (t * move[0], t * move[1]))
        new = _State((high, low), *equations.exact_sums((high, low)))
        if equations.device.linear or (new.violation < before).all() or t < SMALLEST_STEP:
            return state.with_better(new)
        t /= 2
