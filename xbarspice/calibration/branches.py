"""Potentiation and depression curves: conductance against the number of equal pulses.

Each branch of a device follows, with x = P/P_max from 0 to 1,
``G = G_0 + (G_1 - G_0) (1 - exp(-nu x))/(1 - exp(-nu))`` (the form of NeuroSim; Chen, Peng and Yu
2018, doi:10.1109/TCAD.2018.2789723, with nu = P_max/A): from G_0 to G_1 within P_max pulses, a
straight line for nu = 0, saturating for nu > 0, accelerating for nu < 0. Cycles of one device are
repeats of one curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xbarspice.calibration.fit import Fit, fit_problem
from xbarspice.calibration.measurements import PulseTrains
from xbarspice.calibration.model import Parameter
from xbarspice.calibration.problem import Options
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Indices

__all__ = ["BRANCHES", "SHORTEST", "Branches", "branch_values", "branches_of", "fit_curves"]

BRANCHES = ("potentiation", "depression")
SHORTEST = 5
"""Pulses below which a run of equal pulses is no branch."""
STRAIGHT = 1e-6
"""Size of nu below which the curve is the straight line."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Branches:
    """Reads within runs of equal pulses, N in all.

    Attributes:
        curve: number of the curve of each read, (N,).
        names: of the curves, "<device>.potentiation" and such.
        pulse: number of pulses of the run before each read, (N,).
        longest: pulses of the longest run of each curve, (curves,).
        G: conductances, S, (N,).
        V: of the pulses, V, (N,).
        order: place of each read in the file, (N,).
        notices: what was left out.
    """

    curve: Indices
    names: tuple[str, ...]
    pulse: Indices
    longest: Indices
    G: Array
    V: Array
    order: Indices
    notices: tuple[str, ...] = ()


@dataclass
class _Run:
    """One run: its device, sign, and the places of the read before it and of its pulses."""

    device: int
    sign: float
    points: list[int]


def branches_of(trains: PulseTrains) -> Branches:
    """The branches of pulse trains.

    Args:
        trains: a run is a series of pulses of one sign, voltage and width on one device.

    Raises:
        InputError: there is no run of `SHORTEST` pulses, or both signs move G the same way.
    """
    runs = _runs(trains)
    long = [run for run in runs if len(run.points) > SHORTEST]
    if not long:
        raise broken_rule(
            f"curves need runs of at least {SHORTEST} pulses of equal voltage and width",
            f"{len(runs)} runs, the longest of {max((len(r.points) - 1 for r in runs), default=0)}",
            "For pulses that change fit a device: xbarspice calibrate pulses.",
        )
    rises = _rising_sign(trains.G, long)
    names: dict[str, int] = {}
    curve, pulse, order, longest = [], [], [], {}
    for run in long:
        branch = BRANCHES[run.sign != rises]
        label = trains.labels[run.device] if len(trains.labels) > 1 else ""
        number = names.setdefault(f"{label}.{branch}".lstrip("."), len(names))
        longest[number] = max(longest.get(number, 0), len(run.points) - 1)
        for count, point in enumerate(run.points):
            if np.isfinite(trains.G[point]):
                curve.append(number)
                pulse.append(count)
                order.append(point)
    left_out = sum(len(run.points) - 1 for run in runs if run not in long)
    places = np.array(order, np.intp)
    return Branches(
        curve=np.array(curve, np.intp),
        names=tuple(names),
        pulse=np.array(pulse, np.intp),
        longest=np.array([longest[k] for k in range(len(names))], np.intp),
        G=trains.G[places],
        V=trains.V[places],
        order=places,
        notices=(
            (f"pulses of runs shorter than {SHORTEST} that are left out: {left_out}",)
            if left_out
            else ()
        ),
    )


def _runs(trains: PulseTrains) -> list[_Run]:
    runs: list[_Run] = []
    for device in range(int(trains.device.max()) + 1):
        last, open_run = -1, None
        for point in np.flatnonzero(trains.device == device).tolist():
            V, width = trains.V[point], trains.width[point]
            if V == 0:
                open_run = None
            elif (
                open_run is not None
                and np.isclose(V, trains.V[last], rtol=1e-6)
                and np.isclose(width, trains.width[last], rtol=1e-6, atol=0)
            ):
                open_run.points.append(point)
            else:
                open_run = _Run(device, float(np.sign(V)), [last, point])
                runs.append(open_run)
            last = point
    return runs


def _rising_sign(G: Array, runs: Sequence[_Run]) -> float:
    """Sign of the voltage that raises the conductance."""
    change = {1.0: 0.0, -1.0: 0.0}
    for run in runs:
        reads = G[run.points][np.isfinite(G[run.points])]
        if len(reads) > 1:
            change[run.sign] += float(reads[-1] - reads[0])
    if change[1.0] * change[-1.0] > 0:
        raise broken_rule(
            "pulses of one sign must raise the conductance and those of the other lower it",
            f"{change[1.0]:+.3g} S by V > 0 and {change[-1.0]:+.3g} S by V < 0",
            "Check the signs, or the column `polarity`.",
        )
    return 1.0 if change[1.0] - change[-1.0] > 0 else -1.0


class _Curves:
    """Conductances of all branches; parameters are G_0, G_1 and nu of each."""

    def __init__(self, data: Branches) -> None:
        self.data, self.branches = data.G, data
        self.read_of_point, self.line_of_point = data.order, data.curve
        self.repeat_of_point, self.voltage_of_point = data.pulse, data.V
        self.x = data.pulse / data.longest[data.curve]
        self.parameters = tuple(
            Parameter(name=f"{name}.{what}", unit=unit, start=start, low=low, high=high)
            for k, name in enumerate(data.names)
            for what, unit, start, low, high in _starts(data, k)
        )

    def currents(self, theta: Array) -> Array:
        G_0, G_1, nu = theta.reshape(-1, 3)[self.branches.curve].T
        return G_0 + (G_1 - G_0) * _shape(self.x, nu)

    def jacobian(self, theta: Array) -> Array:
        curve = self.branches.curve
        G_0, G_1, nu = theta.reshape(-1, 3)[curve].T
        f, h = _shape(self.x, nu), 1e-4
        slope = (_shape(self.x, nu + h) - _shape(self.x, nu - h)) / (2 * h)
        out = np.zeros((len(self.data), len(theta)))
        every = np.arange(len(self.data))
        for k, column in enumerate((1 - f, f, (G_1 - G_0) * slope)):
            out[every, 3 * curve + k] = column
        return out


def _starts(data: Branches, curve: int) -> list[tuple[str, str, float, float, float]]:
    """Name, unit, start and bounds of the parameters of a curve."""
    G, pulse = data.G[data.curve == curve], data.pulse[data.curve == curve]
    first, last = (float(np.median(G[pulse == end])) for end in (pulse.min(), pulse.max()))
    return [
        ("G_0", "S", first, 0.0, np.inf),
        ("G_1", "S", last, 0.0, np.inf),
        ("nu", "", 1.0, -30.0, 100.0),
    ]


def _shape(x: Array, nu: Array) -> Array:
    """(1 - exp(-nu x))/(1 - exp(-nu)), x for nu = 0."""
    safe = np.where(np.abs(nu) < STRAIGHT, 1.0, nu)
    return np.where(np.abs(nu) < STRAIGHT, x, np.expm1(-safe * x) / np.expm1(-safe))


def fit_curves(data: Branches, options: Options | None = None) -> Fit:
    """Fit all branches.

    Args:
        data: from `branches_of`.
        options: as in `fit_reads`; single reads are held out.

    Returns:
        The fit; parameters ``<device>.<branch>.G_0``, ``G_1`` (S) and ``nu``.

    Raises:
        InputError: there are too few reads. ConvergenceError: the fit did not end.
    """
    return fit_problem(_Curves(data), options or Options())


def branch_values(data: Branches, fit: Fit, curve: int, x: Array) -> Array:
    """The fitted curve at shares `x` of its longest run, S."""
    G_0, G_1, nu = fit.values[3 * curve : 3 * curve + 3]
    return G_0 + (G_1 - G_0) * _shape(x, np.full(len(x), nu))
