"""The page of a verified single array, drawn from its record."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from xbarspice.core.counts import counted
from xbarspice.core.wires import WIRES
from xbarspice.report.content import Item, Plot, Section, Table, Text
from xbarspice.report.page import write_report
from xbarspice.report.sections import (
    about_sections,
    cut_table,
    findings_section,
    gates_section,
    gates_verdict,
)
from xbarspice.report.units import error, plain, resistance, si
from xbarspice.verification import plots
from xbarspice.verification.page_parts import (
    ROUNDING,
    Record,
    device_row,
    device_table,
    drop_text,
    ideal_text,
    trust_table,
)

__all__ = ["write"]

LOOKED_FOR = (
    "unlikely magnitudes, a clipped conductance range, voltages beyond the device's range; and, in "
    "currents that disagree, transposed conductances, swapped signs, a wrong scale, drivers on the "
    "wrong side, unit slips"
)


def write(record: Record, folder: Path) -> Path:
    """Write report.html, report.md, report.json and junit.xml of `ArrayVerification.record()`.

    Returns:
        The page.

    Raises:
        StoreError: a file cannot be written; then none of them is left half-written.
    """
    sections = [
        Section(
            title="Errors line by line",
            items=[_line_errors(record), _circuit_text(record), _energy(record)],
        ),
        gates_section(record),
        findings_section(record, LOOKED_FOR),
        _engines(record),
        _stated_currents(record),
        Section(title="The surrogate's levels", items=[trust_table(record["trust"])]),
        _array(record),
        *about_sections(record),
    ]
    rows, cols = record["array"]["shape"]
    return write_report(
        record,
        folder,
        [section for section in sections if section is not None],
        verdict=gates_verdict(record, _result(record), _compared(record)),
        classname="xbarspice.verify",
        subtitle=f"{rows} x {cols} array, {counted(_vectors(record), 'vector')}, reference "
        f"{record['reference']}",
    )


def _vectors(record: Record) -> int:
    """Vectors that were solved: those of the user, and dense probes."""
    return int(record["vectors"] + record["probes"])


def _result(record: Record) -> str:
    """How far the currents are from the reference's, and from the ideal product."""
    differ = ", ".join(
        f"of {' and '.join(names)} differ by {value}" for value, names in _by_error(record).items()
    )
    far = error(record["ideal"]["worst"])
    return (
        f"Currents {differ} of the largest from those of {record['reference']}, which are up to "
        f"{far} away from the ideal product."
    )


def _by_error(record: Record) -> dict[str, list[str]]:
    """Engines by the text of their largest error."""
    names: dict[str, list[str]] = {}
    for e in record["engines"]:
        names.setdefault(error(e["worst"]), []).append(e["engine"])
    return names


def _compared(record: Record) -> str:
    """What was compared with what, and which number no gate judges."""
    lines = counted(len(record["array"]["outputs"]), "line")
    text = (
        f"Compared on {lines} for {counted(_vectors(record), 'vector')}, of which "
        f"{counted(record['probes'], 'dense probe')}."
    )
    if record["given"] is not None:
        text += f" The given currents were compared with those of {record['reference']}."
    if not any("ideal product" in gate["name"] for gate in record["gates"]):
        text += " No gate judges the distance from the ideal product."
    return text


def _engines(record: Record) -> Section:
    head = ["", "worst error", "at (line, vector)", "rms", "stated bound", "Kirchhoff", "time"]
    name = record["reference"]
    bound, kirchhoff = error(record["bound"]), error(record["kirchhoff"])
    time = si(record["seconds"].get(name), "s", 3)
    rows = [[name, "reference", "-", "-", bound, kirchhoff, time]]
    rows += [
        [
            e["engine"],
            error(e["worst"]),
            f"{e['line']}, {e['vector']}",
            error(e["rms"]),
            error(e["bound"]),
            error(e["kirchhoff"]),
            si(e["seconds"], "s", 3),
        ]
        for e in record["engines"]
    ]
    caption = f"Output currents over the largest, {si(record['I_max'], 'A')}"
    items: list[Item] = [Table(caption=caption, head=head, rows=rows)]
    methods = [f"{record['reference']}: {record['method']}"]
    methods += [f"{e['engine']}: {e['method']}" for e in record["engines"]]
    items.append(Text(text="Methods. " + "; ".join(methods) + ".", note=True))
    items.append(_lines(record))
    caption = "The device that differs most, over the largest device current"
    items.append(device_table(caption, "", _devices(record), record["reference"], "engine"))
    return Section(title="Engines", items=items)


def _lines(record: Record) -> Table:
    """Errors line by line, the engines side by side, the worst line first."""
    of_line = {
        line["line"]: [entry["lines"][k] for entry in record["engines"]]
        for k, line in enumerate(record["engines"][0]["lines"])
    }
    worst = sorted(of_line, key=lambda name: -max(c["worst"] for c in of_line[name]))
    rows = [
        [name, *(error(c[part]) for c in of_line[name] for part in ("worst", "rms"))]
        for name in worst
    ]
    parts = (f"{e['engine']}, {part}" for e in record["engines"] for part in ("worst", "rms"))
    return cut_table("Line by line, over the largest current", ["line", *parts], rows)


def _devices(record: Record) -> list[list[str]]:
    """The device of every engine; engines that name the same one within rounding share a row."""
    groups: dict[tuple[object, ...], list[Record]] = {}
    for k, e in enumerate(record["engines"]):
        d = e["device"]
        same = (d["row"], d["col"], d["vector"]) if d["error"] < ROUNDING else (k,)
        groups.setdefault(same, []).append(e)
    rows = []
    for group in groups.values():
        first = max(group, key=lambda e: e["device"]["error"])
        rows.append([", ".join(e["engine"] for e in group), *device_row(first["device"])])
    return rows


def _stated_currents(record: Record) -> Section | None:
    stated = record["given"]
    if stated is None:
        return None
    text = (
        f"The given currents differ from {record['reference']} by {error(stated['worst'])} of the "
        f"largest at most (rms {error(stated['rms'])}): {si(stated['I_given'], 'A')} against "
        f"{si(stated['I_reference'], 'A')} on {stated['line']} at vector {stated['vector']}."
    )
    return Section(title="Given currents", items=[Text(text=text)])


def _line_errors(record: Record) -> Plot:
    lines = counted(len(record["array"]["outputs"]), "line")
    return Plot(
        draw=partial(plots.lines, record),
        alt=f"Worst error of {lines} against {record['reference']}, engine by engine",
        caption=f"Worst error of each of {lines} against {record['reference']}, over all vectors.",
    )


def _circuit_text(record: Record) -> Text:
    """How far currents are from the ideal product, and what wires take."""
    return Text(
        text=f"{ideal_text(record['ideal'], record['reference'])} {drop_text(record['drop'])}"
    )


def _energy(record: Record) -> Text:
    energy = np.array(record["energy"])
    text = (
        f"Energy of a read: {si(float(energy.mean()), 'J', 3)} on average, "
        f"{si(float(energy.max()), 'J', 3)} at most: the sum of V I over all sources times the "
        "length of a read. Charge on lines and converters are not in it."
    )
    return Text(text=text)


def _array(record: Record) -> Section:
    array = record["array"]
    shape = " x ".join(str(n) for n in array["shape"])
    rows = [["shape", shape], ["devices", str(array["devices"])]]
    rows += [[name, resistance(name, array[name])] for name in WIRES]
    rows += [["device", array["device"]]]
    rows += [[f"device.{name}", plain(v)] for name, v in array["device_parameters"].items()]
    table = Table(caption="The array", head=["", "value"], rows=rows, collapse=True)
    return Section(title="Array", items=[table])
