"""A passive array while it is programmed: bias schemes, pulses on every device, reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice import engines
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.line_ends import READ, LineEnds
from xbarspice.core.solution import Solution
from xbarspice.core.types import Array, Flags
from xbarspice.core.values import array_of, whole_numbers_of
from xbarspice.core.wires import Resistance
from xbarspice.devices.dynamic import writable

__all__ = ["READS", "SCHEMES", "ArrayState", "Bias", "bias", "pulses_of"]

WRITE = LineEnds(bl_bottom="driven")
"""All lines driven: word lines on the left, bit lines at the bottom."""
REVERSE = LineEnds(wl_left="sensed", bl_bottom="driven")
"""A read from the other side."""
SCHEMES = ("V/2", "V/3", "floating")
READS = ("grounded", "floating", "V/2")

# Voltage of the selected row, selected column, other rows, other columns, as a share of V; None
# leaves the line floating. The selected device always sees the full V.
SHARES = {
    "V/2": (1.0, 0.0, 0.5, 0.5),
    "V/3": (1.0, 0.0, 1 / 3, 2 / 3),
    "floating": (1.0, 0.0, None, None),
    "grounded": (1.0, 0.0, 0.0, 0.0),
}


@dataclass(frozen=True)
class Bias:
    """What the lines carry for one selected device, per volt: ends, V_in (rows,), V_out (cols,)."""

    ends: LineEnds
    V_in: Array
    V_out: Array

    def power(self, V: float, solution: Solution) -> float:
        """Power from all sources at V volts on the selected device, W."""
        return float(V * (self.V_in @ solution.I_in - self.V_out @ solution.I_out))


def bias(scheme: str, row: int, col: int, rows: int, cols: int) -> Bias:
    """The line voltages of a scheme for 1 V on the device in `row`, `col`.

    Word lines are driven on the left; bit lines end at the bottom: sensed where all are at 0 V,
    as the array is read later on, else driven.
    """
    selected_row, selected_col, other_row, other_col = SHARES[scheme]
    V_in, V_out = np.full(rows, other_row or 0.0), np.full(cols, other_col or 0.0)
    V_in[row], V_out[col] = selected_row, selected_col
    if scheme == "grounded":
        return Bias(READ, V_in, V_out)
    if other_row is not None:
        return Bias(WRITE, V_in, V_out)
    wl_left, bl_bottom = ["floating"] * rows, ["floating"] * cols
    wl_left[row], bl_bottom[col] = "driven", "driven"
    return Bias(LineEnds(wl_left=wl_left, bl_bottom=bl_bottom), V_in, V_out)


def array_with_ends(crossbar: Crossbar, ends: LineEnds) -> Crossbar:
    """The array with the line ends of a read or write scheme.

    Each line keeps the lead that it has at its left or lower end, whether that is driven or sensed:
    an array that is read with `R_driver` and `R_sense` is written through the same two.

    Raises:
        InputError: a line has no source at its left or lower end.
    """
    if ends == crossbar.ends:
        return crossbar
    at_wl, at_bl = crossbar.end_resistances
    wl, bl = at_wl[..., 0], at_bl[..., 1]
    if not (np.isfinite(wl).all() and np.isfinite(bl).all()):
        raise broken_rule(
            "an array is programmed from the left and the lower ends of its lines",
            crossbar.ends,
            "Pass the crossbar as it is read: word lines left, bit lines at the bottom.",
        )
    if ends == READ:
        return crossbar.replace(ends=ends, R_driver=_number(wl), R_sense=_number(bl))
    leads = _number(np.concatenate([wl, bl], axis=-1))
    return crossbar.replace(ends=ends, R_driver=leads, R_sense=0.0)


def _number(leads: Array) -> Resistance:
    """One number where all leads are equal: engines know that case best."""
    first = leads.flat[0]
    return float(first) if (leads == first).all() else leads


class ArrayState:
    """States of all devices of one array, and the circuit around them.

    Args:
        crossbar: wires, device (a `DynamicDevice`) and start conductances, one array.
        engine: a name or an engine.
        stuck: devices whose state never moves, (rows, cols) bool.
        half_select: whether the other devices move under the pulses, too.
        substeps: parts of a pulse with constant device voltages: 1 takes those of its start; more
            take those of the middle of each part (two solves a part).
    """

    def __init__(
        self,
        crossbar: Crossbar,
        *,
        engine: str | engines.Engine,
        stuck: Flags,
        half_select: bool,
        substeps: int,
    ) -> None:
        device = writable(crossbar.device, purpose="programmed arrays")
        if crossbar.batch:
            raise broken_rule(
                "programming works on one array", f"a batch {crossbar.batch}", "Loop over it."
            )
        self.crossbar, self.device = crossbar, device
        self.engine = engines.get(engine)
        self.present = crossbar.G > 0
        self.frozen = stuck | ~self.present
        self.half_select, self.substeps = half_select, substeps
        low, high = device.state_range
        start = np.where(self.frozen, np.mean(device.G_range()), crossbar.G)
        self.x = np.asarray(device.state(start), dtype=np.float64)
        if np.any((self.x < low * (1 - 1e-9)) | (self.x > high * (1 + 1e-9))):
            G_low, G_high = device.G_range()
            raise broken_rule(
                f"start conductances of {device.name} must lie in {G_low:.4g} to {G_high:.4g} S",
                f"{crossbar.G[~self.frozen].min():.4g} to {crossbar.G[~self.frozen].max():.4g} S",
                "Start inside the range of the device, or mark the device as stuck.",
            )
        self.x = self.x.clip(low, high)
        self.G = crossbar.G.copy()
        self.energy = 0.0
        self._series: list[tuple[Bias, engines.Series]] = []
        self._wired: dict[LineEnds, Crossbar] = {}

    def array(self, ends: LineEnds) -> Crossbar:
        """The array with other line ends."""
        if ends not in self._wired:
            if ends.wl_left != "driven" and len(self._wired) > 8:
                self._wired.clear()  # floating: every device has ends of its own
            self._wired[ends] = array_with_ends(self.crossbar, ends)
        return self._wired[ends]

    def solve(self, b: Bias, V: float) -> Solution:
        """The array at its present conductances with V volts on the selected device.

        Solves with the same `b`, one after the other, start from each other: the pulses of one ramp
        are alike.
        """
        return self._series_of(b).solve(self.G, V)

    def _series_of(self, b: Bias) -> engines.Series:
        for bias_of_series, series in self._series:
            if bias_of_series is b:
                return series
        series = self.engine.series(self.array(b.ends), b.V_in, b.V_out)
        self._series = [*self._series[-1:], (b, series)]  # of one device: its pulses, its reads
        return series

    def column_gain(self, b: Bias, col: int, G: Array, w: Array) -> Array:
        """Share of a small current in parallel to each device that reaches a column's end.

        By reciprocity these are the device voltages for 1 V at that end, with all devices replaced
        by their slopes at conductances G (S) and device voltages w (V).
        """
        slopes = np.where(G > 0, self.device.derivative(w, G), 0.0)
        V_out = np.zeros(self.crossbar.cols)
        V_out[col] = 1.0
        array = self.array(b.ends)
        if b.ends == READ:  # from the other side: what was sensed is driven
            array = array.replace(ends=REVERSE, R_driver=array.R_sense, R_sense=array.R_driver)
        solution = engines.solve(
            array.replace(G=slopes, device="ohmic"),
            np.zeros(self.crossbar.rows),
            V_out,
            engine=self.engine,
            full=True,
        )
        return solution.V_bl - solution.V_wl

    def pulse(self, b: Bias, V: float, width: float, cell: tuple[int, int]) -> None:
        """Apply one pulse of V volts and `width` seconds; every device moves by its own voltage."""
        pieces = self.substeps if self.device.continuous else 1
        dt = width / pieces
        for _ in range(pieces):
            x = self.x
            solution = self.solve(b, V)
            self.energy += b.power(V, solution) * dt
            if pieces > 1:  # voltages of the middle of the piece: second order
                self._move(x, solution.V_wl - solution.V_bl, dt / 2, cell)
                solution = self.solve(b, V)
            self._move(x, solution.V_wl - solution.V_bl, dt, cell)

    def _move(self, x: Array, w: Array, dt: float, cell: tuple[int, int]) -> None:
        """Let the states go on from x (not changed) for dt at device voltages w."""
        if self.half_select:
            moved = self.device.step(x, w, dt, outside="clamp")
            self.x = np.where(self.frozen, x, moved)
        elif not self.frozen[cell]:
            self.x = x.copy()
            self.x[cell] = self.device.step(x[cell], w[cell], dt, outside="clamp")
        G = np.asarray(self.device.conductance(self.x))
        self.G = np.where(self.frozen, self.crossbar.G, G)


def pulses_of(sequence: npt.ArrayLike) -> Array:
    """A pulse sequence as (pulses, 3): row and column of the device and the voltage, V.

    Raises:
        InputError: it holds no numbers, or a pulse is no such triple of a whole cell and a voltage.
    """
    remedy = "Pass rows of (row, col, V)."
    pulses = array_of("sequence", sequence, remedy=remedy)
    if pulses.size == 0:
        return np.zeros((0, 3))
    if pulses.ndim not in (1, 2) or pulses.shape[-1] != 3:
        raise broken_rule("`sequence` must have the shape (pulses, 3)", pulses.shape, remedy)
    pulses = pulses.reshape(-1, 3)
    whole_numbers_of("sequence", pulses[:, :2], low=0, remedy=remedy)
    return pulses
