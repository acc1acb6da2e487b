"""Tables and plots of tuning errors, retention and cycling."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from xbarspice.calibration import life_plots
from xbarspice.calibration.cycling import Cycles
from xbarspice.calibration.measurements import Programming, Reads, Repeats
from xbarspice.calibration.retention import Retention
from xbarspice.calibration.spread import Spread
from xbarspice.calibration.tuning_log import TuningLog
from xbarspice.core.counts import counted
from xbarspice.core.types import Indices
from xbarspice.report.content import Item, Plot, Table, Text

__all__ = ["cycling_items", "noise_items", "retention_items", "spread_items", "tuning_items"]


def tuning_items(record: dict[str, Any], data: TuningLog) -> list[Item]:
    """The forms that were compared, errors against target, and pulses.

    Args:
        record: with `form`, `forms` and `pulses`.
        data: what was measured.
    """
    rows = [
        (f["form"], f"{f['parameters']}", f"{f['bic']:.1f}", "taken" if k == 0 else "")
        for k, f in enumerate(record["forms"])
    ]
    items: list[Item] = [
        Table(
            caption="Forms of the spread over the target",
            head=("form", "parameters", "BIC above the smallest", ""),
            rows=rows,
        )
    ]
    if (p := record["pulses"]) is not None:
        items.append(
            Text(
                text=f"Pulses a write: mean {p['mean']:.3g}, median {p['median']:g}, 95 % within "
                f"{p['q95']:.3g} ({counted(p['writes'], 'write')})."
            )
        )
    values = {r["name"].rpartition(".")[2]: r["value"] for r in record["parameters"]}
    plot = Plot(
        draw=partial(life_plots.tuning_errors, data, values),
        alt="Tuning error against target",
        caption="Errors of all writes, and where 95 % should lie.",
    )
    return [*items, plot]


def spread_items(terms: Spread, data: Programming) -> list[Item]:
    """Errors of all writes against their targets.

    Args:
        terms: of `fit_spread`.
        data: what was measured.
    """
    prefix = "variability.cti."
    values = {
        name.removeprefix(prefix): entry.value
        for name, entry in terms.values.items()
        if name.startswith(prefix)
    }
    plot = Plot(
        draw=partial(life_plots.tuning_errors, data, values or None),
        alt="Error of each write against its target",
        caption="Errors of all writes, and where 95 % of those of devices that are not stuck "
        "should lie.",
    )
    return [plot]


def noise_items(data: Repeats | Reads) -> list[Item]:
    """Deviations of repeated reads from their mean."""
    plot = Plot(
        draw=partial(life_plots.read_noise, data),
        alt="Deviation of each repeated read from the mean of its repeats",
        caption="Every read against the mean of its repeats. With times, a slope in time is part "
        "of the deviation.",
    )
    return [plot]


def retention_items(record: dict[str, Any], data: Retention) -> list[Item]:
    """Conductances over time, and what differs with temperature.

    Args:
        record: with `law`, `T`, `t`, `fails`, `failures`, `devices` and `temperatures`.
        data: what was measured.
    """
    share = record["squares"]
    at = "" if record["T"] is None else f" at {record['T']:g} K"
    text = (
        f"The term stands for {record['t']:g} s{at}. Law: {record['law']} (sums of squares: "
        f"power {share['power']:.4g}, log {share['log']:.4g}). "
        f"{record['failures']} of {counted(record['devices'], 'device')} moved by more than "
        f"{100 * record['fails']:g} %; the others count as still good."
    )
    items: list[Item] = [Text(text=text)]
    if record["temperatures"]:
        rows = [
            (f"{r['T']:g}", f"{r['devices']}", f"{r['nu']:.4g}") for r in record["temperatures"]
        ]
        head = ("temperature, K", "devices", "nu")
        items.append(Table(caption="Exponent by temperature", head=head, rows=rows))
    plot = Plot(
        draw=partial(life_plots.retention, data, record["fails"]),
        alt="Conductance over time",
        caption="Dashed: where a device has failed." + _not_drawn(data.device),
    )
    return [*items, plot]


def cycling_items(record: dict[str, Any], data: Cycles) -> list[Item]:
    """Both states against the cycle.

    Args:
        record: with `window_limit`, `devices` and `failures`.
        data: what was measured.
    """
    text = (
        f"{record['failures']} of {counted(record['devices'], 'device')} failed: a window below "
        f"{record['window_limit']:g} in three cycles in a row. The others count as still good."
    )
    plot = Plot(
        draw=partial(life_plots.cycles, data),
        alt="Conductance of both states against the cycle",
        caption="Full: low ohm; open: high ohm." + _not_drawn(data.device),
    )
    return [Text(text=text), plot]


def _not_drawn(device: Indices) -> str:
    """How many devices a plot leaves out."""
    more = len(np.unique(device)) - life_plots.SHOWN
    return f" Not drawn: {more} more." * (more > 0)
