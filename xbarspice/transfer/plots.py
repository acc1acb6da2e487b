"""Plots of transfers: how they are distributed, which points survive, what each error costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array
from xbarspice.plot.axes import (
    COLOURS,
    axes_or_new,
    bars_of_intervals,
    name_bars,
    number_lines,
    place_legend,
    set_quantity,
    text_colour,
)
from xbarspice.transfer.results import TransferStudy
from xbarspice.transfer.scores import THRESHOLD

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xbarspice.transfer.budget import Budget

__all__ = ["loss_budget", "loss_budget_height", "transfer_points", "transfers"]

Record = Mapping[str, Any]


def transfers(study: TransferStudy | Record, *, ax: Axes | None = None) -> Axes:
    """Histogram of transfers by their share of right points, or else by the change of the outputs.

    A line stands at the mean, in a band of its 95 % interval (none where it was not found); dashed,
    of a model that classifies, the share without transfer errors.

    Args:
        study: of `xb.transfer.transfer`, or its record.
        ax: where to draw; None: a new figure.

    Returns:
        The axes; shares as fractions.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    record = study if isinstance(study, Mapping) else study.record()
    ax = axes_or_new(ax)
    histogram, classifies = record["histogram"], "metric" in record
    edges = np.asarray(histogram["edges"])
    ax.stairs(histogram["transfers"], edges, fill=True, color=COLOURS[0], zorder=2)
    mean, low, high = _mean(record)
    if low is not None and high is not None and np.isfinite([low, high]).all():
        words = "95 % interval of the mean"
        ax.axvspan(low, high, color=COLOURS[1], alpha=0.3, linewidth=0, zorder=1, label=words)
    ax.axvline(mean, color=COLOURS[1], linewidth=1.5, zorder=3, label="mean")
    if classifies and record["noise_free"] is not None:
        style = {"color": text_colour(), "linestyle": "--", "linewidth": 1, "zorder": 3}
        ax.axvline(record["noise_free"], label="without transfer errors", **style)
    if classifies:
        set_quantity(ax.xaxis, "right points", "%")
    else:
        set_quantity(ax.xaxis, "change of the outputs, rms / largest", "%")
    number_lines(ax.yaxis, "transfers")
    place_legend(ax)
    return ax


def _mean(record: Record) -> tuple[float, float | None, float | None]:
    """Mean over the transfers and its interval, if known."""
    if "metric" in record:
        return record["mean"], record.get("mean_low"), record.get("mean_high")
    change = record["output_change"]
    interval = change.get("interval") or {}
    return change["mean"], interval.get("low"), interval.get("high")


def transfer_points(study: TransferStudy | Array, *, ax: Axes | None = None) -> Axes:
    """Points, sorted by the share of the transfers in which they are right.

    Args:
        study: of `xb.transfer.transfer` of a model that classifies, or these shares, (points,).
        ax: where to draw; None: a new figure.

    Returns:
        The axes; shares as fractions. A dashed line stands at the 95 % of the metric.

    Raises:
        InputError: the model does not classify.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    shares = study.by_point if isinstance(study, TransferStudy) else study
    if shares is None:
        raise broken_rule(
            "points are right or wrong only of a model that classifies",
            "outputs without classes",
            "Draw `xb.plot.transfers`.",
        )
    ax = axes_or_new(ax)
    ax.plot(np.arange(1, len(shares) + 1), np.sort(shares), color=COLOURS[0], linewidth=1.8)
    style = {"color": COLOURS[1], "linestyle": "--", "linewidth": 1.2}
    ax.axhline(THRESHOLD, label=f"{100 * THRESHOLD:g} % of the transfers", **style)
    ax.margins(y=0.05)
    number_lines(ax.xaxis, "point, sorted")
    set_quantity(ax.yaxis, "right in so many transfers", "%")
    place_legend(ax)
    return ax


def loss_budget(budget: Budget | Record, *, ax: Axes | None = None) -> Axes:
    """What each source of error costs alone, and what is won back without it, with 95 % intervals.

    Args:
        budget: of `xb.transfer.loss_budget`, or its record.
        ax: where to draw; None: a new figure.

    Returns:
        The axes; the largest cost stands at the top, that of all sources at the bottom.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    record = budget if isinstance(budget, Mapping) else budget.record()
    ax = axes_or_new(ax, 5.2, loss_budget_height(record))
    costs, lost = record["costs"], record["lost"]
    names = [*(cost["source"] for cost in costs), "all"]
    kinds = {"lost by it alone": "alone", "won back without it": "among_all"}
    for k, (label, kind) in enumerate(kinds.items()):
        parts = [*(cost[kind] for cost in costs), lost]
        style = {"height": 0.36, "color": COLOURS[k], "label": label}
        bars_of_intervals(ax, parts, shift=0.2 * (2 * k - 1), **style)
    name_bars(ax, names)
    words = "change of the outputs, rms / largest"
    set_quantity(ax.xaxis, "lost right points" if record["classifies"] else words, "%")
    place_legend(ax)
    return ax


def loss_budget_height(record: Record) -> float:
    """Height of the figure of `loss_budget`, inches."""
    return 1.3 + 0.4 * len(record["costs"])
