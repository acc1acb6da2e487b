"""The variability model from repeated programming: tuning, drift by later writes, stuck devices.

Tuning (`variability.ConductanceTuning`) by maximum likelihood: the relative error of a write is
``offset_mean + u_d + sigma n``, u_d ~ N(0, offset_std^2) one draw a device, n ~ N(0, 1) one draw a
write, ``sigma = sigma_0 + sigma_slope target``. Repeats tell the two normal terms apart. Intervals
come from the observed information (inverse Hessian of the negative log-likelihood).

Drift (`variability.BiasingSchemeEffect`): the factor on the measured table is the median of the
drifts' sizes over the table's median size for the same number of later writes; its interval comes
from order statistics, free of any distribution. Stuck devices (`variability.StuckDevices`): a
device is stuck if all its writes ended on the same side, more than `STUCK` of the target away; the
rates have exact binomial intervals (Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, stats

from xbarspice.calibration.measurements import Programming
from xbarspice.config.card import CardValue
from xbarspice.core.errors import ConvergenceError, broken_rule
from xbarspice.core.types import Array, Flags
from xbarspice.variability import StuckDevices, bse_table

__all__ = ["STUCK", "Spread", "fit_spread"]


STUCK = 0.3
"""Relative error of every write from which a device counts as stuck."""
FEW = 8
"""Fewer healthy writes, or drifts, than this are not fitted."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Terms for `variability.from_config`, their intervals, and what could not be fitted."""

    terms: tuple[dict[str, Any], ...]
    values: dict[str, CardValue]
    notices: tuple[str, ...]


def fit_spread(data: Programming, confidence: float = 0.95) -> Spread:
    """Fit the variability model.

    Args:
        data: at least `FEW` writes of devices that are not stuck.
        confidence: of the intervals.

    Raises:
        InputError: there are fewer.
        ConvergenceError: the likelihood has no maximum that could be found.
    """
    stuck = _stuck(data)
    healthy = ~stuck[data.device]
    if healthy.sum() < FEW:
        raise broken_rule(
            f"a variability model needs at least {FEW} writes of devices that are not stuck",
            int(healthy.sum()),
            "Measure more, or check the units.",
        )
    terms, values, notices = [], {}, []
    parts: list[Callable[..., Any]] = [_tuning, _drift, _faults]
    for part in parts:
        term, intervals, assumptions = part(data, stuck, confidence)
        notices += assumptions
        if term:
            terms.append(term)
            name = term["name"]
            values |= {f"variability.{name}.{k}": v for k, v in intervals.items()}
    return Spread(terms=tuple(terms), values=values, notices=tuple(notices))


def _stuck(data: Programming) -> Flags:
    """Which devices are stuck, by number."""
    error = data.G / data.target - 1.0
    out = np.zeros(int(data.device.max()) + 1, bool)
    for d in range(len(out)):
        errors = error[data.device == d]
        out[d] = errors.size > 0 and bool((errors > STUCK).all() or (errors < -STUCK).all())
    return out


Part = tuple[dict[str, Any], dict[str, CardValue], list[str]]


def _tuning(data: Programming, stuck: Any, confidence: float) -> Part:
    healthy = ~stuck[data.device]
    device, target = data.device[healthy], data.target[healthy]
    error = data.G[healthy] / target - 1.0
    middle = float(target.mean())
    repeats = len(device) > len(np.unique(device))
    sloped = float(np.ptp(target)) > 0.2 * middle
    free = [True, repeats, True, sloped]
    notices = []
    if not repeats:
        notices.append(
            "no device was written twice: offset_std cannot be told from sigma_0, and is 0 here"
        )
    if not sloped:
        notices.append("the targets are alike: sigma_slope cannot be told from sigma_0, and is 0")
    noise = max(float(error.std(ddof=1)), 1e-9)

    def parts(z: Array) -> Array:
        """offset_mean, offset_std, sigma at the mean target, slope x mean target; relative."""
        full = np.zeros(4)
        full[free] = z * noise
        return full

    def cost(z: Array) -> float:
        mean, std, sigma, slope = parts(z)
        each = sigma + slope * (target / middle - 1.0)
        if np.any(each <= 1e-6 * noise) or std < 0:
            return 1e12
        return _minus_log_likelihood(error - mean, each, std, device)

    start = np.array([error.mean() / noise, 0.3, 0.95, 0.0])[free]
    optimum = optimize.minimize(
        cost,
        start,
        method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": 1e-8, "maxiter": 8000, "maxfev": 8000},
    )
    if not optimum.success:
        raise ConvergenceError(f"the likelihood must have a maximum; {optimum.message}")
    covariance = np.zeros((4, 4))
    covariance[np.ix_(free, free)] = np.linalg.pinv(_hessian(cost, optimum.x)) * noise**2
    z = stats.norm.ppf(0.5 + confidence / 2)
    at = parts(optimum.x)
    # sigma(G) = (sigma - slope) + slope G / middle
    turn = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -1], [0, 0, 0, 1 / middle]])
    values, errors = turn @ at, np.sqrt(np.clip(np.diag(turn @ covariance @ turn.T), 0, None))
    names = ("offset_mean", "offset_std", "sigma_0", "sigma_slope")
    intervals = {
        n: CardValue(value=v, low=v - z * e, high=v + z * e, unit="1/S" if "slope" in n else "")
        for n, v, e, f in zip(names, values.tolist(), errors.tolist(), free, strict=True)
        if f
    }
    term = {"name": "cti", **dict(zip(names, values.tolist(), strict=True))}
    return term, intervals, notices


def _minus_log_likelihood(e: Array, sigma: Array, std: float, device: Any) -> float:
    """Of errors with a shared normal term a device (matrix determinant lemma, Woodbury)."""
    w = sigma**-2
    count = int(device.max()) + 1
    total, mixed = (np.bincount(device, x, count) for x in (w, w * e))
    grown = 1.0 + std**2 * total
    quadratic = (w * e * e).sum() - (std**2 * mixed**2 / grown).sum()
    return 0.5 * float(quadratic + np.log(grown).sum()) + float(np.log(sigma).sum())


def _hessian(cost: Callable[[Array], float], x: Array, h: float = 1e-3) -> Array:
    n = len(x)
    step = np.eye(n) * h
    out = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            a, b = step[i], step[j]
            four = cost(x + a + b) - cost(x + a - b) - cost(x - a + b) + cost(x - a - b)
            out[i, j] = four / (4 * h * h)
    return out


def _drift(data: Programming, stuck: Any, confidence: float) -> Part:
    drifted = np.isfinite(data.G_end) & (data.later_writes > 0) & ~stuck[data.device]
    if drifted.sum() < FEW:
        return (
            {},
            {},
            [
                "no term for the drift by later writes: it needs G_end and later_writes "
                f"of {FEW} writes"
            ],
        )
    table = bse_table()
    middle = [float(np.interp(0.5, *_sizes(table, k))) for k in range(len(table.mean))]
    row = np.clip(data.later_writes[drifted], 1, len(middle)) - 1
    ratio = np.sort(np.abs(data.G_end - data.G)[drifted] / np.array(middle)[row])
    n = len(ratio)
    k = int(stats.binom.ppf((1 - confidence) / 2, n, 0.5))
    value = CardValue(
        value=float(np.median(ratio)),
        low=float(ratio[max(k - 1, 0)]),
        high=float(ratio[min(n - k, n - 1)]),
    )
    return {"name": "bse", "scale": value.value}, {"scale": value}, []


def _sizes(table: Any, row: int) -> tuple[Array, Array]:
    """Distribution of the size of the drift: probabilities and sizes, S."""
    p = (np.arange(2000) + 0.5) / 2000
    return p, np.sort(np.abs(np.interp(p, table.levels, table.quantiles[row])))


def _faults(data: Programming, stuck: Any, confidence: float) -> Part:
    numbers = np.unique(data.device)
    usual = StuckDevices()
    level = np.array([np.median(data.G[data.device == d]) for d in numbers])
    targets = np.array([np.median(data.target[data.device == d]) for d in numbers])
    low_ohm = stuck[numbers] & (level > targets)
    high_ohm = stuck[numbers] & ~low_ohm
    term: dict[str, Any] = {"name": "saf"}
    intervals, notices = {}, []
    for name, hit in (("rate_lrs", low_ohm), ("rate_hrs", high_ohm)):
        ci = stats.binomtest(int(hit.sum()), len(numbers)).proportion_ci(confidence)
        term[name] = float(hit.mean())
        intervals[name] = CardValue(value=term[name], low=float(ci.low), high=float(ci.high))
    notice = "devices stuck at {}: their levels stay those of Drolet et al. 2023, {:g} and {:g} S"
    if low_ohm.sum() > 1:
        stuck_levels = level[low_ohm]
        term |= {"lrs_mean": float(stuck_levels.mean()), "lrs_std": float(stuck_levels.std(ddof=1))}
    else:
        levels = ("low ohm", usual.lrs_mean, usual.lrs_std)
        notices.append(f"{int(low_ohm.sum())} {notice.format(*levels)}")
    if high_ohm.sum() > 1:
        stuck_levels = level[high_ohm]
        term |= {"hrs_min": float(stuck_levels.min()), "hrs_max": float(stuck_levels.max())}
    else:
        levels = ("high ohm", usual.hrs_min, usual.hrs_max)
        notices.append(f"{int(high_ohm.sum())} {notice.format(*levels)}")
    return term, intervals, notices
