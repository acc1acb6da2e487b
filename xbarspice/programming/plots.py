"""Plots of a programming run: maps, who moved whom, distributions of errors, a tester's log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array
from xbarspice.plot import maps
from xbarspice.plot.axes import (
    ABSENT,
    axes_or_new,
    colour,
    escape,
    number_lines,
    place_legend,
    set_quantity,
)
from xbarspice.programming.results import Programmed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["programming", "programming_errors", "programming_log", "victims"]

_KINDS: dict[str, tuple[str, str, bool, Callable[[Programmed], Array]]] = {
    "error": ("error of the conductance", "%", True, lambda run: run.error),
    "drift": ("drift by later writes", "S", True, lambda run: run.disturb),
    "pulses": ("write pulses", "", False, lambda run: run.pulses.astype(float)),
    "conductance": ("conductance", "S", False, lambda run: run.G),
    "target": ("target", "S", False, lambda run: run.target),
}
"""Quantity, unit, whether it has a sign, and the values, by name."""
_LEAST_ERROR = 1e-5
"""What smaller relative errors are drawn at, on a logarithmic axis."""


def programming(
    run: Programmed,
    *,
    of: Literal["error", "drift", "pulses", "conductance", "target"] = "error",
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Map of what a programming run left; devices that nothing was wanted of are grey.

    Args:
        run: of `xb.programming.program`.
        of: "error": relative, of the final conductances; "drift": of each device since it was
            finished, by the writes that came later, S; "pulses": write pulses that it took;
            "conductance" and "target", S.
        limits: of the colours, in the same unit (errors as fractions), to compare maps; None: those
            of the values.
        ax: where to draw; None: a new figure.

    Returns:
        The axes.

    Raises:
        InputError: `of` is none of these.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    if of not in _KINDS:
        raise broken_rule("`of` must be one of " + ", ".join(_KINDS), repr(of), "Choose one.")
    quantity, unit, signed, values = _KINDS[of]
    ax = axes_or_new(ax)
    shown = np.where(run.wanted, values(run), np.nan)
    maps.cell_map(ax, shown, quantity, unit, signed=signed, limits=limits)
    return ax


def victims(
    run: Programmed, row: int, col: int, *, moved: Array | None = None, ax: Axes | None = None
) -> Axes:
    """Map of who was moved while one device was written, which is framed, in S.

    Args:
        run: of `xb.programming.program`.
        row, col: of the device that was written.
        moved: change of every device meanwhile, S, (rows, cols); None: as the run holds it.
        ax: where to draw; None: a new figure.

    Returns:
        The axes.

    Raises:
        InputError: that device was not written.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    if moved is None:
        place = np.flatnonzero(run.order == row * run.G.shape[1] + col)
        if not place.size:
            raise broken_rule(
                "the device must have been written", (row, col), "Choose one that has a target."
            )
        moved = run.moved[place[0]].astype(np.float64)
    ax = axes_or_new(ax)
    shown = np.where(run.wanted, moved, np.nan)
    shown[row, col] = np.nan
    quantity = f"moved while ({row}, {col}) was written"
    maps.cell_map(ax, shown, quantity, "S", signed=True)
    maps.frame_cell(ax, row, col)
    return ax


def programming_errors(runs: Mapping[str, Programmed], *, ax: Axes | None = None) -> Axes:
    """Share of the devices over their final relative error, one curve a run.

    Args:
        runs: name -> run, for example of several orders of writing; the dashed line is the
            tolerance of the first.
        ax: where to draw; None: a new figure.

    Returns:
        The axes; errors below 1e-5 stand at it.

    Raises:
        InputError: there is no run.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    if not runs:
        raise broken_rule("there must be a run", "none", "Give a name and a run.")
    ax = axes_or_new(ax, 4.8)
    for k, (name, run) in enumerate(runs.items()):
        error = np.sort(np.abs(run.error[run.wanted]))
        share = np.arange(1, error.size + 1) / error.size
        x, color = np.maximum(error, _LEAST_ERROR), colour(k)
        ax.step(x, share, where="post", label=escape(name), color=color)
    tolerance = next(iter(runs.values())).tolerance
    ax.axvline(tolerance, color=ABSENT, linestyle="--", linewidth=1, label="tolerance")
    ax.set_xscale("log")
    set_quantity(ax.xaxis, "error of the conductance", "%")
    set_quantity(ax.yaxis, "devices with at most this error", "%")
    place_legend(ax)
    return ax


def programming_log(record: Mapping[str, Any], *, ax: Axes | None = None) -> Axes:
    """Deviation of every read of a tester's log from the plan, against the step.

    Args:
        record: what `xbarspice.programming.tester_log.compare` gave.
        ax: where to draw; None: a new figure.

    Returns:
        The axes; linear within twice the tolerance, logarithmic beyond.

    Raises:
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    ax = axes_or_new(ax, 5.2)
    limit = record["tolerance"]
    ax.axhspan(-limit, limit, color=ABSENT, alpha=0.2, linewidth=0, label="tolerance")
    for k, (phase, words) in enumerate(
        {"step": "when it was written", "final": "when all were"}.items()
    ):
        reads = [r for r in record["reads"] if r["phase"] == phase]
        if reads:
            x, y = [r["step"] for r in reads], [r["deviation"] for r in reads]
            ax.plot(x, y, ".", markersize=4, color=colour(k), label=words)
    ax.set_yscale("symlog", linthresh=2 * limit)
    number_lines(ax.xaxis, "step")
    set_quantity(ax.yaxis, "measured over expected current", "%")
    place_legend(ax)
    return ax
