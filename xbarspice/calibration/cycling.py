"""Cycling: both states of devices over many cycles: window, drift, scatter and failures.

``ln G = level_d + slope_d log10(cycle) + sigma n`` for each state and device while it is good. The
slope's interval is over the devices with Student's t (with one device, that of its line); sigma is
the pooled scatter from cycle to cycle, its interval by chi^2. A device fails at the first of
`RUN` cycles in a row whose window G_LRS/G_HRS is below a limit; lifetimes count devices that are
still good (`xbarspice.calibration.lifetimes`). Tested is whether devices bend from the line on
average (t test of the quadratic terms).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from xbarspice.calibration.characteristics import Characteristics
from xbarspice.calibration.goodness import LEVEL, Check
from xbarspice.calibration.lifetimes import Lives, fit_lives
from xbarspice.config.card import CardValue
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Indices

__all__ = ["RUN", "STATES", "Cycles", "fit_cycling", "lives_of_cycles"]

STATES = ("HRS", "LRS")
RUN = 3
"""Cycles in a row below the limit that are a failure."""
FEWEST = 5
"""Good cycles below which a device has no line."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cycles:
    """Reads of both states, (N,) each.

    Attributes:
        device: number of the device.
        cycle: number of the cycle, from 0 or 1.
        G_HRS, G_LRS: conductances of the states, S.
        labels: names of the devices.
        notices: how a file was read.
    """

    device: Indices
    cycle: Array
    G_HRS: Array
    G_LRS: Array
    labels: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    def state(self, name: str) -> Array:
        """Conductances of a state, S."""
        return self.G_HRS if name == "HRS" else self.G_LRS


def fit_cycling(data: Cycles, *, window: float = 2.0, confidence: float = 0.95) -> Characteristics:
    """Window, drift with cycle, scatter and lifetime.

    Args:
        data: reads of all devices.
        window: G_LRS/G_HRS below which a device has failed.
        confidence: of the intervals.

    Raises:
        InputError: no device has `FEWEST` good cycles, or the window is not > 1.
    """
    if not window > 1:
        raise broken_rule("the window of a good device must be > 1", window, "2 is usual.")
    lives, good = lives_of_cycles(data, window)
    values: dict[str, CardValue] = {}
    tests: list[Check] = []
    for state in STATES:
        values |= _line(data, good, state, confidence, tests)
    ratio = [
        float(np.log(data.G_LRS[m] / data.G_HRS[m]).mean())
        for d in np.unique(data.device)
        if (m := good & (data.device == d)).sum() >= FEWEST
    ]
    values["window"] = _exponential(np.array(ratio), confidence)
    lifetimes, notices = fit_lives(lives, "cycles", confidence=confidence)
    if not all(check.holds for check in tests):
        notices.append("devices bend from a line over log10(cycle). Intervals are withheld")
    return Characteristics(
        terms=(),
        values=values | lifetimes,
        notices=tuple(notices),
        checks=tuple(tests),
        details={
            "window_limit": window,
            "devices": len(lives.good),
            "failures": lives.failures,
        },
        how=f"Intervals for {100 * confidence:g} %: of levels, slopes and window by Student's t "
        "over devices, of scatters by chi^2, of lifetimes from the likelihood.",
    )


def lives_of_cycles(data: Cycles, window: float) -> tuple[Lives, Array]:
    """When devices failed, and which reads were good before that, (N,) bool."""
    good, failed = [], []
    before = np.zeros(len(data.cycle), bool)
    for d in np.unique(data.device):
        of = np.flatnonzero(data.device == d)
        of = of[np.argsort(data.cycle[of], kind="stable")]
        off = data.G_LRS[of] / data.G_HRS[of] < window
        runs = np.convolve(off, np.ones(RUN), "valid") == RUN if len(of) >= RUN else off[:0]
        first = int(np.argmax(runs)) if runs.any() else len(of)
        before[of[:first]] = True
        before[of[off]] = False  # single cycles below the limit
        good.append(max(float(data.cycle[of[max(first - 1, 0)]]), 0.5) if first else 0.5)
        failed.append(float(data.cycle[of[first]]) if runs.any() else np.inf)
    ends = np.array(failed)
    starts = np.minimum(np.array(good), np.where(np.isfinite(ends), 0.999 * ends + 1e-9, np.inf))
    return Lives(good=starts, failed=ends, T=np.full(len(ends), np.nan)), before


def _line(
    data: Cycles, good: Array, state: str, confidence: float, tests: list[Check]
) -> dict[str, CardValue]:
    """Level, slope and scatter of one state; the test of its line goes to `tests`."""
    levels, slopes, errors, bends, squares, freedom = [], [], [], [], 0.0, 0
    for d in np.unique(data.device):
        of = good & (data.device == d)
        if of.sum() < FEWEST:
            continue
        x, y = np.log10(np.maximum(data.cycle[of], 1.0)), np.log(data.state(state)[of])
        (slope, level), covariance = np.polyfit(x, y, 1, cov="unscaled")
        rss = float(((y - level - slope * x) ** 2).sum())
        levels.append(level)
        slopes.append(slope)
        errors.append((rss / (len(x) - 2) * covariance[0, 0]) ** 0.5)
        squares, freedom = squares + rss, freedom + len(x) - 2
        bends.append(np.polyfit(x, y, 2)[0])
    if not levels:
        raise broken_rule(
            f"cycling needs a device with {FEWEST} good cycles", "none", "Lower --window."
        )
    tail = (1 - confidence) / 2
    if len(slopes) > 1:
        half = stats.t.ppf(1 - tail, len(slopes) - 1) * np.std(slopes, ddof=1) / len(slopes) ** 0.5
    else:
        half = stats.t.ppf(1 - tail, freedom) * errors[0]
    if len(bends) >= 3:
        p = float(stats.ttest_1samp(bends, 0.0)[1])  # type: ignore[arg-type]
        tests.append(Check(f"bend of {state} over log10(cycle)", p, p >= LEVEL / 2))
    mean = float(np.mean(slopes))
    scatter, low, high = (
        float((squares / f) ** 0.5) for f in (freedom, *stats.chi2.ppf([1 - tail, tail], freedom))
    )
    return {
        f"{state}.level": _exponential(np.array(levels), confidence, "S"),
        f"{state}.slope": CardValue(
            value=mean, low=mean - float(half), high=mean + float(half), unit="/decade"
        ),
        f"{state}.scatter": CardValue(value=scatter, low=low, high=high),
    }


def _exponential(logs: Array, confidence: float, unit: str = "") -> CardValue:
    """Geometric mean over devices; without a limit for one device."""
    mean, n = float(logs.mean()), len(logs)
    half = np.inf
    if n > 1:
        half = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * float(logs.std(ddof=1)) / n**0.5
    low, high = (0.0, np.inf) if n == 1 else (float(np.exp(mean + s * half)) for s in (-1, 1))
    return CardValue(value=float(np.exp(mean)), low=low, high=high, unit=unit)
