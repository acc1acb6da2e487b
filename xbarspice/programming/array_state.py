"""A passive array while it is programmed: bias schemes, pulses on every device, reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice import engines
from xbarspice.core.array import Crossbar, Drive, LineEnds
from xbarspice.core.errors import ConvergenceError, broken_rule
from xbarspice.core.types import Array, Flags
from xbarspice.core.values import array_of, whole_numbers_of
from xbarspice.devices import DynamicDevice
from xbarspice.surrogate import engine as fast
from xbarspice.surrogate import newton
from xbarspice.surrogate.ladders import linear

__all__ = ["READS", "SCHEMES", "ArrayState", "Bias", "bias", "pulses_of"]

Solved = tuple[Array, Array, Array]

SCHEMES = ("V/2", "V/3", "floating")
READS = ("grounded", "floating", "V/2")

# Voltage of the selected row, selected column, other rows, other columns, as a share of V; None
# leaves the line floating. The selected device always sees the full V.
_SHARES = {
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


def bias(scheme: str, row: int, col: int, rows: int, cols: int) -> Bias:
    """The line voltages of a scheme for 1 V on the device in `row`, `col`.

    Word lines are driven on the left, bit lines at the bottom.
    """
    selected_row, selected_col, other_row, other_col = _SHARES[scheme]
    V_in, V_out = np.full(rows, other_row or 0.0), np.full(cols, other_col or 0.0)
    V_in[row], V_out[col] = selected_row, selected_col
    if other_row is not None:
        return Bias(LineEnds(bl_bottom="driven"), V_in, V_out)
    left, bottom = ["floating"] * rows, ["floating"] * cols
    left[row], bottom[col] = "driven", "driven"
    return Bias(LineEnds(wl_left=left, bl_bottom=bottom), V_in, V_out)


class ArrayState:
    """States of all devices of one array, and the circuit around them.

    Args:
        crossbar: wires, device (a `DynamicDevice`) and start conductances, one array.
        engine: a name or an engine; the surrogate keeps its ladders between the solves.
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
        device = crossbar.device
        if not isinstance(device, DynamicDevice):
            raise broken_rule(
                "only a device with a state can be programmed",
                device.name,
                'Use a dynamic model such as "n1257r", "o921c_4k" or "nili_pulse".',
            )
        device.refuse_writing()
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
        self._trails: list[tuple[Bias, list[tuple[float, Array]]]] = []
        self._prepared: dict[LineEnds, tuple[Crossbar, linear.Network | None]] = {}

    def _circuit(self, ends: LineEnds) -> tuple[Crossbar, linear.Network | None]:
        if ends not in self._prepared:
            if ends.wl_left != "driven" and len(self._prepared) > 8:
                self._prepared.clear()  # floating: every device has ends of its own
            crossbar = self.crossbar.replace(ends=ends)
            crossbar.refuse_floating()
            quick = isinstance(self.engine, fast.SurrogateEngine)
            self._prepared[ends] = crossbar, linear.network(crossbar) if quick else None
        return self._prepared[ends]

    def solve(self, b: Bias, V: float) -> Solved:
        """Device voltages (V), I_in and I_out (A) at the present conductances.

        Solves with the same `b`, one after the other, start from each other's drops: the pulses of
        one ramp are alike.
        """
        G = self.G
        crossbar, net = self._circuit(_frozen(b.ends))
        if net is None:
            whole = self.crossbar.replace(ends=b.ends, G=G)
            done = self.engine.solve(
                self.engine.prepare(whole), whole, V * b.V_in, V * b.V_out, full=True
            )
            return done.V_wl - done.V_bl, done.I_in, done.I_out
        index = np.zeros(1, dtype=np.intp)
        drive = Drive(batch=(), array=index, V_in=V * b.V_in[None], V_out=V * b.V_out[None])
        p = linear.problem(crossbar, net, drive, True)
        form = newton.closed_form(self.device, G[None])
        trail = self._trail(b)
        newton.solve_range(p, self.device, form, G[None], 0, 1, _guess(trail, V))
        _judge(p)
        trail[:] = [*(known for known in trail[-1:] if known[0] != V), (V, p.inner[4:, 0])]
        return p.inner[3, 0], p.I_in[0], p.I_out[0]

    def _trail(self, b: Bias) -> list[tuple[float, Array]]:
        """The last two solves with these line voltages: voltage and drops, V."""
        for known, trail in self._trails:
            if known is b:
                return trail
        self._trails = [*self._trails[-1:], (b, [])]  # of one device: its pulses and its reads
        return self._trails[-1][1]

    def column_gain(self, b: Bias, col: int, w: Array) -> Array | None:
        """Share of a small current in parallel to each device that reaches a column's end.

        By reciprocity these are the device voltages for 1 V at that end, with all devices replaced
        by their slopes at the device voltages w (V). None where the engine is not the surrogate.
        """
        crossbar, net = self._circuit(_frozen(b.ends))
        if net is None:
            return None
        V_out = np.zeros((1, self.G.shape[1]))
        V_out[0, col] = 1.0
        index = np.zeros(1, dtype=np.intp)
        drive = Drive(batch=(), array=index, V_in=np.zeros((1, len(self.G))), V_out=V_out)
        p = linear.problem(crossbar, net, drive, True)
        linear.solve_range(p, newton.slopes(self.device, w, self.G)[None], object(), 0, 1)
        _judge(p)
        return -p.inner[3, 0]

    def pulse(self, b: Bias, V: float, width: float, cell: tuple[int, int]) -> None:
        """Apply one pulse of V volts and `width` seconds; every device moves by its own voltage."""
        pieces = self.substeps if self.device.continuous else 1
        dt = width / pieces
        for _ in range(pieces):
            x = self.x
            w, I_in, I_out = self.solve(b, V)
            self.energy += float(V * (b.V_in @ I_in - b.V_out @ I_out)) * dt
            if pieces > 1:  # voltages of the middle of the piece: second order
                self._move(x, w, dt / 2, cell)
                w = self.solve(b, V)[0]
            self._move(x, w, dt, cell)

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


def _guess(trail: list[tuple[float, Array]], V: float) -> Array | None:
    """Drops (V) that the solves before suggest; their share of V is nearly linear in V^2."""
    if not trail:
        return None
    (V1, first), (V2, last) = trail[0], trail[-1]
    share = (V**2 - V1**2) / (V2**2 - V1**2) if abs(V1) != abs(V2) else 1.0
    if not 1.0 < share <= 3.0:
        return (V / V2) * last
    return (V * (1.0 - share) / V1) * first + (V * share / V2) * last


def _judge(p: linear.Problem) -> None:
    if not p.report[0, 2] <= linear.RESIDUAL:
        raise ConvergenceError(
            f"every solve must meet its residual; this one left {p.report[0, 2]:.3g}. "
            "Use engine='nodal', or smaller voltages."
        )


def _frozen(ends: LineEnds) -> LineEnds:
    """Line ends with tuples in place of lists, so that they can be looked up."""
    if isinstance(ends.wl_left, str):
        return ends
    return LineEnds(wl_left=tuple(ends.wl_left), bl_bottom=tuple(ends.bl_bottom))


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
