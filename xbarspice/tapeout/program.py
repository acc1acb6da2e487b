"""The programming plan: what each device must become, in which order, and what the tester reads.

The expected read current of a device is the current of its bit line when its word line is driven
with `V_read`, all other word lines with 0 V and every bit line is sensed: it includes the wires
and what leaks through the other devices of the array.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarspice import engines
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.line_ends import READ
from xbarspice.core.types import Array, Indices

__all__ = ["COLUMNS", "ORDERS", "Plan", "plan"]

ORDERS = ("conductance", "row")
"""Write order: smallest conductance first (the array stays as resistive as it can while devices
are written), or row by row."""

COLUMNS = ("order", "row", "col", "G_target_S", "R_target_ohm", "I_read_A", "I_ideal_A")


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """One tile's plan.

    Attributes:
        order: position of each device in the write order from 0, -1 if absent, (rows, cols).
        G: targets, S, (rows, cols).
        I_read: current that a tester should read, A, (rows, cols).
        I_ideal: ``G V_read``, what it would be without wires and neighbours, A, (rows, cols).
        V_read: read voltage, V.
        rule: one of `ORDERS`.
    """

    order: Indices
    G: Array
    I_read: Array
    I_ideal: Array
    V_read: float
    rule: str

    def rows(self) -> list[dict[str, Any]]:
        """One record a device, in write order."""
        cells = np.argwhere(self.order >= 0)
        cells = cells[np.argsort(self.order[tuple(cells.T)], kind="stable")]
        return [
            {
                "order": k,
                "row": r,
                "col": c,
                "G_target_S": float(self.G[r, c]),
                "R_target_ohm": float(1 / self.G[r, c]),
                "I_read_A": float(self.I_read[r, c]),
                "I_ideal_A": float(self.I_ideal[r, c]),
            }
            for k, (r, c) in enumerate(cells.tolist())
        ]

    def to_csv(self) -> str:
        """The records as CSV; numbers read back exactly."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list[str](COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        return text.getvalue()

    def record(self) -> dict[str, Any]:
        """The plan for JSON."""
        return {
            "V_read_V": self.V_read,
            "order": self.rule,
            "read": "the word line at V_read, all other word lines at 0 V, all bit lines sensed",
            "shape": list(self.G.shape),
            "devices": self.rows(),
        }


def plan(
    crossbar: Crossbar,
    *,
    V_read: float = 0.2,
    order: str = "conductance",
    engine: str = "surrogate",
) -> Plan:
    """Make the programming plan of one array.

    Args:
        crossbar: a single array; it is read with word lines on the left, bit lines sensed below.
        V_read: read voltage, V, > 0.
        order: one of `ORDERS`.
        engine: who computes the expected currents.

    Raises:
        InputError: a value breaks a rule.
        EngineError: the currents cannot be computed.
    """
    if order not in ORDERS:
        raise broken_rule(f"`order` must be one of {list(ORDERS)}", repr(order), "Use one of them.")
    if not 0 < V_read < np.inf:
        raise broken_rule("`V_read` must be > 0 V", V_read, "A usual value is 0.2.")
    array = crossbar.replace(G=crossbar.G_flat[0], ends=READ)
    answer = engines.solve(array, V_read * np.eye(array.rows), engine=engine, outside="ignore")
    present = np.argwhere(array.G > 0)
    if order == "conductance":
        present = present[np.argsort(array.G[tuple(present.T)], kind="stable")]
    numbers = np.full(array.G.shape, -1, dtype=np.intp)
    numbers[tuple(present.T)] = np.arange(len(present))
    return Plan(
        order=numbers,
        G=array.G,
        I_read=np.asarray(answer.I_out),
        I_ideal=array.device.current(V_read, array.G),
        V_read=V_read,
        rule=order,
    )
