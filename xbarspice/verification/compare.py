"""One array, several engines: currents, devices, ideal product and voltage drop, in numbers.

Judged are the *output lines*: every sensed line and every driven bit line. Errors are relative to
the largest current of a sensed line by the reference (of any output line where none is sensed).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarspice import engines
from xbarspice.core.array import Crossbar
from xbarspice.core.line_ends import End
from xbarspice.core.solution import Solution
from xbarspice.core.types import Array, Flags
from xbarspice.mapping.reads import Read

__all__ = [
    "OutputLines",
    "compare_item",
    "error_of",
    "ideal_distance",
    "lines_of_read",
    "output_lines",
    "source_power",
    "sources_across",
    "voltage_drop",
    "worst_device",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class OutputLines:
    """The lines of an array whose currents are judged.

    Attributes:
        bl, wl: which bit lines and word lines, (cols,) and (rows,).
        names: of all of them, such as "BL3", bit lines first.
        sensed: which of them are sensed, (lines,).
    """

    bl: Flags
    wl: Flags
    names: tuple[str, ...]
    sensed: Flags

    def currents(self, solution: Solution) -> Array:
        """Their currents, A, (vectors, lines), positive into the sense node."""
        return np.concatenate([solution.I_out[:, self.bl], -solution.I_in[:, self.wl]], axis=1)

    def largest(self, currents: Array) -> float:
        """The current that errors are relative to, A."""
        part = currents[:, self.sensed] if self.sensed.any() else currents
        return float(np.max(np.abs(part), initial=0.0)) or 1.0


def output_lines(crossbar: Crossbar) -> OutputLines:
    """The output lines of an array; see the module text."""
    sensed_wl, sensed_bl = (
        (ends == End.SENSED).any(axis=1) for ends in (crossbar.wl_ends, crossbar.bl_ends)
    )
    bl = crossbar.held[1]
    names = [f"BL{k}" for k in np.flatnonzero(bl)] + [f"WL{k}" for k in np.flatnonzero(sensed_wl)]
    sensed = np.concatenate([sensed_bl[bl], sensed_wl[sensed_wl]])
    return OutputLines(bl=bl, wl=sensed_wl, names=tuple(names), sensed=sensed)


def lines_of_read(crossbar: Crossbar, read: Read) -> OutputLines:
    """The lines of an array that carry the sums of a weight matrix in one read pass."""
    used = np.unique(read.lines_out)
    count = crossbar.rows if read.reverse else crossbar.cols
    mask = np.isin(np.arange(count), used)
    kind = "WL" if read.reverse else "BL"
    return OutputLines(
        bl=np.zeros(crossbar.cols, bool) if read.reverse else mask,
        wl=mask if read.reverse else np.zeros(crossbar.rows, bool),
        names=tuple(f"{kind}{k}" for k in used),
        sensed=np.ones(len(used), bool),
    )


def sources_across(crossbar: Crossbar, V_in: Array, V_out: Array) -> Array:
    """Voltage that the sources put across every device if wires were ideal, V.

    ``V_in[i] - V_out[j]`` with sensed lines at 0 V, (vectors, rows, cols); NaN on floating lines.
    """
    wl, bl = V_in.copy(), V_out.copy()
    for volts, held in zip((wl, bl), crossbar.held, strict=True):
        volts[:, ~held] = np.nan
    return wl[:, :, None] - bl[:, None, :]


def source_power(solution: Solution, V_in: Array, V_out: Array) -> Array:
    """Power that all sources give, W, (vectors,)."""
    return (V_in * solution.I_in).sum(axis=1) - (V_out * solution.I_out).sum(axis=1)


def error_of(lines: OutputLines, answer: Solution, golden: Solution) -> dict[str, Any]:
    """Worst and rms error of the output currents, and the vector and line of the worst."""
    target = lines.currents(golden)
    error = np.abs(lines.currents(answer) - target) / lines.largest(target)
    vector, line = (int(k) for k in np.unravel_index(np.argmax(error), error.shape))
    return {
        "worst": float(error[vector, line]),
        "rms": float(np.sqrt(np.mean(error**2))),
        "vector": vector,
        "line": lines.names[line],
        "bound": float(answer.error_at_most) / lines.largest(target),
        "kirchhoff": float(answer.stats.residual),
    }


def _without_wires(crossbar: Crossbar, lines: OutputLines, V: Array, *, linear: bool) -> Array:
    """Output currents without any wire, A, (vectors, lines), by ``G V`` or the device law."""
    held = np.nan_to_num(V)
    current = np.asarray(crossbar.G * held)
    if not linear:
        current = np.where(crossbar.G > 0, crossbar.device.current(held, crossbar.G), 0.0)
    return np.concatenate(
        [current.sum(axis=1)[:, lines.bl], -current.sum(axis=2)[:, lines.wl]], axis=1
    )


def ideal_distance(
    crossbar: Crossbar, lines: OutputLines, currents: Array, V_in: Array, V_out: Array
) -> dict[str, Any]:
    """How far the output currents are from the ideal product of the sources, and through what.

    Args:
        crossbar, lines: one array and its output lines.
        currents: theirs by the reference, A, (vectors, lines).
        V_in, V_out: line voltages, V, (vectors, rows) and (vectors, cols).

    Returns:
        worst and rms over the largest current, vector and line of the worst, and its two signed
        parts: `device` (curvature: ``sum I(V) - sum G V``) and `wires` (all else).
    """
    V = sources_across(crossbar, V_in, V_out)
    ideal, bent = (_without_wires(crossbar, lines, V, linear=flag) for flag in (True, False))
    scale = lines.largest(currents)
    error = (currents - ideal) / scale
    at = tuple(int(k) for k in np.unravel_index(np.argmax(np.abs(error)), error.shape))
    return {
        "worst": float(abs(error[at])),
        "rms": float(np.sqrt(np.mean(error**2))),
        "vector": at[0],
        "line": lines.names[at[1]],
        "device": float(((bent - ideal) / scale)[at]),
        "wires": float(((currents - bent) / scale)[at]),
    }


def voltage_drop(crossbar: Crossbar, V_device: Array, V_in: Array, V_out: Array) -> dict[str, Any]:
    """The largest voltage that wires and ends take from a device, V, where, and of what drive.

    Args:
        crossbar: one array.
        V_device: voltage across every device, V, (vectors, rows, cols).
        V_in, V_out: line voltages, V, (vectors, rows) and (vectors, cols).
    """
    V = sources_across(crossbar, V_in, V_out)
    lost = np.abs(V - V_device)
    lost = np.where((crossbar.G > 0) & np.isfinite(V), lost, 0.0)
    _, row, col = (int(k) for k in np.unravel_index(np.argmax(lost), lost.shape))
    drive = np.abs(V[np.isfinite(V)]).max(initial=0.0)
    return {"drop": float(lost.max(initial=0.0)), "drive": float(drive), "row": row, "col": col}


def worst_device(
    crossbar: Crossbar, answer: Solution, golden: Solution, V_in: Array, V_out: Array
) -> dict[str, Any]:
    """The device whose current differs most, over the largest device current, in full answers."""
    scale = float(np.max(np.abs(golden.I_device))) or 1.0
    error = np.abs(answer.I_device - golden.I_device) / scale
    at = tuple(int(k) for k in np.unravel_index(np.argmax(error), error.shape))
    vector, row, col = at
    return {
        "error": float(error[at]),
        "vector": vector,
        "row": row,
        "col": col,
        "I_reference": float(golden.I_device[at]),
        "I_engine": float(answer.I_device[at]),
        "V_device": float(golden.V_wl[at] - golden.V_bl[at]),
        "V_drive": float(sources_across(crossbar, V_in, V_out)[at]),
        "G": float(crossbar.G[row, col]),
    }


def compare_item(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Solve one array by the reference and the judged engines, and compare its output lines.

    Args:
        parameters: crossbar, read (`mapping.reads.Read`: its sensed lines), V_in and V_out (V,
            (vectors, rows) and (vectors, cols)), drives (how many of the vectors are the model's
            own, the rest being probes), reference, engines (names), devices (whether every device
            is compared) and nodes (whether node voltages are kept).

    Returns:
        By engine what `error_of` says and, with `devices`, `worst_device`; of the reference
        ``I_max`` (A), ``currents`` (A, (vectors, lines)), ``seconds`` (from the first step
        of its solve to the checked answer), ``method``, ``notes``,
        ``bound`` (of its error, over ``I_max``), ``kirchhoff``, ``power`` (W, mean over the
        drives), and over the drives (probes where there are none) ``ideal/...`` as
        `ideal_distance`; of the surrogate ``drop/...`` over the same and ``least_voltage`` (V): the
        least that any device has in the best of the probes. With `nodes` also ``V_wl`` and ``V_bl``
        of everybody.
    """
    crossbar, V = parameters["crossbar"], (parameters["V_in"], parameters["V_out"])
    full = bool(parameters["devices"] or parameters["nodes"])
    start = time.perf_counter()
    golden = engines.solve(crossbar, *V, engine=parameters["reference"], full=full)
    seconds = time.perf_counter() - start
    read, first = parameters["read"], int(parameters["drives"])
    lines = lines_of_read(crossbar, read)
    currents = lines.currents(golden)
    out: dict[str, Any] = {
        "I_max": lines.largest(currents),
        "currents": currents,
        "seconds": seconds,
        "method": golden.stats.method,
        "notes": "; ".join(golden.stats.notes),
        "bound": float(golden.error_at_most) / lines.largest(currents),
        "kirchhoff": float(golden.stats.residual),
        "power": float(source_power(golden, *V)[:first].mean()) if first else 0.0,
    }
    inner = engines.solve(crossbar, *V, engine="surrogate", full=True)
    V_device, some = inner.V_wl - inner.V_bl, slice(0, first or None)
    V_some = (V[0][some], V[1][some])
    out["ideal"] = ideal_distance(crossbar, lines, currents[some], *V_some)
    out["drop"] = voltage_drop(crossbar, V_device[some], *V_some)
    out["least_voltage"] = _least_voltage(crossbar, read, V_device[first:])
    for name in parameters["engines"]:
        whole = inner if name == "surrogate" else None
        answer = whole or engines.solve(crossbar, *V, engine=name, full=full)
        out[name] = error_of(lines, answer, golden)
        if parameters["devices"]:
            out[name] |= {"device": worst_device(crossbar, answer, golden, *V)}
        if parameters["nodes"]:
            out[name] |= {"V_wl": answer.V_wl, "V_bl": answer.V_bl}
    if parameters["nodes"]:
        out |= {"V_wl": golden.V_wl, "V_bl": golden.V_bl}
    return out


def _least_voltage(crossbar: Crossbar, read: Read, V_device: Array) -> float:
    """Over all devices of the read, the least of the largest voltage that the probes put across.

    In V, of the voltages across devices by the probes, (probes, rows, cols); the devices of another
    read of the same array are left out.
    """
    across = read.take(np.abs(V_device))
    present = read.take(crossbar.G) > 0
    if not len(across) or not present.any():
        return 0.0
    return float(across.max(axis=0)[present].min())
