"""Tables and plots of tuning errors, retention and cycling."""

from __future__ import annotations

from typing import Any

import numpy as np

from xbarspice.calibration.cycling import STATES, Cycles
from xbarspice.calibration.retention import Retention
from xbarspice.calibration.tuning_log import TuningLog
from xbarspice.report import new_figure
from xbarspice.report.content import Item, Plot, Table, Text

__all__ = ["cycling_items", "retention_items", "tuning_items"]

DRAWN = 12
"""Devices that are drawn in one plot."""


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
                f"{p['q95']:.3g} ({p['writes']} writes)."
            )
        )
    values = {r["name"].rpartition(".")[2]: r["value"] for r in record["parameters"]}
    figure = new_figure()
    axes = figure.add_subplot()
    axes.plot(1e6 * data.target, 1e6 * (data.G - data.target), ".", ms=3, alpha=0.5)
    t = np.linspace(data.target.min(), data.target.max(), 101)
    relative = values.get("sigma_0", 0.0) + values.get("sigma_slope", 0.0) * t
    s = np.hypot(relative * t, values.get("sigma_abs", 0.0))
    for sign, label in ((1, "fitted, 95 %"), (-1, None)):
        middle = values["offset_mean"] * t
        axes.plot(1e6 * t, 1e6 * (middle + sign * 1.96 * s), color="C1", lw=1, label=label)
    axes.set_xlabel("target, uS")
    axes.set_ylabel("reached - target, uS")
    axes.legend(frameon=False)
    alt = "Tuning error against target"
    caption = "Errors of all writes, and where 95 % should lie."
    return [*items, Plot(figure=figure, alt=alt, caption=caption)]


def retention_items(record: dict[str, Any], data: Retention) -> list[Item]:
    """Conductances over time, and what differs with temperature.

    Args:
        record: with `law`, `T`, `t`, `fails`, `failures`, `devices` and `temperatures`.
        data: what was measured.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    numbers = np.unique(data.device)
    for k, d in enumerate(numbers[:DRAWN].tolist()):
        of = np.flatnonzero(data.device == d)
        of = of[np.argsort(data.t[of], kind="stable")]
        axes.plot(data.t[of], data.G[of] / data.G[of[0]], ".-", ms=3, lw=0.7, color=f"C{k % 10}")
    for side in (1 - record["fails"], 1 + record["fails"]):
        axes.axhline(side, color="red", ls="--", lw=1)
    axes.set_xscale("log")
    axes.set_xlabel("time, s")
    axes.set_ylabel("G over the first read")
    share = record["squares"]
    at = "" if record["T"] is None else f" at {record['T']:g} K"
    text = (
        f"The term stands for {record['t']:g} s{at}. Law: {record['law']} (sums of squares: "
        f"power {share['power']:.4g}, log {share['log']:.4g}). "
        f"{record['failures']} of {record['devices']} devices moved by more than "
        f"{100 * record['fails']:g} %; the others count as still good."
    )
    items: list[Item] = [Text(text=text)]
    if record["temperatures"]:
        rows = [
            (f"{r['T']:g}", f"{r['devices']}", f"{r['nu']:.4g}") for r in record["temperatures"]
        ]
        head = ("temperature, K", "devices", "nu")
        items.append(Table(caption="Exponent by temperature", head=head, rows=rows))
    more = len(numbers) - DRAWN
    caption = "Red: where a device has failed." + f" {more} more are not drawn." * (more > 0)
    return [*items, Plot(figure=figure, alt="Conductance over time", caption=caption)]


def cycling_items(record: dict[str, Any], data: Cycles) -> list[Item]:
    """Both states against the cycle.

    Args:
        record: with `window_limit`, `devices` and `failures`.
        data: what was measured.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    numbers = np.unique(data.device)
    for k, d in enumerate(numbers[:DRAWN].tolist()):
        of = data.device == d
        for state in STATES:
            x, y = np.maximum(data.cycle[of], 1), 1e6 * data.state(state)[of]
            axes.plot(x, y, ".", ms=3, color=f"C{k % 10}", mfc="none" if state == "HRS" else None)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("cycle")
    axes.set_ylabel("conductance, uS")
    text = (
        f"{record['failures']} of {record['devices']} devices failed: a window below "
        f"{record['window_limit']:g} in three cycles in a row. The others count as still good."
    )
    more = len(numbers) - DRAWN
    caption = "Full: low ohm; open: high ohm." + f" {more} more are not drawn." * (more > 0)
    plot = Plot(figure=figure, alt="Conductance of both states against the cycle", caption=caption)
    return [Text(text=text), plot]
