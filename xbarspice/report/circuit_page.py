"""The page of a verified model on arrays, drawn from its record."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from xbarspice.report.content import Item, Section, Table, Text, Verdict
from xbarspice.report.junit import junit
from xbarspice.report.page import html, markdown, write_files
from xbarspice.report.units import error, share, si

__all__ = ["write"]

SHOWN = 30
"""Rows of a table before it is cut."""

Record = dict[str, Any]


def write(record: Record, folder: Path) -> Path:
    """Write report.html, report.md, report.json and junit.xml of `Verification.record()`.

    Returns:
        The page.

    Raises:
        StoreError: a file cannot be written; then none of them is left half-written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    head: dict[str, Any] = {"verdict": _verdict(record), "subtitle": _subtitle(record)}
    sections = [
        _gates(record),
        _findings(record),
        coverage_section(record),
        _arrays(record),
        _decisions(record),
        _costs(record),
        _corners(record),
    ]
    items = [section for section in sections if section is not None]
    page = folder / "report.html"
    write_files(
        {
            page: html(record["title"], items, **head),
            folder / "report.md": markdown(record["title"], items, **head),
            folder / "report.json": json.dumps(_finite(record), indent=2) + "\n",
            folder / "junit.xml": junit(record),
        }
    )
    return page


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity; they are written as words."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value


def _verdict(record: Record) -> Verdict:
    broken = [gate for gate in record["gates"] if not gate["passed"]]
    sample = record["sample"]
    arrays = (
        f"{sample['checked']} of {sample['tiles']} arrays solved by {record['reference']}, each "
        "with a dense probe"
    )
    if broken:
        text = f"{len(broken)} of {len(record['gates'])} gates are broken; {arrays}."
        return Verdict(state="fail", word="FAIL", text=text)
    return Verdict(state="pass", word="PASS", text=f"{len(record['gates'])} gates hold; {arrays}.")


def _subtitle(record: Record) -> str:
    return f"{record['points']} inputs, reference {record['reference']}"


def _gates(record: Record) -> Section:
    rows = [
        [g["name"], error(g["value"]), error(g["limit"]), "PASS" if g["passed"] else "FAIL"]
        for g in record["gates"]
    ]
    table = Table(caption="What had to hold", head=["gate", "value", "limit", ""], rows=rows)
    imported = record["imported"]
    text = (
        f"Import: {imported['outputs']} outputs of the circuit with exact products were compared "
        f"with {imported['against']}."
    )
    if imported["decisions"] is not None:
        text += f" {imported['decisions']} decisions differ."
    return Section(title="Gates", items=[table, Text(text=text), Text(text=record["whole"])])


def _findings(record: Record) -> Section | None:
    if not record["findings"]:
        return None
    rows = [[f["kind"], f["where"], f["text"], f["remedy"]] for f in record["findings"]]
    head = ["finding", "where", "what was seen", "what to do"]
    table = Table(caption="Findings", head=head, rows=rows, left=(0, 1, 2, 3))
    return Section(title="Findings", items=[table])


def coverage_section(record: Record) -> Section:
    cover = record["coverage"]
    items: list[Item] = [Text(text=_coverage_sentence(cover))]
    rows = [
        [
            m["name"],
            m["layer"],
            f"{m['groups']} x {m['outputs']} x {m['inputs']}",
            str(m["arrays"]),
            str(m["devices"]),
            "-" if m["products"] is None else f"{m['products']:,}",
        ]
        for m in cover["matrices"]
    ]
    head = ["matrix", "layer", "groups x outputs x inputs", "arrays", "devices", "products"]
    items.append(_table("On arrays", head, rows, left=(0, 1)))
    if cover["ideal"]:
        rows = [[w["name"], f"{w['size']:,}", w["reason"]] for w in cover["ideal"]]
        items.append(_table("Not on arrays", ["weight", "size", "why"], rows, left=(0, 2)))
    if cover["digital"]:
        rows = [[d["operands"], d["operation"], f"{d['products']:,}"] for d in cover["digital"]]
        head = ["operands", "operation", "products"]
        items.append(_table("Matrix products outside the arrays", head, rows, left=(0, 1)))
    return Section(title="What of the model is on arrays", items=items)


def _coverage_sentence(cover: Record) -> str:
    text = (
        f"{cover['weights_on_arrays']:,} weights are on arrays, {share(cover['weight_share'])} of "
        "all weights"
    )
    if cover["product_share"] is None:
        return text + "; multiply-accumulates were not measured (convert without calibrate)."
    return text + f", and {share(cover['product_share'])} of the multiply-accumulates measured."


def _table(
    caption: str, head: list[str], rows: list[list[str]], left: tuple[int, ...] = (0,)
) -> Table:
    """A table of at most `SHOWN` rows that says how many it leaves out."""
    cut = len(rows) - SHOWN
    if cut > 0:
        rows = [*rows[:SHOWN], [f"and {cut} more (report.json)", *[""] * (len(head) - 1)]]
    return Table(caption=caption, head=head, rows=rows, left=left)


def _arrays(record: Record) -> Section:
    sample, items = record["sample"], []
    text = f"{sample['checked']} of {sample['tiles']} arrays were solved by {record['reference']}"
    if sample["confidence"] is not None:
        text += (
            f": if {share(sample['bad_tiles'])} of all arrays were bad, the sample would hold a "
            f"bad one with {share(sample['confidence'])} confidence (seed {sample['seed']}, "
            f"sample {sample['sha256'][:12]})"
        )
    items.append(Text(text=text + ". Method: " + "; ".join(record["methods"]) + "."))
    for engine, matrices in record["matrices"].items():
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
            for m in matrices
        ]
        head = [
            "matrix", "checked", "worst error", "at (group, row, col)", "vectors",
            "largest input / range", "beyond", "saturated",
        ]  # fmt: skip
        caption = f"{engine}: column currents over the largest of the array"
        items.append(_table(caption, head, rows))
        items.append(_worst_tiles(record, engine))
    return Section(title="Arrays", items=items)


def _worst_tiles(record: Record, engine: str) -> Table:
    checks = sorted(record["tiles"][engine], key=lambda c: -c["worst"])[:10]
    rows = [
        [
            f"{c['matrix']} [{c['group']}, {c['row']}, {c['col']}]",
            error(c["worst"]),
            error(c["bound"]),
            f"BL{c['column']}",
            f"probe {c['vector'] - c['drives']}" if c["vector"] >= c["drives"] else "drive",
            si(c["I_max"], "A"),
            si(c["smallest_change"], "S"),
            si(c["seconds"], "s"),
        ]
        for c in checks
    ]
    head = [
        "array", "error", "stated bounds", "line", "vector", "largest current",
        "device change it would show", "time",
    ]  # fmt: skip
    return Table(caption=f"{engine}: the arrays that differ most", head=head, rows=rows)


def _interval(value: Any) -> str:
    return "-" if value is None else f"{100 * value[0]:.4g} to {100 * value[1]:.4g} %"


def _decision_row(name: str, d: Record) -> list[str]:
    return [
        name,
        error(d["error"]),
        share(d["agreement"]),
        _interval(d["interval"]),
        share(d["accuracy"]),
        _interval(d["accuracy_interval"]),
        share(d["exact_accuracy"]),
        error(d["smallest_margin"]),
    ]


DECISION_HEAD = [
    "through", "largest output error", "equal decisions", "95 % interval", "accuracy",
    "95 % interval", "with exact products", "smallest margin",
]  # fmt: skip


def _decisions(record: Record) -> Section:
    rows = [_decision_row(d["through"], d) for d in record["decisions"]]
    caption = f"Outputs of {record['points']} points beside exact products"
    items: list[Item] = [Table(caption=caption, head=DECISION_HEAD, rows=rows)]
    text = "Intervals are Clopper-Pearson's, for points drawn independently."
    if record["energy"] is not None:
        text += (
            f" Energy of an inference: {si(record['energy'], 'J')} (static power of all arrays, "
            "mean of the drives that were solved; no converters, no capacitances)."
        )
    return Section(title="Outputs", items=[*items, Text(text=text)])


def _costs(record: Record) -> Section | None:
    if not record["costs"]:
        return None
    rows = [[c["what"], error(c["rms"])] for c in record["costs"]]
    table = _table("Change of the outputs, rms over the largest", ["part", "change"], rows)
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
