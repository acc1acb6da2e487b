"""Retention: conductances of devices over time, by two laws, and how long devices stay good.

Each device d follows ``G = G_0 (t/t_0)^-nu_d`` (power) or ``G = G_0 (1 - nu_d ln(t/t_0))`` (log);
the law whose residuals are smaller over all devices is taken. nu_d is a straight-line fit a device;
nu is the mean of the devices with Student's t, nu_std what is left of their scatter beyond that of
the fits, its interval by chi^2. Tested is whether the devices bend from the line in ln t on
average (t test of the quadratic terms).

A device fails when G has moved by more than a stated share from its first read; lifetimes count
devices that are still good (`xbarspice.calibration.lifetimes`), with Arrhenius' law over several
temperatures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from xbarspice.calibration.characteristics import Characteristics
from xbarspice.calibration.goodness import LEVEL, Check
from xbarspice.calibration.lifetimes import Lives, fit_lives
from xbarspice.config.card import CardValue
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Flags, Indices

__all__ = ["FEWEST", "LAWS", "Retention", "fit_retention", "lives_of", "reads_of_term"]

LAWS = ("power", "log")
FEWEST = 3
"""Devices, and reads of a device, below which no law is fitted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Retention:
    """Reads over time, (N,) each.

    Attributes:
        device: number of the device.
        G: conductance, S.
        t: time since programming, s, > 0.
        T: temperature, K; NaN where unknown.
        labels: names of the devices.
        notices: how a file was read.
    """

    device: Indices
    G: Array
    t: Array
    T: Array
    labels: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Slopes:
    """Straight-line fits of one law: nu, its variance, quadratic terms, relative residuals."""

    nu: Array
    variance: Array
    bend: Array
    squares: float


def fit_retention(
    data: Retention,
    *,
    at: float | None = None,
    temperature: float | None = None,
    fails: float = 0.1,
    confidence: float = 0.95,
) -> Characteristics:
    """The law, its exponent and spread, and lifetimes.

    Args:
        data: reads; a device counts with `FEWEST` of them.
        at: time for which the term is to stand, s; None: the last read.
        temperature: of the term and of the median lifetime, K; None: the lowest that was measured.
        fails: relative change of G from which a device has failed.
        confidence: of the intervals.

    Raises:
        InputError: there are too few devices, or an argument breaks a rule.
    """
    if not 0 < fails < 1:
        raise broken_rule("a device fails at a change in (0, 1)", fails, "0.1 is ten percent.")
    groups = np.unique(data.T[np.isfinite(data.T)])
    T, use = reads_of_term(data, temperature)
    notices = []
    if T is not None and temperature is None:
        notices.append(f"the retention term is that of the devices at {T:g} K (--temperature)")
    t_0, last = float(data.t[use].min()), float(data.t[use].max())
    t = last if at is None else at
    if t < t_0:
        raise broken_rule(
            f"the retention term must stand for a time from the first read on ({t_0:g} s)",
            f"{t:g} s",
            "Raise --at.",
        )
    slopes = {law: _slopes(data, use, law, t_0) for law in LAWS}
    law = min(LAWS, key=lambda name: slopes[name].squares)
    ratio = slopes[next(n for n in LAWS if n != law)].squares / max(slopes[law].squares, 1e-300)
    if ratio < 1.1:
        notices.append("the laws power and log fit alike: these data do not tell them apart")
    if t > last * (1 + 1e-9):
        notices.append(f"the term stands for {t:g} s, beyond the last read at {last:g} s")
    values = _exponents(slopes[law], confidence)
    checks = _checks(slopes[law])
    if not all(check.holds for check in checks):
        notices.append("devices bend from both laws. Intervals are withheld; see the plot")
    lives = lives_of(data, fails)
    lifetimes, remarks = fit_lives(lives, "s", at=temperature, confidence=confidence)
    nu, std = (values[f"variability.retention.{k}"].value for k in ("nu", "nu_std"))
    term = {"name": "retention", "nu": nu, "nu_std": std, "t": t, "t_0": t_0, "law": law}
    details: dict[str, Any] = {
        "law": law,
        "T": T,
        "t": t,
        "squares": {name: s.squares for name, s in slopes.items()},
        "fails": fails,
        "failures": lives.failures,
        "devices": len(lives.good),
        "temperatures": _by_temperature(data, groups, law),
    }
    return Characteristics(
        terms=(term,),
        values=values | lifetimes,
        notices=(*notices, *remarks),
        checks=checks,
        details=details,
        how=f"Intervals for {100 * confidence:g} %: of nu by Student's t over devices, of nu_std "
        "by chi^2, of lifetimes from the likelihood.",
    )


def reads_of_term(data: Retention, temperature: float | None) -> tuple[float | None, Flags]:
    """Temperature of the retention term, K, and which reads it is fitted to, (N,).

    Args:
        data: reads; None and all of them where they were not taken at several temperatures.
        temperature: as of `fit_retention`.

    Raises:
        InputError: nothing was measured at `temperature`.
    """
    groups = np.unique(data.T[np.isfinite(data.T)])
    if temperature is not None and not np.isclose(groups, temperature).any():
        raise broken_rule(
            "--temperature must be one that was measured",
            f"{temperature:g} K",
            f"Measured: {', '.join(f'{T:g}' for T in groups) or 'none is in the file'}.",
        )
    if len(groups) < 2:
        return None, np.ones(len(data.t), dtype=bool)
    T = float(groups[0]) if temperature is None else temperature
    return T, np.isclose(data.T, T)


def _slopes(data: Retention, use: Flags, law: str, t_0: float) -> _Slopes:
    nu, variance, bend, squares = [], [], [], 0.0
    for d in np.unique(data.device[use]):
        of = use & (data.device == d)
        x, G = np.log(data.t[of] / t_0), data.G[of]
        if len(x) < FEWEST or np.ptp(x) < 1e-9:
            continue
        y = np.log(G) if law == "power" else G
        (slope, level), residual, *_ = np.polyfit(x, y, 1, full=True)
        scale = 1.0 if law == "power" else level
        rss = float(residual[0]) / scale**2 if len(residual) else 0.0
        width = float(((x - x.mean()) ** 2).sum())
        nu.append(-slope / scale)
        variance.append(rss / (len(x) - 2) / width)
        squares += rss
        if len(np.unique(x)) > FEWEST:
            bend.append(np.polyfit(x, y, 2)[0] / scale)
    if len(nu) < FEWEST:
        raise broken_rule(
            f"retention needs {FEWEST} reads over time of at least {FEWEST} devices",
            f"{len(nu)} such devices",
            "Read more devices, or use `xbarspice calibrate noise` for one.",
        )
    return _Slopes(np.array(nu), np.array(variance), np.array(bend), squares)


def _exponents(s: _Slopes, confidence: float) -> dict[str, CardValue]:
    n, tail = len(s.nu), (1 - confidence) / 2
    mean, total = float(s.nu.mean()), float(s.nu.var(ddof=1))
    half = float(stats.t.ppf(1 - tail, n - 1)) * (total / n) ** 0.5
    noise = float(s.variance.mean())
    most, least = stats.chi2.ppf([1 - tail, tail], n - 1)
    low, std, high = (
        max(v - noise, 0.0) ** 0.5 for v in (total * (n - 1) / most, total, total * (n - 1) / least)
    )
    name = "variability.retention."
    return {
        f"{name}nu": CardValue(value=mean, low=mean - half, high=mean + half),
        f"{name}nu_std": CardValue(value=std, low=low, high=high),
    }


def _checks(s: _Slopes) -> tuple[Check, ...]:
    if len(s.bend) < FEWEST or not np.ptp(s.bend) > 0:
        return ()
    p = float(stats.ttest_1samp(s.bend, 0.0)[1])  # type: ignore[arg-type]
    return (Check("bend from the law over ln t", p, p >= LEVEL),)


def _by_temperature(data: Retention, groups: Array, law: str) -> list[dict[str, float]]:
    out = []
    for T in groups.tolist() if len(groups) > 1 else []:
        use = np.isclose(data.T, T)
        s = _slopes(data, use, law, float(data.t[use].min()))
        out.append({"T": T, "devices": len(s.nu), "nu": float(s.nu.mean())})
    return out


def lives_of(data: Retention, fails: float) -> Lives:
    """When devices moved by more than a share from their first read."""
    good, failed, T = [], [], []
    for d in np.unique(data.device):
        of = np.flatnonzero(data.device == d)
        of = of[np.argsort(data.t[of], kind="stable")]
        off = np.abs(data.G[of] / data.G[of[0]] - 1) > fails
        first = int(np.argmax(off)) if off.any() else len(of)
        good.append(data.t[of[first - 1]])
        failed.append(data.t[of[first]] if off.any() else np.inf)
        T.append(data.T[of[0]])
    return Lives(good=np.array(good), failed=np.array(failed), T=np.array(T))
