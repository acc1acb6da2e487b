"""Figures of a fit: model against data; residuals over voltage, in time, by normal quantiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from xbarspice.calibration.fit import Fit
from xbarspice.calibration.robust import CUT, robust_std
from xbarspice.core.types import Array
from xbarspice.report import new_figure
from xbarspice.report.content import Item, Plot
from xbarspice.report.plots import ABSENT, COLOURS, MARKERS
from xbarspice.report.units import prefix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["figures_of", "standard_residuals"]

EDGE = 8.0
"""Robust standard deviations beyond which residuals are drawn at it, so that they do not hide the
others."""


def standard_residuals(fit: Fit) -> Array:
    """Residuals (measured - model) over their robust standard deviation, (points,)."""
    residual = (fit.measured - fit.predicted) / fit.sigma
    spread = robust_std(residual[fit.fitted], about_median=True)
    return residual / (spread if spread > 0 else 1.0)


def figures_of(fit: Fit, unit: str) -> list[Item]:
    """The figures, for the page.

    Args:
        fit: any fit; held-out points are shown apart.
        unit: of its values.
    """
    residual = standard_residuals(fit)
    tests = "; ".join(f"{c.name}: p = {c.p:.2g}" for c in fit.checks) or "none was possible"
    far = int((np.abs(residual) > CUT).sum())
    beyond = f" Arrow heads: beyond {EDGE:g}." if (np.abs(residual) > EDGE).any() else ""
    return [
        _parity(fit, unit),
        _residuals(
            fit,
            fit.voltage,
            "voltage of the read, V",
            "Residuals over voltage: a curve here is a curve that the model lacks." + beyond,
        ),
        _residuals(
            fit,
            fit.read.astype(float),
            "number of the read, in the order of the file",
            "Residuals in the order of measurement: a slope or a step is drift or a range switch."
            + beyond,
        ),
        _quantiles(
            fit,
            f"Residuals over those of a normal distribution: {far} of {len(residual)} lie beyond "
            f"{CUT:g} robust standard deviations.{beyond} Lack of fit ({tests}).",
        ),
    ]


def _groups(fit: Fit, draw: Callable[..., object]) -> None:
    """Draw fitted and held-out points in their colours: `draw(mask, **style)`."""
    groups = (("fitted", fit.fitted), ("held out", ~fit.fitted))
    for (label, mask), color, marker in zip(groups, COLOURS, MARKERS, strict=False):
        if mask.any():
            style = {"color": color, "marker": marker, "ms": 3.5, "ls": "none", "mew": 0}
            draw(mask, label=label, **style)


def _parity(fit: Fit, unit: str) -> Plot:
    scale, name = prefix(float(np.abs(fit.measured).max()))
    figure = new_figure()
    axes = figure.add_subplot()
    ends = [fit.measured.min() / scale, fit.measured.max() / scale]
    axes.plot(ends, ends, color=ABSENT, lw=1)
    x, y = fit.measured / scale, fit.predicted / scale
    _groups(fit, lambda mask, **style: axes.plot(x[mask], y[mask], **style))
    axes.set_xlabel(f"measured, {name}{unit}")
    axes.set_ylabel(f"model, {name}{unit}")
    axes.legend(frameon=False)
    return Plot(figure=figure, alt="Model against measured values", caption="Model against data.")


def _residuals(fit: Fit, x: Array, label: str, caption: str) -> Plot:
    figure = new_figure()
    axes = figure.add_subplot()
    y = standard_residuals(fit)
    _levels(axes)
    _groups(fit, lambda mask, **style: axes.plot(x[mask], y[mask], **style))
    _draw_far(axes, x, y)
    axes.set_xlabel(label)
    axes.set_ylabel("measured - model, robust std")
    axes.legend(frameon=False)
    return Plot(figure=figure, alt=caption.partition(":")[0], caption=caption)


def _levels(axes: Axes) -> None:
    """Zero, and where single points count as outliers."""
    axes.axhline(0.0, color=ABSENT, lw=1)
    for level in (-CUT, CUT):
        axes.axhline(level, color=ABSENT, lw=1, ls="--")


def _draw_far(axes: Axes, x: Array, y: Array) -> None:
    """Arrow heads at the edge for residuals beyond it."""
    if not (np.abs(y) > EDGE).any():
        return
    for sign, marker in ((1, "^"), (-1, "v")):
        far = sign * y > EDGE
        axes.plot(x[far], np.full(far.sum(), sign * EDGE), marker, color=COLOURS[5], ms=6, mew=0)
    axes.set_ylim(-1.1 * EDGE, 1.1 * EDGE)


def _quantiles(fit: Fit, caption: str) -> Plot:
    """Ordered residuals of the fitted points over normal quantiles at (k - 0.5)/n (Hazen)."""
    figure = new_figure()
    axes = figure.add_subplot()
    y = np.sort(standard_residuals(fit)[fit.fitted])
    x = stats.norm.ppf((np.arange(len(y)) + 0.5) / len(y))
    axes.plot(x[[0, -1]], x[[0, -1]], color=ABSENT, lw=1)
    axes.plot(x, y, color=COLOURS[0], marker=MARKERS[0], ms=3.5, ls="none", mew=0)
    _draw_far(axes, x, y)
    axes.set_xlabel("normal quantile")
    axes.set_ylabel("measured - model, robust std")
    return Plot(figure=figure, alt="Normal quantiles of the residuals", caption=caption)
