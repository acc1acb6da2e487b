"""Plots of measured data before a fit: sweeps and reads, with what was seen in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from xbarspice.calibration.inspection import Irregularity, inspect_sweeps, points_of_devices
from xbarspice.calibration.measurements import Reads
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Indices
from xbarspice.plot.axes import (
    ABSENT,
    COLOURS,
    axes_or_new,
    number_lines,
    place_legend,
    set_quantity,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SHOWN", "array_reads", "devices_shown", "sweeps"]

SHOWN = 6
"""Devices that are drawn: those with the most marked points."""
_MARKS = {
    "sign": ("v", 3),
    "outliers": ("x", 5),
    "compliance": ("s", 1),
    "saturation": ("D", 4),
    "hysteresis": ("^", 2),
    "asymmetry": ("<", 1),
}
"""Marker and number of the colour by what was seen; the other kinds are drawn as bands."""


def sweeps(
    reads: Reads,
    *,
    of: Literal["current", "conductance"] = "current",
    measured: Reads | None = None,
    irregularities: Sequence[Irregularity] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Sweeps of single devices, with what was seen in them marked.

    At most six devices are drawn, those with the most marked points.

    Args:
        reads: of `xb.calibration.read_sweeps` or `sweeps`.
        of: "current" over voltage, or "conductance": I/V in the order of measurement.
        measured: all points, where `reads` are some of them; the others are open circles.
        irregularities: seen in `reads`; None: what `xb.calibration.inspect_sweeps` sees.
        ax: where to draw; None: a new figure.

    Returns:
        The axes, in V and A, or points and S.

    Raises:
        InputError: `of` is neither.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    if of not in ("current", "conductance"):
        raise broken_rule("`of` must be current or conductance", repr(of), "Choose one.")
    seen = inspect_sweeps(reads) if irregularities is None else irregularities
    ax = axes_or_new(ax)
    if of == "current":
        _draw_currents(ax, reads, measured, seen)
    else:
        _draw_conductances(ax, reads, seen)
    place_legend(ax)
    return ax


def devices_shown(reads: Reads, irregularities: Sequence[Irregularity]) -> list[str]:
    """Names of the devices that `sweeps` draws."""
    every = np.ones(len(reads.V_in), dtype=bool)
    marked = np.zeros(len(every), dtype=np.intp)
    for irregularity in irregularities:
        marked += irregularity.points
    counts = {name: marked[p].sum() for name, p in points_of_devices(reads, every)}
    return sorted(counts, key=lambda name: -counts[name])[:SHOWN]


def _points(reads: Reads, devices: Sequence[str]) -> Iterator[Indices]:
    """Points of each of these devices."""
    every = np.ones(len(reads.V_in), dtype=bool)
    return (points for name, points in points_of_devices(reads, every) if name in devices)


def _draw_currents(
    ax: Axes, reads: Reads, measured: Reads | None, seen: Sequence[Irregularity]
) -> None:
    devices = devices_shown(reads, seen)
    if measured is not None and len(measured.V_in) > len(reads.V_in):
        for k, p in enumerate(_points(measured, devices)):
            label = "left out" if k == 0 else None
            style = {"ms": 5, "mfc": "none", "color": ABSENT, "label": label}
            ax.plot(measured.V_in[p, 0], measured.I_out[p, 0], "o", **style)
    V, current = reads.V_in[:, 0], reads.I_out[:, 0]
    shown = list(_points(reads, devices))
    for p in shown:
        ax.plot(V[p], current[p], ".-", ms=4, lw=0.6, color=COLOURS[0])
    _mark(ax, seen, V, current, np.concatenate(shown))
    for irregularity in seen:
        _band(ax, irregularity, V, current)
    set_quantity(ax.xaxis, "voltage", "V")
    set_quantity(ax.yaxis, "current", "A")


def _draw_conductances(ax: Axes, reads: Reads, seen: Sequence[Irregularity]) -> None:
    V, current = reads.V_in[:, 0], reads.I_out[:, 0]
    G = np.full(len(V), np.nan)
    np.divide(current, V, out=G, where=V != 0)
    order, shown = np.zeros(len(V)), list(_points(reads, devices_shown(reads, seen)))
    for p in shown:
        order[p] = np.arange(len(order[p])) + 1
        ax.plot(order[p], G[p], ".-", ms=4, lw=0.6, color=COLOURS[0])
    _mark(ax, seen, order, G, np.concatenate(shown))
    if drift := [i for i in seen if i.kind == "drift"]:
        words = drift[0].text.rpartition("; ")[2].partition(")")[0]
        ax.axvspan(1, order.max(), color=ABSENT, alpha=0.15, lw=0, label=f"drift: {words}")
    number_lines(ax.xaxis, "point, in the order of measurement")
    set_quantity(ax.yaxis, "current / voltage", "S")


def _mark(ax: Axes, seen: Sequence[Irregularity], x: Array, y: Array, shown: Indices) -> None:
    """Points by what was seen in them."""
    for irregularity in seen:
        if irregularity.kind not in _MARKS:
            continue
        marker, number = _MARKS[irregularity.kind]
        color = COLOURS[number]
        points = np.intersect1d(np.flatnonzero(irregularity.points), shown)
        face = color if marker == "x" else "none"
        ax.plot(x[points], y[points], marker, ms=7, mfc=face, color=color, label=irregularity.kind)


def _band(ax: Axes, irregularity: Irregularity, V: Array, current: Array) -> None:
    """Currents below a range switch, and voltages of a saturation, as bands."""
    limit = irregularity.limit
    if irregularity.kind == "range switch" and limit is not None:
        ax.axhspan(-limit, limit, color=ABSENT, alpha=0.15, lw=0, label="range switch")
    if irregularity.kind == "saturation" and limit is not None:
        for sign in (1, -1):
            if (sign * V > limit).any():
                far = sign * float(np.abs(V).max())
                ax.axvspan(sign * limit, far, color=COLOURS[4], alpha=0.15, lw=0)
    if irregularity.kind == "compliance":
        for sign in (1, -1):
            side = irregularity.points & (sign * current > 0)
            if side.any():
                ax.axhline(float(current[side].mean()), color=COLOURS[1], lw=0.8, ls="--")


def array_reads(
    start: Array,
    measured: Array,
    irregularities: Sequence[Irregularity] = (),
    *,
    ax: Axes | None = None,
) -> Axes:
    """Measured currents of an array against those of the array as a fit starts.

    Args:
        start, measured: currents, A, (points,).
        irregularities: seen in them; a compliance is marked.
        ax: where to draw; None: a new figure.

    Returns:
        The axes. Points on the line are equal.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    ax = axes_or_new(ax)
    ends = [min(start.min(), measured.min()), max(start.max(), measured.max())]
    ax.plot(ends, ends, color=ABSENT, lw=1)
    ax.plot(start, measured, ".", ms=4, color=COLOURS[0])
    for i in irregularities:
        if i.kind == "compliance":
            style = {"ms": 7, "mfc": "none", "color": COLOURS[1], "label": i.kind}
            ax.plot(start[i.points], measured[i.points], "s", **style)
    set_quantity(ax.xaxis, "array at the start of the fit", "A")
    set_quantity(ax.yaxis, "measured", "A")
    place_legend(ax)
    return ax
