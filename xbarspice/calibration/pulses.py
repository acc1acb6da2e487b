"""Parameters of dynamic devices from pulse trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from xbarspice import devices
from xbarspice.calibration.fit import Fit, Held, fit_problem
from xbarspice.calibration.held_fields import field_findings, free_fields
from xbarspice.calibration.measurements import PulseTrains
from xbarspice.calibration.model import Parameter, field_parameter
from xbarspice.calibration.problem import Options
from xbarspice.core.errors import ConvergenceError, InputError, broken_rule
from xbarspice.core.types import Array, Indices
from xbarspice.devices import Device, DynamicDevice
from xbarspice.devices.dynamic import writable

__all__ = ["fit_pulses"]

STARTS = (0.7, 1.4)
"""Factors on the starting values of a fit that does not hold."""


class _Trains:
    """Conductances after every pulse; parameters are device fields and the starting conductances.

    The Jacobian is formed by central differences: a train of closed-form steps has no adjoint, and
    the activation of these models is not smooth.
    """

    def __init__(
        self,
        device: DynamicDevice,
        trains: PulseTrains,
        free: Sequence[str],
        bounds: Mapping[str, tuple[float, float]],
    ) -> None:
        self.device, self.trains, self.free = device, trains, tuple(free)
        fields = [f.name for f in dataclasses.fields(device)]  # type: ignore[arg-type]
        wrong = [name for name in (*free, *bounds) if name not in fields]
        if wrong or not free:
            raise broken_rule(
                f"the parameters to fit must be fields of {device.name!r}: {fields}",
                wrong or "none",
                "Name at least one.",
            )
        down, up = device.V_write
        if trains.V.min() < down or trains.V.max() > up:
            raise broken_rule(
                f"pulses of {device.name} must lie in {down:g} to {up:g} V",
                f"{trains.V.min():g} to {trains.V.max():g} V",
                "Leave the others out.",
            )
        first = np.unique(trains.device, return_index=True)[1]
        self.points = np.flatnonzero(np.isfinite(trains.G))
        self.data, self.read_of_point = trains.G[self.points], self.points
        self.line_of_point, self.repeat_of_point = trains.device[self.points], self.points
        self.voltage_of_point = trains.V[self.points]
        self.steps = _steps(trains)
        self.parameters = (
            *(field_parameter(device, name, bounds.get(name)) for name in free),
            *(
                Parameter(
                    name=f"G[{trains.labels[k] if trains.labels else k}]",
                    unit="S",
                    start=float(trains.G[n]),
                    low=0.0,
                    high=np.inf,
                )
                for k, n in enumerate(first)
            ),
        )

    def model(self, theta: Array) -> DynamicDevice:
        fields = dict(zip(self.free, theta[: len(self.free)].tolist(), strict=True))
        model = devices.with_parameters(self.device, fields)
        if not isinstance(model, DynamicDevice):
            raise AssertionError("a dynamic device stays one")
        return model

    def with_device(self, model: DynamicDevice, theta: Array) -> Array:
        """Conductances of another device from the same starts, S, (points,)."""
        low, high = model.state_range
        out = np.empty(len(self.trains.G))
        x = np.clip(model.state(theta[len(self.free) :]), low, high)
        for points in self.steps:
            who = self.trains.device[points]
            V, width = self.trains.V[points], self.trains.width[points]
            x[who] = model.step(x[who], V, width, outside="clamp")
            out[points] = model.conductance(x[who])
        return out[self.points]

    def currents(self, theta: Array) -> Array:
        """Conductance after every point that was read, S."""
        return self.with_device(self.model(theta), theta)

    def jacobian(self, theta: Array) -> Array:
        """Central differences, (points, parameters); starts of all devices move at once."""
        out, fields = np.zeros((len(self.data), len(theta))), len(self.free)
        for j in range(fields):
            slope, width = self._slope(theta, [j])
            out[:, j] = slope / width[j]
        starts = range(fields, len(theta))
        slope, width = self._slope(theta, starts)
        columns = fields + self.line_of_point
        out[np.arange(len(columns)), columns] = slope / width[columns]
        return out

    def _slope(self, theta: Array, moved: Sequence[int]) -> tuple[Array, Array]:
        """Change of the conductances when these parameters move, and by how much each moved."""
        low, high = theta.copy(), theta.copy()
        for j in moved:
            p = self.parameters[j]
            h = 1e-5 * max(abs(theta[j]), 1e-3 * abs(p.start), 1e-12)
            low[j], high[j] = max(theta[j] - h, p.low), min(theta[j] + h, p.high)
        return self.currents(high) - self.currents(low), high - low


def _steps(trains: PulseTrains) -> list[Indices]:
    """Points that can be computed at once: the k-th point of every device."""
    count = np.zeros(trains.device.max() + 1, np.intp)
    rank = np.empty(len(trains.device), np.intp)
    for n, d in enumerate(trains.device):
        rank[n] = count[d]
        count[d] += 1
    return [np.flatnonzero(rank == k) for k in range(int(count.max()))]


def fit_pulses(
    device: str | Device,
    trains: PulseTrains,
    free: Sequence[str],
    *,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    options: Options | None = None,
) -> tuple[Fit, DynamicDevice]:
    """Fit parameters of a dynamic device to conductances read after pulses.

    The whole train of each device is followed from its starting conductance, which is fitted too,
    so that the scatter of one read does not enter the next step. Every other field of the device is
    freed once (`xbarspice.calibration.held_fields`).

    Args:
        device: a dynamic device with starting values.
        trains: the data.
        free: names of its fields.
        bounds: (low, high) by field; a field keeps its sign otherwise.
        options: as in `fit_reads`; single points are held out.

    Returns:
        The fit and the fitted device.

    Raises:
        InputError: the device has no state or cannot be written, or a name or voltage is wrong.
        ConvergenceError: the fit did not end.
    """
    model = writable(devices.get(device), purpose="pulse trains")
    options = options or Options()
    problem = _Trains(model, trains, free, bounds or {})
    fit = fit_problem(problem, options)
    if not fit.holds:  # the equations have kinks, where a search may end early
        problem, fit = _search_further(problem, fit, bounds or {}, options)
    fitted = problem.model(fit.values)
    held: tuple[Held, ...] = ()
    if options.free_held:
        held = free_fields(fit, problem.jacobian(fit.values), fitted, free, problem.with_device)
    findings = (*fit.findings, *_out_of_range(fit, fitted), *field_findings(held))
    return dataclasses.replace(fit, held=held, findings=findings), fitted


def _search_further(
    problem: _Trains, fit: Fit, bounds: Mapping[str, tuple[float, float]], options: Options
) -> tuple[_Trains, Fit]:
    """The best of fits from other starts as well."""
    best = problem, fit
    for factor in STARTS:
        starts = {name: factor * getattr(problem.device, name) for name in problem.free}
        try:
            device = devices.with_parameters(problem.device, starts)
            if not isinstance(device, DynamicDevice):
                raise AssertionError("a dynamic device stays one")
            trial = _Trains(device, problem.trains, problem.free, bounds)
            trial_fit = fit_problem(trial, options)
        except (ConvergenceError, InputError):  # a start that the device refuses
            continue
        if trial_fit.scale < best[1].scale:
            best = trial, trial_fit
    return best


def _out_of_range(fit: Fit, model: DynamicDevice) -> list[str]:
    """A finding where the device cannot have the conductances that were read."""
    low, high = model.G_range()
    outside = int(((fit.measured < 0.95 * low) | (fit.measured > 1.05 * high)).sum())
    if not outside:
        return []
    return [
        f"{outside} of {len(fit.measured)} conductances lie more than 5 % outside {low:.4g} to "
        f"{high:.4g} S, which is all that {model.name} can hold: fit the ends of its state as well"
    ]
