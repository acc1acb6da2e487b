"""Newton's method for many vectors of one array with one factorization a step.

The slopes of the devices differ little from vector to vector, so a factorization at their mean is a
good preconditioner: conjugate gradients solve every vector's own equations with it in a few
iterations. A vector that does not get to its residual so is left to `refinement.newton`.
"""

from __future__ import annotations

import numpy as np

from xbarspice.core.types import Array
from xbarspice.engines.nodal.elimination import Solve
from xbarspice.engines.nodal.equations import NodalEquations
from xbarspice.engines.nodal.refinement import MAX_STEPS, SMALLEST_STEP, relative_residual

__all__ = ["newton_of_many"]

FORCING = 1e-4
"""Share of the Kirchhoff sums, in the norm of the preconditioner, that a step may leave."""
MAX_ITERATIONS = 30


def newton_of_many(equations: NodalEquations, V: Array) -> tuple[Array, int, Array]:
    """Damped Newton from the node voltages V, V, (nodes, vectors), with the sources at their drive.

    Returns:
        The node voltages, the number of steps and each vector's relative residual (inf: none).
    """
    V = V.copy()
    F, norm, residual = _sums(equations, V)
    active = np.flatnonzero((norm > 0) & np.isfinite(norm) & (residual >= 1e-16))
    step = 0
    while active.size and step < MAX_STEPS:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            move = _move(equations, V[:, active], F[:, active])
        active = _advance(equations, V, F, norm, residual, active, move)
        active = active[(norm[active] > 0) & (residual[active] >= 1e-16)]
        step += 1
    return V, step, residual


def _sums(equations: NodalEquations, V: Array) -> tuple[Array, Array, Array]:
    """Kirchhoff sums of all vectors, A, the largest of each, and the relative residuals."""
    with np.errstate(over="ignore", invalid="ignore"):
        F, current = equations.sums(V)
        residual = relative_residual(equations, V, F, current)
    norm = np.abs(F).max(axis=0, initial=0.0)
    return F, np.where(residual < np.inf, norm, np.inf), residual


def _advance(
    equations: NodalEquations,
    V: Array,
    F: Array,
    norm: Array,
    residual: Array,
    active: np.ndarray,
    move: Array,
) -> np.ndarray:
    """Move the active vectors as far as that lowers their sums; returns those that moved."""
    waiting, moved, damping = np.arange(active.size), [], 1.0
    while waiting.size and damping >= SMALLEST_STEP:
        n = active[waiting]
        trial = V[:, n]
        trial[equations.free] += damping * move[:, waiting]
        F_new, norm_new, residual_new = _sums(equations, trial)
        better = norm_new < norm[n]
        good = n[better]
        V[:, good], F[:, good] = trial[:, better], F_new[:, better]
        norm[good], residual[good] = norm_new[better], residual_new[better]
        moved.append(good)
        waiting, damping = waiting[~better], damping / 2
    return np.sort(np.concatenate(moved)) if moved else active[:0]


def _move(equations: NodalEquations, V: Array, F: Array) -> Array:
    """Changes of the free nodes' voltages, V, (free nodes, vectors)."""
    v = V[equations.a] - V[equations.b]
    G = equations.G[:, None]
    slopes = np.broadcast_to(np.asarray(equations.device.derivative(v, G), float), v.shape)
    solve = equations.factor(slopes.mean(axis=1))
    return _conjugate_gradients(equations, slopes, F, solve)


def _conjugate_gradients(equations: NodalEquations, slopes: Array, F: Array, solve: Solve) -> Array:
    x, r = np.zeros_like(F), F.copy()
    z = solve(r)
    p, rz = z.copy(), (r * z).sum(axis=0)
    aim = FORCING**2 * rz
    for _ in range(MAX_ITERATIONS):
        open_ = np.flatnonzero(rz > aim)
        if not open_.size:
            break
        q = _product(equations, slopes[:, open_], p[:, open_])
        length = rz[open_] / (p[:, open_] * q).sum(axis=0)
        x[:, open_] += length * p[:, open_]
        r[:, open_] -= length * q
        z = solve(r[:, open_])
        fresh = (r[:, open_] * z).sum(axis=0)
        p[:, open_] = z + fresh / rz[open_] * p[:, open_]
        rz[open_] = fresh
    return x


def _product(equations: NodalEquations, slopes: Array, p: Array) -> Array:
    """Currents out of the free nodes for voltages p there, A, (free nodes, vectors)."""
    V = np.zeros((equations.t.fixed.size, p.shape[1]))
    V[equations.free] = p
    current = V[equations.from_] - V[equations.to]
    linear = equations.g_linear.size
    current[:linear] *= equations.g_linear[:, None]
    current[linear:] *= slopes
    return -(equations.incidence @ current)
