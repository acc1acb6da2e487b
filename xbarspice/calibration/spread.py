"""The variability model from repeated programming: tuning, drift by later writes, stuck devices.

Tuning (`variability.ConductanceTuning`): see `xbarspice.calibration.tuning`.

Drift (`variability.BiasingSchemeEffect`): the factor on the measured table is the median of the
drifts' sizes over the table's median size for the same number of later writes; its interval comes
from order statistics, free of any distribution. Stuck devices (`variability.StuckDevices`): a
device is stuck if all its writes ended on the same side, more than `STUCK` of the target away; the
rates have exact binomial intervals (Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import stats

from xbarspice.calibration.goodness import Check
from xbarspice.calibration.measurements import Programming
from xbarspice.calibration.outliers import Near, judge_outliers, keep_near
from xbarspice.calibration.resolution import resolution_of
from xbarspice.calibration.tuning import deviations, fit_tuning
from xbarspice.config.card import CardValue
from xbarspice.core.counts import counted
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Flags
from xbarspice.report.units import si
from xbarspice.variability import StuckDevices, bse_table

__all__ = ["STUCK", "Spread", "fit_spread"]


STUCK = 0.3
"""Relative error of every write from which a device counts as stuck."""
FEW = 8
"""Fewer healthy writes, or drifts, than this are not fitted."""


Part = tuple[dict[str, Any], dict[str, CardValue], list[str]]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Terms for `variability.from_config`, their intervals, and what could not be fitted.

    Attributes:
        terms: for `variability.from_config`.
        values: with their intervals, by name on a card.
        notices: what could not be fitted, and what was left out.
        checks: tests of what the values assume.
    """

    terms: tuple[dict[str, Any], ...]
    values: dict[str, CardValue]
    notices: tuple[str, ...]
    checks: tuple[Check, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether no test speaks against what the values assume."""
        return all(check.holds for check in self.checks)

    def withhold(self) -> Self:
        """The same with open intervals, for values whose assumptions do not hold."""
        opened = {"low": -math.inf, "high": math.inf}
        values = {name: v.model_copy(update=opened) for name, v in self.values.items()}
        return dataclasses.replace(self, values=values)


def fit_spread(
    data: Programming, confidence: float = 0.95, *, drop_outliers: bool = False
) -> Spread:
    """Fit the variability model.

    Args:
        data: at least `FEW` writes of devices that are not stuck.
        confidence: of the intervals.
        drop_outliers: leave writes out that the normal spread of writes does not explain.

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
    near = _near(data, healthy)
    checks, notices = judge_outliers(near, "writes", drop_outliers)
    use = healthy.copy()
    use[healthy] = near.keep | (not drop_outliers)
    terms, values = [], {}
    parts: list[Part] = [
        _tuning(data, use, confidence),
        _drift(data, stuck, confidence),
        _faults(data, stuck, confidence),
    ]
    for term, intervals, assumptions in parts:
        notices += assumptions
        if term:
            terms.append(term)
            name = term["name"]
            values |= {f"variability.{name}.{k}": v for k, v in intervals.items()}
    return Spread(terms=tuple(terms), values=values, notices=tuple(notices), checks=checks)


def _near(data: Programming, healthy: Flags) -> Near:
    """Which healthy writes the fitted spread explains, (healthy writes,)."""
    device, target, G = data.device[healthy], data.target[healthy], data.G[healthy]

    def standardise(keep: Flags) -> Array:
        out, error = np.zeros(len(G)), G[keep] / target[keep] - 1.0
        out[keep] = deviations(error, target[keep], device[keep], resolution_of(G)[keep])
        return out

    repeated = len(device) > len(np.unique(device))
    return keep_near(device if repeated else np.zeros_like(device), standardise)


def _stuck(data: Programming) -> Flags:
    """Which devices are stuck, by number."""
    error = data.G / data.target - 1.0
    out = np.zeros(int(data.device.max()) + 1, bool)
    for d in range(len(out)):
        errors = error[data.device == d]
        out[d] = errors.size > 0 and bool((errors > STUCK).all() or (errors < -STUCK).all())
    return out


def _tuning(data: Programming, use: Flags, confidence: float) -> Part:
    device, target, G = data.device[use], data.target[use], data.G[use]
    return fit_tuning(G / target - 1.0, target, device, resolution_of(G) / target, confidence)


def _drift(data: Programming, stuck: Flags, confidence: float) -> Part:
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
    usual = np.array(middle)[row]
    size, step = np.abs(data.G_end - data.G)[drifted], resolution_of(data.G_end[drifted])
    ratio = np.sort(size / usual)
    if np.median(size) < np.median(step):
        most = float((step / usual).max())
        bound = CardValue(value=most, low=0.0, high=most)
        notice = (
            "drifts are equal to 0 to the resolution of the file "
            f"({si(float(step.max()), 'S', 2)}): `scale` is "
            f"the bound {most:.2g}, not an estimate"
        )
        return {"name": "bse", "scale": most}, {"scale": bound}, [notice]
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


def _faults(data: Programming, stuck: Flags, confidence: float) -> Part:
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
    notice = "{} stuck at {}: their levels stay those of Drolet et al. 2023, {} and {}"
    if low_ohm.sum() > 1:
        stuck_levels = level[low_ohm]
        term |= {"lrs_mean": float(stuck_levels.mean()), "lrs_std": float(stuck_levels.std(ddof=1))}
    else:
        levels = ("low ohm", si(usual.lrs_mean, "S"), si(usual.lrs_std, "S"))
        notices.append(notice.format(counted(int(low_ohm.sum()), "device"), *levels))
    if high_ohm.sum() > 1:
        stuck_levels = level[high_ohm]
        term |= {"hrs_min": float(stuck_levels.min()), "hrs_max": float(stuck_levels.max())}
    else:
        levels = ("high ohm", si(usual.hrs_min, "S"), si(usual.hrs_max, "S"))
        notices.append(notice.format(counted(int(high_ohm.sum()), "device"), *levels))
    return term, intervals, notices
