"""Plots of a tapeout: the floorplan, the voltage drop of an array, the loads of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xbarspice.core.errors import broken_rule
from xbarspice.plot import maps
from xbarspice.plot.axes import (
    COLOURS,
    axes_or_new,
    colour,
    escape,
    marker,
    number_lines,
    place_legend,
    set_quantity,
    text_colour,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["floorplan", "loads", "loads_height", "segments", "voltage_drop"]

_NUMBERED = 150
"""Arrays up to which each one is numbered."""
_MONITORS = "#c4c8cc"
_LINES = {
    "WL": ("word line", "R_wl", "bit line (column)"),
    "BL": ("bit line", "R_bl", "word line (row)"),
}
"""What lines are called, their resistance, and what they cross."""
_CURVES = 6
"""Lines up to which each has a curve of its own."""
_LEAST_RANGE = 0.05
"""Range of the axis of resistances about the nominal one, relative, at least."""
_PALE = 0.6
"""Opacity of the outlines: numbers in them can be read on light and on dark ground."""


def floorplan(
    places: Sequence[Mapping[str, Any]],
    layers: Sequence[str],
    monitors: Sequence[Mapping[str, Any]] = (),
    *,
    ax: Axes | None = None,
) -> Axes:
    """Outlines of the arrays of a floorplan, one colour a layer, monitors in grey.

    Args:
        places: for every array ``number``, ``left``, ``bottom``, ``right`` and ``top``, um.
        layers: the layer of each.
        monitors: ``left``, ``bottom``, ``right`` and ``top`` of each, um.
        ax: where to draw; None: a new figure.

    Returns:
        The axes, in um.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    ax = axes_or_new(ax, 5.2, 4.6)
    from matplotlib.patches import Rectangle

    fills = _fills(list(dict.fromkeys(layers)))
    seen: set[str] = set()
    outlines = [*zip(places, layers, strict=True), *((place, "monitors") for place in monitors)]
    for place, layer in outlines:
        width, height = place["right"] - place["left"], place["top"] - place["bottom"]
        label = escape(layer) if layer not in seen and len(fills) <= 12 else None
        seen.add(layer)
        fill = {"facecolor": fills.get(layer, _MONITORS), "linewidth": 0, "label": label}
        ax.add_patch(Rectangle((place["left"], place["bottom"]), width, height, **fill))
        if layer != "monitors" and len(places) <= _NUMBERED:
            centre = place["left"] + width / 2, place["bottom"] + height / 2
            size = 7 if len(places) <= 36 else 5
            style = {"ha": "center", "va": "center", "fontsize": size}
            ax.text(*centre, place["number"], **style)
    _set_view(ax, [place for place, _ in outlines])
    place_legend(ax)
    return ax


def _fills(layers: Sequence[str]) -> dict[str, Any]:
    """A pale colour a layer; beyond the six of curves, those of a map in equal steps."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgba

    if len(layers) <= len(COLOURS):
        fills = [to_rgba(color, _PALE) for color in COLOURS]
    else:
        steps = np.linspace(0.15, 0.95, len(layers))
        fills = [(*colormaps["viridis"](step)[:3], _PALE) for step in steps]
    return dict(zip(layers, fills, strict=False))


def _set_view(ax: Axes, places: Sequence[Mapping[str, Any]]) -> None:
    """The outlines with a margin, in um."""
    margin = 0.02 * max(place["right"] - place["left"] for place in places)
    left, right = min(p["left"] for p in places), max(p["right"] for p in places)
    low, high = min(p["bottom"] for p in places), max(p["top"] for p in places)
    ax.set_xlim(left - margin, right + margin)
    ax.set_ylim(low - margin, high + margin)
    ax.set_aspect("equal")
    ax.set_xlabel("x (um)")
    ax.set_ylabel("y (um)")


def voltage_drop(drop: npt.ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Map of the share of the drive that wires and leads take from each device.

    Args:
        drop: shares, (rows, cols), as ``drop`` of the record of a signed-off array.
        ax: where to draw; None: a new figure.

    Returns:
        The axes; shares as fractions.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    ax = axes_or_new(ax)
    maps.cell_map(ax, np.asarray(drop, float), "voltage drop", "%")
    return ax


def segments(record: Mapping[str, Any], kind: str, *, ax: Axes | None = None) -> Axes:
    """Resistance of every segment of the word or bit lines, beside the nominal one.

    Few lines have a curve each; of many the median stands in the band from least to largest. A
    segment stands between the lines whose crossings it joins.

    Args:
        record: of an extraction, as `xbarspice extract` leaves it: lines and nominal_ohm.
        kind: "WL" or "BL".
        ax: where to draw; None: a new figure.

    Returns:
        The axes; ohm.

    Raises:
        InputError: `kind` is neither.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    if kind not in _LINES:
        raise broken_rule("`kind` must be WL or BL", repr(kind), "Choose one.")
    ax = axes_or_new(ax)
    word, name, crossed = _LINES[kind]
    lines = [line for line in record["lines"] if line["name"].startswith(kind)]
    nominal = record["nominal_ohm"][name]
    curves = {line["name"]: line["segments_ohm"] for line in lines if line["segments_ohm"]}
    place = np.arange(max(map(len, curves.values()), default=0)) + 0.5
    if len(curves) <= _CURVES:
        for k, (label, values) in enumerate(curves.items()):
            style = {"color": colour(k), "marker": marker(k), "markersize": 4, "linewidth": 1}
            ax.plot(place[: len(values)], values, label=label, **style)
    else:
        rows = [[*values, *[np.nan] * (place.size - len(values))] for values in curves.values()]
        R = np.ma.masked_invalid(np.array(rows, float))
        low, middle, high = R.min(axis=0), np.ma.median(R, axis=0), R.max(axis=0)
        band = {"color": COLOURS[0], "alpha": 0.3, "linewidth": 0}
        ax.fill_between(place, low, high, label=f"{len(curves)} lines, least to largest", **band)
        ax.plot(place, middle, color=COLOURS[0], label="median")
    dashed = {"color": text_colour(), "linestyle": "--", "linewidth": 1}
    ax.axhline(nominal, label="nominal", **dashed)
    low, high = ax.get_ylim()
    room = _LEAST_RANGE * nominal
    ax.set_ylim(min(low, nominal - room), max(high, nominal + room))
    number_lines(ax.xaxis, crossed)
    set_quantity(ax.yaxis, f"segment of a {word}", "ohm")
    place_legend(ax)
    return ax


def loads(parts: Sequence[Mapping[str, Any]], *, ax: Axes | None = None) -> Axes:
    """Highest current of each kind of part as a share of its limit; above it in orange.

    Args:
        parts: ``loads`` of the record of a signed-off array: line, part, largest_share.
        ax: where to draw; None: a new figure.

    Returns:
        The axes; shares as fractions.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    worst = _worst(parts)
    ax = axes_or_new(ax, 5.2, loads_height(parts))
    names = list(worst)[::-1]
    values = [worst[name] for name in names]
    colours = [COLOURS[1] if value > 1 else COLOURS[0] for value in values]
    ax.barh([escape(name) for name in names], values, color=colours)
    ax.axvline(1.0, color=text_colour(), linestyle="--", linewidth=1, label="limit")
    set_quantity(ax.xaxis, "load, share of the limit", "%")
    place_legend(ax)
    return ax


def loads_height(parts: Sequence[Mapping[str, Any]]) -> float:
    """Height of the figure of `loads`, inches."""
    return 1.0 + 0.32 * len(_worst(parts))


def _worst(parts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Largest share by kind of part."""
    worst: dict[str, float] = {}
    for part in parts:
        name = f"{part['line']}, {part['part']}"
        worst[name] = max(worst.get(name, 0.0), part["largest_share"])
    return worst
