"""The plot of a campaign: items done against time, and when the rest is expected to be done."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xbarspice.campaign.forecast import Forecast
from xbarspice.plot.axes import COLOURS, axes_or_new, place_legend, text_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["campaign"]

_POINTS = 200
"""Points of the curve; of more every so many-th is drawn."""
_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200)
"""Distances between two ticks, s; beyond the last, days."""
_DAY = 86400
_UNITS = ((2 * _DAY, _DAY, "d"), (7200, 3600, "h"), (200, 60, "min"), (0, 1, "s"))
"""Range of the time from which a unit is used, its length in s, and its name."""
_TICKS = 6


def campaign(
    seconds: npt.ArrayLike,
    done: npt.ArrayLike,
    *,
    total: int | None = None,
    rest: Forecast | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Items done against time, with the forecast of the rest and its interval.

    Args:
        seconds: times, s, (points,), at least one.
        done: items done at each of them, (points,).
        total: items of the campaign; None while that is unknown.
        rest: what is expected of the rest; None: no forecast is drawn. Where its interval has no
            upper end, it is drawn open, up to twice the time that is expected, and not at all
            where it has no lower end either.
        ax: where to draw; None: a new figure.

    Returns:
        The axes; seconds, shown as min, h or d.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    ax = axes_or_new(ax, 5.2, 3.0)
    times, counts = np.asarray(seconds, float), np.asarray(done, float)
    shown = np.unique(np.linspace(0, times.size - 1, min(times.size, _POINTS)).astype(int))
    ax.plot(times[shown], counts[shown], color=COLOURS[0], label="done")
    last = times[-1]
    if total is not None:
        style = {"color": text_colour(), "linestyle": ":", "linewidth": 1}
        ax.axhline(total, label="all items", **style)
    if total is not None and rest is not None:
        last = _draw_forecast(ax, times[-1], counts[-1], total, rest)
    ax.set_xlim(min(0.0, times[0]), last if last > times[0] else times[0] + 1.0)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("items done")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    _show_time(ax)
    place_legend(ax)
    return ax


def _draw_forecast(ax: Axes, time: float, done: float, total: int, rest: Forecast) -> float:
    """The expected end and its interval; the time up to which they are drawn."""
    end, low = time + rest.seconds, time + rest.low
    band = {"color": COLOURS[1], "alpha": 0.25, "linewidth": 0, "label": "95 % interval"}
    if math.isfinite(rest.high):
        last = high = time + rest.high
        corners = [(time, done), (low, total), (high, total)]
    else:
        last = time + 2 * rest.seconds
        corners = [(time, done), (low, total), (last, total), (last, done)]
    if rest.low or math.isfinite(rest.high):
        ax.fill(*zip(*corners, strict=True), **band)
    ax.plot([time, end], [done, total], color=COLOURS[1], linestyle="--", label="forecast")
    return last


def _show_time(ax: Axes) -> None:
    """Ticks of the time in the unit that suits its range."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    low, high = ax.get_xlim()
    span = high - low
    unit, name = next((unit, name) for least, unit, name in _UNITS if span >= least)
    days = _DAY * max(1, math.ceil(span / _DAY / _TICKS))
    step = next((step for step in _STEPS if span <= step * _TICKS), days)
    ax.xaxis.set_major_locator(MultipleLocator(step if span > 1 else span / 2))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / unit:g}"))
    ax.set_xlabel(f"time of this run ({name})")
