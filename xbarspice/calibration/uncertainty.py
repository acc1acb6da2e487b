"""What a solution knows: intervals, and combinations that the data do not determine.

With weighted residuals r = (model - data)/sigma, their Jacobian J at the solution, n points, p
parameters, a loss with psi = rho' and the leverages ``h_i = psi'_i j_i^T A^-1 j_i``, the covariance
is that of an M-estimator in sandwich form,

    ``A^-1 M A^-1,  A = sum psi'_i j_i j_i^T,  M = sum psi_i^2/(1 - h_i) j_i j_i^T``

(Huber 1981, doi:10.1002/0471725250, section 7.6; for plain least squares HC2 of MacKinnon and White
1985, doi:10.1016/0304-4076(85)90158-7). It needs no sigma of the right shape: the usual
``s^2 (J^T J)^-1`` covers 77 to 90 % instead of 95 where the scatter grows otherwise than stated,
since one s stands for all points. The interval of parameter j is ``theta_j +- t(0.975, f_j)
sqrt(cov_jj)``: with weights c of the points in theta_j, cov_jj is a sum of squares whose degrees of
freedom are ``f = (tr B)^2/tr B^2 <= n - p, B = W (I - H) W, W^2 = diag(c^2/(1 - h))`` (Bell and
McCaffrey 2002, Survey Methodology 28, 169; Imbens and Kolesar 2016, doi:10.1162/REST_a_00552): few
where few points decide.

The columns of J are scaled to length 1 before the singular values are taken: a small one belongs to
a combination of parameters that hardly moves any current, however large the single sensitivities
are. The ratio of the largest to it is the condition index of Belsley, Kuh and Welsch (1980,
doi:10.1002/0471725153), who call 30 strong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from xbarspice.core.types import Array
from xbarspice.report.units import quantity

__all__ = ["Uncertainty", "uncertainty"]


STRONG = 30.0
"""Condition index from which a combination is looked at."""
NOTHING = 1e-8
"""Singular values below this share of the largest count as 0 (the Jacobian's own accuracy)."""
LOOSE = 0.25
"""Relative standard error from which a combination is reported as not determined."""
ALONE = 1e-4
"""1 - leverage below which a point alone decides a parameter: its residual says nothing, and its
scatter counts as that of all points."""
BLOCK = 1000
"""Points whose products with all others are formed at once."""
FLAT = 1e-6
"""Least curvature of a loss along a direction, over that of least squares: points beyond a robust
loss's limit do not determine it, and its error becomes very large."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Uncertainty:
    """Standard errors, half widths of the intervals, and findings in words."""

    error: Array
    half: Array
    singular: Array
    findings: tuple[str, ...]


def uncertainty(
    J: Array,
    s: float,
    values: Array,
    scales: Array,
    names: Sequence[str],
    units: Sequence[str],
    *,
    influence: tuple[Array, Array] | None = None,
    rounding: Array | None = None,
    confidence: float = 0.95,
) -> Uncertainty:
    """Intervals and identifiability of a solution.

    Args:
        J: Jacobian of the weighted residuals, (points, parameters).
        s: scale of the weighted residuals.
        influence: psi and psi' of the weighted residuals, (points,) each; None: J is the root of an
            information matrix, and `s` alone gives the errors.
        rounding: largest error of each weighted residual, (points,), for residuals that do not show
            it: half widths are then at least what these errors add up to.
        values: the solution, (parameters,).
        scales: what counts as a large change of each parameter, (parameters,).
        names, units: of the parameters.
        confidence: of the intervals.
    """
    length = np.sqrt((J**2).sum(axis=0))
    silent = length <= NOTHING * np.max(length * scales, initial=0.0) / scales
    safe = np.where(silent, 1.0, length)
    _, singular, turned = np.linalg.svd(np.where(silent, 0.0, J / safe), full_matrices=False)
    null = singular <= NOTHING * singular[0]
    spread = np.where(null[:, None], 0.0, turned / np.where(null, 1.0, singular)[:, None])
    directions, freedom = s**2 * np.eye(len(singular)), np.full(len(values), np.inf)
    if influence is not None:
        U = (J / safe) @ spread.T
        directions = _sandwich(U, s, *influence)
        freedom = _freedom(U, spread)
    error = np.sqrt(np.einsum("kj,kl,lj->j", spread, directions, spread).clip(0)) / safe
    open_ = (np.abs(turned[null]) > 1e-4).any(axis=0) | silent
    error = np.where(open_, np.inf, error)
    half = error * stats.t.ppf(0.5 + confidence / 2, freedom)
    if rounding is not None:
        most = np.abs((J / safe) @ spread.T @ spread / safe).T @ rounding
        half, error = np.maximum(half, most), np.maximum(error, most / 2)
    findings = [
        f"`{names[j]}` changes no measured current: it keeps its starting value"
        for j in np.flatnonzero(silent).tolist()
    ]
    size = np.maximum(np.abs(values), scales)
    for k in range(len(singular))[::-1]:
        if np.abs(turned[k][silent]).max(initial=0.0) > 0.5 or singular[0] < STRONG * singular[k]:
            continue
        step = turned[k] / safe
        shift = np.inf if null[k] else s / singular[k] * np.max(np.abs(step) / size)
        if shift > LOOSE:
            findings.append(_combination(step, size, singular[k], s, len(J), names, units))
    return Uncertainty(error=error, half=half, singular=singular, findings=tuple(findings))


def _sandwich(U: Array, s: float, psi: Array, slope: Array) -> Array:
    """Covariance along the singular directions, (parameters, parameters); see the module text.

    Args:
        U: left singular vectors of the Jacobian, (points, parameters).
        s: scale of the weighted residuals.
        psi, slope: influence of each point and its derivative, (points,).
    """
    values, vectors = np.linalg.eigh(U.T @ (slope[:, None] * U))
    inverse = (vectors / np.maximum(values, FLAT)) @ vectors.T
    remaining = 1 - slope * np.einsum("ik,kl,il->i", U, inverse, U)
    alone = remaining < ALONE
    weight = np.where(alone, s, psi / np.sqrt(np.where(alone, 1.0, remaining)))
    meat = U.T @ (weight[:, None] ** 2 * U)
    return inverse @ meat @ inverse


def _freedom(U: Array, spread: Array) -> Array:
    """Degrees of freedom of each error, (parameters,); see the module text.

    Args:
        U: left singular vectors of the Jacobian, (points, directions).
        spread: what one unit of each direction adds to the parameters, (directions, parameters).
    """
    remaining = np.maximum(1 - (U**2).sum(axis=1), ALONE)
    squares = (U @ spread).T ** 2 / remaining  # W^2 of each parameter, (parameters, points)
    trace = squares @ remaining
    of_square = squares**2 @ (remaining**2 - (1 - remaining) ** 2)
    for part in np.array_split(np.arange(len(U)), len(U) // BLOCK + 1):
        of_square += ((squares[:, part] @ (U[part] @ U.T) ** 2) * squares).sum(axis=1)
    most = max(len(U) - U.shape[1], 1)
    return np.clip(trace**2 / np.where(of_square > 0, of_square, np.inf), 1, most)


def _combination(
    step: Array,
    size: Array,
    singular: float,
    s: float,
    points: int,
    names: Sequence[str],
    units: Sequence[str],
) -> str:
    """One sentence about a direction along which the currents hardly move."""
    weight = np.abs(step) / size
    order = np.argsort(-weight).tolist()
    part = [j for j in order if weight[j] > 0.1 * weight[order[0]]]
    step = step * np.sign(step[part[0]])
    unit = 1.0 if units[part[0]] == "ohm" else 0.1 * size[part[0]]
    factor = unit / abs(step[part[0]])
    sizes = (step * factor).tolist()
    moves = [
        f"{names[j]} {'+' if step[j] > 0 else '-'} {quantity(abs(sizes[j]), str(units[j]), 3)}"
        for j in part[:4]
    ]
    more = f" and {len(part) - 4} more" if len(part) > 4 else ""
    if len(part) == 1:
        return (
            f"the data hardly determine `{names[part[0]]}`: {moves[0]} changes the measured values "
            f"by {_share(singular * factor / max(s, 1e-300) / points**0.5)} of their noise (rms)"
        )
    who = ", ".join(f"`{names[j]}`" for j in part[:4]) + more
    return (
        f"the data cannot tell {who} apart: {', '.join(moves)}{more} changes the measured values "
        f"by {_share(singular * factor / max(s, 1e-300) / points**0.5)} of their noise (rms); fix "
        "one of them, or add measurements in which they act differently"
    )


def _share(value: float) -> str:
    return "less than 0.1 %" if value < 1e-3 else f"{100 * value:.2g} %"
