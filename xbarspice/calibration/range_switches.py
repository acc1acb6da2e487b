"""Range switches of a meter: steps of the current, or of its scatter, at a power of ten."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from xbarspice.calibration.curves import CHANGE, LEVEL, SMALL, Mark, nothing, segments_of
from xbarspice.core.types import Array, Indices

__all__ = ["DECADES", "range_switch"]

DECADES = (1.0, 1.05, 1.1, 1.2)
"""Where meters change range: times a power of ten (auto-ranging goes up at 105 to 120 %)."""
BESIDE = 10
"""Points on each side of a range switch that are compared."""
QUIETER = 3.0
"""Ratio of the scatter on both sides of a range switch that is named."""


def range_switch(V: Array, current: Array, level: float) -> Mark:
    """A step of the current, or of its scatter, where |I| passes a decade."""
    size = np.abs(current)
    if not (size > 0).any():
        return nothing(V)
    first, last = np.floor(np.log10(size[size > 0].min())), np.floor(np.log10(size.max()))
    limits = [10.0**n for n in np.arange(max(first, last - 5), last + 1)]
    segments = [p[size[p] > SMALL * size.max()] for p in segments_of(V)]
    level /= len(limits) * (len(DECADES) + 1)
    # scatter that steps makes a step of the current look surer than it is: it goes first
    steps = [step for limit in limits for step in _noise_steps(V, size, segments, limit, level)]
    if not steps:
        steps = [step for limit in limits for step in _jumps(V, size, segments, limit, level)]
    if not steps:
        return nothing(V)
    _, limit, words = min(steps)
    return Mark(
        points=(size < limit) & (V != 0),
        size=limit,
        words=f"{words} at {limit:g} A",
        option=f"--min-current {limit:g}",
        limit=limit,
    )


def _noise_steps(
    V: Array, size: Array, segments: list[Indices], decade: float, level: float
) -> Iterator[tuple[float, float, str]]:
    """Probability, current and words of a step of the scatter at one decade."""
    p, ratio = _noise_step(V, size, segments, decade)
    if p < level and abs(np.log(ratio)) > np.log(QUIETER):
        yield p, decade, f"the scatter above is {ratio:.2g} times that below"


def _jumps(
    V: Array, size: Array, segments: list[Indices], decade: float, level: float
) -> Iterator[tuple[float, float, str]]:
    """Probability, current and words of steps of the current at one decade."""
    for factor in DECADES:
        limit = factor * decade
        p, step = _jump(V, size, segments, limit, 2)
        if p > level or abs(step) < CHANGE:
            continue
        # a curve that is no parabola seems to step: a cubic one must leave the step there
        if _jump(V, size, segments, limit, 3)[0] < LEVEL:
            yield p, limit, f"the current steps by {100 * step:+.2g} %"


def _jump(
    V: Array, size: Array, segments: list[Indices], limit: float, degree: int
) -> tuple[float, float]:
    """A common step of log |I/V| at |I| = limit, beside a polynomial in |V| for each segment."""
    columns, rows, targets = [], [], []
    for points in segments:
        above = size[points] > limit
        k = int(above.argmax()) if above.any() else 0
        if k < 5 or len(points) - k < 5:
            continue
        near = points[max(k - BESIDE, 0) : k + BESIDE]
        v = np.abs(V[near])
        v = (v - v.mean()) / np.ptp(v)
        columns.append(np.vander(v, degree + 1))
        rows.append(1.0 * (size[near] > limit))
        targets.append(np.log(size[near] / np.abs(V[near])))
    if not columns:
        return 1.0, 0.0
    count = sum(map(len, columns))
    terms = degree + 1
    A, at = np.zeros((count, terms * len(columns) + 1)), 0
    for k, part in enumerate(columns):
        A[at : at + len(part), terms * k : terms * (k + 1)] = part
        at += len(part)
    A[:, -1] = np.concatenate(rows)
    return _last_coefficient(A, np.concatenate(targets))


def _noise_step(
    V: Array, size: Array, segments: list[Indices], limit: float
) -> tuple[float, float]:
    """A step of the scatter at |I| = limit, beside a parabola of log scatter in log |I|."""
    scatter, where = [], []
    for points in segments:
        y = np.log(size[points] / np.abs(V[points]))
        if len(y) >= 3:
            scatter.append(np.abs(y[2:] - 2 * y[1:-1] + y[:-2]))
            where.append(size[points][1:-1])
    if not scatter:
        return 1.0, 1.0
    e, x = np.concatenate(scatter), np.concatenate(where)
    near = (x > limit / 10) & (x < limit * 10) & (e > 0)
    e, x = np.log(e[near]), np.asarray(np.log(x[near] / limit), dtype=float)
    if min((x > 0).sum(), (x < 0).sum()) < 10:
        return 1.0, 1.0
    e = np.maximum(e, np.median(e) - 3)  # the logarithm of a normal number has a long lower tail
    A: Array = np.stack([np.ones(len(x)), x, np.where(x > 0, 1.0, 0.0)], axis=1)
    p, step = _last_coefficient(A, e, inflate=np.sqrt(2))  # second differences overlap
    return p, float(np.exp(step))


def _last_coefficient(A: Array, y: Array, inflate: float = 1.0) -> tuple[float, float]:
    """Two-sided p value and value of the last coefficient of a linear regression."""
    solution, _, rank, _ = np.linalg.lstsq(A, y, rcond=1e-10)
    free = len(y) - rank
    if rank < A.shape[1] or free < 4:
        return 1.0, 0.0
    s2 = float(((y - A @ solution) ** 2).sum()) / free
    error = inflate * float(np.sqrt(s2 * np.linalg.inv(A.T @ A)[-1, -1]))
    value = float(solution[-1])
    return float(2 * stats.t.sf(abs(value) / max(error, 1e-300), free)), value
