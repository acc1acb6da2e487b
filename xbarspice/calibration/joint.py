"""Wires and devices that several dies, arrays of any size and Kelvin monitors share: one fit.

Each die has reads of its own array; shared values (wires, device) are the same on all, its own ones
(such as the resistance of its drivers) carry its name, ``R_driver[A]``. A Kelvin monitor is a line
of n segments whose resistance was measured with four terminals, ``R = n R_wl`` or ``n R_bl``. With
temperatures T the wires and conductances are ``R (1 + alpha_wire (T - T_ref))`` and
``G (1 + alpha_G (T - T_ref))``; fitted R and G hold at T_ref. Leads do not change.

Values of each source are weighted by its own scatter: of the stated shape, and as large as what is
left of it when it has values of its own. Whether the sources agree is tested
by the sum of squares that they lose when each may have values of its own (linear at the solution):
``F = ((S_joint - S_own)/k) / (S_own/(n - p_own))`` follows F(k, n - p_own) if they do (Seber and
Wild 1989, doi:10.1002/0471725315, chapter 5); k is the number of values that become free.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from xbarspice.calibration.fit import Fit, fit_problem
from xbarspice.calibration.goodness import LEVEL, Check
from xbarspice.calibration.held import free_each, held_findings, held_names
from xbarspice.calibration.joint_problem import ALPHAS, LINES, JointProblem, MeasuredDie
from xbarspice.calibration.measurements import Kelvin
from xbarspice.calibration.problem import Noise, Options
from xbarspice.core.errors import ConvergenceError, InputError
from xbarspice.core.types import Array, Flags

__all__ = ["Joint", "fit_joint"]

FEWEST = 4
"""Degrees of freedom from which a source says its scatter itself."""
AGREE = "values that the sources share"


@dataclass(frozen=True, kw_only=True, eq=False)
class Joint:
    """A joint fit.

    Attributes:
        fit: of all sources.
        separate: by source, its own value and interval of each shared parameter that it can say
            something of by itself.
        p: probability that sources which agree differ as much; None for a single source.
        T_ref: temperature at which fitted values hold, K, or None.
    """

    fit: Fit
    separate: dict[str, dict[str, tuple[float, float, float]]]
    p: float | None
    T_ref: float | None


def fit_joint(
    dies: Sequence[MeasuredDie],
    kelvin: Kelvin | None,
    free: Sequence[str],
    *,
    per_die: Sequence[str] = (),
    T_ref: float | None = None,
    options: Options | None = None,
) -> Joint:
    """Fit what several sources share.

    Args:
        dies: arrays with reads, one or more.
        kelvin: monitors of the same lines, or None.
        free: ``R_wl``, ``R_bl``, ``R_wire`` (both), ``R_driver``, ``R_sense``, ``device.<field>``,
            ``alpha_wire``, ``alpha_G``.
        per_die: those of `free` that each die has for itself.
        T_ref: temperature at which fitted values hold, K; with temperature coefficients.
        options: how; nothing is held out. Its noise is that of the reads. With `free_held` wires
            and leads that are held alike on all dies are freed once, to see what depends on them.

    Raises:
        InputError: names, temperatures or data do not fit.
        ConvergenceError: the fit did not end.
    """
    settings = dataclasses.replace(options or Options(), held_out=0.0, free_held=False)
    problem = JointProblem(dies, kelvin, tuple(free), tuple(per_die), T_ref)
    noise = _SourceNoise(
        relative=settings.noise.relative,
        absolute=settings.noise.absolute,
        of_kelvin=None if kelvin is None else kelvin.relative,
        scales=problem.scales,
        is_kelvin=problem.source == len(dies),
        factors=np.ones(len(problem.data)),
    )
    fit = fit_problem(problem, dataclasses.replace(settings, noise=noise))
    factors = _scatter(fit, problem)
    if not np.allclose(factors, factors[0]):
        noise = dataclasses.replace(noise, factors=factors / factors[0])
        fit = fit_problem(problem, dataclasses.replace(settings, noise=noise))
    fit = _look_for_temperature(fit, problem)
    p = _agreement(fit, problem)
    separate: dict[str, dict[str, tuple[float, float, float]]] = {}
    if p is not None:
        for k, die in enumerate(dies):
            separate[die.name] = _separate([dies[k]], None, problem, settings)
        if kelvin is not None:
            separate["Kelvin"] = _kelvin_alone(kelvin, problem)
        fit = _judge(fit, p, separate)
    if options is None or options.free_held:
        fit = _with_held(fit, dies, kelvin, problem, settings)
    return Joint(fit=fit, separate=separate, p=p, T_ref=T_ref)


@dataclass(frozen=True, kw_only=True)
class _SourceNoise(Noise):
    """The scatter of each source; values are shares of the largest of their source.

    Attributes:
        of_kelvin: as stated, a share.
        scales: largest value of each point's source, (points,).
        is_kelvin: which points are of monitors, (points,).
        factors: by which the scatter is more than stated, up to a common one, (points,).
    """

    of_kelvin: float | None
    scales: Array
    is_kelvin: Flags
    factors: Array

    def sigma(self, x: Array) -> Array:
        floor = 1e-3 if self.absolute is None else self.absolute / self.scales
        of_reads = np.hypot(self.relative * x, floor)
        of_kelvin = (self.of_kelvin or 0.0) * np.abs(x)
        return np.where(self.is_kelvin, of_kelvin, of_reads) * self.factors


def _residuals_by_source(
    fit: Fit, problem: JointProblem
) -> tuple[Array, Array, list[tuple[Flags, float, int]]]:
    """Weighted residuals and Jacobian, and of each source its points, sum of squares and rank.

    The sum of squares is that of values of its own, linear at the solution.
    """
    r = (fit.predicted - fit.measured) / fit.sigma
    J = problem.jacobian(fit.values) / fit.sigma[:, None]
    J = J / np.maximum(np.linalg.norm(J, axis=0), 1e-300)
    out = []
    for k in np.unique(problem.source):
        part = problem.source == k
        step, _, rank, _ = np.linalg.lstsq(J[part], r[part], rcond=1e-8)
        out.append((part, float(((r[part] - J[part] @ step) ** 2).sum()), int(rank)))
    return r, J, out


def _scatter(fit: Fit, problem: JointProblem) -> Array:
    """Scatter of each point's source over the stated one, (points,)."""
    out = np.full(len(problem.data), fit.scale)
    for part, squares, rank in _residuals_by_source(fit, problem)[2]:
        freedom = int(part.sum()) - rank
        if freedom >= FEWEST and squares > 0:
            out[part] = np.sqrt(squares / freedom)
    return out


def _agreement(fit: Fit, problem: JointProblem) -> float | None:
    """Probability of the test in the module text; None where nothing is shared."""
    r, J, sources = _residuals_by_source(fit, problem)
    squares, rank = sum(s[1] for s in sources), sum(s[2] for s in sources)
    step, _, of_all, _ = np.linalg.lstsq(J, r, rcond=1e-8)
    joint = float(((r - J @ step) ** 2).sum())
    k, freedom = rank - int(of_all), len(r) - rank
    if len(sources) < 2 or k < 1 or freedom < 3 or squares <= 0:
        return None
    return float(stats.f.sf(max(joint - squares, 0.0) / k / (squares / freedom), k, freedom))


def _with_held(
    fit: Fit,
    dies: Sequence[MeasuredDie],
    kelvin: Kelvin | None,
    problem: JointProblem,
    options: Options,
) -> Fit:
    """The fit with every wire and lead that is held alike on all dies freed once."""

    def refit(names: list[str]) -> Fit:
        per_die, T_ref = problem.per_die, problem.T_ref
        return fit_joint(dies, kelvin, names, per_die=per_die, T_ref=T_ref, options=options).fit

    like = [
        name
        for name in held_names(problem.free)
        if len({repr(getattr(die.crossbar, name)) for die in dies}) == 1
    ]
    held = free_each(fit, dies[0].crossbar, problem.free, refit) if like else ()
    held = tuple(h for h in held if h.name in like)
    return dataclasses.replace(fit, held=held, findings=(*fit.findings, *held_findings(fit, held)))


def _look_for_temperature(fit: Fit, problem: JointProblem) -> Fit:
    """The fit with a test whether residuals follow temperatures that were not fitted."""
    T = problem.T_of_point
    has_T = np.isfinite(T)
    if set(ALPHAS) & set(problem.free) or not has_T.any() or np.ptp(T[has_T]) == 0:
        return fit
    r, J, _ = _residuals_by_source(fit, problem)
    term = np.where(has_T, fit.predicted * (T - T[has_T].mean()), 0.0) / fit.sigma
    wide = np.column_stack([J, term / np.linalg.norm(term)])
    plain, full = (
        float(((r - A @ np.linalg.lstsq(A, r, rcond=1e-8)[0]) ** 2).sum()) for A in (J, wide)
    )
    freedom = len(r) - wide.shape[1]
    p = float(stats.f.sf((plain - full) / (full / freedom), 1, freedom))
    text = (
        f"the values follow the temperature (p = {p:.1g}), which was not fitted: intervals are "
        "withheld. Fit alpha_wire or alpha_G about a reference temperature"
    )
    return _with_check(fit, Check("added term: temperature", p, p >= LEVEL), text)


def _separate(
    dies: Sequence[MeasuredDie], kelvin: None, problem: JointProblem, options: Options
) -> dict[str, tuple[float, float, float]]:
    """What one die says of the shared values; empty where it cannot say them by itself."""
    try:
        alone = fit_joint(
            dies,
            kelvin,
            problem.free,
            per_die=problem.per_die,
            T_ref=problem.T_ref,
            options=options,
        ).fit
    except (ConvergenceError, InputError):
        return {}
    return {p.name: alone[p.name] for p in alone.parameters if "[" not in p.name}


def _kelvin_alone(kelvin: Kelvin, problem: JointProblem) -> dict[str, tuple[float, float, float]]:
    """What monitors say of their lines: means, about the reference temperature by regression."""
    out = {}
    for word, name in LINES.items():
        part = np.array([line == word for line in kelvin.line])
        values = (kelvin.R / kelvin.segments)[part]
        terms = np.ones((len(values), 1))
        if "alpha_wire" in problem.free and kelvin.T is not None and problem.T_ref is not None:
            terms = np.column_stack([terms, kelvin.T[part] - problem.T_ref])
        freedom = len(values) - terms.shape[1]
        if freedom < 1 or np.linalg.matrix_rank(terms) < terms.shape[1]:
            continue
        solution = np.linalg.lstsq(terms, values, rcond=None)[0]
        variance = float(((values - terms @ solution) ** 2).sum()) / freedom
        error = np.sqrt(variance * np.linalg.inv(terms.T @ terms)[0, 0])
        half, value = float(stats.t.ppf(0.975, freedom) * error), float(solution[0])
        out[name] = (value, value - half, value + half)
    return out


def _judge(fit: Fit, p: float, separate: dict[str, dict[str, tuple[float, float, float]]]) -> Fit:
    """The fit with the test of agreement; its intervals are withheld where sources disagree."""
    shared = [q.name for q in fit.parameters if "[" not in q.name]
    statements = [
        f"{name} is "
        + ", ".join(
            f"{v[name][0]:.4g} [{v[name][1]:.3g}, {v[name][2]:.3g}] by {source}"
            for source, v in separate.items()
            if name in v
        )
        for name in shared
        if sum(name in v for v in separate.values()) > 1
    ]
    text = (
        f"the sources disagree (p = {p:.1g}): {'; '.join(statements) or 'see the residuals'}. They "
        "do not share these values: intervals are withheld. Fit them one by one, or let a value be "
        "each die's own (--per-die)"
    )
    return _with_check(fit, Check(AGREE, p, p >= LEVEL), text)


def _with_check(fit: Fit, check: Check, text: str) -> Fit:
    """The fit with one more test; without intervals, and with a finding, where it fails."""
    checks = (*fit.checks, check)
    if check.holds:
        return dataclasses.replace(fit, checks=checks)
    low = np.array([q.low for q in fit.parameters])
    high = np.array([q.high for q in fit.parameters])
    return dataclasses.replace(
        fit, checks=checks, findings=(text, *fit.findings), low=low, high=high
    )
