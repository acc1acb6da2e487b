"""Plots of a fit: model against data; residuals over voltage, in time, by normal quantiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import stats

from xbarspice.calibration.fit import Fit
from xbarspice.calibration.robust import CUT, robust_std
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array
from xbarspice.plot.axes import (
    ABSENT,
    COLOURS,
    MARKERS,
    axes_or_new,
    number_lines,
    place_legend,
    set_quantity,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["EDGE", "fit", "residual_quantiles", "residuals", "standard_residuals"]

EDGE = 8.0
"""Robust standard deviations beyond which residuals are drawn at it, so that they do not hide the
others."""


def standard_residuals(fit: Fit) -> Array:
    """Residuals (measured - model) over their robust standard deviation, (points,)."""
    residual = (fit.measured - fit.predicted) / fit.sigma
    spread = robust_std(residual[fit.fitted], about_median=True)
    return residual / (spread if spread > 0 else 1.0)


def fit(result: Fit, unit: str = "A", *, ax: Axes | None = None) -> Axes:
    """Model against measured values of a fit; held-out points are shown apart.

    Args:
        result: any fit of `xb.calibration`.
        unit: of its values, "A" or "S".
        ax: where to draw; None: a new figure.

    Returns:
        The axes. Points on the line are predicted exactly.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    ax = axes_or_new(ax)
    ends = [result.measured.min(), result.measured.max()]
    ax.plot(ends, ends, color=ABSENT, lw=1)
    x, y = result.measured, result.predicted
    _groups(result, lambda mask, **style: ax.plot(x[mask], y[mask], **style))
    set_quantity(ax.xaxis, "measured", unit)
    set_quantity(ax.yaxis, "model", unit)
    place_legend(ax)
    return ax


def residuals(
    fit: Fit, *, over: Literal["voltage", "order"] = "voltage", ax: Axes | None = None
) -> Axes:
    """Residuals of a fit in robust standard deviations; far ones are arrow heads at the edge.

    Args:
        fit: any fit of `xb.calibration`.
        over: "voltage" of the read, V; a curve there is one that the model lacks; or "order" of
            measurement; a slope or a step there is drift or a range switch.
        ax: where to draw; None: a new figure.

    Returns:
        The axes; dashed lines stand where single points count as outliers.

    Raises:
        InputError: `over` is neither.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    if over not in ("voltage", "order"):
        raise broken_rule("`over` must be voltage or order", repr(over), "Choose one.")
    ax = axes_or_new(ax)
    x, y = fit.voltage if over == "voltage" else fit.read.astype(float), standard_residuals(fit)
    ax.axhline(0.0, color=ABSENT, lw=1)
    for level in (-CUT, CUT):
        ax.axhline(level, color=ABSENT, lw=1, ls="--")
    _groups(fit, lambda mask, **style: ax.plot(x[mask], y[mask], **style))
    _draw_far(ax, x, y)
    if over == "voltage":
        set_quantity(ax.xaxis, "voltage of the read", "V")
    else:
        number_lines(ax.xaxis, "number of the read, in the order of the file")
    ax.set_ylabel("measured - model, robust std")
    place_legend(ax)
    return ax


def residual_quantiles(fit: Fit, *, ax: Axes | None = None) -> Axes:
    """Ordered residuals of the fitted points over normal quantiles at (k - 0.5)/n (Hazen).

    Args:
        fit: any fit of `xb.calibration`.
        ax: where to draw; None: a new figure.

    Returns:
        The axes. Normal residuals lie on the line.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    ax = axes_or_new(ax)
    y = np.sort(standard_residuals(fit)[fit.fitted])
    x = stats.norm.ppf((np.arange(len(y)) + 0.5) / len(y))
    ax.plot(x[[0, -1]], x[[0, -1]], color=ABSENT, lw=1)
    ax.plot(x, y, color=COLOURS[0], marker=MARKERS[0], ms=3.5, ls="none", mew=0)
    _draw_far(ax, x, y)
    ax.set_xlabel("normal quantile")
    ax.set_ylabel("measured - model, robust std")
    return ax


def _groups(fit: Fit, draw: Callable[..., object]) -> None:
    """Draw fitted and held-out points in their colours: `draw(mask, **style)`."""
    groups = (("fitted", fit.fitted), ("held out", ~fit.fitted))
    for (label, mask), color, marker in zip(groups, COLOURS, MARKERS, strict=False):
        if mask.any():
            style = {"color": color, "marker": marker, "ms": 3.5, "ls": "none", "mew": 0}
            draw(mask, label=label, **style)


def _draw_far(ax: Axes, x: Array, y: Array) -> None:
    """Arrow heads at the edge for residuals beyond it."""
    if not (np.abs(y) > EDGE).any():
        return
    for sign, marker in ((1, "^"), (-1, "v")):
        far = sign * y > EDGE
        ax.plot(x[far], np.full(far.sum(), sign * EDGE), marker, color=COLOURS[5], ms=6, mew=0)
    ax.set_ylim(-1.1 * EDGE, 1.1 * EDGE)
