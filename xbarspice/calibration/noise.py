"""Read noise from repeated reads, and retention from reads over time.

Read noise (`variability.ReadNoise`): one read of a device scatters by ``slope + sigma_0 G`` (S).
The variance of a group of repeats, one device or one bit line under one input, is ``theta^T Q
theta`` with theta = (slope, sigma_0): relative, Q = q q^T and q = (1/G, 1) for a device; in A^2,
Q = sum V^2 q q^T over the devices of the line and q = (1, G) for a bit line, whose wires count as
ideal here. Sums of squares around what is common to a group follow that variance times chi^2; theta
is of largest likelihood, with intervals from the expected information, or from chi^2 itself (exact)
where only one of the two can be told. Repeats that scatter by less than half a step of the file's
last digit give an upper bound alone, the step (`xbarspice.calibration.resolution`).

Retention (`variability.RetentionDrift`): ln G falls along nu_d ln(t/t_0), nu_d ~ N(nu, nu_std^2)
one a device. The slopes of the devices, each with the variance that the read noise leaves it, give
nu_std and its interval by the generalised Q statistic (Viechtbauer 2007, doi:10.1002/sim.2514)
and nu by their weighted mean with Student's t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, stats

from xbarspice.calibration.measurements import Reads, Repeats
from xbarspice.calibration.outliers import judge_outliers, keep_near
from xbarspice.calibration.resolution import below_resolution, is_rounding, resolution_of
from xbarspice.calibration.spread import Spread
from xbarspice.calibration.uncertainty import uncertainty
from xbarspice.config.card import CardValue
from xbarspice.core.errors import ConvergenceError, broken_rule
from xbarspice.core.types import Array, Flags, Indices

__all__ = ["fit_noise", "fit_read_noise"]

FEW = 8
"""Fewer degrees of freedom than this are not fitted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Groups:
    """Sums of squares, their degrees of freedom, (groups,), and Q, (groups, 2, 2).

    `step` is the resolution of the values in the unit of the root of `squares`, (groups,).
    """

    squares: Array
    freedom: Array
    Q: Array
    step: Array


def fit_noise(
    data: Repeats,
    *,
    at: float | None = None,
    confidence: float = 0.95,
    drop_outliers: bool = False,
) -> Spread:
    """Fit read noise, and where times are known retention, to reads of single devices.

    Args:
        data: reads; a device counts with two or more.
        at: time since programming for which the retention term is to stand, s; None: the last read.
        confidence: of the intervals.
        drop_outliers: leave reads out that normal noise does not explain.

    Raises:
        InputError: there are too few repeats, or `at` lies before the first read.
        ConvergenceError: the likelihood has no maximum that could be found.
    """

    def standardise(keep: Flags) -> Array:
        groups, residual, _ = _groups_of_devices(data, keep)
        return residual / _sigmas(groups, confidence)[data.device]

    near = keep_near(data.device, standardise)
    checks, outliers = judge_outliers(near, "reads", drop_outliers)
    groups, _, slopes = _groups_of_devices(
        data, near.keep if drop_outliers else np.ones_like(near.keep)
    )
    theta, term, values, notices = _read_noise(groups, confidence)
    terms: list[dict[str, Any]] = [term]
    if slopes:
        of = np.array([s[2] for s in slopes])
        variance = np.einsum("gij,i,j->g", groups.Q[of], theta, theta)
        timed = data.t[np.isfinite(data.t)]
        span = (float(timed.min()), float(timed.max()))
        retention = _retention(slopes, variance, span, at, confidence)
        terms, values = [retention[0], *terms], {**retention[1], **values}
        notices += retention[2]
    else:
        notices.append("no term for retention: it needs three reads of a device with times `t`")
    notices = [*outliers, *notices]
    return Spread(terms=tuple(terms), values=values, notices=tuple(notices), checks=checks)


def _groups_of_devices(
    data: Repeats, keep: Flags
) -> tuple[_Groups, Array, list[tuple[float, float, int]]]:
    """Groups of one device each, residuals of ln G (reads,), and slopes over ln t.

    A slope is (nu, sum of squares of ln t, device).
    """
    count = int(data.device.max()) + 1
    squares, freedom, step, level = (np.zeros(count) for _ in range(4))
    level += 1.0
    residuals, slopes = np.zeros(len(data.G)), []
    resolution = resolution_of(data.G) / data.G
    timed = data.t[np.isfinite(data.t)]
    t_0 = float(timed.min()) if timed.size else 1.0
    for d in range(count):
        of_device = (data.device == d) & keep
        if not of_device.any():
            continue
        y, t = np.log(data.G[of_device]), data.t[of_device]
        x = -np.log(t / t_0) if np.isfinite(t).all() else np.zeros(len(t))
        x = x - x.mean()
        spread = float(x @ x)
        has_slope = len(y) > 2 and np.ptp(x) > 1e-9
        nu = float(x @ y) / spread if has_slope else 0.0
        residual = y - y.mean() - nu * x
        squares[d] = residual @ residual
        freedom[d] = len(y) - 1 - has_slope
        level[d] = np.exp(y.mean())
        step[d] = resolution[of_device].max()
        residuals[of_device] = residual * np.sqrt(len(y) / max(freedom[d], 1.0))
        if has_slope:
            slopes.append((nu, spread, d))
    q = np.stack([1 / level, np.ones(count)], axis=1)
    Q = q[:, :, None] * q[:, None, :]
    return _Groups(squares=squares, freedom=freedom, Q=Q, step=step), residuals, slopes


def _sigmas(groups: _Groups, confidence: float) -> Array:
    """Standard deviation of one value of each group, (groups,)."""
    theta = _read_noise(groups, confidence)[0]
    return np.sqrt(np.einsum("gij,i,j->g", groups.Q, theta, theta))


def fit_read_noise(
    reads: Reads, G: Array, *, confidence: float = 0.95, drop_outliers: bool = False
) -> Spread:
    """Fit read noise to an array's currents under inputs that were applied more than once.

    Args:
        reads: rows with equal voltages are repeats; `V_out` must be 0 V.
        G: conductances of the array, S, (rows, cols).
        confidence: of the intervals.
        drop_outliers: leave currents out that normal noise does not explain.

    Raises:
        InputError, ConvergenceError: as `fit_noise`, or the shapes do not fit.
    """
    if G.shape != (reads.rows, reads.cols) or (reads.V_out is not None and reads.V_out.any()):
        raise broken_rule(
            f"read noise of an array needs its ({reads.rows}, {reads.cols}) conductances and bit "
            "lines at 0 V",
            G.shape,
            "Give --array for the array that was read.",
        )
    measured = np.isfinite(reads.I_out)

    def groups_of(keep: Flags) -> tuple[_Groups, Array, Indices]:
        used = np.zeros_like(measured)
        used[measured] = keep
        return _groups_of_lines(reads, G, used)

    def standardise(keep: Flags) -> Array:
        groups, residual, number = groups_of(keep)
        sigma = np.append(_sigmas(groups, confidence), np.inf)  # of currents without a group
        return (residual / sigma[number])[measured]

    _, which = np.unique(reads.V_in, axis=0, return_inverse=True)
    line = np.ravel(which)[:, None] * reads.cols + np.arange(reads.cols)
    near = keep_near(line[measured], standardise)
    checks, outliers = judge_outliers(near, "currents", drop_outliers)
    groups = groups_of(near.keep if drop_outliers else np.ones_like(near.keep))[0]
    _, term, values, notices = _read_noise(groups, confidence)
    notices = (*outliers, *notices)
    return Spread(terms=(term,), values=values, notices=notices, checks=checks)


def _groups_of_lines(reads: Reads, G: Array, used: Flags) -> tuple[_Groups, Array, Indices]:
    """Groups of one bit line under one input each, residuals in A and numbers of their groups.

    Args:
        reads: the currents.
        G: conductances, S, (rows, cols).
        used: which currents count, (N, cols); residuals and numbers have the same shape.
    """
    inputs, which = np.unique(reads.V_in, axis=0, return_inverse=True)
    squares, freedom, Q, step = [], [], [], []
    resolution = resolution_of(np.where(np.isfinite(reads.I_out), reads.I_out, 0.0))
    residuals, numbers = np.zeros(used.shape), np.full(used.shape, -1)
    for k, V in enumerate(inputs):
        of_input = which.ravel() == k
        for j in range(reads.cols):
            points = of_input & used[:, j]
            repeats = reads.I_out[points, j]
            count = len(repeats)
            if count < 2 or not np.any(V * G[:, j]):
                continue
            residual = repeats - repeats.mean()
            residuals[points, j] = residual * np.sqrt(count / (count - 1))
            numbers[points, j] = len(squares)
            squares.append(float((residual**2).sum()))
            freedom.append(float(count - 1))
            step.append(float(resolution[points, j].max()))
            q = V[:, None] * np.stack([(G[:, j] > 0).astype(float), G[:, j]], axis=1)
            Q.append(q.T @ q)
    groups = _Groups(
        squares=np.array(squares),
        freedom=np.array(freedom),
        Q=np.array(Q).reshape(-1, 2, 2),
        step=np.array(step),
    )
    return groups, residuals, numbers


def _read_noise(
    groups: _Groups, confidence: float
) -> tuple[Array, dict[str, Any], dict[str, CardValue], list[str]]:
    """theta, the term, its intervals, and what could not be told."""
    use = groups.freedom > 0
    squares, n, Q = groups.squares[use], groups.freedom[use], groups.Q[use]
    if n.sum() < FEW:
        raise broken_rule(
            f"read noise needs at least {FEW} repeats",
            f"{n.sum():g}",
            "Read the same devices, or the same inputs of an array, more often.",
        )
    step = groups.step[use]
    if is_rounding(float(squares.sum()), n, step):
        return _bound(float((step / np.sqrt(Q[:, 1, 1])).max()))
    size = np.sqrt(squares.sum() / n.sum() / Q[:, 1, 1].mean())
    unit = size * np.array([np.sqrt(Q[:, 1, 1].mean() / Q[:, 0, 0].mean()), 1.0])
    theta = _largest_likelihood(squares, n, Q * np.outer(unit, unit)) * unit
    J = np.sqrt(2 * n)[:, None] * (Q @ theta) / np.einsum("gij,i,j->g", Q, theta, theta)[:, None]
    names, units = ["slope", "sigma_0"], ["S", ""]
    told = uncertainty(J, 1.0, theta, unit, names, units)
    if told.findings or len(n) < 2:
        return _one_number(squares, n, Q, confidence, told.findings)
    half = told.error * stats.norm.ppf(0.5 + confidence / 2)
    values = {
        f"variability.read_noise.{name}": CardValue(
            value=v, low=max(v - h, 0.0), high=v + h, unit=u
        )
        for name, u, v, h in zip(names, units, theta.tolist(), half.tolist(), strict=True)
    }
    notices = [
        f"`{name}` cannot be told from 0"
        for name, v, h in zip(names, theta.tolist(), half.tolist(), strict=True)
        if h >= v
    ]
    term = {"name": "read_noise", **dict(zip(names, theta.tolist(), strict=True))}
    return theta, term, values, notices


def _largest_likelihood(squares: Array, n: Array, Q: Array) -> Array:
    """Theta >= 0, in units in which it is about 1."""

    def cost(theta: Array) -> float:
        v = np.einsum("gij,i,j->g", Q, theta, theta)
        return 1e12 if v.min() <= 0 else 0.5 * float((n * np.log(v) + squares / v).sum())

    optimum = optimize.minimize(
        cost,
        np.array([0.5, 0.5]),
        method="Nelder-Mead",
        bounds=[(0.0, None)] * 2,
        options={"xatol": 1e-7, "fatol": 1e-9, "maxiter": 4000, "maxfev": 4000},
    )
    if not optimum.success:
        raise ConvergenceError(f"the likelihood must have a maximum; {optimum.message}")
    return np.asarray(optimum.x)


def _bound(most: float) -> tuple[Array, dict[str, Any], dict[str, CardValue], list[str]]:
    """Sigma_0 as the resolution alone tells it: from 0 to a step."""
    value = CardValue(value=most, low=0.0, high=most)
    return (
        np.array([0.0, most]),
        {"name": "read_noise", "slope": 0.0, "sigma_0": most},
        {"variability.read_noise.sigma_0": value},
        [f"{below_resolution(most)}: `sigma_0` is that bound, not an estimate"],
    )


def _one_number(
    squares: Array, n: Array, Q: Array, confidence: float, findings: tuple[str, ...]
) -> tuple[Array, dict[str, Any], dict[str, CardValue], list[str]]:
    """sigma_0 alone: the sum of squares over its variance is exactly chi^2."""
    total, freedom = float((squares / Q[:, 1, 1]).sum()), float(n.sum())
    tail = (1 - confidence) / 2
    value, low, high = (
        float(np.sqrt(total / f))
        for f in (freedom, *stats.chi2.ppf([1 - tail, tail], freedom).tolist())
    )
    notices = [
        *findings,
        "slope and sigma_0 cannot be told apart: slope is 0 here; read devices "
        "of different conductance",
    ]
    term = {"name": "read_noise", "slope": 0.0, "sigma_0": value}
    name = "variability.read_noise.sigma_0"
    return np.array([0.0, value]), term, {name: CardValue(value=value, low=low, high=high)}, notices


def _retention(
    slopes: list[tuple[float, float, int]],
    variance: Array,
    span: tuple[float, float],
    at: float | None,
    confidence: float,
) -> tuple[dict[str, Any], dict[str, CardValue], list[str]]:
    """The term, its intervals and what to know of it."""
    t_0, last = span
    t = last if at is None else at
    if not t >= t_0:
        raise broken_rule(
            f"the retention term must stand for a time from the first read on ({t_0:g} s)",
            f"{t:g} s",
            "Raise --at.",
        )
    nu = np.array([s[0] for s in slopes])
    noise_variance = variance / np.array(
        [s[1] for s in slopes]
    )  # what the read noise leaves a slope
    count, tail = len(nu), (1 - confidence) / 2
    std = _std_for(nu, noise_variance, count - 1.0) if count > 1 else 0.0
    w = 1 / (std**2 + noise_variance)
    mean, error = float((w * nu).sum() / w.sum()), float(w.sum() ** -0.5)
    factor = stats.t.ppf(1 - tail, count - 1) if count > 1 else stats.norm.ppf(1 - tail)
    name = "variability.retention."
    values = {
        f"{name}nu": CardValue(
            value=mean, low=mean - float(factor) * error, high=mean + float(factor) * error
        )
    }
    notices = []
    if count > 1:
        most, least = stats.chi2.ppf([1 - tail, tail], count - 1).tolist()
        low, high = (_std_for(nu, noise_variance, level) for level in (most, least))
        if high == 0:  # the slopes differ by less than their noise would let expect
            high = float(np.sqrt(noise_variance.min()))
        values[f"{name}nu_std"] = CardValue(value=std, low=min(low, std), high=max(high, std))
        if low == 0:
            notices.append(
                "`nu_std` cannot be told from 0: read noise explains the difference of "
                "the devices' drifts"
            )
    else:
        notices.append(
            "one device was read over time: nu_std is 0 here, and the interval of `nu` "
            "is that of this device"
        )
    if values[f"{name}nu"].low <= 0 <= values[f"{name}nu"].high:
        notices.append("`nu` cannot be told from 0: read longer or more devices")
    if t > last * (1 + 1e-9):
        notices.append(
            f"the retention term stands for {t:g} s, but the last read was after "
            f"{last:g} s: the power law is continued"
        )
    return {"name": "retention", "nu": mean, "nu_std": std, "t": t, "t_0": t_0}, values, notices


def _std_for(nu: Array, noise_variance: Array, level: float) -> float:
    """The spread of the devices at which their weighted sum of squares is `level`; 0 if below."""

    def excess(std: float) -> float:
        w = 1 / (std**2 + noise_variance)
        mean = (w * nu).sum() / w.sum()
        return float((w * (nu - mean) ** 2).sum()) - level

    if excess(0.0) <= 0:
        return 0.0
    high = max(float(nu.std()), 1e-12)
    while excess(high) > 0:
        high *= 2
    return float(optimize.brentq(excess, 0.0, high, xtol=1e-12))  # type: ignore[arg-type]
