"""Plots of what was verified: errors of array reads or of lines, and what each part costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from xbarspice.core.errors import broken_rule
from xbarspice.plot.axes import (
    COLOURS,
    LEAST,
    axes_or_new,
    colour,
    escape,
    marker,
    number_lines,
    place_legend,
    scale_errors,
    set_quantity,
    text_colour,
)
from xbarspice.verification.page_parts import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xbarspice.verification.array_records import ArrayVerification
    from xbarspice.verification.circuit_records import Verification

__all__ = ["costs", "costs_height", "lines", "network"]

_BARS = 20
"""Parts that are drawn; tables hold all."""
_NAMED = 6
"""Matrices up to which the legend names each."""
_LINES = 24
"""Lines of an array up to which the axis names each."""


def network(
    report: Verification | Record, engine: str | None = None, *, ax: Axes | None = None
) -> Axes:
    """Worst error of every read that the reference solved, over the largest current of its array.

    One colour a matrix; a dashed line where a gate limits the currents. 0 is drawn at 1e-17.

    Args:
        report: of `xb.verify`, or its record.
        engine: whose errors; None: those of the first engine that was checked.
        ax: where to draw; None: a new figure.

    Returns:
        The axes.

    Raises:
        InputError: no reads of the engine were checked.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    record = report if isinstance(report, Mapping) else report.record()
    name = next(iter(record["tiles"]), "") if engine is None else engine
    checks = record["tiles"].get(name)
    if not checks:
        raise broken_rule(
            "`engine` must be one whose array reads were checked",
            repr(name),
            f"Choose among: {', '.join(record['tiles']) or 'none was checked'}.",
        )
    ax = axes_or_new(ax, 5.2, 3.4)
    matrices = list(dict.fromkeys(check["matrix"] for check in checks))
    scale_errors(ax.yaxis)
    named = len(matrices) <= _NAMED
    for k, matrix in enumerate(matrices):
        at = [(n, c["worst"]) for n, c in enumerate(checks, 1) if c["matrix"] == matrix]
        number, worst = np.array(at).T
        ax.scatter(
            number,
            np.maximum(worst, LEAST),
            s=24 if len(checks) < 100 else 8,
            color=colour(k),
            marker=marker(k),
            label=(escape(matrix) or "model") if named else None,
            linewidths=0,
        )
    limit = next((g["limit"] for g in record["gates"] if "current" in g["name"]), None)
    if limit:
        ax.axhline(limit, color=text_colour(), linestyle="--", linewidth=1, label="gate")
    ax.set_xlim(0.5, len(checks) + 0.5)
    number_lines(ax.xaxis, f"array read of {escape(name)}, in the model's order")
    set_quantity(ax.yaxis, "worst error / largest current")
    place_legend(ax)
    return ax


def lines(report: ArrayVerification | Record, *, ax: Axes | None = None) -> Axes:
    """Worst error of every line of an array over its largest current, engine by engine.

    A dashed line where a gate limits the currents. 0 is drawn at 1e-17.

    Args:
        report: of `xb.verify_array`, or its record.
        ax: where to draw; None: a new figure.

    Returns:
        The axes.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    record = report if isinstance(report, Mapping) else report.record()
    ax = axes_or_new(ax, 4.6, 3.4)
    names = [line["line"] for line in record["engines"][0]["lines"]]
    scale_errors(ax.yaxis)
    for k, engine in enumerate(record["engines"]):
        worst = np.array([line["worst"] for line in engine["lines"]])
        ax.scatter(
            np.arange(len(names)),
            np.maximum(worst, LEAST),
            s=24,
            color=colour(k),
            marker=marker(k),
            label=escape(engine["engine"]),
            linewidths=0,
        )
    limit = next((g["limit"] for g in record["gates"] if "output current" in g["name"]), None)
    if limit:
        ax.axhline(limit, color=text_colour(), linestyle="--", linewidth=1, label="gate")
    if len(names) <= _LINES:
        ax.set_xticks(range(len(names)), [escape(name) for name in names])
    ax.set_xlabel("line")
    set_quantity(ax.yaxis, "worst error / largest current")
    place_legend(ax)
    return ax


def costs(report: Verification | Record, *, ax: Axes | None = None) -> Axes:
    """What each matrix and cause does to the outputs, the largest first.

    Args:
        report: of `xb.verify`, or its record.
        ax: where to draw; None: a new figure.

    Returns:
        The axes.

    Raises:
        InputError: no costs were measured.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    record = report if isinstance(report, Mapping) else report.record()
    parts = sorted(record["costs"], key=lambda c: c["rms"])[-_BARS:]
    if not parts:
        raise broken_rule(
            "the costs of parts must have been measured", "none", "Verify a model that has some."
        )
    ax = axes_or_new(ax, 5.2, costs_height(record))
    kinds = {"one matrix on arrays": True, "the circuit against it without a cause": False}
    for (label, of_matrix), fill in zip(kinds.items(), COLOURS, strict=False):
        rows = [k for k, c in enumerate(parts) if c["what"].startswith("matrix") == of_matrix]
        if rows:
            ax.barh(rows, [parts[k]["rms"] for k in rows], color=fill, label=label)
    ax.set_yticks(range(len(parts)), [escape(_short(c["what"])) for c in parts], fontsize=8)
    set_quantity(ax.xaxis, "change of the outputs, rms / largest", "%")
    ax.margins(y=0.02)
    place_legend(ax)
    return ax


def costs_height(record: Record) -> float:
    """Height of the figure of `costs`, inches."""
    return 1.2 + 0.26 * min(len(record["costs"]), _BARS)


def _short(text: str, limit: int = 34) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2]}...{text[-limit // 2 + 3 :]}"
