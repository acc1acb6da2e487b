"""Which device model predicts voltages that were not fitted: all candidates, cross-validated.

Every registered model is fitted to the data, one for each static curve (the published parameter
sets of one equation are one), with its fields as they are and with those fitted that shape it.
Reads are sorted by voltage and cut into `BLOCKS` blocks, device by device. Each block is predicted
from a fit to the others, so that the highest voltages are extrapolated and all inner ones
interpolated over a gap (blocks in place of drawn points, as neighbours tell too much of each other:
Roberts et al. 2017, Ecography, doi:10.1111/ecog.02881). The errors are weighted by the stated
scatter, and cut at `CUT` robust standard deviations of the best candidate, so that single outliers
decide nothing.

Chosen is the model of the fewest parameters whose mean squared error lies within one standard error
of the smallest one (Breiman et al. 1984, doi:10.1201/9781315139470, section 3.4; Hastie et al.
2009, doi:10.1007/978-0-387-84858-7, section 7.10), among those that no test of the residuals speaks
against if there are any. How far one model is behind another is counted in standard errors of the
difference, point by point, as both were held against the same noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xbarspice import devices
from xbarspice.calibration.fit import Fit, fit_problem
from xbarspice.calibration.measurements import Reads
from xbarspice.calibration.model import Model, level_of, with_fields
from xbarspice.calibration.problem import Options
from xbarspice.calibration.robust import CUT, robust_std
from xbarspice.core.array import Crossbar
from xbarspice.core.counts import counted
from xbarspice.core.errors import ConvergenceError, InputError
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.devices import Device, DynamicDevice
from xbarspice.surrogate.newton import closed_form

__all__ = ["BLOCKS", "Candidate", "Ranking", "rank_models"]

BLOCKS = 5
"""Blocks of voltage."""
BEYOND = 3.0
"""Standard errors by which the model that was asked for must lose for a warning."""
MOST_PARAMETERS, MOST_WORK = 100, 300_000
"""Fitted values, and currents times devices of an array, up to which models are ranked unasked."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One device model in the ranking.

    Attributes:
        name: registered name. alike: other names of the same static curve.
        fitted: its fields that were fitted.
        parameters: count of all fitted values.
        error: rms error of predicted blocks over the stated scatter, where `validated` is False
            that of the fit to all data, which is smaller; without points beyond `CUT` of the best.
        highest: rms error of the highest block of voltage over its rms; None without validation.
        holds: whether no test of the residuals of the fit to all data speaks against it.
        behind: standard errors by which its mean squared error exceeds the smallest one.
        validated: whether blocks were predicted. A fit that is far behind already is not validated.
        reason: why the model was left out; empty if it was not.
        note: measured voltages beyond the range of its source; may be empty.
    """

    name: str
    alike: tuple[str, ...] = ()
    fitted: tuple[str, ...] = ()
    parameters: int = 0
    error: float = np.inf
    highest: float | None = None
    holds: bool = False
    behind: float = np.inf
    validated: bool = False
    reason: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Candidates, best first, those that were left out last.

    Attributes:
        candidates: all of them.
        best: position of the one to choose; see the module text.
        reference: position of the one that was asked for.
        ahead: standard errors by which the chosen one predicts better than the one asked for.
        blocks: of voltage.
    """

    candidates: tuple[Candidate, ...]
    best: int
    reference: int
    ahead: float
    blocks: int

    @property
    def finding(self) -> str | None:
        """A sentence if the model that was asked for predicts clearly worse."""
        best, reference = self.candidates[self.best], self.candidates[self.reference]
        if self.best == self.reference or self.ahead <= BEYOND:
            return None
        least = "" if reference.validated else "at least "
        return (
            f"{_title(best)} predicts voltages that were left out better than {_title(reference)}: "
            f"an rms error of {best.error:.3g} against {least}{reference.error:.3g} times the "
            f"stated scatter ({counted(self.blocks, 'block')} of voltage, {self.ahead:.3g} "
            "standard errors "
            "apart)"
        )


def _title(candidate: Candidate) -> str:
    fields = f" with {', '.join(candidate.fitted)} fitted" if candidate.fitted else ""
    return f"`{candidate.name}`{fields}"


@dataclass(frozen=True, eq=False)
class _Trial:
    """A candidate that could be fitted: its model of all data, fit, and weighted errors."""

    candidate: Candidate
    model: Model
    fit: Fit
    errors: Array
    validated: bool = False


def rank_models(
    crossbar: Crossbar,
    reads: Reads | Sequence[Reads],
    free: Sequence[str],
    *,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    options: Options | None = None,
    work: bool = False,
) -> Ranking | str:
    """Fit every static device model that is registered and rank them by predicted voltages.

    Args:
        crossbar, reads, free, bounds, options: as in `fit_reads`; the device of the crossbar is the
            one that is asked for, with the fields in `free`. Others are fitted with all fields that
            shape their curve.
        work: also where it takes long: see `MOST_PARAMETERS` and `MOST_WORK`, and models that are
            solved in Python.

    Returns:
        The ranking; or in words why there is none.

    Raises:
        InputError, ConvergenceError: of the model that is asked for, as in `fit_reads`.
    """
    parts = (reads,) if isinstance(reads, Reads) else tuple(reads)
    settings = dataclasses.replace(options or Options(), held_out=0.0, free_held=False)
    reference = Model(crossbar, parts, free, bounds)
    size = len(reference.data) * crossbar.rows * crossbar.cols
    if not work and (len(reference.parameters) > MOST_PARAMETERS or size > MOST_WORK):
        return "device models were not ranked, as it takes long here (--rank does it)"
    block = np.concatenate([_blocks_of(part) for part in parts])
    if block.max() < 2:
        return "device models were not ranked: it needs reads at 3 voltages or more"
    trials = [_trial(crossbar.device, (), reference, settings)]
    refused = []
    for device, alike, names in _candidates(reference, free):
        model_bounds = {n: b for n, b in (bounds or {}).items() if n in names}
        if not work and _is_slow(device, crossbar.G_flat):
            slow = "it takes long here (--rank includes it)"
            if device.name not in {c.name for c in refused}:
                refused.append(Candidate(name=device.name, alike=alike, reason=slow))
            continue
        try:
            model = Model(crossbar.replace(device=device), parts, names, model_bounds)
            trials.append(_trial(device, alike, model, settings))
        except (InputError, ConvergenceError, TypeError, ArithmeticError) as error:
            refused.append(Candidate(name=device.name, alike=alike, reason=str(error)))
    alike = tuple(n for n in _alike(crossbar.device, reference) if n != crossbar.device.name)
    trials[0] = dataclasses.replace(
        trials[0], candidate=dataclasses.replace(trials[0].candidate, alike=alike)
    )
    return _order(_validate(trials, block, settings), reference, refused, block)


def _trial(device: Device, alike: tuple[str, ...], model: Model, options: Options) -> _Trial:
    """Fit one candidate to all data."""
    fit = fit_problem(model, options)
    highest = np.abs(model.voltage_of_point).max()
    beyond = highest > device.V_max * (1 + 1e-9)
    candidate = Candidate(
        name=device.name,
        alike=alike,
        fitted=tuple(n.removeprefix("device.") for n in model.free if n.startswith("device.")),
        parameters=len(model.parameters),
        holds=fit.holds,
        note=f"its source ends at {device.V_max:g} V" if beyond else "",
    )
    sigma = options.noise.sigma(fit.measured)
    return _Trial(candidate, model, fit, (fit.predicted - fit.measured) / sigma)


# --- candidates --------------------------------------------------------------------------------


def _candidates(
    reference: Model, free: Sequence[str]
) -> Iterator[tuple[Device, tuple[str, ...], list[str]]]:
    """Every other candidate: the device, other names of its curve, and what is fitted.

    A curve is tried with its fields as they are, and with those that shape it fitted.
    """
    wires = [n for n in reference.free if not n.startswith("device.") and n != "G"]
    names = [[*wires, *fields, *(["G"] if "G" in free else [])] for fields in ([], ["device"])]
    used_names: set[str] = set()
    models = [reference.crossbar.device, *(devices.get(name) for name in devices.names())]
    for device in sorted(models, key=lambda d: isinstance(d, DynamicDevice) and d is not models[0]):
        if device.name in used_names:
            continue
        alike = _alike(device, reference)
        used_names |= {device.name, *alike}
        tried = {reference.free} if device is reference.crossbar.device else set()
        for free_names in names:
            expanded = tuple(
                with_fields(reference.crossbar.replace(device=device), reference.reads, free_names)
            )
            if expanded and expanded not in tried:
                tried.add(expanded)
                yield device, alike, list(expanded)


def _alike(device: Device, model: Model) -> tuple[str, ...]:
    """Names of the other models that have the same static curve once their fields are equal."""
    V = np.linspace(0.1, 1.0, 7) * np.abs(model.voltage_of_point).max()
    G = np.full_like(V, np.median(model.crossbar.G[model.crossbar.G > 0]))
    fields = {f.name: getattr(device, f.name) for f in dataclasses.fields(device)}  # type: ignore[arg-type]
    out = []
    for name in devices.names():
        candidate = devices.get(name)
        shared = {f.name for f in dataclasses.fields(candidate)} & set(fields)  # type: ignore[arg-type]
        try:
            same = devices.with_parameters(candidate, {n: fields[n] for n in shared})
            equal = np.allclose(same.current(V, G), device.current(V, G), rtol=1e-9, atol=0.0)
        except (InputError, ArithmeticError):
            continue
        if equal and name != device.name:
            out.append(name)
    return tuple(out)


# --- cross-validation --------------------------------------------------------------------------


def _blocks_of(reads: Reads) -> Indices:
    """Block of voltage of every read, device by device, (N,)."""
    level, array = np.abs(level_of(reads)), np.asarray(reads.array)
    out = np.zeros(len(level), np.intp)
    for k in np.unique(array):
        part = array == k
        values, rank = np.unique(level[part], return_inverse=True)
        out[part] = rank * min(BLOCKS, len(values)) // len(values)
    return out


def _validate(trials: Sequence[_Trial], block: Indices, options: Options) -> list[_Trial]:
    """Predict blocks, best fit first; fits that are far behind already are left as they are."""
    out: list[_Trial] = []
    for trial in sorted(trials, key=lambda t: float(np.median(np.abs(t.errors)))):
        validated = [t for t in out if t.validated]
        if validated:
            cut = _cut([t.errors for t in validated])
            best = min(validated, key=lambda t: float(_squares(t.errors, cut).mean()))
            if _apart(_squares(trial.errors, cut), _squares(best.errors, cut)) > BEYOND:
                out.append(trial)
                continue
        try:
            errors = _predict_blocks(trial, block, options)
            out.append(dataclasses.replace(trial, errors=errors, validated=True))
        except (InputError, ConvergenceError, ArithmeticError) as error:
            note = f"not validated: {str(error).partition(';')[0]}"
            candidate = dataclasses.replace(trial.candidate, note=note)
            out.append(dataclasses.replace(trial, candidate=candidate))
    return out


def _predict_blocks(trial: _Trial, block: Indices, options: Options) -> Array:
    """Weighted errors of every current as predicted from the other blocks, (points,)."""
    model, errors = trial.model, np.empty_like(trial.errors)
    start = model.at(trial.fit.values)
    bounds = {p.name: (p.low, p.high) for p in model.parameters if not p.name.startswith("G[")}
    sigma = options.noise.sigma(trial.fit.measured)
    ends = np.cumsum([0, *(len(part.V_in) for part in model.reads)])
    of_point = block[model.read_of_point]
    for k in range(block.max() + 1):
        parts = [
            part.take(block[a:b] != k)
            for part, a, b in zip(model.reads, ends, ends[1:], strict=False)
            if np.isfinite(part.currents()[block[a:b] != k]).any()
        ]
        fit = fit_problem(Model(start, parts, model.free, bounds), options)
        predicted = model.currents(fit.values)
        errors[of_point == k] = ((predicted - trial.fit.measured) / sigma)[of_point == k]
    return errors


def _cut(errors: Sequence[Array]) -> float:
    """Where errors are cut: by the scatter of the candidate that scatters least."""
    return CUT * min(robust_std(e) for e in errors)


def _squares(errors: Array, cut: float) -> Array:
    return np.minimum(errors**2, cut**2)


def _apart(squares: Array, best: Array) -> float:
    """Standard errors by which the mean of squares exceeds that of the best."""
    difference = squares - best
    spread = float(difference.std(ddof=1)) / len(difference) ** 0.5
    mean = float(difference.mean())
    return mean / spread if spread > 0 else float(np.sign(mean)) * np.inf if mean else 0.0


def _order(
    trials: Sequence[_Trial], reference: Model, refused: Sequence[Candidate], block: Indices
) -> Ranking:
    """Candidates by error, and the one to choose."""
    cut = _cut([t.errors for t in trials])
    squares = [_squares(t.errors, cut) for t in trials]
    order = sorted(range(len(trials)), key=lambda k: (not trials[k].validated, squares[k].mean()))
    trials, squares = [trials[k] for k in order], [squares[k] for k in order]
    behind = [_apart(s, squares[0]) for s in squares]
    limit = squares[0].mean() + squares[0].std(ddof=1) / len(squares[0]) ** 0.5
    inside = np.abs(trials[0].errors) <= cut
    near = [k for k, t in enumerate(trials) if t.validated and squares[k].mean() <= limit] or [0]
    near = [k for k in near if trials[k].candidate.holds] or near
    best = min(near, key=lambda k: (trials[k].candidate.parameters, k))
    position = next(k for k, t in enumerate(trials) if t.model is reference)
    candidates = [
        dataclasses.replace(
            t.candidate,
            error=float(np.sqrt(np.mean(t.errors[inside] ** 2))),
            highest=_highest(t, block, inside) if t.validated else None,
            behind=apart,
            validated=t.validated,
        )
        for t, s, apart in zip(trials, squares, behind, strict=True)
    ]
    return Ranking(
        candidates=(*candidates, *refused),
        best=best,
        reference=position,
        ahead=_apart(squares[position], squares[best]) if position != best else 0.0,
        blocks=int(block.max()) + 1,
    )


def _highest(trial: _Trial, block: Indices, inside: Flags) -> float:
    """Rms error of the highest block over its rms, at points inside."""
    top = (block[trial.model.read_of_point] == block.max()) & inside
    sigma, measured = trial.fit.sigma[top], trial.fit.measured[top]
    return float(np.sqrt(np.mean((trial.errors[top] * sigma) ** 2) / np.mean(measured**2)))


def _is_slow(device: Device, G: Array) -> bool:
    """Whether each array is solved in Python."""
    return not device.linear and closed_form(device, G) is None
