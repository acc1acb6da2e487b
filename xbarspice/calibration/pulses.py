"""Parameters of dynamic devices from pulse trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from xbarspice import devices
from xbarspice.calibration.fit import Fit, Options, fit_problem
from xbarspice.calibration.measurements import PulseTrains
from xbarspice.calibration.model import Parameter, field_parameter
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Indices
from xbarspice.devices import Device, DynamicDevice

__all__ = ["fit_pulses"]


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
        self.data, self.read_of_point = trains.G, np.arange(len(trains.G))
        self.line_of_point, self.repeat_of_point = trains.device, self.read_of_point
        self.voltage_of_point = trains.V
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

    def currents(self, theta: Array) -> Array:
        """Conductance after every point, S."""
        model, out = self.model(theta), np.empty(len(self.data))
        low, high = model.state_range
        x = np.clip(model.state(theta[len(self.free) :]), low, high)
        for points in self.steps:
            who = self.trains.device[points]
            V, width = self.trains.V[points], self.trains.width[points]
            x[who] = model.step(x[who], V, width, outside="clamp")
            out[points] = model.conductance(x[who])
        return out

    def jacobian(self, theta: Array) -> Array:
        out = np.empty((len(self.data), len(theta)))
        for j, p in enumerate(self.parameters):
            h = 1e-5 * max(abs(theta[j]), 1e-3 * abs(p.start), 1e-12)
            near = [theta.copy(), theta.copy()]
            near[0][j], near[1][j] = max(theta[j] - h, p.low), min(theta[j] + h, p.high)
            down, up = (self.currents(t) for t in near)
            out[:, j] = (up - down) / (near[1][j] - near[0][j])
        return out


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
    so that the scatter of one read does not enter the next step.

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
    model = devices.get(device)
    if not isinstance(model, DynamicDevice):
        raise broken_rule(
            "pulse trains need a device with a state",
            model.name,
            "Choose a dynamic model, for example o921c_4k.",
        )
    model.refuse_writing()
    problem = _Trains(model, trains, free, bounds or {})
    fit = fit_problem(problem, options or Options())
    return fit, problem.model(fit.values)
