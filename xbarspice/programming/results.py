"""What programming is asked for and what it leaves behind: pulses, order of writing, results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.core.values import array_of, whole_numbers_of
from xbarspice.programming.array_state import READS

__all__ = ["ORDERS", "Programmed", "Pulses", "order_of"]


ORDERS = ("rows", "size", "smallest", "far")


@dataclass(frozen=True, kw_only=True)
class Pulses:
    """The write-verify procedure; voltages are sizes, the device decides their signs.

    Args:
        start: size of the first pulse of a ramp, V.
        step: increase from pulse to pulse, V.
        limit_set, limit_reset: largest pulse that raises, that lowers the conductance, V.
        width: length of a pulse, s.
        tolerance: a device is done when its read conductance is this close to its target, relative.
        max_pulses: a device is given up after so many pulses (in one pass).
        max_at_limit: ... or after so many pulses at a limit, one after the other.
        V_read: read voltage, V.
        read_width: length of a read, s; for time and energy only.
        read: unselected lines while reading: "grounded", "floating" or "V/2".
    """

    start: float = 0.5
    step: float = 0.05
    limit_set: float = 2.1
    limit_reset: float = 2.5
    width: float = 200e-9
    tolerance: float = 0.01
    max_pulses: int = 200
    max_at_limit: int = 10
    V_read: float = 0.2
    read_width: float = 1e-6
    read: str = "grounded"

    def __post_init__(self) -> None:
        positive = ("start", "step", "limit_set", "limit_reset", "width", "tolerance", "V_read")
        for name in (*positive, "read_width", "max_pulses", "max_at_limit"):
            if not getattr(self, name) > 0:
                raise broken_rule(f"`{name}` must be > 0", getattr(self, name), "See `Pulses`.")
        if self.start > min(self.limit_set, self.limit_reset):
            raise broken_rule(
                "`start` must not exceed the limits", self.start, "Start the ramp lower."
            )
        if self.read not in READS:
            raise broken_rule(f"`read` must be one of {READS}", repr(self.read), "Use one.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Programmed:
    """What programming left behind; every map is (rows, cols).

    Attributes:
        G: final conductances, S. target: wanted ones, S. start: those before, S.
        verified: what the last read of each device reported when it was left, S.
        finished: true conductance of each device when it was left, S.
        pulses: write pulses spent on each device.
        gave_up: devices that were left outside the tolerance.
        order: flat index of each device in the order of writing.
        moved: moved[k] is the change of every device, S, while device ``order[k]`` was written,
            (devices, rows, cols), float32: who moved whom.
        sequence: every pulse as (row, col, V), (pulses, 3).
        seconds: time on the tester, s. energy: from all sources, J. wall: computing time, s.
        scheme: the bias scheme.
        tolerance: of the procedure, relative.
    """

    G: Array
    target: Array
    start: Array
    verified: Array
    finished: Array
    pulses: Indices
    gave_up: Flags
    order: Indices
    moved: npt.NDArray[np.float32] = field(repr=False)
    sequence: Array = field(repr=False)
    seconds: float
    energy: float
    wall: float
    scheme: str
    tolerance: float

    @property
    def wanted(self) -> Flags:
        """Devices that have a target, (rows, cols)."""
        return self.target > 0

    @property
    def error(self) -> Array:
        """Relative error of the final conductances; 0 where no device is wanted."""
        return np.where(self.wanted, self.G / np.where(self.wanted, self.target, 1.0) - 1.0, 0.0)

    @property
    def disturb(self) -> Array:
        """Drift of each device since it was finished, S: the work of the later writes."""
        return self.G - self.finished

    @property
    def later_writes(self) -> Indices:
        """Number of devices that were written after each device."""
        rank = np.empty(self.order.size, dtype=np.intp)
        rank[self.order] = np.arange(self.order.size)
        flat = np.zeros(self.G.size, dtype=np.intp)
        flat[self.order] = self.order.size - 1 - rank[self.order]
        return flat.reshape(self.G.shape)

    @property
    def yield_(self) -> float:
        """Share of the wanted devices whose final conductance is within the tolerance."""
        return float((abs(self.error) <= self.tolerance)[self.wanted].mean())

    def summary(self) -> dict[str, float]:
        """Plain figures for a table or a record."""
        error, drift = self.error[self.wanted], self.disturb[self.wanted]
        return {
            "yield": self.yield_,
            "worst_error": float(abs(error).max()),
            "rms_error": float(np.sqrt(np.mean(error**2))),
            "mean_pulses": float(self.pulses[self.wanted].mean()),
            "gave_up": float(self.gave_up.sum()),
            "mean_drift_S": float(drift.mean()),
            "std_drift_S": float(drift.std()),
            "seconds": self.seconds,
            "energy_J": self.energy,
            "wall_s": self.wall,
        }


def order_of(order: str | Sequence[int], target: npt.ArrayLike) -> Indices:
    """Flat indices of the wanted devices in the order of writing.

    Args:
        order: "rows" (row by row), "size" (largest conductance first), "smallest" (smallest first:
            the array stays as resistive as it can), "far" (the cells farthest from their drivers
            first), or a permutation of the flat indices of wanted devices.
        target: wanted conductances, S, (rows, cols); 0 for no device.

    Raises:
        InputError: `order` is no known word, or no permutation of the devices.
    """
    G = array_of("target", target, rank=2, remedy="Pass conductances in S, (rows, cols).")
    cells = np.flatnonzero(G.ravel() > 0)
    if isinstance(order, str):
        rows, cols = G.shape
        far = np.add.outer(np.arange(rows)[::-1], np.arange(cols)).ravel()
        keys = {"rows": np.zeros(G.size), "size": -G.ravel()}
        keys |= {"smallest": G.ravel(), "far": -far}
        if order not in keys:
            raise broken_rule(
                f"`order` must be one of {ORDERS} or a list of flat indices",
                repr(order),
                "Use one.",
            )
        return cells[np.argsort(keys[order][cells], kind="stable")]
    indices = whole_numbers_of("order", order, rank=1, remedy="Pass flat indices row * cols + col.")
    if not np.array_equal(np.sort(indices), cells):
        raise broken_rule(
            "`order` must name every wanted device exactly once",
            f"{indices.size} entries for {cells.size} devices",
            "Pass a permutation of the flat indices row * cols + col.",
        )
    return indices
