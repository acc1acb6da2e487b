"""The same fit with every loss, side by side: whether single points decide its values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from xbarspice.calibration.fit import Fit
from xbarspice.calibration.held import MOST, NEAR
from xbarspice.calibration.problem import Options
from xbarspice.core.errors import ConvergenceError

__all__ = ["LOSSES", "LossFit", "compare_losses", "loss_findings"]

LOSSES = ("linear", "soft_l1", "huber")
ROUNDING = 1e-6
"""Relative differences of values that are none."""


@dataclass(frozen=True, kw_only=True)
class LossFit:
    """Values by one loss, in the order of the fit.

    Attributes:
        loss: one of `LOSSES`.
        values, errors: fitted values and standard errors, SI units.
        low, high: intervals; without limits where the model does not hold.
    """

    loss: str
    values: tuple[float, ...]
    errors: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def compare_losses(
    fit: Fit, options: Options, refit: Callable[[Options], Fit]
) -> tuple[LossFit, ...]:
    """Fit with every loss; `loss_findings` names those that are left out.

    Args:
        fit: by the loss of `options`.
        options: of the fit.
        refit: the same fit with other options, started from the solution.
    """
    if len(fit.parameters) > MOST:
        return ()
    out = []
    for loss in LOSSES:
        try:
            alternative = (
                fit
                if loss == options.loss
                else refit(dataclasses.replace(options, loss=loss, free_held=False))  # type: ignore[arg-type]
            )
        except ConvergenceError:
            continue
        if len(alternative.parameters) < len(fit.parameters):
            continue  # a conductance ended at 0, and is no parameter of a fit from there
        none = np.full(len(alternative.values), np.inf)
        ends = (alternative.low, alternative.high) if alternative.holds else (-none, none)
        numbers = (alternative.values, alternative.error, *ends)
        values, errors, low, high = (tuple(n.tolist()) for n in numbers)
        out.append(LossFit(loss=loss, values=values, errors=errors, low=low, high=high))
    return tuple(out)


def loss_findings(fit: Fit, losses: Sequence[LossFit]) -> Iterator[str]:
    """A sentence for every value that one loss puts outside the interval of another.

    And one that names the losses that could not be compared.
    """
    compared = {each.loss for each in losses}
    absent = [loss for loss in LOSSES if loss not in compared]
    if losses and absent:
        yield (
            f"values by {' and '.join(absent)} are not compared: that fit did not end, or took a "
            "conductance to 0"
        )
    for j, p in enumerate(fit.parameters):
        pairs = [(a, b) for a, b in combinations(losses, 2) if _differ(a, b, j)]
        if not pairs:
            continue
        a, b = max(pairs, key=lambda pair: abs(pair[0].values[j] - pair[1].values[j]))
        shown = " and ".join(
            f"{each.values[j]:.4g} +- {NEAR * each.errors[j]:.2g} {p.unit}".rstrip()
            + f" ({each.loss})"
            for each in (a, b)
        )
        yield (
            f"single points decide `{p.name}`: {shown} differ by more than an interval. Look "
            "at the points far from the model; a robust loss (--loss) gives them less weight"
        )


def _differ(a: LossFit, b: LossFit, j: int) -> bool:
    apart = abs(a.values[j] - b.values[j])
    error = min(a.errors[j], b.errors[j])
    rounding = ROUNDING * max(abs(a.values[j]), abs(b.values[j]))
    return bool(np.isfinite(error) and apart > NEAR * error and apart > rounding)
