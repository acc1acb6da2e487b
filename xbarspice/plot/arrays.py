"""Plots of arrays before they are solved: conductances, and the weights that stand in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.plot import maps
from xbarspice.plot.axes import axes_or_new, number_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xbarspice.mapping.physical_array import PhysicalArray
    from xbarspice.mapping.tile import Tile

__all__ = ["conductances", "pairs"]


def conductances(
    array: Crossbar | PhysicalArray | Tile, *, item: int = 0, ax: Axes | None = None
) -> Axes:
    """Map of the conductances of an array, in S; absent devices are grey.

    Args:
        array: a crossbar, (..., rows, cols), or an array of a converted model (`xb.nn.arrays`).
        item: which one of a batch, in the order of the flattened leading axes.
        ax: where to draw; None: a new figure.

    Returns:
        The axes.

    Raises:
        InputError: the batch has no such array.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    crossbar = array if isinstance(array, Crossbar) else array.crossbar
    if not 0 <= item < len(crossbar.G_flat):
        raise broken_rule(
            f"`item` must be one of the {len(crossbar.G_flat)} arrays", item, "Count from 0."
        )
    ax = axes_or_new(ax)
    G = crossbar.G_flat[item]
    maps.cell_map(ax, np.where(G > 0, G, np.nan), "conductance", "S")
    return ax


def pairs(tile: Tile, *, ax: Axes | None = None) -> Axes:
    """Map of the differences of the pairs of one array: the weights as they stand on it, in S.

    Args:
        tile: one array while one matrix is read (`xb.nn.tiles`).
        ax: where to draw; None: a new figure.

    Returns:
        The axes: columns of the matrix to the right, its lines (inputs, then the bias) down.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    ax = axes_or_new(ax)
    G = tile.read.take(tile.crossbar.G)
    maps.cell_map(ax, G[:, 0::2] - G[:, 1::2], "difference of the pair", "S", signed=True)
    number_lines(ax.xaxis, "output (column of the matrix)")
    number_lines(ax.yaxis, "input (line of the matrix)")
    return ax
