"""Sections of a verification: findings, ideal product, inputs and energies, from the record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from xbarspice.report import units
from xbarspice.report.content import Item, Section, Table, Text

__all__ = ["findings_section", "ideal_section", "input_section"]

_LISTED = 12  # inputs listed one by one


def findings_section(record: dict[str, Any]) -> Section | None:
    """What the detectors of common mistakes found, each with its remedy."""
    if "findings" not in record:
        return None
    found = record["findings"]
    if not found:
        text = (
            "The detectors of common mistakes (transposed weights, swapped polarity, wrong scale, "
        )
        text += "driver resistance on the wrong side, unit slips, saturated range) found nothing."
        return Section(title="Findings", items=[Text(text=text)])
    items: list[Item] = []
    for f in found:
        items += [
            Text(text=f"{str(f['kind']).capitalize()} in {f['where']}: {f['text']}"),
            Text(text=f"What to do: {f['remedy']}", note=True),
        ]
    return Section(title="Findings", items=[*items, *_given(record)])


def _given(record: dict[str, Any]) -> Iterator[Item]:
    given = record.get("given")
    if given:
        yield Text(
            text=f"The currents that came with the array differ from {record['reference']} by "
            f"{units.error(given['worst'])} of the largest current at most: "
            f"{units.si(given['I_given'], 'A')} against {units.si(given['I_reference'], 'A')} "
            f"in column {given['line']} at input {given['point']}."
        )


def ideal_section(record: dict[str, Any]) -> Section | None:
    """How far the circuit is from the ideal product, and through what."""
    layers = record.get("ideal") or []
    if not layers:
        return None
    rows = [
        (
            str(k["layer"]), units.error(k["worst"]), units.error(k["rms"]),
            f"{k['array']} / {k['line']}", str(k["point"]),
            f"{100 * k['device']:+.3g} %", f"{100 * k['wires']:+.3g} %",
            f"{units.si(k['drop'], 'V', 3)} of {units.si(k['drive'], 'V', 3)}",
            f"{k['drop_array']} / {k['drop_row']} / {k['drop_col']}",
        )
        for k in layers
    ]  # fmt: skip
    worst = max(layers, key=lambda k: k["worst"])
    cause = (
        "wires and line ends"
        if abs(worst["wires"]) >= abs(worst["device"])
        else ("the devices' curvature")
    )
    items: list[Item] = [
        Text(
            text=f"By {record.get('reference')}, the circuit is at most "
            f"{100 * worst['worst']:.3g} % of full scale away from the ideal product V G "
            f"(layer {worst['layer']}, {worst['line']}), mostly through {cause}. Training that "
            "knows the circuit can take this up; a gate (gates.ideal) can forbid it."
        ),
        Table(
            caption="Distance from the ideal product, over the layer's largest current",
            head=("Layer", "Worst", "Rms", "Array / line", "Input", "By devices", "By wires",
                  "Voltage lost", "Array / row / col"),
            rows=rows,
        ),
    ]  # fmt: skip
    return Section(title="The circuit and the ideal product", items=[*items, *_trust(record)])


def _trust(record: dict[str, Any]) -> Iterator[Item]:
    """What the trust map says of the levels of the surrogate for these arrays."""
    found = record.get("trust")
    if not found:
        return
    rows = []
    for level, error in found["errors"].items():
        verdict = "not covered" if error is None else "no"
        if error is not None and error <= found["limit"]:
            verdict = "yes"
        rows.append((level, "-" if error is None else units.error(error), verdict))
    yield Table(
        caption=f"Trust map ({found['source'].get('reference')}): largest error measured on such "
        f"arrays, and whether it stays within {units.error(found['limit'])}",
        head=("Level of the surrogate", "Error", "Trusted"), rows=rows,
    )  # fmt: skip


def input_section(record: dict[str, Any]) -> Section | None:
    """Inputs by origin with errors and energies; what the searches found."""
    engines = record.get("engines") or []
    if not engines or not engines[0].get("energy"):
        return None
    errors = _errors(engines[1:], len(engines[0]["energy"]))
    energy = np.array(engines[0]["energy"], float)
    origins = list(record.get("origins") or ["given"] * len(energy))
    items: list[Item] = [*_searches(record), _by_origin(origins, errors, energy)]
    t_read = units.si(record.get("t_read"), "s", 3)
    items.append(
        Text(
            text=f"Energy of an inference: the sum of V I over all sources, over all passes, times "
            f"{t_read} a pass (verify.t_read). Charge on lines, converters and neurons are not "
            "in it.", note=True,
        )
    )  # fmt: skip
    order = np.argsort(-errors, kind="stable")[:_LISTED]
    rows = [
        (str(k), origins[k], units.error(float(errors[k])), units.si(float(energy[k]), "J", 3))
        for k in sorted(order)
    ]
    if len(energy) > 1:
        items.append(
            Table(
                caption=f"The {len(rows)} inputs with the largest errors" if len(rows) < len(energy)
                else "Every input", head=("Input", "Origin", "Worst current error", "Energy"),
                rows=rows, left=(0, 1), collapse=True,
            )
        )  # fmt: skip
    return Section(title="Inputs and energy", items=items)


def _errors(engines: list[dict[str, Any]], points: int) -> np.ndarray:
    """Worst error of every input over the judged engines, (points,)."""
    found = [np.array(e["errors"], float) for e in engines if e.get("errors")]
    return np.max(found, axis=0) if found else np.zeros(points)


def _searches(record: dict[str, Any]) -> Iterator[Item]:
    words = {
        "ideal": "furthest from the ideal product: {value} of full scale in the last layer's sums "
        "(best random start {start})",
        "engines": "where the engines differ most: {value} of full scale in an output current "
        "(best random start {start})",
    }
    for found in record.get("worst_inputs") or []:
        x = found["x"]
        shown = ", ".join(f"{v:.4g}" for v in x[:8]) + (", ..." if len(x) > 8 else "")
        text = words[found["target"]].format(
            value=units.error(found["value"]), start=units.error(found["start"])
        )
        yield Text(
            text=f"Input {found['point']}, found by search over {found['solves']} solves, {text}. "
            f"x = ({shown})."
        )
    if record.get("worst_inputs"):
        yield Text(
            text="The searches have a full scale of their own, that of their starting points. "
            "Exact engines differ by rounding, which also depends on the inputs solved beside "
            "one: in the tables the same input may show another error.", note=True,
        )  # fmt: skip


def _by_origin(origins: list[str], errors: np.ndarray, energy: np.ndarray) -> Table:
    rows = []
    for origin in dict.fromkeys(origins):
        mine = np.array([word == origin for word in origins])
        rows.append(
            (
                origin, str(int(mine.sum())), units.error(float(errors[mine].max())),
                units.si(float(energy[mine].mean()), "J", 3),
                units.si(float(energy[mine].max()), "J", 3),
            )
        )  # fmt: skip
    return Table(
        caption="Inputs by origin",
        head=("Origin", "Inputs", "Worst current error", "Mean energy", "Largest energy"),
        rows=rows,
    )
