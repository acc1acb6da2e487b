"""Pictures of a programming run: errors, drift by later writes, pulses, who moved whom, orders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xbarspice.programming.write_verify import Programmed

__all__ = [
    "conductances_figure",
    "disturb_map",
    "error_map",
    "log_figure",
    "orders_figure",
    "pulse_map",
    "schemes_figure",
    "shift_map",
    "victims_map",
]


def _map(
    figure: Figure,
    axes: Any,
    values: Array,
    label: str,
    *,
    limit: float | None = None,
    top: float | None = None,
    ring: tuple[int, int] | None = None,
) -> None:
    """One value a cell: colours from -limit to `limit` with a sign, else from 0 to `top`."""
    from matplotlib.colors import Normalize, TwoSlopeNorm
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import MaxNLocator

    shown = np.ma.masked_invalid(values)
    signed = limit is not None
    top = limit or top or max(float(shown.max()), 1e-30)
    norm = TwoSlopeNorm(0.0, -top, top) if signed else Normalize(0.0, top)
    axes.set_facecolor("#8f979e")
    image = axes.imshow(shown, norm=norm, cmap="RdBu_r" if signed else "viridis")
    bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02)
    bar.set_label(label)
    axes.set_xlabel("bit line (column)")
    axes.set_ylabel("word line (row)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    digits = 0 if top >= 10 else 1 if top >= 1 else 2 - int(np.floor(np.log10(top)))
    if max(values.shape) <= 8:
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                dark = abs(value) > 0.6 * top if signed else value < 0.5 * top
                shown_as = f"{round(value, digits) + 0.0:.{digits}f}"
                axes.text(
                    j,
                    i,
                    shown_as,
                    ha="center",
                    va="center",
                    fontsize=5.5,
                    color="white" if dark else "#010101",
                )
    if ring is not None:
        row, col = ring
        axes.add_patch(
            Rectangle((col - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#00b4dc", linewidth=2.5)
        )


def _at_targets(run: Programmed, values: Array) -> Array:
    return np.where(run.wanted, values, np.nan)


def _largest(values: Array) -> float:
    """Largest size of the values; 1 where all are 0."""
    largest = float(np.nanmax(np.abs(values)))
    return largest if largest > 1e-9 else 1.0


def _figure(width: float, height: float) -> Figure:
    from xbarspice.report.plots import new_figure

    return new_figure(width, height)


def error_map(run: Programmed) -> Figure:
    """Relative error of the final conductances, in percent."""
    figure = _figure(4.2, 3.3)
    values = _at_targets(run, 100 * run.error)
    _map(figure, figure.add_subplot(), values, "error of G / %", limit=_largest(values))
    return figure


def disturb_map(run: Programmed) -> Figure:
    """Drift of each device since it was finished, by the later writes, in uS."""
    figure = _figure(4.2, 3.3)
    values = _at_targets(run, 1e6 * run.disturb)
    _map(figure, figure.add_subplot(), values, "drift by later writes / µS", limit=_largest(values))
    return figure


def pulse_map(run: Programmed) -> Figure:
    """Write pulses that each device took."""
    figure = _figure(4.2, 3.3)
    values = _at_targets(run, run.pulses.astype(float))
    _map(figure, figure.add_subplot(), values, "write pulses")
    return figure


def victims_map(run: Programmed, row: int, col: int) -> Figure:
    """Who was moved while one device was written: change of all others, in uS; that one is framed.

    Raises:
        InputError: that device was not written.
    """
    position = np.flatnonzero(run.order == row * run.G.shape[1] + col)
    if not position.size:
        raise broken_rule(
            "the device must have been written", (row, col), "Choose one that has a target."
        )
    return shift_map(run, run.moved[position[0]].astype(np.float64), row, col)


def shift_map(run: Programmed, moved: Array, row: int, col: int) -> Figure:
    """`victims_map` of the changes of all devices, S, (rows, cols), while one was written."""
    values = 1e6 * moved
    values[row, col] = np.nan
    values = _at_targets(run, values)
    figure = _figure(4.2, 3.3)
    label = f"moved while ({row}, {col}) was written / µS"
    _map(figure, figure.add_subplot(), values, label, limit=_largest(values), ring=(row, col))
    return figure


def schemes_figure(runs: Mapping[str, Programmed]) -> Figure:
    """Disturb maps side by side with common colours, for example of V/2 and V/3.

    Args:
        runs: name -> run, of arrays of equal size.
    """
    figure = _figure(4.2 * len(runs), 3.5)
    maps = {name: _at_targets(run, 1e6 * run.disturb) for name, run in runs.items()}
    limit = max(_largest(values) for values in maps.values())
    axes = np.ravel(figure.subplots(1, len(runs), squeeze=False))
    for ax, (name, values) in zip(axes, maps.items(), strict=True):
        _map(figure, ax, values, "drift by later writes / µS", limit=limit)
        rms = float(np.sqrt(np.nanmean(values**2)))
        ax.set_title(
            f"{name}: rms {rms:.3g} µS, yield {100 * runs[name].yield_:.0f} %", fontsize=10
        )
    return figure


def conductances_figure(runs: Mapping[str, Programmed]) -> Figure:
    """Conductances that programming left, side by side with common colours.

    Args:
        runs: name -> run, of arrays of equal size and equal targets.
    """
    figure = _figure(3.6 * (1 + len(runs)), 3.2)
    first = next(iter(runs.values()))
    maps = {"target": first.target, **{name: run.G for name, run in runs.items()}}
    limit = 1e6 * max(float(G.max()) for G in maps.values())
    axes = np.ravel(figure.subplots(1, len(maps), squeeze=False))
    for ax, (name, G) in zip(axes, maps.items(), strict=True):
        _map(figure, ax, 1e6 * G, "conductance / µS", top=limit)
        title = f"{name}: yield {100 * runs[name].yield_:.0f} %" if name in runs else name
        ax.set_title(title, fontsize=10)
    return figure


def log_figure(record: Mapping[str, Any]) -> Figure:
    """Deviation of every read of a tester's log from the plan, against the step.

    Args:
        record: what `xbarspice.programming.tester_log.compare` gave.
    """
    figure = _figure(6.4, 3.0)
    ax = figure.add_subplot()
    for phase, colour in (("step", "#2f7fd0"), ("final", "#d1651f")):
        reads = [r for r in record["reads"] if r["phase"] == phase]
        x, y = [r["step"] for r in reads], [100 * r["deviation"] for r in reads]
        if reads:
            words = "when it was written" if phase == "step" else "when all were"
            ax.plot(x, y, ".", markersize=4, color=colour, label=words)
    limit = 100 * record["tolerance"]
    for level in (-limit, limit):
        ax.axhline(level, color="#8f979e", linestyle="--", linewidth=1)
    ax.set_yscale("symlog", linthresh=2 * limit)
    ax.set(xlabel="step", ylabel="measured over expected current / %")
    ax.legend(frameon=False)
    return figure


def orders_figure(runs: Mapping[str, Programmed]) -> Figure:
    """Distribution of the final errors for several runs, such as orders of writing."""
    figure = _figure(4.8, 3.3)
    ax = figure.add_subplot()
    for (name, run), colour in zip(
        runs.items(),
        ("#2f7fd0", "#d1651f", "#2f9c63", "#b155c4", "#9a8411", "#d0487b"),
        strict=False,
    ):
        error = np.sort(100 * np.abs(run.error[run.wanted]))
        share = np.arange(1, error.size + 1) / error.size
        ax.step(np.maximum(error, 1e-3), 100 * share, where="post", label=name, color=colour)
    first = next(iter(runs.values()))
    ax.axvline(100 * first.tolerance, color="#8f979e", linestyle="--", linewidth=1)
    ax.set(xscale="log", xlabel="error of G / %", ylabel="devices with at most this error / %")
    ax.legend(frameon=False)
    return figure
