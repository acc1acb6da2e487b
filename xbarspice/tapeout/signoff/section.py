"""What the page of a tapeout says of the sign-off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xbarspice.core.counts import counted
from xbarspice.report.content import Item, Plot, Section, Table, Text
from xbarspice.report.units import error, percent, si
from xbarspice.tapeout import plots
from xbarspice.tapeout.signoff.arrays import CASES

__all__ = ["section", "summary"]

_LONG = 24
_PICTURES = 2
"""Arrays whose maps are shown: those with the highest load."""


def summary(record: dict[str, Any]) -> str:
    """One sentence; "" where nothing was signed off."""
    signoff = record.get("signoff")
    if signoff is None:
        return ""
    above = sum(array["above"] for array in signoff["arrays"])
    limits = f"their limits at {signoff['limits_at_C']:g} deg C"
    if above:
        parts = counted(above, "segment, cut, lead or pad", "segments, cuts, leads or pads")
        return f"More than {limits} is carried by {parts}."
    return f"No segment, cut, lead or pad that has a limit carries more than {limits}."


def section(record: dict[str, Any], folder: Path) -> Section | None:
    """Currents, voltage drop, settling and answers; None where nothing was signed off."""
    signoff = record.get("signoff")
    if signoff is None:
        return None
    worst = sorted(signoff["arrays"], key=lambda a: -(a["largest_share"] or 0.0))
    records = {
        a["array"]: json.loads((folder / a["file"]).read_text("utf-8")) for a in worst[:_PICTURES]
    }
    items = [Text(text=summary(record)), _arrays(signoff), *_places(worst, folder)]
    items += [_answers(signoff), *_corners(worst[0]["array"], records[worst[0]["array"]])]
    for name, one in records.items():
        items += _maps(name, one)
    return Section(title="Sign-off", items=items)


def _arrays(signoff: dict[str, Any]) -> Table:
    rows = [
        (
            a["array"],
            "PASS" if a["passed"] else "FAIL",
            _load(a["largest_share"]),
            str(a["above"]),
            error(a["largest_drop"]),
            si(a["settling_s"], "s", 3),
        )
        for a in signoff["arrays"]
    ]
    return Table(
        caption="Arrays, each at its worst corner",
        head=("array", "currents", "highest load", "above limit", "largest drop", "settling"),
        rows=rows,
        left=(0, 1),
        collapse=len(rows) > _LONG,
    )


def _load(ratio: float | None) -> str:
    return "no limit" if ratio is None else error(ratio)


def _places(arrays: list[dict[str, Any]], folder: Path) -> Iterator[Table]:
    """Where currents are above their limits."""
    rows = []
    for a in arrays:
        if a["above"] and len(rows) < 100:
            loads = json.loads((folder / a["file"]).read_text("utf-8"))["loads"]
            rows += [
                (
                    a["array"],
                    at["place"],
                    f"{at['x_um']:g}, {at['y_um']:g}",
                    f"{1e3 * at['current_A']:.3f}",
                    f"{1e3 * at['limit_A']:.3f}",
                    load["layer"],
                    f"{CASES[load['case']]}; {load['condition']}",
                )
                for load in loads
                for at in load["places"]
            ]
    if rows:
        yield Table(
            caption=f"{counted(len(rows), 'place')} above their limit, the worst of each kind",
            head=("array", "place", "x, y, um", "mA", "limit, mA", "metal or via", "when"),
            rows=rows,
            left=(0, 1, 2, 5, 6),
            collapse=len(rows) > _LONG,
        )


def _answers(signoff: dict[str, Any]) -> Table:
    rows = [
        (
            a["condition"],
            percent(a["accuracy"]),
            percent(a["agreement"]),
            error(a["largest_error"]),
        )
        for a in signoff["answers"]
    ]
    return Table(
        caption="Answers of the model with the wires of each corner, solved by the surrogate; "
        "the error is over the largest output",
        head=("wires and vias", "accuracy", "agrees with software", "largest error"),
        rows=rows,
    )


def _corners(name: str, record: dict[str, Any]) -> Iterator[Table]:
    rows = [
        (
            CASES[c["case"]],
            c["condition"],
            f"{1e3 * c['largest_word_line_A']:.3f}",
            f"{1e3 * c['largest_bit_line_A']:.3f}",
            _load(c["largest_share"]),
            error(c["largest_drop"]),
            f"{1e3 * c['power_W']:.3f}",
        )
        for c in sorted(record["corners"], key=lambda c: list(CASES).index(c["case"]))
    ]
    yield Table(
        caption=f"Currents of {name}; {record['limits']}",
        head=("case", "wires and vias", "word line, mA", "bit line, mA", "load", "drop", "mW"),
        rows=rows,
        left=(0, 1),
    )
    settling = [
        (
            s["condition"],
            f"{1e9 * s['time_s']:.3g}",
            str(s["bit_line"]),
            f"{1e9 * s['elmore_s']:.3g}",
            f"{1e12 * s['energy_J']:.3g}",
        )
        for s in record["settling"]
    ]
    yield Table(
        caption=f"Settling of {name} to 1 %, every word line switched to V_read: devices as "
        "conductances, capacitances of wires, crossings and oxide; energy until then",
        head=("wires and vias", "settling, ns", "bit line", "first moment, ns", "energy, pJ"),
        rows=settling,
    )


def _maps(name: str, record: dict[str, Any]) -> list[Item]:
    drop = np.array(record["drop"])
    items: list[Item] = [
        Plot(
            draw=partial(plots.voltage_drop, drop),
            alt=f"Map of the voltage drop of {name}, up to {error(drop.max())}",
            caption=f"{name}: share of the drive that wires and leads take from each device, every "
            "word line at V_read, at the worst corner.",
        )
    ]
    if record["loads"]:
        items.append(
            Plot(
                draw=partial(plots.loads, record["loads"]),
                width=5.2,
                height=plots.loads_height(record["loads"]),
                alt=f"Highest current of each kind of part of {name} as a share of its limit",
                caption=f"{name}: highest current of each kind of part, as a share of its limit.",
            )
        )
    return items
