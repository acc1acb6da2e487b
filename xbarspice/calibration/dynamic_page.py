"""Tables and plots of drift by later writes, pulse trains, and curves."""

from __future__ import annotations

from typing import Any

import numpy as np

from xbarspice.calibration.branches import BRANCHES, Branches, branch_values
from xbarspice.calibration.drift import Drifts
from xbarspice.calibration.fit import Fit
from xbarspice.calibration.measurements import PulseTrains
from xbarspice.report import new_figure
from xbarspice.report.content import Item, Plot, Table
from xbarspice.report.units import si
from xbarspice.variability import bse_table

__all__ = ["curve_items", "drift_items", "pulse_items"]

DRAWN = 8
"""Devices that are drawn in one plot."""


def drift_items(record: dict[str, Any], data: Drifts) -> list[Item]:
    """Rows of the drift table, the drifts themselves, and the built-in table beside them.

    Args:
        record: with `drift_rows`.
        data: what was measured.
    """
    holds = record["model_holds"]

    def span(row: dict[str, Any], name: str) -> str:
        low, high = (si(x, "S", 3) for x in row[f"{name}_interval"])
        return f"{si(row[name], 'S', 3)} [{low}, {high}]" if holds else si(row[name], "S", 3)

    rows = [
        (
            f"{row['later_writes']}",
            f"{row['samples']}",
            span(row, "mean"),
            si(row["std"], "S", 3),
            span(row, "median_size"),
            si(row["built_in_median_size"], "S", 3),
            f"{100 * row['distribution_band']:.0f} %",
        )
        for row in record["drift_rows"]
    ]
    head = (
        "later writes",
        "drifts",
        "mean",
        "standard deviation",
        "median size",
        "built-in table",
        "shares known to +-",
    )
    table = Table(caption="Drift by later writes, with 95 % intervals", head=head, rows=rows)
    return [table, _rows_plot(record, data), _conductance_plot(data)]


def _rows_plot(record: dict[str, Any], data: Drifts) -> Plot:
    """Drifts, and quantiles of the measured and the built-in table, against later writes."""
    figure = new_figure()
    axes = figure.add_subplot()
    k, drift = data.later_writes, 1e6 * (data.G_end - data.G)
    width = 0.012 * max(int(k.max()), 10)
    spots = k + width * np.sin(np.arange(len(k)) * 2.4)  # spread sideways, the same each time
    axes.plot(spots, drift, ".", ms=3, color="C0", alpha=0.5, label="measured")
    numbers = np.unique(k[k > 0])
    quartiles = np.array([np.quantile(drift[k == n], [0.25, 0.5, 0.75]) for n in numbers])
    axes.plot(numbers, quartiles[:, 1], "-", color="C0", label="median")
    axes.fill_between(numbers, quartiles[:, 0], quartiles[:, 2], color="C0", alpha=0.2)
    usual = bse_table()
    every = np.arange(1, min(int(k.max()), len(usual.mean)) + 1)
    for level, label in ((0.25, "quartiles, built-in table"), (0.75, None)):
        column = [np.interp(level, usual.levels, usual.quantiles[n - 1]) * 1e6 for n in every]
        axes.plot(every, column, "--", color="C1", lw=1, label=label)
    axes.set_xlabel("later writes")
    axes.set_ylabel("drift, uS")
    axes.legend(frameon=False)
    count = sum(row["samples"] for row in record["drift_rows"])
    return Plot(
        figure=figure,
        alt="Drift of every device against the number of later writes",
        caption=f"{count} drifts; the band holds the middle half of each row.",
    )


def _conductance_plot(data: Drifts) -> Plot:
    figure = new_figure()
    axes = figure.add_subplot()
    for n, number in enumerate(np.unique(data.later_writes).tolist()):
        of = data.later_writes == number
        drift = 1e6 * (data.G_end - data.G)[of]
        axes.plot(1e6 * data.G[of], drift, ".", ms=3, color=f"C{n % 10}", label=f"{number}")
    axes.set_xlabel("conductance before, uS")
    axes.set_ylabel("drift, uS")
    axes.legend(frameon=False, title="later writes", ncols=2, fontsize="small")
    return Plot(
        figure=figure,
        alt="Drift against the conductance before",
        caption="Drift against conductance: a table draws it for all conductances alike.",
    )


def pulse_items(fit: Fit, trains: PulseTrains) -> list[Item]:
    """Conductance against the number of the pulse: what was read, and the model.

    Args:
        fit: of all reads of the trains.
        trains: what was measured.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    read = np.flatnonzero(np.isfinite(trains.G))
    labels = trains.labels or tuple(map(str, range(int(trains.device.max()) + 1)))
    for k, label in enumerate(labels[:DRAWN]):
        of = trains.device[read] == k
        number = np.cumsum(trains.V[trains.device == k] != 0)[
            np.isfinite(trains.G[trains.device == k])
        ]
        axes.plot(number, 1e6 * fit.measured[of], ".", ms=4, color=f"C{k}", label=label)
        axes.plot(number, 1e6 * fit.predicted[of], "-", lw=1, color=f"C{k}")
    axes.set_xlabel("pulse")
    axes.set_ylabel("conductance, uS")
    axes.legend(frameon=False, fontsize="small", ncols=2)
    more = len(labels) - DRAWN
    text = "Dots: read; lines: model." + (f" {more} more devices are not drawn." * (more > 0))
    return [Plot(figure=figure, alt="Conductance against the number of the pulse", caption=text)]


def curve_items(fit: Fit, data: Branches) -> list[Item]:
    """Potentiation and depression curves, each with its fit.

    Args:
        fit: of the curves.
        data: what was measured.
    """
    plots: list[Item] = []
    for branch in BRANCHES:
        curves = [k for k, name in enumerate(data.names) if name.endswith(branch)]
        if not curves:
            continue
        figure = new_figure()
        axes = figure.add_subplot()
        x = np.linspace(0, 1, 101)
        for n, k in enumerate(curves[:DRAWN]):
            of, label = data.curve == k, data.names[k].removesuffix(branch).rstrip(".")
            axes.plot(data.pulse[of], 1e6 * data.G[of], ".", ms=4, color=f"C{n}", label=label)
            line = 1e6 * branch_values(data, fit, k, x)
            axes.plot(x * data.longest[k], line, "-", lw=1, color=f"C{n}")
        axes.set_xlabel("pulse of the run")
        axes.set_ylabel("conductance, uS")
        if data.names[curves[0]] != branch:
            axes.legend(frameon=False, fontsize="small", ncols=2)
        more = len(curves) - DRAWN
        text = f"{branch.capitalize()}. Dots: read; lines: fitted curves." + (
            f" {more} more devices are not drawn." * (more > 0)
        )
        alt = f"Conductance against pulse number, {branch}"
        plots.append(Plot(figure=figure, alt=alt, caption=text))
    return plots
