"""What all plots share: new axes, colours, legends beside the curves, scales with SI prefixes.

Values stand on the axes in SI units (shares as fractions); ticks and labels show them with the
prefix that suits the range. Curves can so be added to axes that a plot returned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from xbarspice.core.errors import missing_package
from xbarspice.core.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "ABSENT",
    "BLACK",
    "COLOURS",
    "FRAME",
    "LEAST",
    "MARKERS",
    "STEPS",
    "axes_or_new",
    "bars_of_intervals",
    "colour",
    "escape",
    "finite_errors",
    "label_lines",
    "marker",
    "name_bars",
    "number_lines",
    "place_legend",
    "scale_errors",
    "set_quantity",
    "text_colour",
]

# Middle tones: at least 3:1 against the white and against the dark page. For people without red or
# without green cones any two still differ by 25 in CIE L*a*b* (the tests simulate both).
COLOURS = ("#2f7fd0", "#d1651f", "#04a1b5", "#aa3d70", "#8b6a47", "#6452f1")
MARKERS = ("o", "s", "^", "D", "v", "P")
ABSENT = "#8a9299"
FRAME = "#00b4dc"  # not a colour of the maps
BLACK = "#010101"  # not the pure black that the page turns into its text colour
STEPS = (1, 2, 2.5, 5, 10)
"""Steps of ticks, up to powers of 10."""
LEAST = 1e-17
"""What a relative error of 0 is drawn at: below the rounding of one addition."""
_SMALL = 8.5
"""Font size of legends, points."""
_ROOM = 15.0
"""Characters of that size in one inch."""
_HANDLE = 6
"""Characters that the mark of an entry and the gap beside it take."""


def axes_or_new(ax: Axes | None, width: float = 4.6, height: float = 3.4) -> Axes:
    """The axes, or those of a new figure of pyplot, which notebooks and `plt.show()` show.

    Args:
        ax: where to draw, or None.
        width, height: of a new figure, inches.

    Raises:
        PackageMissingError: matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot as plt
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def colour(number: int) -> str:
    """Colour of the curve with this number, from 0; they repeat."""
    return COLOURS[number % len(COLOURS)]


def marker(number: int) -> str:
    """Marker of the curve with this number; another one when the colours begin anew."""
    return MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]


def text_colour() -> str:
    """Colour of text: reference lines in it can be read on light and on dark ground."""
    import matplotlib as mpl

    return str(mpl.rcParams["text.color"])


def escape(text: str) -> str:
    """Text in which matplotlib reads no formula."""
    return text.replace("$", r"\$")


def finite_errors(value: Array, low: Array, high: Array) -> Array:
    """Error bars below and above values, (2, values); none where an interval has no end."""
    bars = np.clip([value - low, high - value], 0, None)
    return np.where(np.isfinite(bars), bars, np.nan)


def set_quantity(axis: Axis, quantity: str, unit: str = "") -> None:
    """Label an axis and show its values with the SI prefix that suits its range.

    Args:
        axis: `ax.xaxis` or `ax.yaxis`; on a logarithmic one each tick has its own prefix.
        quantity: the words of the label.
        unit: of the values on the axis, for example "A"; "%" for fractions; empty: none.
    """
    from matplotlib.ticker import MaxNLocator, NullFormatter

    from xbarspice.plot.ticks import DecadeFormatter, QuantityFormatter

    if axis.get_scale() == "linear" and axis is axis.axes.xaxis:
        axis.set_major_locator(MaxNLocator(6, steps=STEPS))  # labels are wide
    if axis.get_scale() != "log":
        axis.set_major_formatter(QuantityFormatter(quantity, unit))
        axis.set_label_text(QuantityFormatter.label_of(axis, quantity, unit))
        return
    axis.set_label_text(f"{quantity} ({unit})" if unit else quantity)
    axis.set_minor_formatter(NullFormatter())
    if unit:
        axis.set_major_formatter(DecadeFormatter(unit))


def scale_errors(axis: Axis) -> None:
    """A logarithmic axis of relative errors over many decades, with few ticks."""
    from matplotlib.ticker import LogLocator, NullFormatter

    (axis.axes.set_yscale if axis is axis.axes.yaxis else axis.axes.set_xscale)("log")
    axis.set_major_locator(LogLocator(base=10, numticks=8))
    axis.set_minor_formatter(NullFormatter())


def number_lines(axis: Axis, words: str) -> None:
    """Label an axis of whole numbers, such as lines of an array."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axis.set_label_text(words)


def label_lines(ax: Axes) -> None:
    """Axes over the cells of an array: columns to the right, rows down."""
    number_lines(ax.xaxis, "bit line (column)")
    number_lines(ax.yaxis, "word line (row)")


def place_legend(ax: Axes, title: str = "") -> None:
    """A legend above the axes, in as many columns as fit; nothing where nothing has a label."""
    labels = ax.get_legend_handles_labels()[1]
    if not labels:
        return
    width = ax.get_position().width * cast("Figure", ax.get_figure(root=True)).get_figwidth()
    lengths = [len(label) + _HANDLE for label in labels]
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        borderaxespad=0.1,
        ncols=_columns(lengths, width * _ROOM),
        title=title or None,
        alignment="left",
        frameon=False,
        fontsize=_SMALL,
        title_fontsize=_SMALL,
        handlelength=1.4,
        columnspacing=1.0,
    )


def _columns(lengths: Sequence[int], room: float) -> int:
    """Most columns that fit; entries run down the columns as matplotlib sets them."""
    for columns in range(len(lengths), 1, -1):
        parts: list[Array] = np.array_split(np.array(lengths), columns)
        if sum(int(part.max()) for part in parts) <= room:
            return columns
    return 1


def bars_of_intervals(
    ax: Axes, intervals: Sequence[Mapping[str, float]], *, shift: float = 0.0, **style: Any
) -> None:
    """Draw a horizontal bar for every value, with a whisker from the low to the high end.

    Args:
        ax: where to draw; bar k stands at k, or `shift` beside it.
        intervals: `value`, `low` and `high` of each.
        shift: of all bars.
        style: of `Axes.barh`.
    """
    value, low, high = (np.array([i[end] for i in intervals]) for end in ("value", "low", "high"))
    whiskers = finite_errors(value, low, high)
    error = {"ecolor": text_colour(), "lw": 1}
    ax.barh(np.arange(len(value)) + shift, value, xerr=whiskers, error_kw=error, **style)


def name_bars(ax: Axes, names: Sequence[str], **style: Any) -> None:
    """Name horizontal bars from the top down, with a line at 0.

    Args:
        ax: that has them, bar k at k.
        names: as they are to be read.
        style: of the names.
    """
    ax.axvline(0, color=text_colour(), linewidth=0.8)
    ax.set_yticks(range(len(names)), [escape(name) for name in names], **style)
    ax.invert_yaxis()
