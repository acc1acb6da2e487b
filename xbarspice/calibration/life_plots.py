"""Plots of devices that change: drift, pulses, tuning, retention, cycling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from xbarspice.calibration.branches import BRANCHES, Branches, branch_values
from xbarspice.calibration.cycling import STATES, Cycles
from xbarspice.calibration.drift import Drifts
from xbarspice.calibration.fit import Fit
from xbarspice.calibration.measurements import Programming, PulseTrains, Reads, Repeats
from xbarspice.calibration.retention import Retention
from xbarspice.calibration.tuning_log import TuningLog
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array
from xbarspice.plot.axes import (
    COLOURS,
    axes_or_new,
    colour,
    escape,
    number_lines,
    place_legend,
    set_quantity,
    text_colour,
)
from xbarspice.variability import bse_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "SHOWN",
    "branch_curves",
    "curves_of_branch",
    "cycles",
    "drifts",
    "pulse_trains",
    "read_noise",
    "retention",
    "tuning_errors",
]

SHOWN = 8
"""Devices that are drawn in one plot."""


def drifts(
    data: Drifts,
    *,
    over: Literal["later writes", "conductance"] = "later writes",
    ax: Axes | None = None,
) -> Axes:
    """Drift of every device by later writes, in S.

    Args:
        data: of `xb.calibration.read_drifts` or `drifts_of_maps`.
        over: "later writes": with median and middle half of each number, and the quartiles of the
            built-in table; or "conductance" before, in S: the table draws a drift for all alike.
        ax: where to draw; None: a new figure.

    Returns:
        The axes.

    Raises:
        InputError: `over` is neither.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    if over not in ("later writes", "conductance"):
        raise broken_rule("`over` must be later writes or conductance", repr(over), "Choose one.")
    ax = axes_or_new(ax)
    if over == "later writes":
        _draw_by_writes(ax, data)
        title = ""
    else:
        title = "later writes"
        for n, number in enumerate(np.unique(data.later_writes).tolist()):
            of = data.later_writes == number
            x, y = data.G[of], (data.G_end - data.G)[of]
            ax.plot(x, y, ".", ms=3, color=colour(n), label=f"{number}")
        set_quantity(ax.xaxis, "conductance before", "S")
    set_quantity(ax.yaxis, "drift", "S")
    place_legend(ax, title)
    return ax


def _draw_by_writes(ax: Axes, data: Drifts) -> None:
    k, drift = data.later_writes, data.G_end - data.G
    width = 0.012 * max(int(k.max()), 10)
    spots = k + width * np.sin(np.arange(len(k)) * 2.4)  # spread sideways, the same each time
    ax.plot(spots, drift, ".", ms=3, color=COLOURS[0], alpha=0.5, label="measured")
    numbers = np.unique(k[k > 0])
    quartiles = np.array([np.quantile(drift[k == n], [0.25, 0.5, 0.75]) for n in numbers])
    ax.plot(numbers, quartiles[:, 1], "-", color=COLOURS[0], label="median")
    half = {"color": COLOURS[0], "alpha": 0.3, "linewidth": 0, "label": "middle half"}
    ax.fill_between(numbers, quartiles[:, 0], quartiles[:, 2], **half)
    usual = bse_table()
    every = np.arange(1, min(int(k.max()), len(usual.mean)) + 1)
    for level, label in ((0.25, "quartiles, built-in table"), (0.75, None)):
        column = [np.interp(level, usual.levels, usual.quantiles[n - 1]) for n in every]
        ax.plot(every, column, "--", color=COLOURS[1], lw=1, label=label)
    number_lines(ax.xaxis, "later writes")


def pulse_trains(fit: Fit, trains: PulseTrains, *, ax: Axes | None = None) -> Axes:
    """Conductance over the number of the pulse: dots as read, lines as the model has it, in S.

    Args:
        fit: of all reads of the trains (`xb.calibration.fit_pulses`).
        trains: what was measured; at most eight devices are drawn.
        ax: where to draw; None: a new figure.

    Returns:
        The axes.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    ax = axes_or_new(ax)
    read = np.flatnonzero(np.isfinite(trains.G))
    labels = trains.labels or tuple(map(str, range(int(trains.device.max()) + 1)))
    for k, label in enumerate(labels[:SHOWN]):
        of = trains.device[read] == k
        number = np.cumsum(trains.V[trains.device == k] != 0)
        number = number[np.isfinite(trains.G[trains.device == k])]
        ax.plot(number, fit.measured[of], ".", ms=4, color=colour(k), label=escape(label))
        ax.plot(number, fit.predicted[of], "-", lw=1, color=colour(k))
    number_lines(ax.xaxis, "pulse")
    set_quantity(ax.yaxis, "conductance", "S")
    place_legend(ax)
    return ax


def curves_of_branch(data: Branches, branch: str) -> list[int]:
    """Numbers of the curves of one branch, "potentiation" or "depression"."""
    return [k for k, name in enumerate(data.names) if name.endswith(branch)]


def branch_curves(fit: Fit, data: Branches, branch: str, *, ax: Axes | None = None) -> Axes:
    """Potentiation or depression over the pulse of the run: dots as read, lines as fitted, in S.

    Args:
        fit: of `xb.calibration.fit_curves`.
        data: of `xb.calibration.branches_of`; at most eight devices are drawn.
        branch: "potentiation" or "depression".
        ax: where to draw; None: a new figure.

    Returns:
        The axes.

    Raises:
        InputError: the data have no such branch.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    curves = curves_of_branch(data, branch) if branch in BRANCHES else []
    if not curves:
        raise broken_rule(
            "`branch` must be one that the data have", repr(branch), f"They are {data.names}."
        )
    ax = axes_or_new(ax)
    x = np.linspace(0, 1, 101)
    for n, k in enumerate(curves[:SHOWN]):
        of, label = data.curve == k, data.names[k].removesuffix(branch).rstrip(".")
        style = {"ms": 4, "color": colour(n), "label": escape(label) or None}
        ax.plot(data.pulse[of], data.G[of], ".", **style)
        line = branch_values(data, fit, k, x)
        ax.plot(x * data.longest[k], line, "-", lw=1, color=colour(n))
    number_lines(ax.xaxis, "pulse of the run")
    set_quantity(ax.yaxis, "conductance", "S")
    place_legend(ax)
    return ax


def tuning_errors(
    data: TuningLog | Programming,
    fitted: Mapping[str, float] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Error of every tuned device over its target, in S, and where 95 % should lie.

    The band is that of the term `cti` (`variability.ConductanceTuning`). What lies farther out than
    four times its half width, such as stuck devices, stands as arrow heads at the edge.

    Args:
        data: of `xb.calibration.read_tuning` or `read_programming`.
        fitted: values of the card by their last name: `offset_mean`, and `offset_std`, `sigma_0`,
            `sigma_slope` (1/S) and `sigma_abs` (S) as far as they are there; None draws no band.
        ax: where to draw; None: a new figure.

    Returns:
        The axes.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    ax = axes_or_new(ax)
    error = data.G - data.target
    ax.plot(data.target, error, ".", ms=3, alpha=0.5, color=COLOURS[0])
    if fitted is not None:
        t = np.linspace(data.target.min(), data.target.max(), 101)
        middle, half = _tuning_band(t, fitted)
        band = {"color": COLOURS[1], "alpha": 0.3, "linewidth": 0, "label": "fitted, 95 %"}
        ax.fill_between(t, middle - half, middle + half, **band)
        ax.plot(t, middle, color=COLOURS[1], lw=1, label="fitted, mean")
        _mark_beyond(ax, data.target, error, (middle - 4 * half).min(), (middle + 4 * half).max())
    set_quantity(ax.xaxis, "target", "S")
    set_quantity(ax.yaxis, "reached - target", "S")
    place_legend(ax)
    return ax


def _tuning_band(t: Array, fitted: Mapping[str, float]) -> tuple[Array, Array]:
    """Mean error and half width of its 95 %, S, at targets, S."""
    relative = fitted.get("sigma_0", 0.0) + fitted.get("sigma_slope", 0.0) * t
    relative = np.hypot(relative.clip(min=0.0), fitted.get("offset_std", 0.0))
    half = 1.96 * np.hypot(relative * t, fitted.get("sigma_abs", 0.0))
    return fitted["offset_mean"] * t, half


def _mark_beyond(ax: Axes, x: Array, y: Array, low: float, high: float) -> None:
    """Arrow heads at the edges of [low, high] for what lies beyond; nothing where nothing does."""
    if not ((y < low) | (y > high)).any():
        return
    for side, end, mark in ((y < low, low, "v"), (y > high, high, "^")):
        if side.any():
            edge, label = np.full(int(side.sum()), end), f"{int(side.sum())} beyond"
            ax.plot(x[side], edge, mark, color=COLOURS[3], ms=5, mew=0, label=label)
    margin = 0.05 * (high - low)
    ax.set_ylim(low - margin, high + margin)


def read_noise(data: Repeats | Reads, *, ax: Axes | None = None) -> Axes:
    """Deviation of every repeated read from the mean of its repeats, over that mean.

    Args:
        data: of `xb.calibration.read_repeats`: conductances of devices, S; or of `read_reads`:
            currents of an array, A, under inputs that were applied several times.
        ax: where to draw; None: a new figure.

    Returns:
        The axes; what was read once stands at 0.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    if isinstance(data, Repeats):
        quantity, unit, values, group = "conductance", "S", data.G[:, None], data.device
    else:
        quantity, unit, values = "current", "A", data.I_out
        group = np.unique(data.V_in, axis=0, return_inverse=True)[1].ravel()
    mean = np.stack([values[group == k].mean(axis=0) for k in range(int(group.max()) + 1)])[group]
    ax = axes_or_new(ax)
    ax.axhline(0, color=text_colour(), lw=0.8)
    x, y = mean.ravel(), (values - mean).ravel()
    ax.plot(x, y, ".", ms=3, alpha=0.5, color=COLOURS[0])
    set_quantity(ax.xaxis, f"{quantity}, mean of its reads", unit)
    set_quantity(ax.yaxis, "read - mean", unit)
    return ax


def retention(data: Retention, fails: float | None = None, *, ax: Axes | None = None) -> Axes:
    """Conductance of every device over its first read, against time in s.

    Args:
        data: of `xb.calibration.read_retention`; at most eight devices are drawn.
        fails: relative change from which a device has failed; None draws no limits.
        ax: where to draw; None: a new figure.

    Returns:
        The axes; ratios as fractions.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    ax = axes_or_new(ax)
    for k, d in enumerate(np.unique(data.device)[:SHOWN].tolist()):
        of = np.flatnonzero(data.device == d)
        of = of[np.argsort(data.t[of], kind="stable")]
        style = {"ms": 3, "lw": 0.7, "color": colour(k), "label": f"device {d}"}
        ax.plot(data.t[of], data.G[of] / data.G[of[0]], ".-", **style)
    for side in () if fails is None else (1 - fails, 1 + fails):
        label = "failed beyond" if side < 1 else None
        ax.axhline(side, color=text_colour(), ls="--", lw=1, label=label)
    ax.set_xscale("log")
    set_quantity(ax.xaxis, "time", "s")
    set_quantity(ax.yaxis, "G over the first read", "%")
    place_legend(ax)
    return ax


def cycles(data: Cycles, *, ax: Axes | None = None) -> Axes:
    """Conductance of both states over the cycle, in S: full at low ohm, open at high ohm.

    Args:
        data: of `xb.calibration.read_cycles`; at most eight devices are drawn.
        ax: where to draw; None: a new figure.

    Returns:
        The axes, both logarithmic.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    ax = axes_or_new(ax)
    for k, d in enumerate(np.unique(data.device)[:SHOWN].tolist()):
        of = data.device == d
        for state in STATES:
            x, y = np.maximum(data.cycle[of], 1), data.state(state)[of]
            is_open, label = state == "HRS", None if state == "HRS" else f"device {d}"
            style = {"color": colour(k), "mfc": "none" if is_open else None, "label": label}
            ax.plot(x, y, ".", ms=3, **style)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("cycle")
    set_quantity(ax.yaxis, "conductance", "S")
    place_legend(ax)
    return ax
