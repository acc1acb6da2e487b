"""Plots of a measured die: its map, with stuck devices and lines in use, and its histogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xbarspice.calibration.die import Die
from xbarspice.core.types import Array
from xbarspice.plot import maps
from xbarspice.plot.axes import (
    BLACK,
    COLOURS,
    axes_or_new,
    number_lines,
    place_legend,
    set_quantity,
    text_colour,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["die", "die_histogram"]

_NUMBERED = 32
"""Lines of a die up to which the map numbers those in use."""
_MARKS = {1: ("x", "stuck at low ohm"), -1: ("o", "stuck at high ohm")}
_STUCK = "#ff3b30"  # not a colour of the map


def die(
    measured: Die | Array,
    stuck: npt.NDArray[Any] | None = None,
    *,
    choice: Mapping[str, Any] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Map of the conductances of a die, with its stuck devices marked.

    Args:
        measured: a die, or its conductances, S, (rows, cols).
        stuck: -1 at high ohm, 1 at low ohm, 0, (rows, cols), as `Die.stuck` gives it; None: none.
        choice: a candidate with its `rows` and `cols`: devices in use are framed, the others paled,
            and the lines in use numbered by what they carry.
        ax: where to draw; None: a new figure.

    Returns:
        The axes.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    G = measured.G if isinstance(measured, Die) else measured
    ax = axes_or_new(ax)
    maps.cell_map(ax, G, "conductance", "S", written=False)
    for sign, (mark, label) in _MARKS.items():
        if stuck is not None and (stuck == sign).any():
            row, col = np.nonzero(stuck == sign)
            ax.plot(col, row, mark, color=_STUCK, mfc="none", ms=8, mew=1.8, label=label)
    if choice is not None:
        _draw_choice(ax, G.shape, choice["rows"], choice["cols"])
    place_legend(ax)
    return ax


def _draw_choice(
    ax: Axes, shape: tuple[int, ...], rows: Sequence[int], cols: Sequence[int]
) -> None:
    """Pale what is not in use; number the lines in use by what they carry."""
    used = np.zeros(shape, bool)
    used[np.ix_(rows, cols)] = True
    veil = np.zeros((*shape, 4))
    veil[~used] = (1.0, 1.0, 1.0, 0.7)
    ax.imshow(veil, interpolation="nearest", aspect=ax.get_aspect())
    for r, c in np.argwhere(used):
        for dr, dc in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            near = (r + dr, c + dc)
            inside = 0 <= near[0] < shape[0] and 0 <= near[1] < shape[1]
            if inside and used[near]:
                continue
            if dr:
                ax.hlines(r + dr / 2, c - 0.5, c + 0.5, colors=BLACK, linewidths=1.2)
            else:
                ax.vlines(c + dc / 2, r - 0.5, r + 0.5, colors=BLACK, linewidths=1.2)
    if max(shape) > _NUMBERED:
        return
    size = 8 if max(shape) <= 16 else 5
    ax.set_yticks(list(rows), [f"{line}: row {k}" for k, line in enumerate(rows)], fontsize=size)
    words = [f"{line}: col {k}" for k, line in enumerate(cols)]
    ax.set_xticks(list(cols), words, fontsize=size, rotation=90)


def die_histogram(
    measured: Die | Array, thresholds: Sequence[float] = (), *, ax: Axes | None = None
) -> Axes:
    """Histogram of the conductances of a die, with the thresholds of stuck devices.

    Args:
        measured: a die, or its conductances, S, (rows, cols).
        thresholds: conductances below and above which a device is stuck, S.
        ax: where to draw; None: a new figure.

    Returns:
        The axes, in S and devices.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    G = measured.G if isinstance(measured, Die) else measured
    ax = axes_or_new(ax)
    ax.hist(G.ravel(), bins=min(30, max(5, G.size // 4)), color=COLOURS[0])
    for k, limit in enumerate(thresholds):
        label = "threshold of stuck devices" if k == 0 else None
        ax.axvline(limit, color=text_colour(), ls="--", lw=1, label=label)
    set_quantity(ax.xaxis, "conductance", "S")
    number_lines(ax.yaxis, "devices")
    place_legend(ax)
    return ax
