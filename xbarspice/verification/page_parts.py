"""What the pages of verified models and single arrays say in the same words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xbarspice.report.content import Table, Text
from xbarspice.report.units import error, si, signed

__all__ = [
    "ROUNDING",
    "Record",
    "device_row",
    "device_table",
    "drop_text",
    "equal_engines",
    "equal_text",
    "ideal_text",
    "trust_table",
]

Record = dict[str, Any]

ROUNDING = 1e-9
"""Relative error below which two correct solvers differ in the order of their sums."""


def equal_engines(worst: Mapping[str, float]) -> list[list[str]]:
    """Engines in groups: all that differ from the reference by rounding alone are one.

    Args:
        worst: engine -> its largest relative error.

    Returns:
        Names, in each group the engine that is furthest off first.
    """
    equal = [name for name in worst if worst[name] < ROUNDING]
    groups = [[name] for name in worst if name not in equal]
    return [*([sorted(equal, key=lambda name: -worst[name])] if equal else []), *groups]


def equal_text(group: list[str], reference: str, worst: float) -> list[Text]:
    """Says that several engines stand for each other; nothing of a single one."""
    if len(group) == 1:
        return []
    text = (
        f"{' and '.join(sorted(group))} differ from {reference} by rounding alone, at most "
        f"{error(worst)}; what follows is of {group[0]}, the one further off."
    )
    return [Text(text=text, note=True)]


def trust_table(trust: Record) -> Table:
    """What the trust map says of the levels of the surrogate for these arrays."""
    rows = []
    for level, value in trust["errors"].items():
        word = "not covered" if value is None else "no"
        if value is not None and value <= trust["limit"]:
            word = "yes"
        rows.append([level, "-" if value is None else error(value), word])
    return Table(
        caption=f"Trust map ({trust['reference']}): largest error measured on such arrays, and "
        f"whether it stays within {error(trust['limit'])}",
        head=["level of the surrogate", "error", "trusted"],
        rows=rows,
    )


def ideal_text(ideal: Record, reference: str, where: str = "") -> str:
    """How far output currents are from the ideal product, and mostly through what."""
    cause = "wires and line ends"
    if abs(ideal["device"]) > abs(ideal["wires"]):
        cause = "the devices' curvature"
    return (
        f"By {reference}, output currents are at most {error(ideal['worst'])} of the largest "
        f"away from the ideal product V G ({ideal['line']}{where}; devices "
        f"{signed(ideal['device'])}, wires {signed(ideal['wires'])}), mostly through {cause}."
    )


def drop_text(drop: Record, where: str = "") -> str:
    """The largest voltage that wires take."""
    return (
        f"Wires and line ends take up to {si(drop['drop'], 'V', 3)} of {si(drop['drive'], 'V', 3)} "
        f"from a device (row {drop['row']}, column {drop['col']}{where}; by the surrogate)."
    )


def device_row(device: Record) -> list[str]:
    """Texts of a device that differs: place, error, currents, voltages, conductance, why."""
    why = []
    if device["error"] < ROUNDING:
        why.append("rounding: both solve the same equations")
    if device["V_drive"]:
        lost = 1 - device["V_device"] / device["V_drive"]
        why.append(f"wires take {error(lost)} of {si(device['V_drive'], 'V', 3)}")
    linear = device["G"] * device["V_device"]
    if linear and abs(device["I_reference"] / linear - 1) > ROUNDING:
        bend = device["I_reference"] / linear - 1
        why.append(f"its curve deviates {signed(bend)} from G V")
    return [
        f"{device['row']} / {device['col']}",
        str(device["vector"]),
        error(device["error"]),
        si(device["I_reference"], "A"),
        si(device["I_engine"], "A"),
        si(device["V_device"], "V"),
        si(device["G"], "S"),
        "; ".join(why) or "-",
    ]


def device_table(
    caption: str, first: str, rows: list[list[str]], reference: str, engine: str
) -> Table:
    """Devices that differ, each row a name and what `device_row` says.

    Args:
        caption: of the table.
        first: title of the names.
        rows: of texts.
        reference, engine: whose currents they are.
    """
    head = [first, "row / column", "vector", "error", reference, engine, "its voltage", "G", "why"]
    return Table(caption=caption, head=head, rows=rows, left=(0, 8))
