"""Lifetimes of devices, some of which are still good: lognormal, with intervals, and Arrhenius.

``ln t = mu + sigma n``, with ``mu = a + E_a/(k T)`` where devices failed at several temperatures
(Meeker and Escobar 1998, ISBN 978-0-471-14328-4, chapters 7 and 19). A failure lies between two
reads, so it counts as an interval; a device that is still good counts as longer than its last read.
Intervals come from the likelihood itself (`xbarspice.calibration.likelihood`), with as many degrees
of freedom as there are failures: normal ones held the truth in 84 % of cases at five failures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from xbarspice.calibration.likelihood import largest, limits
from xbarspice.config.card import CardValue
from xbarspice.core.counts import counted
from xbarspice.core.types import Array, Flags

__all__ = ["FEW", "Lives", "fit_lives"]

FEW = 5
"""Failures below which no lifetime is fitted."""
FARTHEST = 200.0
"""Scatters of the data within which limits are looked for; beyond it there are none."""
SHORTEST = 1e-6
"""Difference of ln t within which a device is taken to have failed, at least."""
ENDS = ("value", "low", "high")
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

    def part(self, chosen: Flags) -> Lives:
        """These of them, (devices,)."""
        return Lives(good=self.good[chosen], failed=self.failed[chosen], T=self.T[chosen])


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
    several = len(np.unique(lives.T[np.isfinite(lives.T)])) > 1
    remarks = []
    if several and (unknown := int((~np.isfinite(lives.T)).sum())):
        remarks.append(f"{counted(unknown, 'device')} of unknown temperature left out of lifetimes")
        lives = lives.part(np.isfinite(lives.T))
    count = len(lives.good)
    if lives.failures < FEW:
        still = count - lives.failures
        return {}, [
            *remarks,
            f"{lives.failures} of {counted(count, 'device')} failed: {FEW} are needed for a "
            "lifetime "
            f"({still} are still good)",
        ]
    low_T = float(np.nanmin(lives.T)) if several else 1.0
    use = (low_T if at is None else at) if several else 1.0
    x = 1 / (K_EV * lives.T) - 1 / (K_EV * use) if several else np.zeros(count)
    fitted = _fit(lives, x, several, confidence)
    values = {
        "lifetime.median": CardValue(**dict(zip(ENDS, np.exp(fitted[0]), strict=True)), unit=unit),
        "lifetime.sigma": CardValue(**dict(zip(ENDS, np.exp(fitted[1]), strict=True))),
    }
    if several:
        values["lifetime.E_a"] = CardValue(**dict(zip(ENDS, fitted[2], strict=True)), unit="eV")
        if at is None:
            remarks.append(f"the median lifetime is that at {use:g} K (--temperature)")
    if values["lifetime.sigma"].low == 0:
        remarks.append("the reads are too far apart to tell how devices differ: sigma may be 0")
    last = float(np.max(np.where(np.isfinite(lives.failed), lives.failed, lives.good)))
    if values["lifetime.median"].value > last:
        remarks.append(
            f"the median lifetime lies beyond the last read ({last:.4g} {unit}): it is "
            "continued by the lognormal distribution"
        )
    return values, remarks


def _fit(lives: Lives, x: Array, several: bool, confidence: float) -> list[tuple[float, ...]]:
    """Value and limits of mu, ln sigma (and E_a); infinite where the data give no limit."""
    high = np.log(lives.failed)
    low = np.minimum(np.log(lives.good), np.where(np.isfinite(high), high - SHORTEST, np.inf))
    ends = np.where(np.isfinite(high), high, low)
    spread = max(float(np.std(ends)), 0.3)
    scales = np.array([spread, 1.0, *([spread / np.ptp(x)] if several else [])])
    middle = np.array([ends.mean(), np.log(spread), *([0.0] if several else [])])

    def cost(z: Array) -> float:
        theta = middle + scales * z
        mu = theta[0] + (theta[2] * x if several else 0.0)
        sigma = np.exp(theta[1])
        a, b = (low - mu) / sigma, (high - mu) / sigma
        # of the two tails the one that is not near 1: no digits are lost
        a, b = np.where(a > 0, a, -b), np.where(a > 0, b, -a)
        upper = stats.norm.logsf(a)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            between = upper + np.log(-np.expm1(stats.norm.logsf(b) - upper))
        still = stats.norm.logsf((low - mu) / sigma)
        return -float(np.maximum(np.where(np.isfinite(high), between, still), -1e6).sum())

    bounds = [(-FARTHEST, FARTHEST), (-np.log(FARTHEST), np.log(FARTHEST))]
    bounds += [(-FARTHEST, FARTHEST)] * several
    optimum = largest(cost, np.zeros(len(scales)), bounds)
    freedom = lives.failures - several
    out = []
    for k, (least, most) in enumerate(bounds):
        ends_of = limits(
            cost, optimum, bounds, lambda z, k=k: z[k], freedom=freedom, confidence=confidence
        )
        limit = [
            -np.inf if ends_of[0] < 0.99 * least else min(ends_of[0], optimum[k]),
            np.inf if ends_of[1] > 0.99 * most else max(ends_of[1], optimum[k]),
        ]
        out.append(tuple(middle[k] + scales[k] * np.array([optimum[k], *limit])))
    return out
