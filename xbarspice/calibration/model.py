"""Currents of a crossbar as a function of what is fitted, with its Jacobian.

The circuit's part is the exact adjoint; what one device's current does with its own parameters is
taken by central differences, so that any device can be fitted, also one whose current is not
written in torch operations.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarspice import devices
from xbarspice.calibration.measurements import Reads
from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.core.wires import EACH, UNIT, WIRES, as_text
from xbarspice.surrogate import adjoint

__all__ = [
    "TIED",
    "Model",
    "Parameter",
    "field_parameter",
    "level_of",
    "shape_fields",
    "with_fields",
]


TIED = {"R_wire": ("R_wl", "R_bl")}
"""Names that move several resistances together."""

VISIBLE, SWING = 0.01, 0.5
"""Relative change of the current that shapes a curve; voltage, V, up to which it is looked at even
if less was applied (less if the model ends there)."""
SILENT = 1e-12
"""A resistance that is a smaller share of that of the best device counts as 0: it changes no
current, and solves with it take long."""
STEP = 1e-6
"""Relative step of differences: their error is below 1e-9, of rounding and of curvature."""
SMALL = 1e-2
"""Share of a field's usual value that counts as its size where it is smaller."""

LIMITS: dict[tuple[str, str], tuple[float, float]] = {
    ("cubic_al2o3_tio2", "T"): (1.0, 200.0),
    ("cubic_al2o3_tio2", "xi"): (-3.0, 3.0),
}
"""Bounds of device fields that their models refuse to leave."""
NEARLY_ZERO = 1e-9
"""Share of its start to which a device field may fall that must keep its sign: the equations of a
model divide by such fields, and the smallest of numbers vanish in them."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One fitted number.

    Attributes:
        name: ``R_wl``, ``R_wire``, ``device.b``, or ``G[array, row, col]``.
        unit: SI unit; empty for device fields, whose unit their model states.
        start, low, high: starting value and bounds.
    """

    name: str
    unit: str
    start: float
    low: float
    high: float


def field_parameter(
    device: devices.Device, field: str, bounds: tuple[float, float] | None
) -> Parameter:
    """A field of a device to fit; without other bounds it keeps its sign.

    Args:
        device: with the starting value.
        field: its name.
        bounds: (low, high), or None.
    """
    start = float(getattr(device, field))
    usual = (NEARLY_ZERO * start, np.inf) if start > 0 else (-np.inf, NEARLY_ZERO * start)
    usual = LIMITS.get((device.name, field), usual if start else (-np.inf, np.inf))
    low, high = usual if bounds is None else bounds
    return Parameter(name=f"device.{field}", unit="", start=start, low=low, high=high)


class Model:
    """The currents of a crossbar (or of a batch of arrays) under the voltages of some reads.

    Args:
        crossbar: starting values of everything; what is not fitted stays as it is here.
        reads: one set of reads, or several with different line ends.
        free: what is fitted: names of `Parameter`, where ``G`` stands for all present devices and
            ``device`` for the fields that shape the curve of a device (`shape_fields`).
        bounds: other bounds by name (of ``G`` for all conductances).
    """

    def __init__(
        self,
        crossbar: Crossbar,
        reads: Sequence[Reads],
        free: Sequence[str],
        bounds: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.crossbar, self.reads = crossbar, tuple(reads)
        self.free = _names(crossbar, with_fields(crossbar, self.reads, free))
        self._largest = float(crossbar.G.max())
        self.present: Any = np.argwhere((crossbar.G_flat > 0) & ("G" in self.free))
        self.parameters = tuple(_parameters(crossbar, self.free, self.present, bounds or {}))
        self.drives = [_drive(crossbar, r) for r in self.reads]
        measured = [np.isfinite(r.currents()) for r in self.reads]
        self.measured = measured
        self.read_of_point = np.concatenate(
            [
                np.nonzero(m)[0] + sum(len(r.V_in) for r in self.reads[:k])
                for k, m in enumerate(measured)
            ]
        )
        """Number of the read that each current belongs to, in order, (points,)."""
        self.voltage_of_point = np.concatenate(
            [level_of(r)[np.nonzero(m)[0]] for r, m in zip(self.reads, measured, strict=True)]
        )
        """Voltage of the read that each current belongs to, V, (points,); see `level_of`."""
        self.line_of_point, self.repeat_of_point = _lines_and_repeats(self.reads, measured)
        """Numbers of the line (of its array) and of the group of equal voltages, (points,) each."""

    @property
    def data(self) -> Array:
        """Measured currents, A, (points,)."""
        pairs = zip(self.reads, self.measured, strict=True)
        return np.concatenate([r.currents()[m] for r, m in pairs])

    def at(self, theta: Array) -> Crossbar:
        """The crossbar with fitted values."""
        changes: dict[str, Any] = {}
        fields: dict[str, float] = {}
        scalars = [n for n in self.free if n != "G"]
        for name, value in zip(scalars, theta[: len(scalars)].tolist(), strict=True):
            if name.startswith("device."):
                fields[name.removeprefix("device.")] = value
            else:  # the search stays inside its bounds by numbers that change no current
                ohm = 0.0 if value * self._largest < SILENT else value
                changes |= dict.fromkeys(TIED.get(name, (name,)), ohm)
        if fields:
            changes["device"] = devices.with_parameters(self.crossbar.device, fields)
        if "G" in self.free:
            G = self.crossbar.G_flat.copy()
            G[tuple(self.present.T)] = theta[len(scalars) :]
            changes["G"] = G.reshape(self.crossbar.G.shape)
        return self.crossbar.replace(**changes)

    def currents(self, theta: Array) -> Array:
        """Currents of all measured points, A, (points,)."""
        crossbar, out = self.at(theta), []
        for reads, drive, measured in zip(self.reads, self.drives, self.measured, strict=True):
            raw, _ = adjoint.forward(crossbar.replace(ends=reads.ends), drive)
            line_currents = raw.I_out if reads.I_in is None else np.hstack([raw.I_out, raw.I_in])
            out.append(line_currents[measured])
        return np.concatenate(out)

    def jacobian(self, theta: Array) -> Array:
        """d(current)/d(parameter), (points, parameters): one adjoint solve a current."""
        crossbar = self.at(theta)
        parts = zip(self.reads, self.drives, self.measured, strict=True)
        return np.vstack([self._jacobian(crossbar, *part) for part in parts])

    def _jacobian(self, crossbar: Crossbar, reads: Reads, drive: Drive, measured: Any) -> Array:
        read, line = np.nonzero(measured)
        each = Drive(
            batch=(len(read),),
            array=drive.array[read],
            V_in=drive.V_in[read],
            V_out=drive.V_out[read],
        )
        crossbar = crossbar.replace(ends=reads.ends)
        _, saved = adjoint.forward(crossbar, each)
        selected = np.zeros((len(read), reads.cols + reads.rows))
        selected[np.arange(len(read)), line] = 1.0
        by = adjoint.backward(
            saved, I_out=selected[:, : reads.cols], I_in=selected[:, reads.cols :]
        )
        G = crossbar.G_flat[each.array]
        out = np.empty((len(read), len(self.parameters)))
        column = 0
        for name in (n for n in self.free if n != "G"):
            if name.startswith("device."):
                slope = _by_field(crossbar.device, name.removeprefix("device."), saved.V_device, G)
                out[:, column] = (by.adjoint * slope).sum(axis=(1, 2))
            else:
                out[:, column] = sum(by.by_solve[n] for n in TIED.get(name, (name,)))
            column += 1
        if "G" in self.free:
            slope = by.adjoint * _by_G(crossbar.device, saved.V_device, G)
            arrays, rows, cols = self.present.T
            of_array = each.array[:, None] == arrays
            out[:, column:] = np.where(of_array, slope[:, rows, cols], 0.0)
        return out


def shape_fields(device: devices.Device, V: Array, G: Array) -> tuple[str, ...]:
    """Fields that shape the static current of a device, each in a way that no other does.

    A field counts if a change by itself changes the current by more than `VISIBLE` of it at some
    voltage beyond what the conductance and the fields before it can do; those that do most come
    first. Without `V_read`, which says what a conductance is.

    Args:
        device: the model.
        V, G: where its current is looked at, V and S, (points,) each.
    """
    size = np.abs(device.current(V, G))
    names = [f.name for f in dataclasses.fields(device) if f.name != "V_read"]  # type: ignore[arg-type]
    slopes = {n: _by_field(device, n, V, G) * getattr(device, n) / size for n in names}
    spanned, out = [_by_G(device, V, G) * G / size], []
    while slopes:
        basis = np.stack(spanned, axis=1)
        remains = {
            n: float(np.abs(s - basis @ np.linalg.lstsq(basis, s, rcond=None)[0]).max())
            for n, s in slopes.items()
        }
        most = max(remains, key=lambda n: remains[n])
        if remains[most] <= VISIBLE:
            break
        out.append(most)
        spanned.append(slopes.pop(most))
    return tuple(n for n in names if n in out)


def with_fields(crossbar: Crossbar, reads: Sequence[Reads], free: Sequence[str]) -> list[str]:
    """What is fitted, with the fields that shape the device's curve in place of ``device``."""
    if "device" not in free:
        return list(free)
    G = crossbar.G[crossbar.G > 0]
    G = G[:: max(len(G) // 8, 1)]
    swing = min(SWING, crossbar.device.V_max)
    V = np.linspace(0.1, 1.0, 10) * max(swing, *(np.abs(r.V_in).max() for r in reads))
    points = [x.ravel() for x in np.meshgrid(V, G)]
    fields = [f"device.{name}" for name in shape_fields(crossbar.device, points[0], points[1])]
    k = list(free).index("device")
    return [*free[:k], *fields, *free[k + 1 :]]


def level_of(reads: Reads) -> Array:
    """One voltage a read, V, (N,): that of a single device, else the rms of all driven lines."""
    if reads.rows == 1 and reads.V_out is None:
        return reads.V_in[:, 0]
    V_out = reads.V_in[:, :0] if reads.V_out is None else reads.V_out
    return np.sqrt(np.mean(np.hstack([reads.V_in, V_out]) ** 2, axis=1))


def _lines_and_repeats(
    reads: Sequence[Reads], measured: Sequence[Flags]
) -> tuple[Indices, Indices]:
    """Number of line and array, and of the voltages, of every measured current."""
    lines, repeats, first = [], [], 0
    for part, mask in zip(reads, measured, strict=True):
        read, line = np.nonzero(mask)
        array = np.zeros(len(part.V_in), np.intp) if part.array is None else part.array
        V_out = part.V_in[:, :0] if part.V_out is None else part.V_out
        volts = np.hstack([array[:, None], part.V_in, V_out])
        _, kind = np.unique(volts, axis=0, return_inverse=True)
        lines.append(line + mask.shape[1] * array[read])
        repeats.append(kind.reshape(-1)[read] + first)
        first += int(kind.max()) + 1
    return np.concatenate(lines), np.concatenate(repeats)


def _names(crossbar: Crossbar, free: Sequence[str]) -> tuple[str, ...]:
    fields = [f"device.{f.name}" for f in dataclasses.fields(crossbar.device)]  # type: ignore[arg-type]
    names = [*WIRES, *TIED, "device", *fields, "G"]
    wrong = [name for name in free if name not in names]
    if wrong or not free or len(set(free)) != len(free):
        raise broken_rule(
            f"the parameters to fit must be among {names}, each once",
            wrong or list(free),
            "Name at least one.",
        )
    for name, tied in TIED.items():
        if name in free and set(tied) & set(free):
            raise broken_rule(f"`{name}` stands for {tied}", list(free), "Fit it or them.")
    return (*(n for n in free if n != "G"), *(n for n in free if n == "G"))


def _parameters(
    crossbar: Crossbar,
    free: Sequence[str],
    present: Any,
    bounds: Mapping[str, tuple[float, float]],
) -> list[Parameter]:
    out = []
    strange = sorted(set(bounds) - set(free))
    if strange:
        raise broken_rule(f"bounds must be of what is fitted {list(free)}", strange, "Drop them.")
    for name in (n for n in free if n != "G"):
        field = name.removeprefix("device.")
        if field == name:
            start, unit = _number_to_fit(crossbar, TIED.get(name, (name,))), UNIT
            low, high = bounds.get(name, (0.0, np.inf))
            out.append(Parameter(name=name, unit=unit, start=start, low=low, high=high))
        else:
            out.append(field_parameter(crossbar.device, field, bounds.get(name)))
    low, high = bounds.get("G", (0.0, np.inf))
    for place in present.astype(int).tolist():
        name = f"G[{', '.join(map(str, place))}]"
        start = float(crossbar.G_flat[tuple(place)])
        out.append(Parameter(name=name, unit="S", start=start, low=low, high=high))
    for p in out:
        if not p.low <= p.start <= p.high or not p.low < p.high:
            raise broken_rule(
                f"the start of `{p.name}` must lie within its bounds",
                f"{p.start:g} in [{p.low:g}, {p.high:g}]",
                "Change the start or the bounds.",
            )
    return out


def _number_to_fit(crossbar: Crossbar, names: Sequence[str]) -> float:
    """The first of some resistances of an array, ohm, all of them numbers."""
    for name in names:
        if isinstance(getattr(crossbar, name), np.ndarray):
            raise broken_rule(
                f"`{name}` must be one number for the whole array to be fitted",
                f"{as_text(getattr(crossbar, name))} ohm {EACH[name].replace('_', ' ')}",
                "Start from a number, or do not fit it: the array keeps its values then.",
            )
    return float(getattr(crossbar, names[0]))


def _drive(crossbar: Crossbar, reads: Reads) -> Drive:
    arrays = len(crossbar.G_flat)
    shapes = ((crossbar.rows, crossbar.cols), (reads.rows, reads.cols))
    index: Any = reads.array
    if shapes[0] != shapes[1] or index.max() >= arrays or index.min() < 0:
        raise broken_rule(
            f"the reads must fit the array, {shapes[0][0]} x {shapes[0][1]}, {arrays} in all",
            f"reads of {shapes[1][0]} x {shapes[1][1]}, array {index.max()}",
            "Give the array that was measured.",
        )
    V_out = np.zeros_like(reads.I_out) if reads.V_out is None else reads.V_out
    crossbar.array(0).replace(ends=reads.ends).drive(reads.V_in, V_out)  # checks
    return Drive(batch=(len(index),), array=index, V_in=reads.V_in, V_out=V_out)


def _by_field(device: devices.Device, field: str, V: Array, G: Array) -> Array:
    """dI/d(field) at the given device voltages, by central differences."""
    value = float(getattr(device, field))
    usual = abs(float(getattr(type(device), field, value))) or 1.0
    step = STEP * max(abs(value), SMALL * usual)
    ends = (value - step, value + step)
    if abs(value) <= step:  # equations divide by such fields: no step across 0
        ends = (value, value + np.copysign(step, value))
    currents = []
    for end in ends:
        model = copy.copy(device)
        object.__setattr__(model, field, float(end))  # may leave its range by a step: no checks
        currents.append(model.current(V, G))
    return (currents[1] - currents[0]) / (ends[1] - ends[0])


def _by_G(device: devices.Device, V: Array, G: Array) -> Array:
    """dI/dG at the given device voltages, by central differences; 0 where no device is."""
    step = STEP * G
    difference = device.current(V, G + step) - device.current(V, G - step)
    return np.divide(difference, 2 * step, out=np.zeros_like(V), where=step > 0)
