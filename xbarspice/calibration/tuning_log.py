"""The tuning error from logs of write-verify: target, what was reached, number of pulses.

The error e = G - target is ``offset target + s(target) n`` with one of the spreads of `FORMS`:
relative, absolute, both (added in squares), or relative with a slope. Each is fitted by maximum
likelihood for normal n; the form of smallest BIC is taken (Schwarz 1978,
doi:10.1214/aos/1176344136). Intervals come from the sandwich ``H^-1 (sum g g^T) H^-1`` of the
likelihood's Hessian H and the gradients g of single writes (White 1982, doi:10.2307/1912526), of
spreads by their logarithms: they hold as well where a verify loop cuts the errors at its tolerance.

Tested are what the form lacks: z = residual over spread, and z^2, follow no power of the target
(F tests of regressions on target and its square).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, stats

from xbarspice.calibration.characteristics import Characteristics
from xbarspice.calibration.goodness import LEVEL, Check
from xbarspice.calibration.likelihood import hessian
from xbarspice.config.card import CardValue
from xbarspice.core.counts import counted
from xbarspice.core.errors import ConvergenceError, broken_rule
from xbarspice.core.types import Array, Flags, Indices

__all__ = ["FEW", "FORMS", "TuningLog", "fit_tuning_log"]

FEW = 20
"""Writes below which no tuning error is fitted."""
FAILED = 0.3
"""Relative error from which a write counts as failed and not as tuned."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TuningLog:
    """Writes: wanted and reached conductances, S, and pulses (NaN where unknown), (N,) each."""

    device: Indices
    target: Array
    G: Array
    pulses: Array
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """One form of the spread: the names of its parameters and the spread, S, of a target, S."""

    names: tuple[str, ...]
    spread: Callable[[Array, Array], Array]


FORMS: dict[str, Form] = {
    "relative": Form(("sigma_0",), lambda p, t: p[0] * t),
    "absolute": Form(("sigma_abs",), lambda p, t: p[0] + 0 * t),
    "both": Form(("sigma_0", "sigma_abs"), lambda p, t: np.hypot(p[0] * t, p[1])),
    "sloped": Form(("sigma_0", "sigma_slope"), lambda p, t: (p[0] + p[1] * t) * t),
}
"""Forms of the spread; targets in units of their mean, so that all numbers are about alike."""


@dataclass(frozen=True)
class _Fitted:
    """One form at its optimum: offset and parameters, covariance, log-likelihood."""

    theta: Array
    covariance: Array
    likelihood: float

    def bic(self, count: int) -> float:
        return len(self.theta) * float(np.log(count)) - 2 * self.likelihood


def fit_tuning_log(data: TuningLog, confidence: float = 0.95) -> Characteristics:
    """The tuning error and how it depends on the target.

    Args:
        data: at least `FEW` writes that did not fail.
        confidence: of the intervals.

    Raises:
        InputError: there are fewer. ConvergenceError: no likelihood has a maximum.
    """
    failed = np.abs(data.G / data.target - 1) > FAILED
    target, error = data.target[~failed], (data.G - data.target)[~failed]
    if len(target) < FEW or not np.ptp(error) > 0:
        raise broken_rule(
            f"a tuning error needs at least {FEW} writes within {100 * FAILED:g} % that scatter",
            len(target),
            "Log more writes, or check the units.",
        )
    unit = float(target.mean())
    t, e = target / unit, error / unit
    spread_out = float(np.ptp(t)) > 0.1
    fits = {
        name: _fit(form, t, e)
        for name, form in FORMS.items()
        if spread_out or name in ("relative", "absolute")
    }
    best = min(fits, key=lambda name: fits[name].bic(len(t)))
    values = _values(FORMS[best], fits[best], unit, confidence)
    term = {"name": "cti", "offset_std": 0.0, "sigma_0": 0.0, "sigma_slope": 0.0, "sigma_abs": 0.0}
    term |= {name.rpartition(".")[2]: v.value for name, v in values.items()}
    z = (e - fits[best].theta[0] * t) / FORMS[best].spread(fits[best].theta[1:], t)
    checks = _checks(z, t) if spread_out else ()
    forms = [
        {"form": name, "parameters": len(f.theta), "bic": f.bic(len(t)) - fits[best].bic(len(t))}
        for name, f in sorted(fits.items(), key=lambda item: item[1].bic(len(t)))
    ]
    return Characteristics(
        terms=(term,),
        values=values,
        notices=tuple(_notices(data, failed, z, checks, spread_out)),
        checks=checks,
        details={"form": best, "forms": forms, "pulses": _pulses(data.pulses[~failed])},
        how="Intervals for 95 %, by the sandwich covariance of the likelihood; spreads by their "
        "logarithms.",
    )


def _fit(form: Form, t: Array, e: Array) -> _Fitted:
    """Offset, then the parameters of the form; spreads enter by logarithms, a slope as it is."""
    size = float(np.std(e / t)) or 1e-9

    def theta_of(z: Array) -> Array:
        out = np.array(z, float)
        for k, name in enumerate(form.names, 1):
            out[k] = size * (z[k] if name == "sigma_slope" else np.exp(z[k]))
        out[0] = size * z[0]
        return out

    def single(z: Array) -> Array:
        theta = theta_of(z)
        s = form.spread(theta[1:], t)
        if not (s > 1e-6 * size).all():
            return np.full(len(t), 1e6)
        return np.log(s) + 0.5 * ((e - theta[0] * t) / s) ** 2 + 0.5 * np.log(2 * np.pi)

    start = np.zeros(1 + len(form.names))
    start[2:] = [0.0 if name == "sigma_slope" else -0.7 for name in form.names[1:]]
    optimum = optimize.minimize(
        lambda z: float(single(z).sum()),
        start,
        method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": 1e-8, "maxiter": 4000, "maxfev": 4000},
    )
    if not optimum.success:
        raise ConvergenceError(f"the likelihood must have a maximum; {optimum.message}")
    z, h = np.asarray(optimum.x), 1e-4
    steps = h * np.eye(len(z))
    gradient = np.stack([(single(z + s) - single(z - s)) / (2 * h) for s in steps], axis=1)
    H = hessian(lambda z: float(single(z).sum()), z, h)
    inverse = np.linalg.pinv(H, hermitian=True)
    count = len(t) / (len(t) - len(z))
    covariance = count * inverse @ (gradient.T @ gradient) @ inverse
    # back to offset, logarithms of spreads, slope
    scale = np.array([size, *(size if n == "sigma_slope" else 1.0 for n in form.names)])
    return _Fitted(theta_of(z), covariance * np.outer(scale, scale), -float(optimum.fun))


def _values(form: Form, fit: _Fitted, unit: float, confidence: float) -> dict[str, CardValue]:
    factor = stats.norm.ppf(0.5 + confidence / 2)
    half = factor * np.sqrt(np.clip(np.diag(fit.covariance), 0, None))
    units = {"sigma_abs": (unit, "S"), "sigma_slope": (1 / unit, "1/S")}
    out = {}
    for k, name in enumerate(("offset_mean", *form.names)):
        scale, text = units.get(name, (1.0, ""))
        value, h = float(fit.theta[k]), float(half[k])
        low, high = value - h, value + h
        if name in ("sigma_0", "sigma_abs"):
            low, high = value * np.exp(-h), value * np.exp(h)
        out[f"variability.cti.{name}"] = CardValue(
            value=scale * value, low=float(scale * low), high=float(scale * high), unit=text
        )
    return out


def _checks(z: Array, t: Array) -> tuple[Check, ...]:
    """F tests of z and z^2 on the target and its square."""
    X = np.stack([np.ones_like(t), t, t * t], axis=1)
    out = []
    for name, y in (("error against target", z), ("spread against target", z**2)):
        y = y - y.mean()
        fitted = X @ np.linalg.lstsq(X, y, rcond=None)[0]
        lost = float(((y - fitted) ** 2).sum())
        F = float((fitted**2).sum()) / 2 / (lost / (len(t) - 3))
        p = float(stats.f.sf(F, 2, len(t) - 3))
        out.append(Check(name, p, p >= LEVEL / 2))
    return tuple(out)


def _pulses(pulses: Array) -> dict[str, Any] | None:
    counts = pulses[np.isfinite(pulses)]
    if not counts.size:
        return None
    return {
        "writes": len(counts),
        "mean": float(counts.mean()),
        "median": float(np.median(counts)),
        "q95": float(np.quantile(counts, 0.95)),
    }


def _notices(
    data: TuningLog, failed: Flags, z: Array, checks: tuple[Check, ...], spread_out: bool
) -> list[str]:
    out = []
    if failed.any():
        out.append(
            f"left out, {counted(int(failed.sum()), 'write')} that ended more than "
            f"{100 * FAILED:g} % off: "
            "`calibrate spread` makes stuck devices of such"
        )
    if len(np.unique(data.device)) < len(data.device) and len(np.unique(data.device)) > 1:
        out.append(
            "devices were written several times: their errors count as independent here; "
            "`calibrate spread` tells what a device keeps from what a write draws"
        )
    if not spread_out:
        out.append("the targets are alike: relative and absolute errors cannot be told apart")
    kurtosis = float(stats.kurtosis(z))
    if len(z) >= FEW and float(stats.normaltest(z)[1]) < LEVEL:
        out.append(
            f"the errors are not normal (excess kurtosis {kurtosis:.2g}; a verify loop cuts them "
            "at its tolerance): they are drawn normal, with the same standard deviation"
        )
    if not all(check.holds for check in checks):
        out.append(
            "no form of the spread holds: errors follow the target in another way. Intervals are "
            "withheld; fit a narrower range of targets, or accept it (--accept)"
        )
    return out
