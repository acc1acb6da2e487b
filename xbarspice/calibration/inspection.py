"""What I-V sweeps show before any model is fitted; nothing is changed unasked.

Looked for are currents of the other sign, compliance plateaus, saturation, branches that differ,
drift, polarities that differ, range switches of the meter and outliers: see
`xbarspice.calibration.irregularities`. Every finding names the option that handles it; these are in
`xbarspice.calibration.handling`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xbarspice.calibration.curves import LEVEL, Mark
from xbarspice.calibration.irregularities import drift_of, looks
from xbarspice.calibration.measurements import Reads
from xbarspice.core.counts import counted
from xbarspice.core.types import Array, Flags, Indices

__all__ = ["Irregularity", "blind_spots", "inspect_sweeps", "points_of_devices", "without_drift"]


FEW = 12
"""Points of a device below which its scatter says little."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Irregularity:
    """Something that a device model of one curve does not have.

    Attributes:
        kind: "sign", "compliance", "saturation", "hysteresis", "drift", "asymmetry",
            "range switch" or "outliers".
        text: what was seen, on which devices, and the option that handles it.
        option: that option.
        limit: of current (A) or voltage (V) that the option names, if it does.
        points: where, (points,).
    """

    kind: str
    text: str
    option: str
    points: Flags
    limit: float | None = None


def inspect_sweeps(sweeps: Reads) -> tuple[Irregularity, ...]:
    """Look at every device's curve.

    Args:
        sweeps: I-V sweeps of single devices, in the order of time.
    """
    V, current = sweeps.V_in[:, 0], sweeps.I_out[:, 0].copy()
    judged = np.isfinite(current)
    out: list[Irregularity] = []
    for kind, (look, words, option) in looks().items():
        mask, marks = np.zeros(len(V), dtype=bool), {}
        for name, points in points_of_devices(sweeps, judged):
            mark = look(V[points], current[points], level_of(sweeps))
            if mark:
                mask[points[mark.points]] = True
                marks[name] = mark
        if not marks:
            continue
        if kind == "sign":
            current[mask] *= -1
        if kind in ("outliers", "compliance"):
            judged &= ~mask
        if kind == "drift":
            current = without_drift(sweeps, current, judged)[0]
        out.append(_finding(kind, words, option, mask, marks))
    return tuple(out)


def level_of(sweeps: Reads) -> float:
    """Share of clean curves in which one look may see something: `LEVEL` for all devices."""
    return LEVEL / len(np.unique(np.asarray(sweeps.array)))


def points_of_devices(sweeps: Reads, judged: Flags) -> Iterator[tuple[str, Indices]]:
    """Name of each device, and which of its points are judged, in the order of time."""
    device = np.asarray(sweeps.array)
    for k in np.unique(device):
        name = sweeps.labels[k] if sweeps.labels else str(k)
        yield name, np.flatnonzero((device == k) & judged)


def without_drift(
    sweeps: Reads, current: Array, judged: Flags
) -> tuple[Array, dict[str, tuple[float, float]]]:
    """Currents as in the middle of the measurement, A, and what was divided out.

    Args:
        sweeps: whose voltages and devices count.
        current: A, (points,).
        judged: points from which the drift is found, (points,).

    Returns:
        The currents, and by device the change a point with its standard error.
    """
    out, trends = current.copy(), {}
    everything = dict(points_of_devices(sweeps, np.ones(len(current), bool)))
    for name, points in points_of_devices(sweeps, judged):
        trend, error = drift_of(sweeps.V_in[points, 0], current[points], level_of(sweeps))
        if trend:
            order = np.arange(len(everything[name]))
            out[everything[name]] /= np.exp(trend * (order - order.mean()))
            trends[name] = trend, error
    return out, trends


def _finding(
    kind: str, words: str, option: str, mask: Flags, marks: dict[str, Mark]
) -> Irregularity:
    names = list(marks)
    of = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    worst = max(marks.values(), key=lambda mark: mark.size)
    option = worst.option or option
    return Irregularity(
        kind=kind,
        text=f"{words} ({counted(int(mask.sum()), 'point')} of device {of}; {worst.words}): "
        f"{option}",
        option=option,
        points=mask,
        limit=worst.limit,
    )


def blind_spots(sweeps: Reads) -> tuple[str, ...]:
    """What could not be looked for in these data, sentences."""
    V = sweeps.V_in[:, 0]
    few, single, one_sided = [], [], []
    for name, points in points_of_devices(sweeps, np.isfinite(sweeps.I_out[:, 0])):
        volts = V[points][V[points] != 0]
        repeats = len(volts) - len(np.unique(np.round(volts / (1e-3 * np.abs(V).max()))))
        if len(volts) < FEW:
            few.append(name)
        elif repeats < FEW // 2:
            single.append(name)
        if len(volts) and len(np.unique(np.sign(volts))) == 1:
            one_sided.append(name)
    spots = {
        f"hysteresis, drift, range switches and outliers were not looked for (fewer than {FEW} "
        "points)": few,
        "drift and hysteresis were not looked for (no voltages were applied twice)": single,
        "the two polarities were not compared (one was measured)": one_sided,
    }
    return tuple(
        f"{text}: device {', '.join(names[:5])}" + ("" if len(names) <= 5 else " and more")
        for text, names in spots.items()
        if names
    )
