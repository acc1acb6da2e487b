"""Bootstrap intervals beside those from the Jacobian, where a model curves over its own interval.

The intervals of `xbarspice.calibration.uncertainty` take the model as straight between their ends.
`curvature` says how far it is not: each fitted value is moved to both ends of its interval, all
others with it as their covariance says, and the second difference of the weighted residuals is held
against the first (a relative curvature as of Bates and Watts 1980, doi:10.1111/j.2517-6161.1980.
tb01094.x, over the whole interval).

Sweeps are drawn anew with the voltages as they are: residual i becomes ``+-r_i/sqrt(1 - h_i)`` with
leverage h_i and a random sign (the wild bootstrap of Wu 1986, doi:10.1214/aos/1176350142, signs and
scaling of Davidson and Flachaire 2008, doi:10.1016/j.jeconom.2008.08.003), which holds for scatter
of any shape. Of arrays, whole reads are drawn with replacement (cases). Every sample is fitted
again with the same weights. Intervals are those of Efron 1987 (doi:10.1080/01621459.1987.10478410),
bias-corrected for sweeps, and accelerated (BCa) for cases with the empirical influence of the reads
(Davison and Hinkley 1997, doi:10.1017/CBO9780511802843, section 5.3.2). The percentiles are those
of Student's t of the linear interval, as samples of few data scatter too little (expanded
percentiles: Hesterberg 2015, doi:10.1080/00031305.2015.1089789).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from xbarspice.calibration.fit import SOFT, Fit
from xbarspice.calibration.measurements import Reads
from xbarspice.calibration.model import Model
from xbarspice.calibration.problem import Options
from xbarspice.calibration.robust import robust_std
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import ConvergenceError, broken_rule
from xbarspice.core.seeds import child_rng
from xbarspice.core.types import Array, Indices

__all__ = ["SAMPLES", "Bootstrap", "bootstrap"]

SAMPLES = 400
"""Samples that are drawn unasked: ends of an interval then scatter by 7 % of its half width."""
FEWEST = 100
"""Samples below which an interval for 95 % has no ends."""
CURVED = 0.1
"""Curvature from which the interval is drawn anew unasked."""
APART = 0.2
"""Share of the half width by which ends differ before both intervals are printed."""
CHANCE = 1.36
"""Standard deviation of an end, in half widths, from N samples: so much over sqrt(N), from the
density of a normal distribution at its 2.5th percentile."""
ENOUGH = 5
"""Currents (or reads, for arrays) a fitted value below which a bootstrap says less than the
linear interval, whose Student's t knows how few they are."""
MOST_PARAMETERS, MOST_POINTS = 10, 500
"""Fitted values and currents up to which samples are drawn unasked."""


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Intervals drawn from the data; per fitted value in the order of the fit.

    Attributes:
        samples: drawn. kind: "wild" or "reads".
        names, units: of the fitted values.
        low, high: bootstrap intervals, SI units.
        linear_low, linear_high: those from the Jacobian.
        curvature: see the module text; infinite where the interval reaches a bound.
        enough: whether there are enough data for the bootstrap to be the one to use.
    """

    samples: int
    kind: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    linear_low: tuple[float, ...]
    linear_high: tuple[float, ...]
    curvature: tuple[float, ...]
    enough: bool

    @property
    def findings(self) -> Iterator[str]:
        """A sentence for every value on which the two intervals disagree."""
        columns = zip(
            self.names,
            self.units,
            self.low,
            self.high,
            self.linear_low,
            self.linear_high,
            self.curvature,
            strict=True,
        )
        for name, unit, low, high, linear_low, linear_high, curvature in columns:
            unit = f" {unit}" if unit else ""
            half = 0.5 * (linear_high - linear_low)
            chance = 2 * CHANCE / self.samples**0.5
            apart = max(abs(low - linear_low), abs(high - linear_high))
            if apart <= max(APART, chance) * half:
                continue
            use = self._advice(curvature)
            yield (
                f"two intervals of `{name}` disagree: bootstrap [{low:.4g}, {high:.4g}]{unit}, "
                f"linear [{linear_low:.4g}, {linear_high:.4g}]{unit}; {use}"
            )

    def _advice(self, curvature: float) -> str:
        """Which of two intervals to use, and why."""
        if not self.enough:
            return "use the linear one: the data are too few to be drawn from"
        if curvature == np.inf:
            return "use the bootstrap: the interval reaches a bound of a value"
        curved = f"the model curves by {100 * curvature:.2g} % over the interval"
        if curvature > CURVED:
            return f"use the bootstrap: {curved}"
        if self.kind == "reads":
            return "use the bootstrap: the currents of a read scatter together"
        return f"use the linear one: {curved} only, and {self.samples} samples tell no more"


def bootstrap(
    crossbar: Crossbar,
    reads: Sequence[Reads],
    fit: Fit,
    free: Sequence[str],
    options: Options,
    samples: int | None = None,
) -> Bootstrap | None:
    """Intervals from samples of the data.

    Args:
        crossbar: the fitted array.
        reads: the data of the fit.
        fit: a fit that holds; of others there is no interval.
        free: what was fitted.
        options: of the fit; the seed draws the samples.
        samples: how many; 0: none; None: `SAMPLES` where the model curves over an interval, or a
            value ends at its bound, and it takes little time.

    Returns:
        The intervals, or None where none were asked for or are needed.

    Raises:
        InputError: fewer samples than `FEWEST`.
        ConvergenceError: more than a tenth of the samples could not be fitted.
    """
    if samples is not None and 0 < samples < FEWEST:
        raise broken_rule(
            f"a bootstrap needs {FEWEST} samples or more, or 0 for none", samples, "400 is usual."
        )
    if samples == 0 or not fit.holds or not np.isfinite(fit.error).all():
        return None
    work = _Work.of(crossbar, reads, fit, free)
    curvature = _curvature(work, fit)
    few = len(work.model.parameters) <= MOST_PARAMETERS and len(work.y) <= MOST_POINTS
    if samples is None and not (curvature.max() > CURVED and few and crossbar.G[0].size == 1):
        return None
    count = SAMPLES if samples is None else samples
    wild = crossbar.rows * crossbar.cols == 1
    rng = child_rng(options.seed, "calibrate: bootstrap")
    values = _draw(work, options.loss, count, rng, wild=wild)
    influence = np.zeros((1, len(work.theta))) if wild else work.influence()
    ends = [
        _ends(column, value, parts, quantile)
        for column, value, parts, quantile in zip(
            values.T, work.theta, influence.T, _quantiles(fit), strict=True
        )
    ]
    cases = len(work.y) if wild else len(np.unique(work.read))
    return Bootstrap(
        samples=count,
        kind="wild" if wild else "reads",
        names=tuple(p.name for p in fit.parameters),
        units=tuple(p.unit for p in fit.parameters),
        low=tuple(low for low, _ in ends),
        high=tuple(high for _, high in ends),
        linear_low=tuple(fit.low.tolist()),
        linear_high=tuple(fit.high.tolist()),
        curvature=tuple(curvature.tolist()),
        enough=cases >= ENOUGH * len(work.theta),
    )


@dataclass(frozen=True, eq=False)
class _Work:
    """The fitted part of the data at the solution: weighted residuals and their Jacobian."""

    model: Model
    theta: Array
    y: Array
    sigma: Array
    predicted: Array
    J: Array
    read: Indices

    @classmethod
    def of(cls, crossbar: Crossbar, reads: Sequence[Reads], fit: Fit, free: Sequence[str]) -> _Work:
        fitted_reads = np.unique(fit.read[fit.fitted])
        ends = np.cumsum([0, *(len(part.V_in) for part in reads)])
        parts = [
            part.take(np.isin(np.arange(a, b), fitted_reads))
            for part, a, b in zip(reads, ends, ends[1:], strict=False)
            if np.isin(np.arange(a, b), fitted_reads).any()
        ]
        model = Model(crossbar, parts, free)
        sigma, predicted = fit.sigma[fit.fitted], fit.predicted[fit.fitted]
        J = model.jacobian(fit.values) / sigma[:, None]
        y = fit.measured[fit.fitted]
        return cls(model, fit.values, y, sigma, predicted, J, model.read_of_point)

    @property
    def residual(self) -> Array:
        """(measured - model)/sigma."""
        return (self.y - self.predicted) / self.sigma

    def step(self) -> Array:
        """Change of the values by each weighted residual, (parameters, points)."""
        return np.linalg.pinv(self.J / self.lengths()) / self.lengths()[:, None]

    def lengths(self) -> Array:
        length = np.linalg.norm(self.J, axis=0)
        return np.where(length > 0, length, 1.0)

    def influence(self) -> Array:
        """Empirical influence of every read on the values, (reads, parameters)."""
        single = (self.step() * self.residual).T
        _, group = np.unique(self.read, return_inverse=True)
        out = np.zeros((group.max() + 1, single.shape[1]))
        np.add.at(out, group, single)
        return out


def _curvature(work: _Work, fit: Fit) -> Array:
    """Relative curvature over the interval of each value, (parameters,); infinite at a bound."""
    step = work.step()
    covariance = step @ step.T
    out = np.empty(len(fit.parameters))
    low = np.array([p.low for p in fit.parameters])
    high = np.array([p.high for p in fit.parameters])
    half = fit.error * stats.norm.ppf(0.975)
    for j in range(len(out)):
        shift = covariance[:, j] / covariance[j, j] * half[j]
        ends = work.theta - shift, work.theta + shift
        if any((end < low).any() or (end > high).any() for end in ends):
            out[j] = np.inf
            continue
        down, up = (work.model.currents(end) / work.sigma for end in ends)
        second = np.linalg.norm(up - 2 * work.predicted / work.sigma + down)
        out[j] = second / max(float(np.linalg.norm(up - down)), 1e-300)
    return out


def _draw(work: _Work, loss: str, count: int, rng: np.random.Generator, *, wild: bool) -> Array:
    """Values fitted to samples of the data, (samples, parameters)."""
    groups = [np.flatnonzero(work.read == k) for k in np.unique(work.read)]
    leverage = np.einsum("ij,ji->i", work.J, work.step())
    scaled = work.residual / np.sqrt(np.maximum(1 - leverage, 1e-3))
    soft = SOFT * robust_std(work.residual)
    every = np.arange(len(work.y))
    out, failed = [], 0
    for _ in range(count):
        if wild:
            signs = rng.choice((-1.0, 1.0), len(every))
            points, y = every, work.predicted + work.sigma * signs * scaled
        else:
            points = np.concatenate([groups[k] for k in rng.integers(0, len(groups), len(groups))])
            y = work.y
        minimum = _refit(work, loss, soft, points, y)
        if minimum.status > 0:
            out.append(minimum.x)
        else:
            failed += 1
    if failed > 0.1 * count:
        raise ConvergenceError(
            f"every bootstrap sample must be fitted; {failed} of {count} were not. Fit fewer "
            "parameters, or leave the bootstrap out (--bootstrap 0)."
        )
    return np.array(out)


def _refit(
    work: _Work, loss: str, soft: float, points: Indices, y: Array
) -> optimize.OptimizeResult:
    """Fit one sample, from the solution."""
    parameters = work.model.parameters
    low = np.array([p.low for p in parameters])
    high = np.array([p.high for p in parameters])
    single = work.model.crossbar.G[0].size == 1  # where differences cost less than the adjoint
    return optimize.least_squares(
        lambda x: ((work.model.currents(x) - y) / work.sigma)[points],
        work.theta,
        jac="2-point"
        if single
        else lambda x: (work.model.jacobian(x) / work.sigma[:, None])[points],  # type: ignore[arg-type]
        bounds=(low, high),
        x_scale=1.0 / work.lengths(),
        loss=loss,
        f_scale=max(soft, 1e-300),
        ftol=1e-6,
        xtol=1e-5,
        max_nfev=50,
    )


def _quantiles(fit: Fit) -> Array:
    """Student's t that each linear interval was made with, (parameters,)."""
    half = np.maximum(fit.high - fit.values, fit.values - fit.low)
    return half / np.maximum(fit.error, 1e-300)


def _ends(values: Array, value: float, influence: Array, quantile: float) -> tuple[float, float]:
    """Bias-corrected and accelerated interval of one parameter (Efron 1987, eq. 3.9 and 6.6)."""
    count = len(values)
    below = (np.sum(values < value) + 0.5 * np.sum(values == value)) / count
    bias = stats.norm.ppf(np.clip(below, 0.5 / count, 1 - 0.5 / count))
    size = (influence**2).sum() ** 1.5
    skew = (influence**3).sum() / (6 * size) if size > 0 else 0.0
    z = bias + quantile * np.array([-1.0, 1.0])
    low, high = np.quantile(values, stats.norm.cdf(bias + z / (1 - skew * z)))
    return float(low), float(high)
