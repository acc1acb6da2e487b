"""Largest likelihood, and intervals from the likelihood itself (Venzon and Moolgavkar 1988).

The limits of a function of the parameters are its smallest and largest value where the likelihood
has fallen by no more than half the quantile of F(1, f) below its maximum: with few degrees of
freedom f the usual chi^2 is too narrow (doi:10.2307/2347496; Cox and Reid 1987,
doi:10.1111/j.2517-6161.1987.tb01422.x). Other than intervals from the curvature they follow a
likelihood that is not symmetric, and end at the bounds of the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import optimize, stats

from xbarspice.core.errors import ConvergenceError
from xbarspice.core.types import Array

__all__ = ["hessian", "largest", "limits"]

STEP = 1e-3
"""Step of second differences; parameters are about 1."""
NEAR = 1e-3
"""Difference of the logarithm of the likelihood that does not matter."""
SHARES = (1.0, 0.5, 0.0)
"""Starts of the search for a limit, as shares of the way to that of a symmetric likelihood."""

Cost = Callable[[Array], float]
Bounds = Sequence[tuple[float, float]]


def largest(cost: Cost, start: Array, bounds: Bounds) -> Array:
    """Where the negative logarithm of a likelihood is smallest, (parameters,).

    Args:
        cost: the negative logarithm of the likelihood.
        start: (parameters,), scaled to about 1.
        bounds: (low, high) of each.

    Raises:
        ConvergenceError: no minimum was found.
    """
    optimum = optimize.minimize(cost, start, method="L-BFGS-B", bounds=bounds, tol=1e-11)
    better = optimize.minimize(
        cost,
        optimum.x,
        method="Nelder-Mead",
        bounds=bounds,
        options={"xatol": 1e-6, "fatol": 1e-8, "maxiter": 8000, "maxfev": 8000},
    )
    if not better.success:
        raise ConvergenceError(f"the likelihood must have a maximum; {better.message}")
    return np.asarray(better.x)


def limits(
    cost: Cost,
    optimum: Array,
    bounds: Bounds,
    function: Callable[[Array], float],
    *,
    freedom: float,
    confidence: float,
) -> tuple[float, float]:
    """Interval of a function of the parameters; infinite where no limit was found.

    Args:
        cost: the negative logarithm of the likelihood.
        optimum: from `largest`.
        bounds: (low, high) of each parameter.
        function: of the parameters, scaled to about 1.
        freedom: degrees of freedom of the interval.
        confidence: of the interval.
    """
    level = cost(optimum) + float(stats.f.ppf(confidence, 1, max(freedom, 1.0))) / 2
    low, high = np.array(bounds).T
    inside = np.clip(optimum, low + 2 * STEP, high - 2 * STEP)
    slope = np.asarray(optimize.approx_fprime(inside, function, 1e-6))
    curvature, directions = np.linalg.eigh(hessian(cost, inside))
    way = directions @ ((directions.T @ slope) / np.maximum(curvature, 1.0))
    way *= np.sqrt(2 * (level - cost(optimum)) / max(float(slope @ way), 1e-30))
    ends = []
    for sign in (-1.0, 1.0):
        reached = [sign * function(optimum)]
        for share in SHARES:
            start = np.clip(optimum + sign * share * way, low, high)
            end = _farthest(cost, start, bounds, function, level, sign)
            if cost(end) <= level + NEAR:
                reached.append(sign * function(end))
            at_level = abs(cost(end) - level) <= NEAR
            if at_level or (len(reached) > 1 and np.any((end == low) | (end == high))):
                break
        else:
            reached.append(np.inf)
        ends.append(sign * max(reached))
    return ends[0], ends[1]


def _farthest(
    cost: Cost,
    start: Array,
    bounds: Bounds,
    function: Callable[[Array], float],
    level: float,
    sign: float,
) -> Array:
    """Where a function is largest (sign 1) or smallest (-1) while the cost is within a level."""
    search = optimize.minimize(
        lambda z: -sign * function(z),
        start,
        method="SLSQP",
        bounds=bounds,
        constraints={"type": "ineq", "fun": lambda z: level - cost(z)},
        options={"maxiter": 200, "ftol": 1e-8},
    )
    low, high = np.array(bounds).T
    return np.clip(search.x, low, high)


def hessian(cost: Cost, x: Array, step: float = STEP) -> Array:
    """Second derivatives of a cost at x by central differences, (parameters, parameters)."""
    n = len(x)
    steps = np.eye(n) * step
    out = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            a, b = steps[i], steps[j]
            four = cost(x + a + b) - cost(x + a - b) - cost(x - a + b) + cost(x - a - b)
            out[i, j] = four / (4 * step * step)
    return out
