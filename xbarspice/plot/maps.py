"""One value a cell: the map that all pictures of arrays are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from xbarspice.core.types import Array
from xbarspice.plot.axes import ABSENT, BLACK, FRAME, STEPS, label_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["cell_map", "frame_cell"]

_WRITTEN = 8
"""Lines of an array up to which the value of each cell is written in it."""


def cell_map(
    ax: Axes,
    values: Array,
    quantity: str,
    unit: str = "",
    *,
    signed: bool = False,
    limits: tuple[float, float] | None = None,
    written: bool = True,
) -> AxesImage:
    """A map of an array with a labelled colour bar; values that are not finite are grey.

    Args:
        ax: where to draw.
        values: one a cell, in SI units, (rows, cols).
        quantity, unit: of the colour bar, as for `set_quantity`.
        signed: blue below 0 and red above; else from dark to light.
        limits: of the colours; otherwise those of the values, with a sign symmetric about 0.
        written: whether the value of each cell of a small array stands in it.
    """
    from matplotlib import colormaps
    from matplotlib.colors import Normalize
    from matplotlib.ticker import MaxNLocator

    from xbarspice.plot.ticks import QuantityFormatter

    shown = np.ma.masked_invalid(values)
    low, high = limits or _limits(shown, signed)
    colours = colormaps["RdBu_r" if signed else "viridis"].with_extremes(bad=ABSENT)
    image = ax.imshow(
        shown,
        norm=Normalize(low, high),
        cmap=colours,
        interpolation="nearest",
        aspect="auto" if max(values.shape) > 4 * min(values.shape) else "equal",
    )
    figure = cast("Figure", ax.get_figure(root=True))
    whole = not unit and bool((shown.compressed() % 1 == 0).all())
    ticks = MaxNLocator(6, integer=whole, steps=STEPS)
    text = QuantityFormatter(quantity, unit)
    bar = figure.colorbar(image, ax=ax, pad=0.02, ticks=ticks, format=text)
    bar.set_label(QuantityFormatter.label_of(bar.ax.yaxis, quantity, unit))
    label_lines(ax)
    if written and max(values.shape) <= _WRITTEN:
        _write_values(ax, image, values, QuantityFormatter.scale_of(bar.ax.yaxis, unit)[0])
    return image


def _limits(shown: np.ma.MaskedArray, signed: bool) -> tuple[float, float]:
    """Range of the values, never empty: equal values get one that holds 0 and them."""
    if shown.count() == 0:
        return 0.0, 1.0
    low, high = float(shown.min()), float(shown.max())
    if signed:
        top = max(abs(low), abs(high)) or 1.0
        return -top, top
    if low == high:
        low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if low < high else (0.0, 1.0)


def _write_values(ax: Axes, image: AxesImage, values: Array, scale: float) -> None:
    """The number of each cell, white on dark colours, with three digits of the largest one."""
    finite = values[np.isfinite(values)] / scale
    top = float(np.abs(finite).max()) if finite.size else 1.0
    digits = 0 if top >= 100 or (finite == np.round(finite)).all() else 1 if top >= 10 else 2
    dark = image.to_rgba(values)[..., :3] @ (0.2126, 0.7152, 0.0722) < 0.45
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            text = f"{round(value / scale, digits) + 0.0:.{digits}f}"
            style = {"ha": "center", "va": "center", "fontsize": 6.5}
            ax.text(j, i, text, color="white" if dark[i, j] else BLACK, **style)


def frame_cell(ax: Axes, row: int, col: int) -> None:
    """A frame about one cell of a map."""
    from matplotlib.patches import Rectangle

    corner = (col - 0.5, row - 0.5)
    ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=FRAME, linewidth=2.5))
