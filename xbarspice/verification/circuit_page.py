"""The page of a verified model on arrays, drawn from its record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xbarspice.core.counts import counted
from xbarspice.report.content import Item, Section, Table, Text
from xbarspice.report.page import write_report
from xbarspice.report.sections import (
    about_sections,
    coverage_section,
    cut_table,
    findings_section,
    gates_section,
    gates_verdict,
)
from xbarspice.report.units import error, percent, si
from xbarspice.verification.circuit_plots import cost_bars, read_errors
from xbarspice.verification.page_parts import (
    Record,
    device_row,
    device_table,
    drop_text,
    equal_engines,
    equal_text,
    ideal_text,
    trust_table,
)

__all__ = ["write"]

LOOKED_FOR = (
    "inputs beyond their ranges or the device's, saturated converters, outliers, unused devices, "
    "a clipped conductance range, conductances that are transposed, of the other sign, of another "
    "scale or unit, unlikely magnitudes, layers that nothing called, labels at chance level; and "
    "wrong currents that a common mistake would explain"
)


def write(record: Record, folder: Path) -> Path:
    """Write report.html, report.md, report.json and junit.xml of `Verification.record()`.

    Returns:
        The page.

    Raises:
        StoreError: a file cannot be written; then none of them is left half-written.
    """
    engines = equal_engines(_worst_errors(record))
    sections = [
        _overview(record, engines),
        _gates(record),
        findings_section(record, LOOKED_FOR),
        _decisions(record),
        _circuit(record, engines),
        _arrays(record, engines),
        coverage_section(record),
        _searches(record),
        _costs(record),
        _corners(record),
        *about_sections(record),
    ]
    return write_report(
        record,
        folder,
        [section for section in sections if section is not None],
        verdict=gates_verdict(record, _result(record), _compared(record)),
        classname="xbarspice.verify",
        subtitle=f"{counted(record['points'], 'input')}, reference {record['reference']}",
    )


def _worst_errors(record: Record) -> dict[str, float]:
    """Largest relative error of every engine over all its array reads; infinite without one."""
    return {
        engine: max((c["worst"] for c in checks), default=float("inf"))
        for engine, checks in record["tiles"].items()
    }


def _result(record: Record) -> str:
    """What the network does through its circuit, beside exact products."""
    d = record["decisions"][-1]
    far = f"outputs are up to {error(d['error'])} of the largest away from exact products"
    if d["accuracy"] is not None:
        return (
            f"Accuracy {percent(d['accuracy'])} through {d['through']}, "
            f"{percent(d['exact_accuracy'])} with exact products; {far}."
        )
    if d["agreement"] is not None:
        return f"{percent(d['agreement'])} of the decisions are those of exact products; {far}."
    return f"Through {d['through']}, {far}."


def _compared(record: Record) -> str:
    """What was compared with what, and which number no gate judges."""
    sample = record["sample"]
    text = (
        f"{sample['checked']} of {counted(sample['tiles'], 'array read')} solved by "
        f"{record['reference']}, each with a dense probe: currents of "
        + ", ".join(f"{name} differ by {error(v)}" for name, v in _worst_errors(record).items())
        + " of the largest."
    )
    if not any("output error" in gate["name"] for gate in record["gates"]):
        text += " No gate judges the distance of the outputs from exact products."
    return text


def _overview(record: Record, engines: list[list[str]]) -> Section | None:
    """The plots: errors of every array read, and what each part costs."""
    plots: list[Item] = [
        read_errors(record, group[0]) for group in engines if record["tiles"][group[0]]
    ]
    if record["costs"]:
        plots.append(cost_bars(record))
    return Section(title="Errors and what they cost", items=plots) if plots else None


def _gates(record: Record) -> Section:
    imported = record["imported"]
    text = (
        f"Import: with exact products, {counted(imported['outputs'], 'output')} of the circuit "
        f"{'was' if imported['outputs'] == 1 else 'were'} compared with {imported['against']}."
    )
    if imported["decisions"] is not None:
        text += f" {_differ(imported['decisions'], 'decision')}"
    if imported["unequal"] is not None:
        text += f" {_differ(imported['unequal'], 'whole number or truth value')}"
    return gates_section(record, Text(text=text), Text(text=record["whole"]))


def _differ(count: int, noun: str) -> str:
    """A sentence of how many differ."""
    if count == 0:
        return f"No {noun} differs."
    plural = "whole numbers or truth values" if noun.startswith("whole") else ""
    return f"{counted(count, noun, plural)} {'differs' if count == 1 else 'differ'}."


def _arrays(record: Record, engines: list[list[str]]) -> Section:
    sample, items = record["sample"], list[Item]()
    text = (
        f"{sample['checked']} of {counted(sample['tiles'], 'array read')} "
        f"{'was' if sample['tiles'] == 1 else 'were'} solved by {record['reference']}"
    )
    if sample["confidence"] is not None:
        text += (
            f": if {error(sample['bad_tiles'], 6)} of all arrays were bad, the sample would hold a "
            f"bad one with {error(sample['confidence'], 6)} confidence (seed {sample['seed']}, "
            f"sample {sample['sha256'][:12]})"
        )
    items.append(Text(text=text + ". Method: " + "; ".join(record["methods"]) + "."))
    for group in engines:
        engine = group[0]
        items += equal_text(group, record["reference"], _worst_errors(record)[engine])
        rows = [
            [
                m["name"],
                f"{m['checked']} / {m['tiles']}",
                error(m["worst"]),
                ", ".join(str(k) for k in m["worst_tile"]) if m["checked"] else "-",
                f"{m['vectors']:,}",
                error(m["largest_input"]),
                str(m["beyond"]),
                str(m["saturated"]),
            ]
            for m in record["matrices"][engine]
        ]
        head = ["matrix", "checked", "worst error", "at (group, row, col)", "vectors"]
        head += ["largest input / range", "beyond", "saturated"]
        caption = f"{engine}: column currents over the largest of the array"
        items.append(cut_table(caption, head, rows))
        items.append(_worst_tiles(record, engine))
    return Section(title="Arrays", items=items)


def _worst_tiles(record: Record, engine: str) -> Table:
    checks = sorted(record["tiles"][engine], key=lambda c: -c["worst"])[:10]
    rows = [
        [
            _name(c),
            error(c["worst"]),
            error(c["rms"]),
            error(c["bound"]),
            c["line"],
            f"probe {c['vector'] - c['drives']}" if c["vector"] >= c["drives"] else "drive",
            si(c["I_max"], "A"),
            si(c["smallest_change"], "S"),
            si(c["seconds"], "s"),
        ]
        for c in checks
    ]
    head = ["array", "worst error", "rms", "stated bounds", "line", "vector", "largest current"]
    head += ["device change it would show", "time"]
    return Table(caption=f"{engine}: the arrays that differ most", head=head, rows=rows)


def _circuit(record: Record, engines: list[list[str]]) -> Section:
    """The ideal product, voltages lost, the trust map, and devices that differ."""
    checks = next(iter(record["tiles"].values()))
    items: list[Item] = []
    if checks:
        far, low = (
            max(checks, key=lambda c: c["ideal"]["worst"]),
            max(checks, key=lambda c: c["drop"]["drop"]),
        )
        text = ideal_text(far["ideal"], record["reference"], f" of {_name(far)}")
        items.append(Text(text=f"{text} {drop_text(low['drop'], f' of {_name(low)}')}"))
    items.append(trust_table(record["trust"]))
    for engine in (group[0] for group in engines):
        compared = [c for c in record["tiles"][engine] if c["device"] is not None]
        rows = [
            [_name(c), *device_row(c["device"])]
            for c in sorted(compared, key=lambda c: -c["device"]["error"])[:10]
        ]
        if rows:
            caption = f"{engine}: devices that differ most, over the array's largest device current"
            items.append(device_table(caption, "array", rows, record["reference"], engine))
    return Section(title="The circuit and the ideal product", items=items)


def _name(check: Record) -> str:
    return f"{check['matrix']} [{check['group']}, {check['row']}, {check['col']}]"


def _interval(value: Sequence[float] | None) -> str:
    return "-" if value is None else f"{percent(value[0])} to {percent(value[1])}"


def _decision_row(name: str, d: Record) -> list[str]:
    return [
        name,
        error(d["error"]),
        percent(d["agreement"]),
        _interval(d["interval"]),
        percent(d["accuracy"]),
        _interval(d["accuracy_interval"]),
        percent(d["exact_accuracy"]),
        error(d["smallest_margin"]),
    ]


DECISION_HEAD = (
    "through",
    "largest output error",
    "equal decisions",
    "95 % interval",
    "accuracy",
    "95 % interval",
    "with exact products",
    "smallest margin",
)


def _decisions(record: Record) -> Section:
    rows = [_decision_row(d["through"], d) for d in record["decisions"]]
    caption = f"Outputs of {counted(record['points'], 'point')} beside exact products"
    items: list[Item] = [Table(caption=caption, head=DECISION_HEAD, rows=rows)]
    text = "Intervals are Clopper-Pearson's, for points drawn independently."
    if record["energy"] is not None:
        text += (
            f" Energy of an inference: {si(record['energy'], 'J')} (static power of all arrays, "
            "mean of the drives that were solved; no converters, no capacitances)."
        )
    return Section(title="Outputs", items=[*items, Text(text=text)])


def _searches(record: Record) -> Section | None:
    words = {
        "ideal": "furthest from exact products: {value} of the largest output (best random start "
        "{start})",
        "engines": "on which engines and reference differ most: {value} of the largest output "
        "current (best random start {start})",
    }
    items: list[Item] = []
    for search in record["searches"]:
        text = words[search["target"]].format(
            value=error(search["value"]), start=error(search["start"])
        )
        x = _flat(search["x"])
        shown = ", ".join(f"{v:.4g}" for v in x[:8]) + (", ..." if len(x) > 8 else "")
        items.append(
            Text(
                text=f"By {counted(search['evaluations'], 'evaluation')}, the input {text}. "
                f"x = ({shown})."
            )
        )
    if items:
        note = (
            "The searches have a full scale of their own, that of their starting points; an input "
            "that was found is no point of the tables above."
        )
        items.append(Text(text=note, note=True))
    if record["searched"]:
        items.append(Text(text=record["searched"]))
    return Section(title="Worst inputs", items=items) if items else None


def _flat(values: float | list[Any]) -> list[float]:
    if isinstance(values, list):
        return [v for part in values for v in _flat(part)]
    return [values]


def _costs(record: Record) -> Section | None:
    if not record["costs"]:
        return None
    rows = [[c["what"], error(c["rms"])] for c in record["costs"]]
    table = cut_table("Change of the outputs, rms over the largest", ["part", "change"], rows)
    text = (
        "A matrix: it alone on arrays, all others exact. A cause: the circuit with it against the "
        "circuit without it. Parts do not add up exactly."
    )
    return Section(title="What each part costs", items=[table, Text(text=text)])


def _corners(record: Record) -> Section | None:
    if not record["corners"]:
        return None
    rows = [
        _decision_row(
            f"{c['name']} ({', '.join(f'{k} {v:g}' for k, v in c['changes'].items())})",
            c["decisions"],
        )
        for c in record["corners"]
    ]
    head = ["corner", *DECISION_HEAD[1:]]
    return Section(title="Corners", items=[Table(caption="Corners", head=head, rows=rows)])
