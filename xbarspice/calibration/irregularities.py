"""What the curve of one device shows that a model of one smooth curve does not have.

Each look takes the points of one device in the order of time and returns the points that it marks
with the size of what it saw; `level` is the share of clean curves in which a statistical look may
see something. Judged is the conductance ``g = I/V`` of each point; the scatter of
neighbours is a robust one of its second differences in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats

from xbarspice.calibration.curves import (
    CHANGE,
    SMALL,
    Mark,
    log_conductance,
    nothing,
    rising_points,
    scatter_of,
    segments_of,
)
from xbarspice.calibration.range_switches import range_switch
from xbarspice.calibration.robust import cut_residuals
from xbarspice.core.types import Array, Indices

__all__ = ["drift_of", "looks"]

PLATEAU = 3
"""Points of equal current at rising voltage that make a plateau."""
EQUAL = 2e-3
"""Relative difference of currents that counts as none on a plateau."""
APART = 5.0
"""Differences are irregular beyond so many times the scatter of neighbours, and 2 %."""


def _percent(size: float) -> str:
    return f"up to {100 * size:.3g} % of the current"


# --- looks ---------------------------------------------------------------------------------------


def _sign(V: Array, current: Array, level: float) -> Mark:
    """Currents against the voltage in most points of a polarity."""
    counts = np.abs(current) > SMALL * np.abs(current).max(initial=0.0)
    against, sides = np.zeros(len(V), dtype=bool), {}
    for name, sign in (("positive", 1), ("negative", -1)):
        side = counts & (sign * V > 0)
        opposite = side & (V * current < 0)
        if side.sum() >= 3 and 2 * opposite.sum() > side.sum():
            against |= opposite
            sides[name] = True
        elif side.any():
            sides[name] = False
    which = [name for name, flipped in sides.items() if flipped]
    if not which:
        return nothing(V)
    what = which[0] if len(sides) > len(which) else "all"
    words = "at both polarities" if what == "all" else f"at {what} voltages"
    return Mark(points=against, size=1.0, words=words, option=f"--flip-current {what}")


def _plateau(V: Array, current: Array, level: float) -> Mark:
    """Points of the largest current that stand still while |V| changes by a tenth and more."""
    out = np.zeros(len(V), dtype=bool)
    for sign in (1, -1):
        side = sign * current > 0
        if side.sum() <= PLATEAU:
            continue
        top = (sign * current)[side].max()
        flat = side & (sign * current >= (1 - EQUAL) * top)
        volts = np.abs(V[flat])
        if flat.sum() >= PLATEAU and volts.max() > 1.1 * volts.min():
            out |= flat
    limit = float(np.abs(current[out]).max(initial=0.0))
    return Mark(points=out, size=limit, words=f"at {limit:.3g} A")


def _saturation(V: Array, current: Array, level: float) -> Mark:
    """The slope dI/dV at the largest voltages is less than half of I/V, beyond its error."""
    out, onset, least = np.zeros(len(V), dtype=bool), np.inf, 1.0
    scatter = float(np.min(scatter_of(V, current), initial=np.inf))
    for points in segments_of(V):
        v, i = np.abs(V[points]), np.abs(current[points])
        width = max(5, len(points) // 5)
        start = len(points) - width
        while start >= 0 and v[start] > 0:
            window = slice(start, start + width)
            ratio, error = _slope_ratio(v[window], i[window], scatter)
            if ratio + 3 * error > 0.5:
                break
            least, onset = min(least, ratio), min(onset, float(v[start]))
            out[points[window]] = True
            start -= 1
    words = f"the slope falls to {100 * max(least, 0):.2g} % of I/V"
    return Mark(
        points=out, size=1 - least, words=words, option=f"--max-voltage {onset:.3g}", limit=onset
    )


def _slope_ratio(v: Array, i: Array, scatter: float) -> tuple[float, float]:
    """Slope dI/dV of a straight line over I/V of its points, and the standard error."""
    x = v - v.mean()
    spread, g = float((x**2).sum()), float(i.mean() / v.mean())
    if spread == 0 or g == 0:
        return 1.0, np.inf
    return float((x * i).sum()) / spread / g, scatter * float(i.mean()) / np.sqrt(spread) / g


def _curves(V: Array, current: Array) -> Iterator[tuple[Indices, Array]]:
    """Rising and falling points of one polarity, and the rising curve at the falling points."""
    rising = rising_points(V)
    for sign in (1, -1):
        up = np.flatnonzero(rising & (sign * V > 0))
        down = np.flatnonzero(~rising & (sign * V > 0))
        if len(up) >= 3 and len(down) >= 3:
            order = up[np.argsort(np.abs(V[up]))]
            yield down, np.interp(np.abs(V[down]), np.abs(V[order]), current[order])


def _hysteresis(V: Array, current: Array, level: float) -> Mark:
    """Half of the falling points of a polarity lie off the rising curve."""
    out, size = np.zeros(len(V), dtype=bool), 0.0
    limit = max(APART * float(np.min(scatter_of(V, current), initial=np.inf)), 0.02)
    for down, reference in _curves(V, current):
        inside = np.abs(reference) > SMALL * np.abs(current).max()
        apart = np.abs(current[down] - reference) / np.maximum(np.abs(reference), 1e-300)
        # one point may be an outlier: a branch differs in half of its points
        if inside.sum() >= 3 and np.median(apart[inside]) > limit:
            out[down[inside]] = True
            size = max(size, float(np.median(apart[inside])))
    return Mark(points=out, size=size, words=_percent(size))


def _branches(V: Array, current: Array, level: float) -> Mark:
    """Hysteresis that is not explained by a drift."""
    trend, _ = drift_of(V, current, level)
    mark = _hysteresis(V, current, level)
    order = np.arange(len(V))
    if mark and trend and not _hysteresis(V, current / np.exp(trend * order), level):
        return nothing(V)
    return mark


def drift_of(V: Array, current: Array, level: float) -> tuple[float, float]:
    """Change of log |I/V| a point, between points of equal voltage; 0 if it is no drift.

    Regressed is, within groups of equal voltage, on the order of the points. It counts as drift if
    its t statistic is beyond `level` and it explains more than a difference of the branches does.

    Returns:
        The change a point, and its standard error; (0, 0) without drift.
    """
    points, y = log_conductance(V, current)
    if len(points) < 12:
        return 0.0, 0.0
    top = np.abs(V[points]).max()
    _, group = np.unique(np.round(V[points] / (1e-3 * top)), return_inverse=True)
    weight = scatter_of(V, current)[points] ** -2.0
    if not np.isfinite(weight).all():
        return 0.0, 0.0
    total = np.bincount(group, weight)

    def within(x: Array) -> Array:
        return (x - (np.bincount(group, weight * x) / total)[group]) * np.sqrt(weight)

    order, branch = within(points.astype(float)), within(rising_points(V)[points].astype(float))
    free = len(y) - len(total) - 1
    y = within(y)
    if free < 6 or not (order**2).sum() > 0:
        return 0.0, 0.0
    y = cut_residuals(y, 1.0)
    slope = float((order * y).sum() / (order**2).sum())
    rss = float(((y - slope * order) ** 2).sum())
    error = float(np.sqrt(rss / free / (order**2).sum()))
    size = (branch**2).sum()
    by_branch = float((y**2).sum() - ((branch * y).sum() ** 2 / size if size > 0 else 0.0))
    significant = 2 * stats.t.sf(abs(slope) / max(error, 1e-300), free) < level
    if not significant or rss >= by_branch or abs(slope) * (len(V) - 1) < CHANGE:
        return 0.0, 0.0
    return slope, error


def _drift(V: Array, current: Array, level: float) -> Mark:
    """Currents at equal voltages change with the order of the points."""
    trend, _ = drift_of(V, current, level)
    if not trend or _branches(V, current, level):
        return nothing(V)
    whole = float(np.expm1(trend * (len(V) - 1)))
    return Mark(
        points=np.ones(len(V), dtype=bool),
        size=abs(whole),
        words=f"{100 * whole:+.3g} % from the first to the last point",
    )


def _asymmetry(V: Array, current: Array, level: float) -> Mark:
    """Half of the points at negative voltages lie off the curve at positive ones."""
    plus, minus = np.flatnonzero(V > 0), np.flatnonzero(V < 0)
    if len(plus) < 5 or len(minus) < 5:
        return nothing(V)
    order = plus[np.argsort(V[plus])]
    reference = np.interp(-V[minus], V[order], current[order])
    covered = (-V[minus] <= V[plus].max()) & (-V[minus] >= V[plus].min())
    apart = np.abs(-current[minus] - reference) / np.maximum(np.abs(reference), 1e-300)
    size = float(np.median(apart[covered])) if covered.sum() >= 5 else 0.0
    out = np.zeros(len(V), dtype=bool)
    if size > max(APART * float(np.min(scatter_of(V, current))), 0.02):
        out[minus[covered]] = True
    return Mark(points=out, size=size, words=_percent(size))


def _outliers(V: Array, current: Array, level: float) -> Mark:
    """Points far off the median of their four neighbours of one polarity in time.

    Farther than ten times the scatter, a tenth, and three steps from neighbour to neighbour.
    """
    out, apart = np.zeros(len(V), dtype=bool), np.zeros(len(V))
    scatter = scatter_of(V, current)
    points = np.flatnonzero((V != 0) & (current != 0) & np.isfinite(scatter))
    turns = np.flatnonzero(np.diff(np.sign(V[points])) != 0) + 1
    for run in np.split(points, turns):
        if len(run) < 5:
            continue
        y = np.log(np.abs(current[run] / V[run]))
        index = np.arange(len(run))
        first = np.clip(index - 2, 0, len(run) - 5)
        five = first[:, None] + np.arange(5)
        neighbours = five[five != index[:, None]].reshape(len(run), 4)
        around = np.sort(y[neighbours], axis=1)
        middle = around[:, 1:3].mean(axis=1)
        expected = np.exp(middle) * np.abs(V[run])
        share = np.minimum(expected / (SMALL * np.abs(current).max()), 1.0)
        off = np.where((V * current)[run] < 0, np.exp(middle) * np.inf, np.abs(y - middle))
        off[share < 1] = 0.0
        noise = np.maximum(scatter[run], scatter[run] * np.abs(current[run]) / expected)
        limit = np.maximum(2 * APART * noise, np.maximum(0.1, 3 * (around[:, 2] - around[:, 1])))
        # at the ends of a run a straight line leaves its own median by some steps
        limit += np.array([0, 3 / 8, 5 / 6])[abs(index - first - 2)] * np.ptp(around, axis=1)
        out[run], apart[run] = off > limit, off
    size = float(np.expm1(min(apart[out].max(initial=0.0), 50.0)))
    return Mark(points=out, size=size, words=f"by up to {100 * size:.3g} %")


Look = Callable[[Array, Array, float], Mark]


def looks() -> dict[str, tuple[Look, str, str]]:
    """By kind: the look, what it means in words, and the option that handles it.

    In the order in which they are taken. Outliers and plateaus take no part in later looks; the
    other sign and drift are corrected for them.
    """
    return {
        "sign": (_sign, "currents run against the voltage", "--flip-current"),
        "outliers": (
            _outliers,
            "single points lie off their neighbours",
            "--drop-outliers, or --loss soft_l1",
        ),
        "compliance": (_plateau, "currents stand still at rising voltage", "--drop-compliance"),
        "saturation": (_saturation, "currents saturate below their largest voltage", ""),
        "drift": (_drift, "currents at equal voltages change with time", "--remove-drift"),
        "hysteresis": (_branches, "rising and falling branches differ", "--branch up or down"),
        "asymmetry": (
            _asymmetry,
            "currents of the two polarities differ",
            "--polarity positive or negative",
        ),
        "range switch": (range_switch, "the meter seems to have changed its range", ""),
    }
