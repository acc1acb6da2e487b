"""Plots of solved crossbars: currents, voltages, and what differs from a golden answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from xbarspice.core.errors import broken_rule
from xbarspice.core.solution import Solution
from xbarspice.core.types import Array
from xbarspice.plot import maps
from xbarspice.plot.axes import (
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xbarspice.nn import TensorSolution

    AnySolution = Solution | TensorSolution

__all__ = ["currents", "errors", "voltages"]

_CURVES = 6
"""Vectors up to which each one has a curve of its own."""
_LINES = {"bit lines": "bit line (column)", "word lines": "word line (row)"}


def currents(
    solution: AnySolution,
    *,
    of: Literal["bit lines", "word lines"] = "bit lines",
    label: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Current of every line: a curve a vector, or their median in a band from least to largest.

    Values stand on the axes in A; the ticks show the prefix. Call it again with `ax` to compare.

    Args:
        solution: of `xb.solve` or `xb.nn.solve`: I_out in A, (..., cols), I_in in A, (..., rows).
        of: "bit lines": currents into their ends, I_out; "word lines": from their ends, I_in.
        label: name of the curves in the legend.
        ax: where to draw; None: a new figure.

    Returns:
        The axes.

    Raises:
        InputError: `of` is neither of the two.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    if of not in _LINES:
        raise broken_rule("`of` must be one of " + ", ".join(_LINES), repr(of), "Choose one.")
    values = _values(solution, "I_out" if of == "bit lines" else "I_in")
    values = values.reshape(-1, values.shape[-1])
    ax = axes_or_new(ax)
    start, line = _curves_of(ax), np.arange(values.shape[1])
    name = escape(label)
    if len(values) > _CURVES:
        band = ax.fill_between(line, values.min(0), values.max(0), color=colour(start), alpha=0.3)
        band.set_label(f"{name} smallest to largest".strip())
        values, names = np.median(values, axis=0)[None], [f"{name} median of {len(values)} vectors"]
    elif len(values) > 1:
        names = [f"{name} vector {k}" for k in range(len(values))]
    else:
        names = [name]
    for k, (row, text) in enumerate(zip(values, names, strict=True), start=start):
        style = {"color": colour(k), "marker": marker(k), "markersize": 4, "linewidth": 1.2}
        ax.plot(line, row, label=text.strip() or None, **style)
    number_lines(ax.xaxis, _LINES[of])
    set_quantity(ax.yaxis, "current", "A")
    place_legend(ax)
    return ax


def _curves_of(ax: Axes) -> int:
    """Curves with a label that stand on the axes: those that follow take other colours."""
    return sum(not str(line.get_label()).startswith("_") for line in ax.lines)


def voltages(
    solution: AnySolution,
    *,
    of: Literal["devices", "word lines", "bit lines"] = "devices",
    vector: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Map of the voltages of an array, in V, over the range in which they differ.

    Args:
        solution: with V_wl and V_bl in V, (..., rows, cols).
        of: "devices": across each device, V_wl - V_bl; "word lines" or "bit lines": of the nodes.
        vector: which one, in the order of the flattened leading axes.
        ax: where to draw; None: a new figure.

    Returns:
        The axes.

    Raises:
        InputError: `of` is none of the three, or there is no such vector.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    kinds = {
        "devices": "voltage across the device",
        "word lines": "voltage of the word line",
        "bit lines": "voltage of the bit line",
    }
    if of not in kinds:
        raise broken_rule("`of` must be one of " + ", ".join(kinds), repr(of), "Choose one.")
    if of == "devices":
        values = _values(solution, "V_wl") - _values(solution, "V_bl")
    else:
        values = _values(solution, "V_wl" if of == "word lines" else "V_bl")
    flat = values.reshape(-1, *values.shape[-2:])
    if not 0 <= vector < len(flat):
        raise broken_rule(
            f"`vector` must be one of the {len(flat)} of the solution", vector, "Count from 0."
        )
    ax = axes_or_new(ax)
    maps.cell_map(ax, flat[vector], kinds[of], "V")
    return ax


def errors(
    fast: AnySolution, golden: AnySolution, *, label: str = "", ax: Axes | None = None
) -> Axes:
    """Difference of the output currents of every bit line over the largest current of the golden.

    Several vectors: the largest difference of each bit line, and the median. 0 is drawn at 1e-17.
    A dashed line stands where the fast engine itself says what it is wrong by at most.

    Args:
        fast, golden: solutions of one problem, I_out in A, (..., cols).
        label: name of the curves in the legend; the default names both engines.
        ax: where to draw; None: a new figure.

    Returns:
        The axes.

    Raises:
        InputError: the solutions have other shapes, or no golden current differs from 0.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    error = _relative(fast, golden)
    ax = axes_or_new(ax)
    start, line = _curves_of(ax), np.arange(error.shape[1])
    name = escape(label or f"{fast.stats.engine} against {golden.stats.engine}")
    style = {"markersize": 4, "linewidth": 1.2, "color": colour(start), "marker": marker(start)}
    scale_errors(ax.yaxis)
    several = len(error) > 1
    worst = f"{name}, largest of {len(error)} vectors" if several else name
    ax.plot(line, np.maximum(error.max(0), LEAST), label=worst, **style)
    if several:
        median, style["marker"] = np.maximum(np.median(error, axis=0), LEAST), ""
        ax.plot(line, median, label=f"{name}, median", **style, linestyle=":")
    if (bound := fast.stats.error_at_most) > 0:
        text = f"at most, states {escape(fast.stats.engine)}"
        ax.axhline(bound, color=text_colour(), linestyle="--", linewidth=1, label=text)
    number_lines(ax.xaxis, _LINES["bit lines"])
    set_quantity(ax.yaxis, "error / largest current")
    place_legend(ax)
    return ax


def _relative(fast: AnySolution, golden: AnySolution) -> Array:
    """Differences over the largest golden current, (vectors, cols)."""
    judged, exact = _values(fast, "I_out"), _values(golden, "I_out")
    if judged.shape != exact.shape:
        raise broken_rule(
            "both solutions must have equally many vectors and bit lines",
            f"{judged.shape} and {exact.shape}",
            "Solve the same problem twice.",
        )
    largest = float(np.abs(exact).max())
    if not largest > 0:
        raise broken_rule(
            "some golden current must differ from 0",
            f"the largest is {largest}",
            "Compare at voltages that drive a current.",
        )
    return np.abs(judged - exact).reshape(-1, exact.shape[-1]) / largest


def _values(solution: AnySolution, name: Literal["I_out", "I_in", "V_wl", "V_bl"]) -> Array:
    """A field of a solution; of tensors without their gradient, which no plot needs."""
    values = getattr(solution, name)
    return values if isinstance(solution, Solution) else values.detach().cpu().numpy()
