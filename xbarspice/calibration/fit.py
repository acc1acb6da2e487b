"""Robust, bounded, weighted least squares, with intervals, warnings and a held-out error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from xbarspice.calibration.goodness import Check, Points, check_model
from xbarspice.calibration.model import Parameter
from xbarspice.calibration.problem import Options, Problem
from xbarspice.calibration.resolution import resolution_of
from xbarspice.calibration.robust import robust_std
from xbarspice.calibration.uncertainty import uncertainty
from xbarspice.config.card import HeldOut
from xbarspice.core.errors import ConvergenceError, broken_rule
from xbarspice.core.seeds import child_rng
from xbarspice.core.types import Array, Flags, Indices

__all__ = ["Fit", "Held", "fit_problem", "influence_of"]


ROUNDS = 3
"""The weights come from the data, then from the fitted values: noise must not bias them."""
AT_BOUND = 1e-4
"""Distance from a bound, in changes that are large for a parameter, at which a fit ended there."""
MISFIT = 2.0
"""Residuals over the stated scatter above which the model is said to miss the data."""
SOFT = 1.345
"""Residual, in robust standard deviations, from which a robust loss holds back."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """One number that was not fitted; see `xbarspice.calibration.held` and `held_fields`.

    Attributes:
        name: of the wire or lead, or ``device.<field>``.
        value: at which it was held.
        freed: its value and interval when it is fitted as well; None: that fit did not end.
        moved: fitted parameters whose value then leaves its interval: name, value, low, high.
        reason: it was not fitted as well; empty if it was.
        unit: of the value; empty for device fields.
    """

    name: str
    value: float
    freed: tuple[float, float, float] | None
    moved: tuple[tuple[str, float, float, float], ...]
    reason: str = ""
    unit: str = "ohm"


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """The result of a fit; all arrays are (parameters,) unless said otherwise.

    Attributes:
        parameters: what was fitted.
        values, low, high: solution and confidence interval, SI units.
        error: standard errors; infinite where the data do not determine a parameter.
        findings: what the data do not determine, and parameters at their bounds, in words.
        scale: standard deviation of the residuals in units of `Noise.sigma`.
        rms: rms residual of the fitted part over its rms.
        held_out: prediction of what was not fitted; None if nothing was held out.
        fitted: which points were fitted, (points,).
        predicted: values of the model, (points,). measured: the data, (points,).
        sigma: scatter that they were weighted with, up to `scale`, (points,).
        voltage: what was applied at each point, V, (points,). read: number in time, (points,).
        singular: singular values of the scaled Jacobian.
        evaluations: of the model.
        checks: tests of the residuals; see `xbarspice.calibration.goodness`.
        held: wires, leads and fields of a dynamic device that were not fitted.
    """

    parameters: tuple[Parameter, ...]
    values: Array
    low: Array
    high: Array
    error: Array
    findings: tuple[str, ...]
    scale: float
    rms: float
    held_out: HeldOut | None
    fitted: Flags
    predicted: Array
    measured: Array
    sigma: Array
    voltage: Array
    read: Indices
    singular: Array
    evaluations: int
    checks: tuple[Check, ...] = ()
    held: tuple[Held, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether no test of the residuals speaks against the model."""
        return all(check.holds for check in self.checks)

    def __getitem__(self, name: str) -> tuple[float, float, float]:
        """Value and interval of a parameter by name."""
        k = [p.name for p in self.parameters].index(name)
        return float(self.values[k]), float(self.low[k]), float(self.high[k])


def fit_problem(problem: Problem, options: Options) -> Fit:
    """Fit any `Problem`; see `xbarspice.calibration.array_fit`.

    Raises:
        InputError: there are not more measured values than parameters.
    """
    data, parameters = problem.data, problem.parameters
    fitted = _split(problem.read_of_point, options)
    if fitted.sum() <= len(parameters):
        raise broken_rule(
            f"a fit of {len(parameters)} parameters needs more measured values than that",
            f"{int(fitted.sum())} (and {int((~fitted).sum())} held out)",
            "Measure more, fit less, or lower the held-out share.",
        )
    minimum, predicted, sigma, soft, evaluations = _rounds(problem, options, fitted)
    theta, residual = minimum.x, (predicted - data) / sigma
    J = problem.jacobian(theta)[fitted] / sigma[fitted, None]
    psi, slope = influence_of(residual[fitted], options.loss, soft)
    free = len(psi) / (len(psi) - len(parameters))
    s = float(np.sqrt(np.mean(psi**2) * free) / np.mean(slope))
    scales = np.array([_scale_of(p) for p in parameters])
    step = resolution_of(data)[fitted]
    rounded = _is_rounding((predicted - data)[fitted], step)
    confidence = uncertainty(
        J,
        s,
        theta,
        scales,
        [p.name for p in parameters],
        [p.unit for p in parameters],
        influence=(psi, slope),
        rounding=step / 2 / sigma[fitted] if rounded else None,
        confidence=options.confidence,
    )
    low = np.array([p.low for p in parameters])
    high = np.array([p.high for p in parameters])
    points = Points(
        residual=residual[fitted],
        J=J,
        sigma=sigma[fitted],
        predicted=predicted[fitted],
        read=problem.read_of_point[fitted],
        line=problem.line_of_point[fitted],
        repeat=problem.repeat_of_point[fitted],
    )
    checks = () if rounded else check_model(points)
    half = confidence.half if all(c.holds for c in checks) else np.full(len(theta), np.inf)
    at_bound = [
        f"`{p.name}` ended at its bound {p.low if x - p.low < p.high - x else p.high:g} {p.unit}: "
        "its interval is not a symmetric one"
        for p, x in zip(parameters, theta, strict=True)
        if min(x - p.low, p.high - x) <= AT_BOUND * _scale_of(p)
    ]
    return Fit(
        parameters=parameters,
        values=theta,
        low=np.maximum(theta - half, low),
        high=np.minimum(theta + half, high),
        error=confidence.error,
        findings=(
            *_structure(checks),
            *_below(rounded, step),
            *confidence.findings,
            *at_bound,
            *misfit(s),
        ),
        scale=s,
        rms=_rms(predicted, data, fitted),
        held_out=_held_out(predicted, data, fitted, options),
        fitted=fitted,
        predicted=predicted,
        measured=data,
        sigma=sigma,
        voltage=problem.voltage_of_point,
        read=problem.read_of_point,
        singular=confidence.singular,
        evaluations=evaluations,
        checks=checks,
    )


def _structure(checks: Sequence[Check]) -> Iterator[str]:
    """A finding where the residuals are no noise."""
    failed = [check for check in checks if not check.holds]
    if failed:
        tests = "; ".join(f"{check.name} (p = {check.p:.1g})" for check in failed)
        yield (
            "the model does not hold: its residuals have a structure that noise has not, by the "
            f"test of {tests}. Intervals are withheld. Look at the residuals, fit what is held, or "
            "choose another device model"
        )


def _is_rounding(difference: Array, step: Array) -> bool:
    """Whether what is left is no larger than the rounding of the data."""
    return bool(np.mean(difference**2) <= np.mean(step**2) / 4)


def _below(rounded: bool, step: Array) -> Iterator[str]:
    """A finding where the residuals show no noise."""
    if rounded:
        yield (
            "the model follows the data to the resolution of the file (steps of up to "
            f"{step.max():.2g}): the noise is below it, and the intervals are bounds from rounding"
        )


def misfit(scale: float) -> Iterator[str]:
    """A finding where residuals are far larger than the stated scatter: intervals hold no more.

    Args:
        scale: standard deviation of the residuals over the stated scatter.
    """
    if scale > MISFIT:
        yield (
            f"the model misses the data by {scale:.3g} times the stated scatter: either the "
            "scatter is larger (--relative, --absolute), or the model does not hold, and then the "
            "intervals do not either"
        )


def _rounds(
    problem: Problem, options: Options, fitted: Flags
) -> tuple[optimize.OptimizeResult, Array, Array, float, int]:
    """Minimise with better and better weights: result, predictions, sigma, soft limit, calls."""
    data = problem.data
    theta = np.array([p.start for p in problem.parameters])
    sigma, soft, evaluations = options.noise.sigma(data), 1.0, 0
    for _ in range(ROUNDS - 1):
        minimum = _minimise(problem, theta, sigma, fitted, options.loss, soft, 1e-6)
        theta, evaluations = minimum.x, evaluations + minimum.nfev
        predicted = problem.currents(theta)
        spread = robust_std(((predicted - data) / sigma)[fitted])
        soft = SOFT * max(spread, 1e-12)
        sigma = options.noise.sigma(predicted)
    minimum = _minimise(problem, theta, sigma, fitted, options.loss, soft, 1e-10)
    return minimum, problem.currents(minimum.x), sigma, soft, evaluations + minimum.nfev


def _split(read_of_point: Indices, options: Options) -> Flags:
    reads = np.unique(read_of_point)
    count = round(options.held_out * len(reads))
    rng = child_rng(options.seed, "calibrate: held out")
    out = rng.permutation(reads)[:count]
    return ~np.isin(read_of_point, out)


def _scale_of(p: Parameter) -> float:
    """A large change of a parameter: its start, and a tenth of an ohm at least."""
    return max(abs(p.start), {"ohm": 0.1, "S": 1e-7}.get(p.unit, 0.0)) or 1.0


def _minimise(
    problem: Problem,
    start: Array,
    sigma: Array,
    fitted: Flags,
    loss: str,
    soft: float,
    tolerance: float,
) -> optimize.OptimizeResult:
    data = problem.data
    minimum = optimize.least_squares(
        lambda x: ((problem.currents(x) - data) / sigma)[fitted],
        start,
        jac=lambda x: (problem.jacobian(x) / sigma[:, None])[fitted],  # type: ignore[arg-type]
        bounds=([p.low for p in problem.parameters], [p.high for p in problem.parameters]),
        x_scale=np.array([_scale_of(p) for p in problem.parameters]),
        loss=loss,
        f_scale=soft,
        ftol=tolerance,
        xtol=tolerance,
        gtol=1e-12,
        max_nfev=300,
    )
    if minimum.status <= 0:
        raise ConvergenceError(
            f"the fit must end within 300 steps; {minimum.message} "
            "Start nearer, set bounds, or fit fewer parameters."
        )
    return minimum


def influence_of(r: Array, loss: str, soft: float) -> tuple[Array, Array]:
    """Psi and psi' of weighted residuals, (points,) each."""
    z = r / soft
    if loss == "linear":
        return r, np.ones_like(r)
    if loss == "huber":
        return np.clip(r, -soft, soft), (np.abs(z) <= 1).astype(float)
    return r / np.sqrt(1 + z**2), (1 + z**2) ** -1.5


def _rms(predicted: Array, data: Array, mask: Flags) -> float:
    rms = np.sqrt(np.mean(data[mask] ** 2))
    return float(np.sqrt(np.mean((predicted - data)[mask] ** 2)) / rms)


def _held_out(predicted: Array, data: Array, fitted: Flags, options: Options) -> HeldOut | None:
    if fitted.all():
        return None
    return HeldOut(
        split=f"{100 * options.held_out:g} % of the reads, drawn with seed {options.seed}",
        points=int((~fitted).sum()),
        error=_rms(predicted, data, ~fitted),
        noise=_rms(predicted, data, fitted),
    )
