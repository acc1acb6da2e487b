"""Plots of training: what the looks at the validation data showed, what choices of a design win."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xbarspice.core.errors import broken_rule
from xbarspice.plot.axes import (
    COLOURS,
    axes_or_new,
    bars_of_intervals,
    colour,
    marker,
    name_bars,
    number_lines,
    place_legend,
    set_quantity,
    text_colour,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xbarspice.training.designs import Comparison
    from xbarspice.training.fitting import Fitted

__all__ = ["designs", "designs_height", "training"]

Record = Mapping[str, Any]

_CURVES = {
    "accuracy": {
        "noise_free": "without errors",
        "accuracy": "mean over the draws",
        "count": "right in enough draws",
    },
    "objective": {"loss": "last training step", "objective": "validation data"},
}
"""Fields of a look, and their names in the legend."""


def training(
    fitted: Fitted,
    *,
    of: Literal["accuracy", "objective"] = "objective",
    ax: Axes | None = None,
) -> Axes:
    """What every look at the validation data showed, over the steps; the state that is kept.

    Args:
        fitted: of `xb.training.fit`.
        of: "objective": of the last training step with its penalties, and of the validation data;
            "accuracy": shares of validation points that are right, of a model that classifies.
        ax: where to draw; None: a new figure.

    Returns:
        The axes; shares as fractions.

    Raises:
        InputError: `of` is neither, or the model does not classify.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    if of not in _CURVES:
        raise broken_rule("`of` must be one of " + ", ".join(_CURVES), repr(of), "Choose one.")
    steps = [look.step for look in fitted.history]
    curves = {
        label: np.array([getattr(look, name) for look in fitted.history])
        for name, label in _CURVES[of].items()
    }
    if not any(np.isfinite(values).any() for values in curves.values()):
        raise broken_rule(
            "points are right or wrong only of a model that classifies",
            "targets that are no classes",
            'Draw `of="objective"`.',
        )
    ax = axes_or_new(ax)
    for k, (label, values) in enumerate(curves.items()):
        style = {"color": colour(k), "marker": marker(k), "markersize": 3.5, "linewidth": 1.2}
        ax.plot(steps, values, label=label, **style)
    style = {"color": text_colour(), "linestyle": "--", "linewidth": 1}
    ax.axvline(fitted.best.step, label="kept", **style)
    number_lines(ax.xaxis, "step")
    if of == "accuracy":
        set_quantity(ax.yaxis, "right validation points", "%")
    else:
        set_quantity(ax.yaxis, "objective")
    place_legend(ax)
    return ax


def designs(comparison: Comparison | Record, *, ax: Axes | None = None) -> Axes:
    """Gain of every other value of one choice over the base design, with 95 % intervals.

    Args:
        comparison: of `xb.training.compare_designs`, or its record.
        ax: where to draw; None: a new figure.

    Returns:
        The axes; the largest gain stands at the top, that of the recommended design at the bottom.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    record = comparison if isinstance(comparison, Mapping) else comparison.record()
    ax = axes_or_new(ax, 5.2, designs_height(record))
    effects = record["effects"]
    gains = [*(effect["gain"] for effect in effects), record["gain"]]
    names = [*(f"{effect['choice']} = {effect['value']}" for effect in effects), "recommended"]
    fills = [COLOURS[0]] * len(effects) + [COLOURS[2]]
    bars_of_intervals(ax, gains, color=fills)
    name_bars(ax, names, fontsize=8)
    if record["classifies"]:
        set_quantity(ax.xaxis, "gained right points", "%")
    else:
        set_quantity(ax.xaxis, "less change of the outputs, rms / largest", "%")
    return ax


def designs_height(record: Record) -> float:
    """Height of the figure of `designs`, inches."""
    return 1.2 + 0.3 * len(record["effects"])
