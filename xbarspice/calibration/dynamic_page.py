"""Tables and plots of drift by later writes, pulse trains, and curves."""

from __future__ import annotations

from functools import partial
from typing import Any

from xbarspice.calibration import life_plots
from xbarspice.calibration.branches import BRANCHES, Branches
from xbarspice.calibration.drift import Drifts
from xbarspice.calibration.fit import Fit
from xbarspice.calibration.measurements import PulseTrains
from xbarspice.core.counts import counted
from xbarspice.report.content import Item, Plot, Table
from xbarspice.report.units import si

__all__ = ["curve_items", "drift_items", "pulse_items"]


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
    count = sum(row["samples"] for row in record["drift_rows"])
    return Plot(
        draw=partial(life_plots.drifts, data),
        alt="Drift of every device against the number of later writes",
        caption=f"{counted(count, 'drift')}; the band holds the middle half of each row.",
    )


def _conductance_plot(data: Drifts) -> Plot:
    return Plot(
        draw=partial(life_plots.drifts, data, over="conductance"),
        alt="Drift against the conductance before",
        caption="Drift against conductance: a table draws it for all conductances alike.",
    )


def pulse_items(fit: Fit, trains: PulseTrains) -> list[Item]:
    """Conductance against the number of the pulse: what was read, and the model.

    Args:
        fit: of all reads of the trains.
        trains: what was measured.
    """
    count = len(trains.labels) or int(trains.device.max()) + 1
    plot = Plot(
        draw=partial(life_plots.pulse_trains, fit, trains),
        alt="Conductance against the number of the pulse",
        caption="Dots: read; lines: model." + _not_drawn(count),
    )
    return [plot]


def _not_drawn(count: int) -> str:
    """How many devices a plot leaves out."""
    more = count - life_plots.SHOWN
    return f" Not drawn: {more} more." * (more > 0)


def curve_items(fit: Fit, data: Branches) -> list[Item]:
    """Potentiation and depression curves, each with its fit.

    Args:
        fit: of the curves.
        data: what was measured.
    """
    curves = {branch: len(life_plots.curves_of_branch(data, branch)) for branch in BRANCHES}
    return [
        Plot(
            draw=partial(life_plots.branch_curves, fit, data, branch),
            alt=f"Conductance against pulse number, {branch}",
            caption=f"{branch.capitalize()}. Dots: read; lines: fitted curves.{_not_drawn(count)}",
        )
        for branch, count in curves.items()
        if count
    ]
