"""The spread of writes from repeated programming (`variability.ConductanceTuning`).

The relative error of a write is ``offset_mean + u_d + sigma n``, u_d ~ N(0, offset_std^2) one draw
a device, n ~ N(0, 1) one draw a write, ``sigma = sigma_0 + sigma_slope target``. Repeats tell the
two normal terms apart. Fitted are the mean, the offsets and sigma at the smallest and the largest
target, by the restricted likelihood (Patterson and Thompson 1971, doi:10.1093/biomet/58.3.545): the
full one grows without limit where sigma vanishes at the one write that the mean passes through, and
with few writes that gave slopes that are not there. Intervals come from the likelihood itself, see
`xbarspice.calibration.likelihood`; degrees of freedom are the devices - 1 for the offsets and the
writes - devices for sigma.

Writes of a device whose errors differ by less than half a step of the file's last digit give an
upper bound of sigma alone, and offsets by the mean errors of the devices (Student's t, chi^2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from xbarspice.calibration.likelihood import Bounds, largest, limits
from xbarspice.calibration.resolution import below_resolution, is_rounding
from xbarspice.config.card import CardValue
from xbarspice.core.types import Array, Indices

__all__ = ["deviations", "fit_tuning"]

NAMES = ("offset_mean", "offset_std", "sigma_0", "sigma_slope")
"""The values of the term."""
SIGMAS = (float(np.log(0.01)), float(np.log(30.0)))
"""Bounds of ln sigma over the standard deviation of all errors."""
Term = tuple[dict[str, Any], dict[str, CardValue], list[str]]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Writes:
    """Relative errors of healthy writes, their targets in S and their devices, (writes,) each."""

    error: Array
    target: Array
    device: Indices

    @property
    def devices(self) -> int:
        """Number of devices."""
        return len(np.unique(self.device))

    @property
    def repeated(self) -> bool:
        """Whether a device was written more than once."""
        return len(self.device) > self.devices

    @property
    def sloped(self) -> bool:
        """Whether the targets differ enough to see sigma change with them."""
        return float(np.ptp(self.target)) > 0.2 * float(self.target.mean())

    @property
    def noise(self) -> float:
        """Standard deviation of all errors."""
        return float(self.error.std(ddof=1))

    @property
    def bounds(self) -> Bounds:
        """Of mean, offsets, and ln sigma at both ends, over `noise`; those that are fitted."""
        first = [(-np.inf, np.inf), *[(0.0, np.inf)] * self.repeated]
        return [*first, *[SIGMAS] * (1 + self.sloped)]

    def parts(self, z: Array) -> tuple[float, float, float, float]:
        """offset_mean, offset_std, sigma at the smallest and at the largest target."""
        std = float(z[1]) if self.repeated else 0.0
        ends = np.exp(z[-1 - self.sloped]), np.exp(z[-1])
        return tuple(self.noise * float(x) for x in (z[0], std, *ends))  # type: ignore[return-value]

    def values(self, z: Array) -> Array:
        """The values of the term, in the order of `NAMES`."""
        mean, std, first, last = self.parts(z)
        slope = (last - first) / np.ptp(self.target) if self.sloped else 0.0
        return np.array([mean, std, first - slope * self.target.min(), slope])

    @property
    def within(self) -> Array:
        """Errors from the mean of their device, or of all where none was written twice."""
        if not self.repeated:
            return self.error - self.error.mean()
        _, place, counts = np.unique(self.device, return_inverse=True, return_counts=True)
        return self.error - (np.bincount(place, self.error) / counts)[place]

    def is_rounding(self, step: Array) -> bool:
        """Whether the errors differ within devices by no more than `step`, their resolution."""
        count = len(self.error)
        freedom = count - (self.devices if self.repeated else 1)
        return is_rounding(float((self.within**2).sum()), np.full(count, freedom / count), step)

    def start(self) -> Array:
        """Where the search for the likelihood's maximum begins."""
        first = [self.error.mean() / self.noise, *[0.5] * self.repeated]
        return np.array([*first, *[-0.2] * (1 + self.sloped)])

    def cost(self, z: Array) -> float:
        """Negative logarithm of the restricted likelihood (determinant lemma, Woodbury)."""
        mean, std, first, last = self.parts(z)
        place = (self.target - self.target.min()) / (np.ptp(self.target) or 1.0)
        sigma = first + (last - first) * place
        e, w, count = self.error - mean, sigma**-2, int(self.device.max()) + 1
        total, mixed = (np.bincount(self.device, x, count) for x in (w, w * e))
        grown = 1.0 + std**2 * total
        quadratic = (w * e * e).sum() - (std**2 * mixed**2 / grown).sum()
        of_mean = np.log((total / grown).sum())
        return 0.5 * float(quadratic + np.log(grown).sum() + of_mean) + float(np.log(sigma).sum())


def fit_tuning(
    error: Array, target: Array, device: Indices, step: Array, confidence: float
) -> Term:
    """The term, its intervals, and what could not be told.

    Args:
        error: relative errors of healthy writes, (writes,).
        target: of each, S.
        device: number of its device.
        step: resolution of each error.
        confidence: of the intervals.

    Raises:
        ConvergenceError: the likelihood has no maximum that could be found.
    """
    writes = _Writes(error=error, target=target, device=device)
    notices = []
    if not writes.repeated:
        notices.append(
            "no device was written twice: offset_std cannot be told from sigma_0, and is 0 here"
        )
    if not writes.sloped:
        notices.append("the targets are alike: sigma_slope cannot be told from sigma_0, and is 0")
    if writes.is_rounding(step):
        _, place, counts = np.unique(device, return_inverse=True, return_counts=True)
        means = np.bincount(place, error) / counts
        term, intervals, bounds = _bound_term(means, float(step.max()), confidence)
        return term, intervals, notices[:1] + bounds
    at, intervals = _from_likelihood(writes, confidence)
    slope = intervals.get("sigma_slope")
    if slope is not None and slope.low <= 0 <= slope.high:
        notices.append("`sigma_slope` cannot be told from 0")
    return {"name": "cti", **dict(zip(NAMES, at.tolist(), strict=True))}, intervals, notices


def deviations(error: Array, target: Array, device: Indices, step: Array) -> Array:
    """Each error from the mean or the median of its device, in fitted standard deviations.

    The nearer of both counts, (writes,): the mean moves with an outlier, and right writes to lower
    targets then seem far off; the median of few is no sharp one.

    Args:
        error, target, device: as in `fit_tuning`.
        step: resolution of each conductance, S.
    """
    writes = _Writes(error=error, target=target, device=device)
    if writes.is_rounding(step / target):
        return np.zeros_like(error)
    optimum = largest(writes.cost, writes.start(), writes.bounds)
    _, std, base, slope = writes.values(optimum)
    sigma = base + slope * target
    group = device if writes.repeated else np.zeros_like(device)
    middle = np.zeros(int(group.max()) + 1)
    for number in np.unique(group):
        middle[number] = np.median(error[group == number])
    count = np.bincount(group)[group]
    scatter = np.hypot(sigma, 0.0 if writes.repeated else std)
    # variance of a normal value from the median of its count values, for large counts
    from_median = (error - middle[group]) / np.sqrt(1 + (np.pi / 2 - 2) / count)
    from_mean = writes.within / np.sqrt(np.maximum(1 - 1 / count, 0.5))
    nearer = np.where(np.abs(from_mean) < np.abs(from_median), from_mean, from_median)
    return nearer / scatter


def _from_likelihood(writes: _Writes, confidence: float) -> tuple[Array, dict[str, CardValue]]:
    """Values in the order of `NAMES`, and intervals of those that were fitted."""
    optimum = largest(writes.cost, writes.start(), writes.bounds)
    count = len(writes.error)
    alone = count - 2 - writes.sloped  # degrees of freedom where each device was written once
    at, intervals = writes.values(optimum), {}
    for k, name in enumerate(NAMES):
        if (name, False) in (("offset_std", writes.repeated), ("sigma_slope", writes.sloped)):
            continue
        unit = writes.noise / (np.ptp(writes.target) if name == "sigma_slope" else 1.0)
        freedom = writes.devices - 1 if k < 2 else count - writes.devices
        low, high = limits(
            writes.cost,
            optimum,
            writes.bounds,
            lambda z, k=k, unit=unit: float(writes.values(z)[k] / unit),
            freedom=freedom if writes.repeated else alone,
            confidence=confidence,
        )
        intervals[name] = CardValue(
            value=float(at[k]),
            low=min(low * unit, float(at[k])),
            high=max(high * unit, float(at[k])),
            unit="1/S" if name == "sigma_slope" else "",
        )
    return at, intervals


def _bound_term(means: Array, step: float, confidence: float) -> Term:
    """The term where repeats of a device are equal to the resolution, `step`."""
    count, tail = len(means), (1 - confidence) / 2
    mean, std = float(means.mean()), float(means.std(ddof=1)) if count > 1 else 0.0
    half = step / 2
    if count > 1:
        half += float(stats.t.ppf(1 - tail, count - 1)) * std / count**0.5
    intervals = {"offset_mean": CardValue(value=mean, low=mean - half, high=mean + half)}
    if count > 1 and std > step / 2:
        most, least = stats.chi2.ppf([1 - tail, tail], count - 1).tolist()
        low, high = (std * ((count - 1) / q) ** 0.5 for q in (most, least))
        intervals["offset_std"] = CardValue(value=std, low=low, high=high)
    else:
        std = 0.0
    intervals["sigma_0"] = CardValue(value=step, low=0.0, high=step)
    values = (mean, std, step, 0.0)
    return (
        {"name": "cti", **dict(zip(NAMES, values, strict=True))},
        intervals,
        [f"{below_resolution(step)} of the target: `sigma_0` is that bound, not an estimate"],
    )
