"""The page of a verified single array, drawn from its record."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xbarspice.core.wires import WIRES
from xbarspice.report.content import Item, Section, Table, Text
from xbarspice.report.page import write_report
from xbarspice.report.sections import (
    about_sections,
    cut_table,
    findings_section,
    gates_section,
    gates_verdict,
)
from xbarspice.report.units import error, plain, resistance, si
from xbarspice.verification.page_parts import (
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
    engines = ", ".join(e["engine"] for e in record["engines"])
    total = record["vectors"] + record["probes"]
    compared = (
        f"currents of {engines} compared with those of {record['reference']} on "
        f"{len(record['array']['outputs'])} lines for {total} vectors, {record['probes']} of them "
        "dense probes"
    )
    if record["given"] is not None:
        compared += f"; and the given currents with those of {record['reference']}"
    if not any("ideal product" in gate["name"] for gate in record["gates"]):
        far = f"{100 * record['ideal']['worst']:.3g} %"
        compared += f"; they are up to {far} away from the ideal product, which no gate judges"
    sections = [
        gates_section(record),
        findings_section(record, LOOKED_FOR),
        _engines(record),
        _stated_currents(record),
        _circuit(record),
        _energy(record),
        _array(record),
        *about_sections(record),
    ]
    rows, cols = record["array"]["shape"]
    return write_report(
        record,
        folder,
        [section for section in sections if section is not None],
        verdict=gates_verdict(record, compared),
        classname="xbarspice.verify",
        subtitle=f"{rows} x {cols} array, {total} vectors, reference {record['reference']}",
    )


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
    for e in record["engines"]:
        ordered = sorted(e["lines"], key=lambda c: -c["worst"])
        lines = [[c["line"], error(c["worst"]), error(c["rms"])] for c in ordered]
        items.append(cut_table(f"{e['engine']}: line by line", ["line", "worst", "rms"], lines))
    devices = [[e["engine"], *device_row(e["device"])] for e in record["engines"]]
    caption = "The device that differs most, over the largest device current"
    items.append(device_table(caption, "", devices, record["reference"], "engine"))
    return Section(title="Engines", items=items)


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


def _circuit(record: Record) -> Section:
    text = f"{ideal_text(record['ideal'], record['reference'])} {drop_text(record['drop'])}"
    items: list[Item] = [Text(text=text), trust_table(record["trust"])]
    return Section(title="The circuit and the ideal product", items=items)


def _energy(record: Record) -> Section:
    energy = np.array(record["energy"])
    text = (
        f"Energy of a read: {si(float(energy.mean()), 'J', 3)} on average, "
        f"{si(float(energy.max()), 'J', 3)} at most: the sum of V I over all sources times the "
        "length of a read. Charge on lines and converters are not in it."
    )
    return Section(title="Energy", items=[Text(text=text)])


def _array(record: Record) -> Section:
    array = record["array"]
    shape = " x ".join(str(n) for n in array["shape"])
    rows = [["shape", shape], ["devices", str(array["devices"])]]
    rows += [[name, resistance(name, array[name])] for name in WIRES]
    rows += [["device", array["device"]]]
    rows += [[f"device.{name}", plain(v)] for name, v in array["device_parameters"].items()]
    table = Table(caption="The array", head=["", "value"], rows=rows, collapse=True)
    return Section(title="Array", items=[table])
