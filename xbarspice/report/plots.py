"""Axes of a report: parity, errors, maps over an array, decision boundary. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from xbarspice.report import units
from xbarspice.report.records import CellMap, Currents

__all__ = [
    "BLACK",
    "boundary",
    "by_input",
    "cells",
    "escape",
    "histogram",
    "log_norm",
    "new_figure",
    "parity",
]

Array = npt.NDArray[np.float64]

# Middle tones: at least 3:1 against the white and against the dark page.
COLOURS = ("#2f7fd0", "#d1651f", "#2f9c63", "#b155c4", "#9a8411", "#d0487b")
MARKERS = ("o", "s", "^", "D", "v", "P")
ABSENT = "#8f979e"
FRAME = "#00b4dc"  # not a colour of the maps
BLACK = "#010101"  # not the pure black that the page turns into its text colour
_MAX_POINTS = 4000  # a scatter of more hides itself; the worst are always drawn
_MAX_LABELLED = 10  # rows or columns up to which a cell has room for its number
_MAX_CELLS = 256  # rows or columns drawn one by one


def new_figure(width: float = 4.2, height: float = 3.3) -> Figure:
    """A figure without pyplot's global state; inches, read at about 80 points an inch."""
    return Figure(figsize=(width, height), layout="constrained")


def _log_ticks(axis: Axis, low: float, high: float) -> None:
    """A few ticks such as 1e-9: plain text, as in the tables (and drawn far faster than powers)."""
    wide = high > 100 * low
    axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=7))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: units.error(value)))


def escape(text: str) -> str:
    """Text in which matplotlib reads no formula."""
    return text.replace("$", r"\$")


def parity(axes: Axes, groups: Sequence[Currents]) -> None:
    """Currents of the engines over those of the reference; equal is on the diagonal."""
    largest = max((float(np.max(np.abs(g.reference), initial=0.0)) for g in groups), default=0.0)
    scale, name = units.prefix(largest)
    names = list(dict.fromkeys(g.engine for g in groups))
    layers = sorted({g.layer for g in groups})
    axes.axline((0, 0), slope=1, color=ABSENT, linewidth=1, zorder=1)
    for group in groups:
        order = np.argsort(group.errors, kind="stable")
        step = max(1, -(-order.size // _MAX_POINTS))
        pick = order[::-1][::step]
        label = group.engine if len(layers) == 1 else f"{group.engine}, layer {group.layer}"
        rank = names.index(group.engine)
        axes.plot(
            group.reference[pick] / scale, group.values[pick] / scale, linestyle="none",
            marker=MARKERS[layers.index(group.layer) % len(MARKERS)],
            markersize=6.5 if rank == 0 else 4,
            markerfacecolor="none" if rank == 0 else COLOURS[rank % len(COLOURS)],
            markeredgecolor=COLOURS[rank % len(COLOURS)], markeredgewidth=1 if rank == 0 else 0,
            alpha=0.8, rasterized=True, zorder=2 + rank, label=escape(label),
        )  # fmt: skip
    axes.set_xlabel(f"reference current / {name}A")
    axes.set_ylabel(f"engine current / {name}A")
    if groups:
        axes.legend(fontsize=8, markerscale=1, handletextpad=0.2, borderpad=0.2)


def histogram(axes: Axes, groups: Sequence[Currents], limit: float | None) -> None:
    """Relative errors of the output currents on a logarithmic axis, with the gate."""
    found = {}
    for g in groups:
        found[g.engine] = np.concatenate([found.get(g.engine, np.empty(0)), g.errors])
    present = [e[(e > 0) & np.isfinite(e)] for e in found.values()]
    nonzero = np.concatenate(present) if present else np.empty(0)
    ends = np.append(nonzero, limit or 1e-12)
    low, high = np.floor(np.log10(ends.min())), np.ceil(np.log10(ends.max()) + 0.01)
    bins = np.logspace(low, high, int(min(60, max(12, 4 * (high - low)))) + 1)
    for k, (engine, errors) in enumerate(found.items()):
        shown = np.clip(errors[errors > 0], bins[0], bins[-1])
        equal = int(np.sum(errors == 0))
        label = f"{engine} ({equal} of {errors.size} equal)" if equal else engine
        axes.hist(
            shown, bins=bins.tolist(), histtype="stepfilled" if k == 0 else "step",
            color=COLOURS[k % len(COLOURS)], alpha=0.55 if k == 0 else 1.0, linewidth=1.5,
            label=escape(label),
        )  # fmt: skip
    if limit:
        axes.axvline(
            limit,
            color="#c93a2b",
            linestyle="--",
            linewidth=1.5,
            label=f"gate {units.error(limit)}",
        )
    axes.set_xscale("log")
    _log_ticks(axes.xaxis, bins[0], bins[-1])
    axes.set_xlim(bins[0], bins[-1])
    top = axes.get_ylim()[1]
    axes.set_ylim(0, max(1.0, 1.35 * top))  # room for the legend above the bars
    axes.set_xlabel("current error / largest current of the layer")
    axes.set_ylabel("output currents")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.legend(fontsize=8, loc="upper left", borderpad=0.2)


def by_input(axes: Axes, errors: Array, origins: Sequence[str], limit: float | None) -> None:
    """Worst current error of every input on a logarithmic axis, one marker an origin."""
    floor = min(errors[errors > 0], default=1e-16)  # equal to the last digit: drawn at the bottom
    words = np.array(origins)
    for k, origin in enumerate(dict.fromkeys(origins)):
        mine = np.flatnonzero(words == origin)
        found = origin.startswith("worst")
        axes.plot(
            mine, np.maximum(errors[mine], floor), linestyle="none",
            marker="*" if found else MARKERS[k % len(MARKERS)], markersize=10 if found else 4,
            color=COLOURS[k % len(COLOURS)], label=escape(origin), rasterized=mine.size > 500,
        )  # fmt: skip
    if limit:
        axes.axhline(limit, color="#c93a2b", linestyle="--", linewidth=1.5,
                     label=f"gate {units.error(limit)}")  # fmt: skip
    high = max(float(errors.max(initial=floor)), limit or 0.0)
    low = min(floor, limit or floor) / 3
    axes.set_yscale("log")
    axes.set_ylim(low, high * (high / low) ** 0.35)  # room for the legend
    _log_ticks(axes.yaxis, low, 3 * high)
    axes.set_xlabel("input")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_ylabel("worst current error")
    axes.legend(fontsize=8, loc="upper left", borderpad=0.2, ncols=2)


def cells(
    figure: Figure,
    axes: Axes,
    found: CellMap,
    label: str,
    *,
    unit: str = "",
    log: bool = False,
    norm: Normalize | None = None,
    cmap: str = "viridis",
    ring: bool = False,
    numbers: bool = True,
) -> None:
    """One number a cell of an array, row 0 on top; cells without a number are grey.

    Args:
        figure, axes: where to draw.
        found: what to draw.
        label: name of the quantity for the colour bar, without unit.
        unit: SI unit; the prefix is chosen from the largest value.
        log: logarithmic colours; zeros are then grey too.
        norm: colours shared with other maps, in the map's own numbers; overrides the range.
        cmap: matplotlib's name of the colours.
        ring: frame the largest value.
        numbers: write the value into each cell of a small array.
    """
    scale, name = units.prefix(found.worst) if unit else (1.0, "")
    values, factor = _shrink(found.values / scale)
    shown = np.ma.masked_invalid(np.where(values > 0, values, np.nan) if log else values)
    if norm is None:
        norm = log_norm(shown.compressed()) if log else _linear_norm(shown.compressed())
    rows, cols = found.values.shape
    axes.add_patch(
        Rectangle((-0.5, -0.5), cols, rows, facecolor=ABSENT, edgecolor="none", zorder=0)
    )
    image = axes.imshow(
        shown, norm=norm, cmap=cmap, interpolation="none", zorder=1,
        aspect="equal" if max(rows, cols) <= 3 * min(rows, cols) else "auto",
        extent=(-0.5, cols - 0.5, rows - 0.5, -0.5),
    )  # fmt: skip
    bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02)
    bar.set_label(f"{label} / {name}{unit}" if unit else label)
    if log:
        _log_ticks(bar.ax.yaxis, norm.vmin or 0.0, norm.vmax or 1.0)
    bar.outline.set_visible(False)  # type: ignore[operator]
    axes.set_xlabel("bit line (column)")
    axes.set_ylabel("word line (row)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    if numbers and factor == 1 and max(rows, cols) <= _MAX_LABELLED:
        _write_numbers(axes, shown, image)
    if ring and found.worst > 0:
        row, col = found.place
        frame = Rectangle((col - 0.5, row - 0.5), 1, 1, fill=False, zorder=4, clip_on=False)
        frame.set(edgecolor=FRAME, linewidth=2.5)
        axes.add_patch(frame)


def _shrink(values: Array) -> tuple[Array, int]:
    """Large maps: the largest value of each k x k patch, and k."""
    k = -(-max(values.shape) // _MAX_CELLS)
    if k == 1:
        return values, 1
    rows, cols = (-(-n // k) for n in values.shape)
    padded = np.full((rows * k, cols * k), -np.inf)
    padded[: values.shape[0], : values.shape[1]] = np.where(np.isnan(values), -np.inf, values)
    small = padded.reshape(rows, k, cols, k).max(axis=(1, 3))
    return np.where(np.isinf(small), np.nan, small), k


def log_norm(values: Array) -> Normalize:
    """Logarithmic colours over positive values, at most six decades below the largest."""
    if not values.size:
        return LogNorm(1e-16, 1e-12)
    high = float(values.max())
    low = max(float(values.min()), 1e-6 * high)
    return LogNorm(low, high) if high > 2 * low else LogNorm(low / 2, high * 2)


def _linear_norm(values: Array) -> Normalize:
    if not values.size:
        return Normalize(0, 1)
    low, high = float(values.min()), float(values.max())
    return Normalize(low, high) if high > low else Normalize(low - 0.5, high + 0.5)


def _write_numbers(axes: Axes, values: Any, image: Any) -> None:
    size = 8 if max(values.shape) <= 8 else 6.5
    for (row, col), value in np.ma.ndenumerate(values):  # passes over masked cells
        red, green, blue = to_rgb(image.cmap(image.norm(value)))
        light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
        text = _short(float(value))
        axes.text(
            col, row, text, ha="center", va="center", fontsize=size, zorder=3,
            color=BLACK if light else "#ffffff",
        )  # fmt: skip


def _short(value: float) -> str:
    """A number of at most four characters, or an exponent: e-13."""
    if value != 0 and abs(value) < 1e-3:
        return f"e{int(np.floor(np.log10(abs(value))))}"
    if abs(value) >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


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
            x0, x1, margin(grid[name]), levels=[0.0], colors=[colour], linestyles=[line],
            linewidths=[width],
        )  # fmt: skip
        axes.plot([], [], linestyle=line, color=colour, linewidth=width, label=escape(name))
    _points(axes, inputs, predictions)
    axes.set_xlim(x0.min(), x0.max())
    axes.set_ylim(x1.min(), x1.max())
    axes.set_xlabel("input 0")
    axes.set_ylabel("input 1")
    axes.legend(
        fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False,
        handlelength=1.8, borderpad=0.1, columnspacing=1.2,
    )  # fmt: skip


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
        mine = x[y == label]
        axes.plot(
            mine[:, 0], mine[:, 1], linestyle="none", marker=MARKERS[k % len(MARKERS)],
            markersize=3.5, color=COLOURS[k % len(COLOURS)], rasterized=True,
            label=f"class {label}",
        )  # fmt: skip
    if (
        predictions is not None
        and (wrong := (np.asarray(predictions) != np.asarray(y)) & ~unknown).any()
    ):
        axes.plot(
            x[wrong, 0], x[wrong, 1], linestyle="none", marker="o", markersize=8,
            markerfacecolor="none", markeredgecolor="#e5352b", markeredgewidth=1.2,
            rasterized=True, label="wrong class",
        )  # fmt: skip
