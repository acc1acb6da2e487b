"""Decision boundaries of networks of two inputs, as axes of a plot. Needs matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from xbarspice.core.types import Array
from xbarspice.report.plots import ABSENT, COLOURS, FRAME, MARKERS, escape

__all__ = ["boundary", "margin"]


def boundary(axes: Axes, grid: dict[str, Any], inputs: dict[str, Any], predictions: Any) -> None:
    """Software and circuit decisions over two inputs, with the test points.

    Args:
        axes: where to draw.
        grid: x0 and x1, and logits on their grid, (x1, x0) or (x1, x0, classes), by origin.
        inputs: x, (points, 2), and perhaps y.
        predictions: classes of the points by the reference, or None; wrong ones are ringed.
    """
    x0, x1 = np.ravel(grid["x0"]), np.ravel(grid["x1"])
    circuits = [k for k in grid if k not in {"x0", "x1", "software"}]
    soft = margin(grid["software"]) if "software" in grid else None
    ground = soft if soft is not None else margin(grid[circuits[0]])
    axes.contourf(
        x0, x1, ground, levels=[-np.inf, 0, np.inf], colors=[COLOURS[0], COLOURS[1]], alpha=0.22
    )
    styles = [("software", "-", COLOURS[3], 2.5)] if soft is not None else []
    styles += [(name, "--", COLOURS[2], 1.8) for name in circuits]
    for name, line, colour, width in styles:
        axes.contour(
            x0,
            x1,
            margin(grid[name]),
            levels=[0.0],
            colors=[colour],
            linestyles=[line],
            linewidths=[width],
        )
        axes.plot([], [], linestyle=line, color=colour, linewidth=width, label=escape(name))
    _points(axes, inputs, predictions)
    axes.set_xlim(x0.min(), x0.max())
    axes.set_ylim(x1.min(), x1.max())
    axes.set_xlabel("input 0")
    axes.set_ylabel("input 1")
    axes.legend(
        fontsize=8,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=3,
        frameon=False,
        handlelength=1.8,
        borderpad=0.1,
        columnspacing=1.2,
    )


def margin(logits: npt.ArrayLike) -> Array:
    """One number a grid point, positive for class 1: the logit, or the lead of later classes."""
    z = np.asarray(logits, float)
    if z.ndim == 2:
        return z
    return z[..., 0] if z.shape[-1] == 1 else np.max(z[..., 1:], axis=-1) - z[..., 0]


def _points(axes: Axes, inputs: dict[str, Any], predictions: Any) -> None:
    x, y = inputs.get("x"), inputs.get("y")
    if x is None:
        return
    if y is None:
        axes.plot(x[:, 0], x[:, 1], ".", color=ABSENT, markersize=4, rasterized=True)
        return
    unknown = np.asarray(y) < 0  # points without a class
    axes.plot(x[unknown, 0], x[unknown, 1], "*", color=FRAME, markersize=9, rasterized=True)
    for k, label in enumerate(np.unique(np.asarray(y)[~unknown])):
        of_class = x[y == label]
        axes.plot(
            of_class[:, 0],
            of_class[:, 1],
            linestyle="none",
            marker=MARKERS[k % len(MARKERS)],
            markersize=3.5,
            color=COLOURS[k % len(COLOURS)],
            rasterized=True,
            label=f"class {label}",
        )
    if (
        predictions is not None
        and (wrong := (np.asarray(predictions) != np.asarray(y)) & ~unknown).any()
    ):
        axes.plot(
            x[wrong, 0],
            x[wrong, 1],
            linestyle="none",
            marker="o",
            markersize=8,
            markerfacecolor="none",
            markeredgecolor="#e5352b",
            markeredgewidth=1.2,
            rasterized=True,
            label="wrong class",
        )
