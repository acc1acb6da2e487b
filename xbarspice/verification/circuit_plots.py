"""Figures of a verified model: the error of every array read, and what each part costs."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from xbarspice.report.content import Plot
from xbarspice.report.plots import COLOURS, MARKERS, escape, new_figure
from xbarspice.verification.page_parts import Record

__all__ = ["cost_bars", "read_errors"]

LEAST = 1e-17
"""What an error of 0 is drawn at: below the rounding of one addition."""
BARS = 20
"""Parts that are drawn; the table beside holds all."""
NAMED = 6
"""Matrices up to which the legend names each."""


def read_errors(record: Record, engine: str) -> Plot:
    """Worst error of every read that the reference solved, over the largest current of its array.

    Args:
        record: of `Verification.record()`.
        engine: whose errors.
    """
    checks = record["tiles"][engine]
    names = list(dict.fromkeys(check["matrix"] for check in checks))
    figure = new_figure(6.4, 3.0)
    axes = figure.subplots()
    for k, name in enumerate(names):
        at = [(n, c["worst"]) for n, c in enumerate(checks) if c["matrix"] == name]
        number, worst = np.array(at).T
        axes.scatter(
            number + 1,
            np.maximum(worst, LEAST),
            s=24 if len(checks) < 100 else 8,
            color=COLOURS[k % len(COLOURS)],
            marker=MARKERS[k // len(COLOURS) % len(MARKERS)],
            label=escape(name) or "model",
            linewidths=0,
            rasterized=len(checks) > 500,
        )
    limit = next((g["limit"] for g in record["gates"] if "current" in g["name"]), None)
    if limit:
        axes.axhline(limit, color="black", linestyle="--", linewidth=1)
        axes.annotate(
            "gate",
            (1, limit),
            (0, -3),
            xycoords=("axes fraction", "data"),
            va="top",
            ha="right",
            textcoords="offset points",
            fontsize=8,
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(base=10, numticks=8))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(0.5, len(checks) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("array read, in the model's order")
    axes.set_ylabel("worst error / largest current")
    if len(names) <= NAMED:
        axes.legend(fontsize=8, loc="best")
    reference = record["reference"]
    return Plot(
        figure=figure,
        alt=f"Worst error of {engine} against {reference} of {len(checks)} array reads",
        caption=f"{engine} against {reference}: each point is one read of one array, over all its "
        "vectors and columns.",
    )


def cost_bars(record: Record) -> Plot:
    """What each matrix and cause does to the outputs, the largest first.

    Args:
        record: of `Verification.record()`.
    """
    parts = sorted(record["costs"], key=lambda c: c["rms"])[-BARS:]
    figure = new_figure(6.4, 0.9 + 0.26 * len(parts))
    axes = figure.subplots()
    colours = [COLOURS[0] if c["what"].startswith("matrix") else COLOURS[1] for c in parts]
    axes.barh([escape(_short(c["what"])) for c in parts], [c["rms"] for c in parts], color=colours)
    axes.set_xlabel("change of the outputs, rms / largest")
    axes.tick_params(axis="y", labelsize=8)
    axes.margins(y=0.02)
    return Plot(
        figure=figure,
        alt="Change of the outputs by each matrix and cause",
        caption="Blue: one matrix on arrays, all others exact. Orange: the circuit with a cause "
        "against without it.",
    )


def _short(text: str, limit: int = 34) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2]}...{text[-limit // 2 + 3 :]}"
