"""What a fit is told: a problem with its data and parameters, and how to fit it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from xbarspice.calibration.model import Parameter
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Indices

__all__ = ["Noise", "Options", "Problem"]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How the scatter of a measured value grows with it: sqrt((relative x)^2 + absolute^2).

    Only the shape matters: the size is estimated from the residuals.

    Args:
        relative: share of the value.
        absolute: in the unit of the value; None for a thousandth of the largest value.
    """

    relative: float = 0.01
    absolute: float | None = None

    def __post_init__(self) -> None:
        floor = self.absolute or 0.0
        if self.relative < 0 or floor < 0 or (self.relative == 0 and self.absolute == 0):
            raise broken_rule(
                "noise must be >= 0 and not 0 altogether",
                (self.relative, self.absolute),
                "0.01 relative is one percent.",
            )

    def sigma(self, x: Array) -> Array:
        """Standard deviation of each value, up to one common factor."""
        floor = 1e-3 * np.abs(x).max() if self.absolute is None else self.absolute
        return np.hypot(self.relative * x, floor)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to fit.

    Attributes:
        noise: shape of the scatter.
        loss: "linear", or "soft_l1" or "huber" against outliers.
        held_out: share of the reads that is not fitted but predicted, 0 to 0.5.
        seed: of the choice of these reads.
        confidence: of the intervals.
        free_held: whether every held wire and lead is fitted once as well, to see what depends on
            it (one more fit each).
    """

    noise: Noise = Noise()
    loss: Literal["linear", "soft_l1", "huber"] = "linear"
    held_out: float = 0.2
    seed: int = 0
    confidence: float = 0.95
    free_held: bool = True

    def __post_init__(self) -> None:
        if self.loss not in ("linear", "soft_l1", "huber"):
            raise broken_rule(
                "`loss` must be linear, soft_l1 or huber", repr(self.loss), "Use one."
            )
        if not 0 <= self.held_out <= 0.5 or not 0 < self.confidence < 1:
            raise broken_rule(
                "`held_out` must lie in [0, 0.5] and `confidence` in (0, 1)",
                (self.held_out, self.confidence),
                "0.2 holds out a fifth.",
            )


class Problem(Protocol):
    """Something that predicts measured values from parameters."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What is fitted, in the order of `theta`."""
        ...

    @property
    def data(self) -> Array:
        """Measured values, in the unit of the problem's currents, (points,)."""
        ...

    @property
    def read_of_point(self) -> Indices:
        """Number of the read (vector, sweep) that each point belongs to, (points,)."""
        ...

    @property
    def line_of_point(self) -> Indices:
        """Number of the line, device or curve that each point belongs to, (points,)."""
        ...

    @property
    def repeat_of_point(self) -> Indices:
        """Number that points measured under equal conditions share, (points,)."""
        ...

    @property
    def voltage_of_point(self) -> Array:
        """Voltage at which each point was measured, V, (points,)."""
        ...

    def currents(self, theta: Array) -> Array:
        """Values that the model predicts for parameters `theta`, as `data`, (points,)."""
        ...

    def jacobian(self, theta: Array) -> Array:
        """Derivatives of `currents` by `theta`, (points, parameters)."""
        ...
