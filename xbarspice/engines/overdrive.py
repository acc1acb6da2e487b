"""Drive voltages beyond what the source of a device model vouches for."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.errors import RangeWarning, broken_rule, level_outside

__all__ = ["SLACK", "Overdrive", "overdrive"]

SLACK = 1 + 1e-9
"""A limit times this is still within: 5 * 0.1 is not 0.5 in binary."""


@dataclass(frozen=True, kw_only=True)
class Overdrive:
    """The largest voltage beyond a limit, and how many there are.

    Attributes:
        line: the line, for example "word line 3".
        vector: number of the solve in the flattened batch.
        V: the voltage that the sources put across devices of the line if wires were ideal, V.
        limit: `V_max` of the device, V.
        count, vectors: solves with such a voltage, of all.
        device: name of the device.
    """

    line: str
    vector: int
    V: float
    limit: float
    count: int
    vectors: int
    device: str

    @property
    def text(self) -> str:
        """One sentence with line, voltage, limit and count."""
        return (
            f"{self.line} of vector {self.vector} is driven with {self.V:.4g} V; the source of "
            f"{self.device!r} vouches for {self.limit:g} V ({self.count} of {self.vectors} vectors "
            "are beyond it)"
        )

    def report(self, outside: str) -> None:
        """Warn of it, or refuse it, as a caller of `Engine.solve` chose.

        Raises:
            InputError: `outside` is "error", or none of "warn", "error" and "ignore".

        Warns:
            RangeWarning: `outside` is "warn".
        """
        if outside not in ("warn", "error", "ignore"):
            raise broken_rule(
                '`outside` must be "warn", "error" or "ignore"', repr(outside), "Use one of them."
            )
        if outside == "error":
            raise broken_rule(
                f"all sources must be within {self.limit:g} V, the `V_max` of {self.device!r}",
                self.text,
                "Use smaller voltages or another model, or outside='warn'.",
            )
        if outside == "warn":
            text = f"{self.text}: the equations are extrapolated."
            warnings.warn(text, RangeWarning, stacklevel=level_outside())


def overdrive(crossbar: Crossbar, drive: Drive, *, above: float | None = None) -> Overdrive | None:
    """The largest drive above a voltage; None if there is none.

    Looked at is the difference of the sources of every word line and bit line with a held end, with
    sense nodes at 0 V: an upper bound of what a device gets only as far as no line floats.

    Args:
        crossbar: the array; its device has the limit `V_max`.
        drive: the voltages.
        above: V; None for `V_max`.
    """
    limit = crossbar.device.V_max * SLACK if above is None else above
    if not limit < np.inf:
        return None
    V_in, V_out = drive.V_in, drive.V_out
    if not V_in.size or _largest(V_in) + _largest(V_out) <= limit:
        return None
    rows, cols = (np.flatnonzero(held) for held in crossbar.held)
    if not rows.size or not cols.size:
        return None
    V_in, V_out = V_in[:, rows], V_out[:, cols]
    high = V_in - V_out.min(axis=1, keepdims=True)
    low = V_out.max(axis=1, keepdims=True) - V_in
    most = np.maximum(high, low)
    if not most.max() > limit:
        return None
    vector, row = (int(k) for k in np.unravel_index(np.argmax(most), most.shape))
    if V_out.any() and not V_in[vector, row]:
        line = f"bit line {int(cols[np.argmax(np.abs(V_out[vector]))])}"
    else:
        line = f"word line {int(rows[row])}"
    return Overdrive(
        line=line,
        vector=vector,
        V=float(most[vector, row]),
        limit=crossbar.device.V_max,
        count=int((most > limit).any(axis=1).sum()),
        vectors=len(most),
        device=crossbar.device.name,
    )


def _largest(volts: np.ndarray) -> float:
    return max(float(volts.max()), -float(volts.min()))
