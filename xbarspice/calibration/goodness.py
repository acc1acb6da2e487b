"""Whether a fitted model holds: tests of its residuals for structure that noise does not have.

With independent noise the weighted residuals r of a model that holds are orthogonal to every
direction in which the data could differ from it. Tested are

- added terms (Ramsey 1969, doi:10.1111/j.2517-6161.1969.tb00796.x): r is regressed on the Jacobian
  J and on terms Z that models often lack (curvature of either sign, offset, drift in time, a gain
  a line). ``F = ((RSS_J - RSS_JZ)/k) / (RSS_JZ/(n - p - k))`` follows F(k, n - p - k);
- repeats (lack of fit against pure error; Draper and Smith 1998, doi:10.1002/9781118625590, chapter
  2): where equal voltages were applied several times, the scatter of the means is held against the
  scatter of the repeats;
- neighbours in time and in size: the correlation of residuals next to each other in a line,
  ``rho = sum r_i r_(i+1) / sum r_i^2``, is normal with variance 1/n for independent ones.

Residuals are cut at 3.5 robust standard deviations first, so that single outliers decide nothing.
The level of all tests together is `LEVEL` (Bonferroni): so often a model that holds is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from xbarspice.calibration.robust import cut_residuals, robust_std
from xbarspice.core.types import Array, Indices

__all__ = ["FLOOR", "LEVEL", "Check", "Points", "check_model"]

LEVEL = 0.01
"""Share of models that hold and are refused all the same."""
FLOOR = 1e-7
"""Residuals below this share of the values are rounding: nothing is judged by them."""


@dataclass(frozen=True)
class Check:
    """One test: what it looked at, and the probability of a result at least as extreme."""

    name: str
    p: float
    holds: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """What belongs to each fitted point, (points,) each.

    Attributes:
        residual: weighted residual.
        J: Jacobian of the weighted residuals, (points, parameters).
        sigma: standard deviation that it was weighted with.
        predicted: value of the model.
        read: number of the read, in order of time.
        line: number of the line or device.
        repeat: number of its group of reads of equal voltages.
    """

    residual: Array
    J: Array
    sigma: Array
    predicted: Array
    read: Indices
    line: Indices
    repeat: Indices


def check_model(points: Points) -> tuple[Check, ...]:
    """All tests that the data allow; none where the residuals are rounding."""
    r = points.residual
    size = np.sqrt(np.mean((r * points.sigma) ** 2))
    if size <= FLOOR * np.sqrt(np.mean(points.predicted**2)):
        return ()
    cut = cut_residuals(r, robust_std(r, about_median=True))
    tests = [*_added_terms(points, cut), *_repeats(points, cut), *_neighbours(points, cut)]
    level = LEVEL / max(len(tests), 1)
    return tuple(Check(name, p, p >= level) for name, p in tests)


def _added_terms(points: Points, r: Array) -> Iterator[tuple[str, float]]:
    count = len(r) - points.J.shape[1]
    Z = _terms(points, limit=count // 4)
    if not Z.shape[1]:
        return
    length = np.linalg.norm(points.J, axis=0)
    J = points.J / np.where(length > 0, length, 1.0)
    base, full = _rss(J, r), _rss(np.hstack([J, Z / np.linalg.norm(Z, axis=0)]), r)
    k = int(np.linalg.matrix_rank(np.hstack([J, Z])) - np.linalg.matrix_rank(J))
    free = count - k
    if k > 0 and free > 3 and full > 0:
        F = (base - full) / k / (full / free)
        yield "added terms: curvature, offset, drift, gain of a line", float(stats.f.sf(F, k, free))


def _terms(points: Points, limit: int) -> Array:
    """Terms that models often lack, weighted as the residuals, (points, at most `limit`)."""
    u = points.predicted / np.abs(points.predicted).max()
    terms = [u * np.abs(u), u**3, np.ones_like(u)]
    if len(np.unique(points.read)) >= 8:
        terms.append(u * (points.read / points.read.max() - 0.5))
    lines = np.unique(points.line)
    if len(lines) > 1 and len(terms) + len(lines) <= limit:
        terms += [u * (points.line == line) for line in lines[1:]]
    if limit <= 0:
        return np.empty((len(u), 0))
    return np.stack(terms[:limit], axis=1) / points.sigma[:, None]


def _rss(A: Array, r: Array) -> float:
    solution = np.linalg.lstsq(A, r, rcond=1e-10)[0]
    return float(((r - A @ solution) ** 2).sum())


def _repeats(points: Points, r: Array) -> Iterator[tuple[str, float]]:
    """Lack of fit against the scatter of repeats."""
    keys = points.repeat * (points.line.max() + 1) + points.line
    _, group, counts = np.unique(keys, return_inverse=True, return_counts=True)
    groups, count, parameters = len(counts), len(r), points.J.shape[1]
    pure, lack = count - groups, groups - parameters
    if pure < 5 or lack < 1:
        return
    means = np.bincount(group, r) / counts
    within = float(((r - means[group]) ** 2).sum())
    between = float((counts * means**2).sum())
    if within > 0:
        yield (
            "scatter of means against that of repeats",
            float(stats.f.sf(between / lack / (within / pure), lack, pure)),
        )


def _neighbours(points: Points, r: Array) -> Iterator[tuple[str, float]]:
    for name, key in (("in time", points.read), ("in size", points.predicted)):
        order = np.lexsort((key, points.line))
        same = np.diff(points.line[order]) == 0
        product = (r[order][1:] * r[order][:-1])[same]
        if len(product) >= 8:
            z = product.sum() / (r**2).mean() / np.sqrt(len(product))
            yield f"neighbours {name}", float(stats.norm.sf(z))
