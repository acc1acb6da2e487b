"""Lifetimes of devices, some of which are still good: lognormal, with intervals, and Arrhenius.

``ln t = mu + sigma n``, with ``mu = a + E_a/(k T)`` where devices failed at several temperatures
(Meeker and Escobar 1998, ISBN 978-0-471-14328-4, chapters 7 and 19). A failure lies between two
reads, so it counts as an interval; a device that is still good counts as longer than its last read.
Intervals come from the observed information at the maximum of the likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from xbarspice.calibration.likelihood import hessian
from xbarspice.config.card import CardValue
from xbarspice.core.counts import counted
from xbarspice.core.errors import ConvergenceError
from xbarspice.core.types import Array

__all__ = ["FEW", "Lives", "fit_lives"]

FEW = 5
"""Failures below which no lifetime is fitted."""
K_EV = 1.380649e-23 / 1.602176634e-19
"""Boltzmann's constant, eV/K."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lives:
    """When devices failed, (devices,) each.

    Attributes:
        good: last time (or cycle) at which the device was good, > 0.
        failed: first at which it had failed; infinite if it is still good.
        T: temperature, K; NaN where unknown.
    """

    good: Array
    failed: Array
    T: Array

    @property
    def failures(self) -> int:
        """How many devices had failed."""
        return int(np.isfinite(self.failed).sum())


def fit_lives(
    lives: Lives, unit: str, *, at: float | None = None, confidence: float = 0.95
) -> tuple[dict[str, CardValue], list[str]]:
    """Median lifetime, its spread, and the activation energy where temperatures differ.

    Args:
        lives: of all devices.
        unit: of the times, for the values.
        at: temperature for the median where they differ, K; None: the lowest measured.
        confidence: of the intervals.

    Returns:
        Values ``lifetime.median``, ``lifetime.sigma`` (of ln t) and ``lifetime.E_a`` (eV); remarks.

    Raises:
        ConvergenceError: the likelihood has no maximum that could be found.
    """
    count = len(lives.good)
    if lives.failures < FEW:
        still = count - lives.failures
        return {}, [
            f"{lives.failures} of {counted(count, 'device')} failed: {FEW} are needed for a "
            "lifetime "
            f"({still} are still good)"
        ]
    several = len(np.unique(lives.T[np.isfinite(lives.T)])) > 1
    low_T = float(np.nanmin(lives.T)) if several else 1.0
    use = (low_T if at is None else at) if several else 1.0
    x = 1 / (K_EV * lives.T) - 1 / (K_EV * use) if several else np.zeros(count)
    theta, covariance = _largest_likelihood(np.log(lives.good), np.log(lives.failed), x, several)
    half = stats.norm.ppf(0.5 + confidence / 2) * np.sqrt(np.clip(np.diag(covariance), 0, None))
    mu, log_sigma = theta[:2]
    values = {
        "lifetime.median": _exponential(mu, half[0], unit),
        "lifetime.sigma": _exponential(log_sigma, half[1], ""),
    }
    notices = []
    if several:
        E = float(theta[2])
        values["lifetime.E_a"] = CardValue(
            value=E, low=E - float(half[2]), high=E + float(half[2]), unit="eV"
        )
        if at is None:
            notices.append(f"the median lifetime is that at {use:g} K (--temperature)")
    if np.exp(mu) > 3 * lives.good.max():
        notices.append(
            f"the median lifetime lies beyond the last read ({lives.good.max():.4g} {unit}): it is "
            "continued by the lognormal distribution"
        )
    return values, notices


def _exponential(value: float, half: float, unit: str) -> CardValue:
    low, middle, high = (float(np.exp(value + s * half)) for s in (-1, 0, 1))
    return CardValue(value=middle, low=low, high=high, unit=unit)


def _largest_likelihood(low: Array, high: Array, x: Array, several: bool) -> tuple[Array, Array]:
    """mu, ln sigma (and E_a), and their covariance."""
    ends = np.where(np.isfinite(high), high, low)
    spread = max(float(np.std(ends)), 0.3)

    def cost(theta: Array) -> float:
        mu = theta[0] + (theta[2] * x if several else 0.0)
        sigma = np.exp(np.clip(theta[1], -20, 20))
        a, b = (low - mu) / sigma, (high - mu) / sigma
        upper = stats.norm.logsf(a)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            gap = stats.norm.logsf(b) - upper
            between = upper + np.log(-np.expm1(np.where(np.isfinite(high), gap, -np.inf)))
        return -float(np.maximum(np.where(np.isfinite(high), between, upper), -1e6).sum())

    start = np.array([ends.mean(), np.log(spread), *([0.5] if several else [])])
    optimum = optimize.minimize(
        cost,
        start,
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-9, "maxiter": 6000, "maxfev": 6000},
    )
    if not optimum.success:
        raise ConvergenceError(f"the likelihood must have a maximum; {optimum.message}")
    z = np.asarray(optimum.x)
    H = hessian(cost, z)
    return z, np.asarray(np.linalg.pinv(H, hermitian=True), float)
