"""What a least-squares solution knows: intervals, and combinations that the data do not determine.

With weighted residuals r = (model - data)/sigma, their Jacobian J at the solution, n points and p
parameters, the covariance is ``s^2 (J^T J)^-1``, ``s^2 = r^T r/(n - p)``, and the 95 % interval of
parameter j is ``theta_j +- t(0.975, n - p) sqrt(cov_jj)`` (Student t; Seber and Wild 1989,
doi:10.1002/0471725315, chapter 5). A robust loss rho with psi = rho' takes ``s^2 = mean(psi^2)
n/(n - p)/mean(psi')^2`` (Huber 1981, doi:10.1002/0471725250, section 7.6).

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

__all__ = ["Uncertainty", "uncertainty"]


STRONG = 30.0
"""Condition index from which a combination is looked at."""
NOTHING = 1e-8
"""Singular values below this share of the largest count as 0 (the Jacobian's own accuracy)."""
LOOSE = 0.25
"""Relative standard error from which a combination is reported as not determined."""


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
    confidence: float = 0.95,
) -> Uncertainty:
    """Intervals and identifiability of a solution.

    Args:
        J: Jacobian of the weighted residuals, (points, parameters).
        s: scale of the weighted residuals.
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
    error = s * np.sqrt((spread**2).sum(axis=0)) / safe
    open_ = (np.abs(turned[null]) > 1e-4).any(axis=0) | silent
    error = np.where(open_, np.inf, error)
    half = error * stats.t.ppf(0.5 + confidence / 2, max(len(J) - len(values), 1))
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
    moves = [
        f"{names[j]} {'+' if step[j] > 0 else '-'} {abs(step[j] * factor):.3g} {units[j]}".rstrip()
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
