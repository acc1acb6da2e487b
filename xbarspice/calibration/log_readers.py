"""Logs of devices over pulses, writes, time and cycles, from files of any kind.

The columns of every kind stand in `xbarspice.calibration.quantities`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xbarspice.calibration.cycling import Cycles
from xbarspice.calibration.die import find_read_voltage
from xbarspice.calibration.measurements import PulseTrains
from xbarspice.calibration.quantities import QUANTITIES
from xbarspice.calibration.readers import (
    conductances_of,
    device_names,
    notice_of_gaps,
    number_labels,
    require,
    without_overflow,
)
from xbarspice.calibration.retention import Retention
from xbarspice.calibration.tuning_log import TuningLog
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.types import Array
from xbarspice.tables import Options, Table, read_table

__all__ = ["read_cycles", "read_pulses", "read_retention", "read_tuning"]


def read_pulses(path: Path, options: Options | None = None) -> PulseTrains:
    """Pulse trains; see `xbarspice.calibration.quantities`.

    Raises:
        InputError: the file holds no measured values, or cannot be understood.
    """
    table = read_table(path, QUANTITIES["pulses"], options)
    V, width, G = table.values("V"), table.values("width"), _read_back(path, table)
    require(path, table, "V", np.isfinite(V), "a number")
    require(path, table, "width", (width >= 0) & np.isfinite(width), ">= 0 s")
    if not np.isfinite(G).any():
        raise broken_rule(f"`{path.name}` must hold measured values", "none", "Check the file.")
    V = _apply_polarity(path, table, V)
    notices, reads = list(table.notices), (width == 0) & (V != 0)
    if reads.any():
        notices.append(f"rows of width 0 s that count as reads without a pulse: {int(reads.sum())}")
    if not np.isfinite(G).all():
        notices.append(f"pulses without a measured value: {int(np.isnan(G).sum())}")
    labels, index = number_labels(device_names(table))
    return PulseTrains(
        device=index,
        V=np.where(reads, 0.0, V),
        width=width,
        G=G,
        labels=labels,
        notices=tuple(notices),
    )


POSITIVE: tuple[str, ...] = ("+", "p", "pos", "positive", "1", "+1")
NEGATIVE: tuple[str, ...] = ("-", "\u2212", "n", "neg", "negative", "-1")
SIGNS = {text: sign for sign, texts in ((1.0, POSITIVE), (-1.0, NEGATIVE)) for text in texts}
"""Polarities as instruments write them."""


def _apply_polarity(path: Path, table: Table, V: Array) -> Array:
    """Pulse voltages with the sign of their polarity, V."""
    column = table.columns.get("polarity")
    if column is None:
        return V
    out = np.empty(len(V))
    for k, text in enumerate(column.texts):
        sign = SIGNS.get(text.strip().lower().removesuffix(".0"), 0.0 if V[k] == 0 else np.nan)
        if np.isnan(sign) or (V[k] < 0 and sign > 0):
            raise InputError(
                f"the polarity of each pulse of `{path.name}` must be + or -, pos or neg, 1 or -1, "
                f"and that of its voltage; received {text!r} with {V[k]:g} V in line "
                f"{table.lines[k]}. Correct the cell."
            )
        out[k] = sign * abs(V[k])
    return out


def _read_back(path: Path, table: Table) -> Array:
    """G of every row, S, from G, R, or I over V_read; NaN where nothing was measured."""
    names = [name for name in ("G", "R", "I") if name in table.columns]
    if len(names) != 1:
        raise broken_rule(
            f"`{path.name}` must have one column of what was read: G (S), R (ohm) or I (A)",
            " and ".join(names) or "none",
            "Name it in the head, or pass --column G=LABEL:UNIT.",
        )
    if names != ["I"]:
        return conductances_of(path, table)
    if "V_read" in table.columns:
        V_read = table.values("V_read")
    else:
        head = "\n".join(f"{key}: {value}" for key, value in table.metadata.items())
        voltage = find_read_voltage(head)
        if voltage is None:
            raise broken_rule(
                f"`{path.name}` must name the voltage at which its currents were read",
                "no column V_read, and none in the head",
                "Add the column, or a line such as V_read: 0.2 V above the table.",
            )
        V_read = np.full(len(table), voltage)
    current = without_overflow(table.values("I"))
    require(path, table, "V_read", np.isfinite(V_read) & (V_read != 0), "a number that is not 0")
    require(path, table, "I", ~(current / V_read <= 0), "of the sign of V_read")
    return current / V_read


def read_tuning(path: Path, options: Options | None = None) -> TuningLog:
    """Logs of write-verify: target, what was reached, and perhaps the number of pulses.

    Raises:
        InputError: there is no target, or two, or the file cannot be understood.
    """
    table = read_table(path, QUANTITIES["tuning"], options)
    G = conductances_of(path, table)
    if ("target" in table.columns) == ("target_R" in table.columns):
        raise broken_rule(
            f"`{path.name}` must have a column target (S) or a column target_R (ohm)",
            "both" if "target" in table.columns else "neither",
            "Name it in the head, or pass --column target=LABEL:UNIT.",
        )
    name = "target" if "target" in table.columns else "target_R"
    target = table.values(name)
    require(path, table, name, (target > 0) & np.isfinite(target), "> 0")
    target = target if name == "target" else 1 / target
    pulses = np.full(len(table), np.nan)
    if "pulses" in table.columns:
        pulses = table.values("pulses")
        require(path, table, "pulses", ~(pulses < 0), ">= 0")
    keep = np.isfinite(G)
    return TuningLog(
        device=number_labels(device_names(table))[1][keep],
        target=target[keep],
        G=G[keep],
        pulses=pulses[keep],
        notices=(*table.notices, *notice_of_gaps(keep)),
    )


def read_retention(path: Path, options: Options | None = None) -> Retention:
    """Reads of devices over time, perhaps at several temperatures."""
    table = read_table(path, QUANTITIES["retention"], options)
    G, t = conductances_of(path, table), table.values("t")
    require(path, table, "t", (t > 0) & np.isfinite(t), "> 0 s")
    T = np.full(len(table), np.nan)
    if "temperature" in table.columns:
        T = table.values("temperature")
        require(path, table, "temperature", (T > 0) & np.isfinite(T), "> 0 K")
    keep = np.isfinite(G)
    labels, index = number_labels(device_names(table))
    return Retention(
        device=index[keep],
        G=G[keep],
        t=t[keep],
        T=T[keep],
        labels=labels,
        notices=(*table.notices, *notice_of_gaps(keep)),
    )


def read_cycles(path: Path, options: Options | None = None) -> Cycles:
    """Reads of both states of devices over cycles."""
    table = read_table(path, QUANTITIES["cycling"], options)
    cycle = table.values("cycle")
    require(path, table, "cycle", (cycle >= 0) & (cycle == np.round(cycle)), "a whole number >= 0")
    low = conductances_of(path, table, "_HRS")
    high = conductances_of(path, table, "_LRS")
    keep = np.isfinite(low) & np.isfinite(high)
    labels, index = number_labels(device_names(table))
    return Cycles(
        device=index[keep],
        cycle=cycle[keep],
        G_HRS=low[keep],
        G_LRS=high[keep],
        labels=labels,
        notices=(*table.notices, *notice_of_gaps(keep)),
    )
