"""The answer: what every engine returns, with a status that explains itself."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.line_ends import End
from xbarspice.core.types import Array, Flags
from xbarspice.core.values import array_of

__all__ = ["Fields", "Solution", "Stats", "Status", "kirchhoff_residual", "kirchhoff_violations"]


class Status(enum.Enum):
    """How a solve ended; the value says it in words."""

    CONVERGED = "the answer meets its stated residual"
    NOT_CONVERGED = "the iteration ended above its stated residual; do not use the numbers"

    @property
    def ok(self) -> bool:
        """Whether the numbers may be used."""
        return self is Status.CONVERGED


@dataclass(frozen=True, kw_only=True)
class Stats:
    """How the answer was found.

    Attributes:
        engine: name of the engine.
        method: the algorithm, for a person to read.
        seconds: wall-clock time of the solve.
        iterations: inner linear iterations, largest over the batch (0: direct).
        newton_steps: Newton steps, largest over the batch (0: linear array).
        residual: largest relative Kirchhoff residual that was checked; NaN if none was.
        error_at_most: what the engine could say of `error_bound` when it ended: of the surrogate
            and the nodal engine an upper bound of it, of ngspice and PySpice what was measured over
            many arrays; NaN if nothing.
        bound: `error_bound`, or a function that finds it on first use; NaN if there is none.
        notes: anything the user should know (fallbacks taken, convergence aids used).
    """

    engine: str
    method: str
    seconds: float = 0.0
    iterations: int = 0
    newton_steps: int = 0
    residual: float = float("nan")
    error_at_most: float = float("nan")
    bound: float | Callable[[], float] = field(default=float("nan"), repr=False, compare=False)
    notes: tuple[str, ...] = ()

    @property
    def error_bound(self) -> float:
        """What any `I_out` or `I_in` can be wrong by, as a share of the largest output current.

        The largest error of all vectors over the largest |I_out| of all of them (|I_in| where no
        bit line has an end): currents far below the largest one have no relative promise. It is
        found on first use from the currents as they then stand, by a reference of twice the
        precision (`engines.bound`), which takes as long as a nodal solve or longer. It is infinite
        where the output currents are 0 or vanish in rounding but are not equal to the
        reference, and NaN where there is none: for a device that is not known to be increasing
        (`Device.increasing`), or an answer that no engine gave.
        """
        if callable(self.bound):
            object.__setattr__(self, "bound", self.bound())
        return self.bound  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Inner quantities of the array: V_wl, V_bl in V and I_device in A, each (..., rows, cols)."""

    V_wl: Array
    V_bl: Array
    I_device: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """Currents and voltages of a solved crossbar; shapes and signs as in `xbarspice.core.array`.

    Attributes:
        I_out: current from the array into the bit-line ends, A, (..., cols).
        I_in: current from the word-line ends into the array, A, (..., rows).
        status: how the solve ended.
        stats: how the answer was found.
        fields: the inner quantities, or a function that computes them on first use.
    """

    I_out: Array
    I_in: Array
    status: Status
    stats: Stats
    fields: Fields | Callable[[], Fields] = field(repr=False)

    @property
    def error_at_most(self) -> float:
        """`Stats.error_at_most` in A; NaN if the engine could say nothing."""
        share = self.stats.error_at_most
        if not share > 0:  # NaN stays
            return share
        return share * float(max(np.abs(self.I_out).max(), np.abs(self.I_in).max()))

    def _fields(self) -> Fields:
        if callable(self.fields):
            object.__setattr__(self, "fields", self.fields())
        return self.fields  # type: ignore[return-value]

    @property
    def V_wl(self) -> Array:
        """Word-line node voltages, V, (..., rows, cols)."""
        return self._fields().V_wl

    @property
    def V_bl(self) -> Array:
        """Bit-line node voltages, V, (..., rows, cols)."""
        return self._fields().V_bl

    @property
    def I_device(self) -> Array:
        """Device currents from word line to bit line, A, (..., rows, cols)."""
        return self._fields().I_device


def _line_violations(
    V: Array,
    drawn: Array,
    ends: np.ndarray,
    volts: Array,
    total: Array,
    at_end: Array,
    segments: Array,
    sensed: Array | None = None,
) -> tuple[Array, Array]:
    """Kirchhoff violations of lines whose cells run along the last axis, A: nodes, line sums.

    `drawn` is what each cell takes from the line, `total` what the ends are said to supply; the
    resistances, ohm, are those of ends (..., lines, 2) and segments (..., lines, cells - 1).
    """
    wire = np.broadcast_to(segments, (*V.shape[:-1], V.shape[-1] - 1))
    along = np.divide(np.diff(V, axis=-1), wire, out=np.zeros(wire.shape), where=wire > 0)
    node = -drawn
    node[..., :-1] += along
    node[..., 1:] -= along
    at_end = np.broadcast_to(at_end, (*V.shape[:-1], 2))
    ideal = np.zeros(node.shape, bool)  # an ideal source supplies whatever its node needs
    at_rest = np.zeros(volts.shape) if sensed is None else sensed
    for k in range(2):
        R = at_end[..., k]
        fed = np.where(ends[:, k] == End.DRIVEN, volts, at_rest) - V[..., -k]
        node[..., -k] += np.divide(fed, R, out=np.zeros(R.shape), where=(R > 0) & (np.inf > R))
        ideal[..., -k] |= R == 0
    node, ideal = _joined(node, ideal, wire == 0)
    supplied = total - drawn.sum(axis=-1)
    return np.abs(np.where(ideal, 0.0, node)).reshape(*total.shape[:-1], -1), np.abs(supplied)


def _joined(node: Array, ideal: Flags, merged: Flags) -> tuple[Array, Flags]:
    """The sums of the nodes: that of cells which segments of 0 ohm join is at the last of them."""
    if not merged.any():
        return node, ideal
    lines = tuple(range(merged.ndim - 1))
    for cell in np.flatnonzero(merged.any(axis=lines)):
        with_next = merged[..., cell]
        node[..., cell + 1] += np.where(with_next, node[..., cell], 0.0)
        ideal[..., cell + 1] |= with_next & ideal[..., cell]
        node[..., cell][with_next] = 0.0
    kept = np.append(~merged.all(axis=lines), True)
    return node[..., kept], ideal[..., kept]


def kirchhoff_violations(
    crossbar: Crossbar,
    V_wl: Array,
    V_bl: Array,
    I_device: Array,
    I_in: Array,
    I_out: Array,
    V_in: Array,
    V_out: Array,
    V_sense: npt.ArrayLike = 0.0,
) -> tuple[Array, Array]:
    """By how much Kirchhoff's current law is violated at every node and on every line, A.

    Args:
        crossbar: the crossbar that was solved.
        V_wl, V_bl, I_device: V and A, (..., rows, cols).
        I_in, I_out: the line currents to judge, A, (..., rows) and (..., cols).
        V_in, V_out: the drive, V, in the shapes of `I_in` and `I_out`.
        V_sense: voltage of the sense nodes of the bit lines, V, that broadcasts with `I_out`.

    Returns:
        Absolute sums of the currents that meet in each node, (..., nodes), and absolute differences
        between each line's current and those of its devices, (..., rows + cols).
    """
    at_wl, at_bl = crossbar.end_resistances
    along_wl, along_bl = crossbar.segment_resistances
    wl = _line_violations(V_wl, I_device, crossbar.wl_ends, V_in, I_in, at_wl, along_wl)
    bl = _line_violations(
        np.swapaxes(V_bl, -1, -2),
        -np.swapaxes(I_device, -1, -2),
        crossbar.bl_ends,
        V_out,
        -I_out,
        at_bl,
        np.swapaxes(along_bl, -1, -2),
        np.broadcast_to(V_sense, I_out.shape),
    )
    nodes, lines = (np.concatenate(pair, axis=-1) for pair in zip(wl, bl, strict=True))
    return nodes, lines


def kirchhoff_residual(
    crossbar: Crossbar, solution: Solution, V_in: npt.ArrayLike, V_out: npt.ArrayLike = 0.0
) -> float:
    """Largest violation of Kirchhoff's current law, relative to the largest current.

    Every node's wire, end and device currents are summed from the voltages and device currents of
    the solution. An ideal connection leaves its node's current undetermined by the voltages; there
    the reported `I_in` or `I_out` of the line is judged against its device currents.

    Args:
        crossbar: the crossbar that was solved.
        solution: the answer to judge.
        V_in, V_out: as given to the solve, V, (..., rows) and (..., cols).

    Returns:
        The relative residual (0 for an array without any current), largest over the batch; NaN if a
        number of the solution is NaN.
    """
    V_wl, V_bl, I_device = solution.V_wl, solution.V_bl, solution.I_device
    v_in = np.broadcast_to(array_of("V_in", V_in), solution.I_in.shape)
    v_out = np.broadcast_to(array_of("V_out", V_out), solution.I_out.shape)
    parts = kirchhoff_violations(
        crossbar, V_wl, V_bl, I_device, solution.I_in, solution.I_out, v_in, v_out
    )
    currents = (I_device, solution.I_in, solution.I_out)
    largest = float(np.max([np.max(np.abs(a)) for a in currents]))
    worst = float(np.max([part.max() for part in parts]))  # NaN stays
    return worst if largest == 0 else worst / largest
