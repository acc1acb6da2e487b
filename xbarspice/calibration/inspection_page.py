"""The data of a calibration on its page, with what was seen in them before the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xbarspice.calibration.inspection import (
    Irregularity,
    blind_spots,
    inspect_sweeps,
    points_of_devices,
)
from xbarspice.calibration.irregularities import looks
from xbarspice.calibration.measurements import Reads
from xbarspice.core.types import Array
from xbarspice.report.content import Item, Plot, Section, Table, Text
from xbarspice.report.units import prefix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Inspection", "inspection_items", "inspection_record", "look"]

DRAWN = 6
"""Devices that are drawn: those with the most marked points."""
MARKS = {
    "sign": ("v", 3),
    "outliers": ("x", 5),
    "compliance": ("s", 1),
    "saturation": ("D", 4),
    "hysteresis": ("^", 2),
    "asymmetry": ("<", 1),
}
"""Marker and number of the colour by what was seen; the other kinds are drawn as bands."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inspection:
    """Sweeps as measured and as fitted, with what was seen in the fitted ones.

    Attributes:
        measured: all points.
        fitted: those that are left by what the user asked for.
        irregularities: seen in the fitted ones.
        blind: what could not be looked for.
    """

    measured: Reads
    fitted: Reads
    irregularities: tuple[Irregularity, ...]
    blind: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """For JSON: what was looked for, what was seen, and what could not be."""
        return inspection_record(self.irregularities, tuple(looks()), self.blind)

    def section(self) -> Section:
        """The data with marked points, and a table of what was seen."""
        items = inspection_items(self.irregularities, tuple(looks()), self.blind)
        return Section(title="The data before the fit", items=[*_plots(self), *items])


def inspection_record(
    irregularities: Sequence[Irregularity], looked_for: Sequence[str], blind: Sequence[str]
) -> dict[str, Any]:
    """What was looked for, what was seen, and what could not be looked for, as plain values."""
    return {
        "looked_for": list(looked_for),
        "seen": [
            {"kind": i.kind, "points": int(i.points.sum()), "option": i.option, "text": i.text}
            for i in irregularities
        ],
        "not_looked_for": list(blind),
    }


def inspection_items(
    irregularities: Sequence[Irregularity], looked_for: Sequence[str], blind: Sequence[str]
) -> list[Item]:
    """The same as a table or a sentence, and remarks."""
    items: list[Item] = []
    if irregularities:
        rows = [
            (i.kind, str(int(i.points.sum())), i.text.rpartition(": ")[0], i.option)
            for i in irregularities
        ]
        head = ("seen", "points", "what", "option that handles it")
        caption = "Seen before the fit; nothing of it was changed"
        items.append(Table(caption=caption, head=head, rows=rows, left=(0, 2, 3)))
    else:
        items.append(Text(text=f"None of these was seen: {', '.join(looked_for)}."))
    items += [Text(text=f"{text[0].upper()}{text[1:]}.", note=True) for text in blind]
    return items


def look(measured: Reads, fitted: Reads) -> Inspection:
    """Inspect the sweeps that are fitted.

    Args:
        measured: all points of the file.
        fitted: what `prepare_sweeps` left of them.
    """
    return Inspection(
        measured=measured,
        fitted=fitted,
        irregularities=inspect_sweeps(fitted),
        blind=blind_spots(fitted),
    )


def _plots(inspection: Inspection) -> list[Item]:
    devices = _devices_to_draw(inspection)
    count = len(np.unique(np.asarray(inspection.fitted.array)))
    some = f" {len(devices)} of {count} devices are drawn." if count > len(devices) else ""
    left_out = len(inspection.measured.V_in) - len(inspection.fitted.V_in)
    out = f" Open circles: {left_out} points that were left out." if left_out else ""
    kinds = ", ".join(i.kind for i in inspection.irregularities) or "nothing"
    return [
        Plot(
            figure=_curve_figure(inspection, devices),
            alt=f"Current against voltage; marked: {kinds}",
            caption=f"The sweeps.{out}{some}",
        ),
        Plot(
            figure=_order_figure(inspection, devices),
            alt=f"Conductance I/V in the order of measurement; marked: {kinds}",
            caption=f"I/V of each fitted point in the order of measurement.{some}",
        ),
    ]


def _devices_to_draw(inspection: Inspection) -> list[str]:
    """Devices that are drawn."""
    every = np.ones(len(inspection.fitted.V_in), dtype=bool)
    marked = np.zeros(len(every), dtype=np.intp)
    for irregularity in inspection.irregularities:
        marked += irregularity.points
    counts = {name: marked[p].sum() for name, p in points_of_devices(inspection.fitted, every)}
    return sorted(counts, key=lambda name: -counts[name])[:DRAWN]


def _points(reads: Reads, devices: Sequence[str]) -> list[Any]:
    """Points of each of these devices."""
    every = np.ones(len(reads.V_in), dtype=bool)
    return [points for name, points in points_of_devices(reads, every) if name in devices]


def _curve_figure(inspection: Inspection, devices: Sequence[str]) -> Figure:
    from xbarspice.report.plots import ABSENT, COLOURS, new_figure

    figure = new_figure()
    axes = figure.add_subplot()
    all_currents = np.abs(inspection.measured.I_out)
    scale, name = prefix(float(np.nanmax(all_currents)))
    if len(inspection.measured.V_in) > len(inspection.fitted.V_in):
        for k, p in enumerate(_points(inspection.measured, devices)):
            x, y = inspection.measured.V_in[p, 0], inspection.measured.I_out[p, 0] / scale
            label = "left out" if k == 0 else None
            axes.plot(x, y, "o", ms=5, mfc="none", color=ABSENT, label=label)
    V, current = inspection.fitted.V_in[:, 0], inspection.fitted.I_out[:, 0] / scale
    for p in _points(inspection.fitted, devices):
        axes.plot(V[p], current[p], ".-", ms=4, lw=0.6, color=COLOURS[0])
    shown = np.concatenate(_points(inspection.fitted, devices))
    _mark(axes, inspection, V, current, shown)
    for irregularity in inspection.irregularities:
        _band(axes, irregularity, V, current, scale)
    axes.set_xlabel("V, V")
    axes.set_ylabel(f"I, {name}A")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="small")
    return figure


def _mark(axes: Axes, inspection: Inspection, x: Array, y: Array, shown: Any) -> None:
    """Points by what was seen in them."""
    from xbarspice.report.plots import COLOURS

    for irregularity in inspection.irregularities:
        if irregularity.kind not in MARKS:
            continue
        marker, number = MARKS[irregularity.kind]
        color = COLOURS[number]
        points = np.intersect1d(np.flatnonzero(irregularity.points), shown)
        face = color if marker == "x" else "none"
        axes.plot(
            x[points], y[points], marker, ms=7, mfc=face, color=color, label=irregularity.kind
        )


def _band(axes: Axes, irregularity: Irregularity, V: Array, current: Array, scale: float) -> None:
    """Currents below a range switch, and voltages of a saturation, as bands."""
    from xbarspice.report.plots import ABSENT, COLOURS

    if irregularity.kind == "range switch" and irregularity.limit is not None:
        limit = irregularity.limit / scale
        axes.axhspan(-limit, limit, color=ABSENT, alpha=0.15, lw=0, label="range switch")
    if irregularity.kind == "saturation" and irregularity.limit is not None:
        onset = irregularity.limit
        for sign in (1, -1):
            if (sign * V > onset).any():
                axes.axvspan(
                    sign * onset, sign * np.abs(V).max(), color=COLOURS[4], alpha=0.15, lw=0
                )
    if irregularity.kind == "compliance":
        for sign in (1, -1):
            side = irregularity.points & (sign * current > 0)
            if side.any():
                axes.axhline(current[side].mean(), color=COLOURS[1], lw=0.8, ls="--")


def _order_figure(inspection: Inspection, devices: Sequence[str]) -> Figure:
    from xbarspice.report.plots import ABSENT, COLOURS, new_figure

    figure = new_figure()
    axes = figure.add_subplot()
    V, current = inspection.fitted.V_in[:, 0], inspection.fitted.I_out[:, 0]
    g = np.full(len(V), np.nan)
    np.divide(current, V, out=g, where=V != 0)
    scale, name = prefix(float(np.nanmax(np.abs(g))))
    order, shown = np.zeros(len(V)), []
    for p in _points(inspection.fitted, devices):
        order[p] = np.arange(len(p)) + 1
        axes.plot(order[p], g[p] / scale, ".-", ms=4, lw=0.6, color=COLOURS[0])
        shown.append(p)
    _mark(axes, inspection, order, g / scale, np.concatenate(shown))
    if drift := [i for i in inspection.irregularities if i.kind == "drift"]:
        words = drift[0].text.rpartition("; ")[2].partition(")")[0]
        axes.axvspan(1, order.max(), color=ABSENT, alpha=0.15, lw=0, label=f"drift: {words}")
    axes.set_xlabel("point")
    axes.set_ylabel(f"I/V, {name}S")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="small")
    return figure
