"""The answer: what every engine returns, with a status that explains itself."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from xbarspice.array import Crossbar, End
from xbarspice.values import array_of

__all__ = ["Fields", "Solution", "Stats", "Status", "kirchhoff_residual"]

Array = npt.NDArray[np.float64]


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
        notes: anything the user should know (fallbacks taken, convergence aids used).
    """

    engine: str
    method: str
    seconds: float = 0.0
    iterations: int = 0
    newton_steps: int = 0
    residual: float = float("nan")
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Inner quantities of the array: V_wl, V_bl in V and I_device in A, each (..., rows, cols)."""

    V_wl: Array
    V_bl: Array
    I_device: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """Currents and voltages of a solved crossbar; shapes and signs as in `xbarspice.array`.

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


def _line_residual(
    V: Array,
    drawn: Array,
    ends: np.ndarray,
    volts: Array,
    total: Array,
    crossbar: Crossbar,
    R: float,
) -> float:
    """Largest Kirchhoff violation of lines whose cells run along the last axis, A.

    `drawn` is what each cell takes from the line, `total` what the ends are said to supply.
    """
    node = -drawn
    if R > 0:
        along = np.diff(V, axis=-1) / R
        node[..., :-1] += along
        node[..., 1:] -= along
    else:
        node = node.sum(axis=-1, keepdims=True)
    for line, pair in enumerate(ends):
        resistance = [crossbar.end_resistance(end) for end in pair]
        for k, end in enumerate(pair):
            if 0 < resistance[k] < np.inf:
                source = volts[..., line] if end == End.DRIVEN else 0.0
                node[..., line, -k] += (source - V[..., line, -k]) / resistance[k]
        for k in range(2):
            if resistance[k] == 0:  # an ideal source supplies whatever its node needs
                node[..., line, -k] = 0.0
    supplied = total - drawn.sum(axis=-1)
    return float(np.maximum(np.max(np.abs(node)), np.max(np.abs(supplied))))  # NaN stays


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
    wl = _line_residual(
        V_wl, I_device, crossbar.wl_ends, v_in, solution.I_in, crossbar, crossbar.R_wl
    )
    bl = _line_residual(
        np.swapaxes(V_bl, -1, -2), -np.swapaxes(I_device, -1, -2), crossbar.bl_ends, v_out,
        -solution.I_out, crossbar, crossbar.R_bl,
    )  # fmt: skip
    currents = (I_device, solution.I_in, solution.I_out)
    largest = float(np.max([np.max(np.abs(a)) for a in currents]))
    worst = float(np.maximum(wl, bl))
    return worst if largest == 0 else worst / largest
