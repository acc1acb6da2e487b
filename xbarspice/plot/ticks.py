"""Tick labels in prefixed units over values in SI units. Imports matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axis import Axis
from matplotlib.ticker import EngFormatter, Formatter

from xbarspice.report.units import prefix

__all__ = ["DecadeFormatter", "QuantityFormatter"]

_MOST_DIGITS = 9


class QuantityFormatter(Formatter):
    """Values with one SI prefix for the whole axis; the label of the axis names it.

    The prefix follows the view: it is right after zooming and after further curves.

    Args:
        quantity: the words of the label.
        unit: of the values on the axis; "%" for fractions; empty: none, then nothing is scaled.
    """

    def __init__(self, quantity: str, unit: str) -> None:
        self.quantity, self.unit = quantity, unit
        self.scale, self.digits = 1.0, 0

    @staticmethod
    def scale_of(axis: Axis, unit: str) -> tuple[float, str]:
        """What values are divided by, and the unit then."""
        if unit == "%":
            return 0.01, "%"
        largest = max(abs(float(end)) for end in axis.get_view_interval())
        scale, name = prefix(largest) if unit else (1.0, "")
        return scale, f"{name}{unit}"

    @classmethod
    def label_of(cls, axis: Axis, quantity: str, unit: str) -> str:
        """The label: quantity, and the unit in brackets."""
        shown = cls.scale_of(axis, unit)[1]
        return f"{quantity} ({shown})" if shown else quantity

    def set_locs(self, locs: Sequence[float]) -> None:
        """Choose prefix and digits for these ticks."""
        if not isinstance(self.axis, Axis):
            return
        self.scale = self.scale_of(self.axis, self.unit)[0]
        self.axis.set_label_text(self.label_of(self.axis, self.quantity, self.unit))
        values = sorted({float(value) / self.scale for value in locs})
        steps = [b - a for a, b in pairwise(values)] or [1.0]
        self.digits = next(
            (
                digits
                for digits in range(_MOST_DIGITS)
                if all(abs(round(v, digits) - v) < 1e-3 * min(steps) for v in values)
            ),
            _MOST_DIGITS,
        )

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The text of one tick."""
        return self.fix_minus(f"{round(x / self.scale, self.digits) + 0.0:.{self.digits}f}")


class DecadeFormatter(EngFormatter):
    """Ticks of a logarithmic axis, each with the prefix of its own: 100n, 1u, 10u."""

    def __init__(self, unit: str) -> None:
        super().__init__(sep="")
        self.of = unit

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The text of one tick."""
        if self.of == "%":
            return f"{100 * x:g}"
        scale, name = prefix(x)
        return f"{x / scale:g}{name}"
