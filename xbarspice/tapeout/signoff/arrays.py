"""Sign-off of one array: currents against limits, voltage drop, settling and energy, at corners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.types import Array
from xbarspice.mapping.physical_array import PhysicalArray
from xbarspice.netlist.cells import Wires
from xbarspice.tapeout.signoff.capacities import Capacity, capacities
from xbarspice.tapeout.signoff.corners import Condition, conditions, wires_at
from xbarspice.tapeout.signoff.currents import Currents, currents_of, judge
from xbarspice.tapeout.signoff.settling import settle
from xbarspice.tapeout.sites import drawn_array
from xbarspice.tapeout.technology import Technology

__all__ = ["CASES", "JUDGED", "sign_off_array"]

CASES = {
    "inputs": "reads of the model's inputs",
    "full": "every word line at V_read, devices as programmed",
    "G_max": "every word line at V_read, every device at G_max",
    "G_min": "every word line at V_read, every device at G_min",
}
"""What is solved, and how it is told."""
JUDGED = ("inputs", "full")
"""Cases in which a current above its limit fails an array; the others say what could be."""


def sign_off_array(
    array: PhysicalArray, technology: Technology, volts: Mapping[str, Array]
) -> dict[str, Any]:
    """Everything that is known of an array before it is made.

    Args:
        array: with its wires as drawn, typical.
        technology: of the drawing.
        volts: line voltages of every matrix, V, (vectors, groups, lines).

    Returns:
        A record for JSON: ``passed``; ``loads`` of all parts in the judged cases at the corner with
        the largest currents; ``corners`` of every case; ``drop``, the voltage that is lost to each
        device; ``settling``.
    """
    drawn = drawn_array(array)
    wires = drawn.wires
    parts = capacities(technology, drawn.rows, drawn.cols)
    corners, loads = [], {}
    drop = np.zeros(drawn.G.shape)
    for condition in conditions(technology):
        there = wires_at(technology, wires, condition)
        for case, currents in _cases(array, drawn, there, volts):
            judged = judge(currents, parts)
            corners.append(_summary(condition, case, currents, judged))
            if case in JUDGED:
                for entry in judged:
                    key = (case, entry["part"], entry["line"])
                    if entry["largest_share"] > loads.get(key, {}).get("largest_share", -1.0):
                        loads[key] = {"case": case, "condition": condition.name, **entry}
            if case == "full":
                drop = np.fmax(drop, currents.drop)
    return {
        "passed": not any(load["count"] for load in loads.values()),
        "limits": _unlimited(technology, parts),
        "loads": list(loads.values()),
        "corners": corners,
        "drop": [[round(float(v), 9) for v in row] for row in drop],
        "settling": _settling(array, drawn, technology, wires),
    }


def _cases(
    array: PhysicalArray, drawn: Crossbar, wires: dict[str, Any], volts: Mapping[str, Array]
) -> list[tuple[str, Currents]]:
    """The array with these wires in every case that it has."""
    out = []
    reads = [_read(array, k, wires, volts) for k in range(len(array.tiles))]
    known = [read for read in reads if read is not None]
    if known:
        out.append(("inputs", _largest([currents_of(*read) for read in known])))
    full = drawn.replace(**wires)
    V_in = np.full((1, drawn.rows), array.V_read)
    config = array.tiles[0].config
    present = drawn.G > 0
    levels = {
        "full": drawn.G,
        "G_max": np.where(present, config.G_max, 0.0),
        "G_min": np.where(present, config.G_min, 0.0),
    }
    for case, G in levels.items():
        if G.any():
            out.append((case, currents_of(full.replace(G=G), V_in)))
    return out


def _read(
    array: PhysicalArray, k: int, wires: dict[str, Any], volts: Mapping[str, Array]
) -> tuple[Crossbar, Array, Array] | None:
    """A read of the array with these wires and its vectors; None where no input reaches it."""
    tile = array.tiles[k]
    if tile.matrix not in volts:
        return None
    V_in, V_out = tile.drive(volts[tile.matrix][:, tile.group, slice(*tile.lines)])
    return tile.crossbar.replace(**tile.read.wires(wires)), V_in, V_out


def _largest(several: list[Currents]) -> Currents:
    """Of several reads the largest of everything; the mean of their power."""
    return Currents(
        segments={k: np.max([c.segments[k] for c in several], axis=0) for k in ("WL", "BL")},
        lines={k: np.max([c.lines[k] for c in several], axis=0) for k in ("WL", "BL")},
        drop=np.fmax.reduce([c.drop for c in several]),
        power=float(np.mean([c.power for c in several])),
    )


def _summary(
    condition: Condition, case: str, currents: Currents, judged: list[dict[str, Any]]
) -> dict[str, Any]:
    drop = currents.drop[np.isfinite(currents.drop)]
    return {
        "condition": condition.name,
        "corner": condition.corner,
        "temperature_C": condition.temperature,
        "case": case,
        "largest_word_line_A": float(currents.lines["WL"].max()),
        "largest_bit_line_A": float(currents.lines["BL"].max()),
        "largest_share": max((entry["largest_share"] for entry in judged), default=None),
        "above": sum(entry["count"] for entry in judged),
        "largest_drop": float(drop.max()) if drop.size else None,
        "power_W": currents.power,
    }


def _unlimited(technology: Technology, parts: list[Capacity]) -> str:
    """What was held against a limit, and what has none in the technology."""
    free = [m.name for m in technology.metal if m.current is None]
    free += [v.name for v in technology.via if v.current is None]
    words = f"{sum(part.ampere.size for part in parts)} segments, landings, leads and pads"
    return f"{words} were held against limits" + (f"; {', '.join(free)} have none" if free else "")


def _settling(
    array: PhysicalArray, drawn: Crossbar, technology: Technology, wires: dict[str, Any]
) -> list[dict[str, Any]]:
    """Settling of a read with every word line at V_read, at every corner."""
    C, out = Wires(**technology.capacitances()), []
    for condition in conditions(technology):
        there = drawn.replace(**wires_at(technology, wires, condition))
        result = settle(there, np.full(drawn.rows, array.V_read), C)
        slowest = int(np.argmax(result.time))
        out.append(
            {
                "condition": condition.name,
                "time_s": float(result.time[slowest]),
                "bit_line": slowest,
                "elmore_s": float(result.elmore.max()),
                "energy_J": result.energy,
                "power_W": result.power,
            }
        )
    return out
