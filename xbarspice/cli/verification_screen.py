"""What a person sees of a verification in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from xbarspice.cli import screens
from xbarspice.core.counts import counted
from xbarspice.report.sections import gate_number
from xbarspice.report.units import error, percent, si, signed

__all__ = ["show"]


def show(record: dict[str, Any], out: Path, as_json: bool) -> None:
    """What a verification of a model or an array found, gate by gate, and where the report is."""
    if as_json:
        screens.print_json({**record, "folder": str(out)})
        return
    print_ = screens.console().print
    print_(_gate_table(record))
    lines = _of_array(record) if "array" in record else _of_model(record)
    for line in lines:
        print_(line, soft_wrap=True)
    for finding in record["findings"]:
        words = f" ({finding['where']}): {finding['text']} {finding['remedy']}"
        print_(screens.lead_word(finding["kind"], "yellow", words), soft_wrap=True)
    for text in record["unjudged"]:
        print_(f"not judged: {text}", soft_wrap=True)
    if card := record.get("calibration"):
        print_(f"calibrated: {card}", soft_wrap=True)
    if card := record.get("card"):
        for text in screens.card_sentences(card):
            print_(f"card: {text}", soft_wrap=True)
    for note in record["notes"]:
        print_(f"note: {note}", soft_wrap=True)
    passed = record["passed"]
    word, style = ("PASS", "bold green") if passed else ("FAIL", "bold red")
    print_(screens.lead_word(word, style, f"  {record['title']}"), soft_wrap=True)
    print_(f"report: {out / 'report.html'}", soft_wrap=True)


def _gate_table(record: dict[str, Any]) -> Table:
    table = Table(title="Gates", title_justify="left")
    for name in ("gate", "value", "limit", ""):
        table.add_column(name, justify="left" if name in {"gate", ""} else "right")
    for gate in record["gates"]:
        word = ("holds", "green") if gate["passed"] else ("fails", "bold red")
        values = (gate_number(gate, name) for name in ("value", "limit"))
        table.add_row(gate["name"], *values, Text(word[0], word[1]))
    return table


def _of_model(record: dict[str, Any]) -> Iterator[str]:
    """Import, arrays, outputs, distance from the ideal product, worst inputs, energy: a line."""
    imported, sample = record["imported"], record["sample"]
    yield (
        f"import: {counted(imported['outputs'], 'output')} differ by at most "
        f"{error(imported['error'])} from "
        f"{imported['against']}"
    )
    yield (
        f"{sample['checked']} of {sample['tiles']} array reads solved by {record['reference']}, "
        f"each with a dense probe; {percent(record['coverage']['weight_share'])} of the "
        "weights on arrays"
    )
    for engine, checks in record["tiles"].items():
        worst = max(checks, key=lambda c: c["worst"])
        yield (
            f"{engine} against {record['reference']}: currents differ by at most "
            f"{error(worst['worst'])} of the largest ({worst['line']} of {_place(worst)})"
        )
    for decisions in record["decisions"]:
        interval = decisions["interval"]
        sure = "" if interval is None else f" (at least {percent(interval[0])}, 95 % sure)"
        yield (
            f"{counted(decisions['points'], 'input')} through {decisions['through']}: outputs "
            f"within {error(decisions['error'])} of exact products, "
            f"{percent(decisions['agreement'])} equal decisions{sure}, accuracy "
            f"{percent(decisions['accuracy'])} (exact: {percent(decisions['exact_accuracy'])})"
        )
    yield record["whole"]
    checks = next(iter(record["tiles"].values()))
    yield _ideal(max((c["ideal"] for c in checks), key=lambda k: k["worst"]))
    for search in record["searches"]:
        what = "from exact products" if search["target"] == "ideal" else "between engines"
        yield (
            f"worst input {what}: {error(search['value'])} (search of "
            f"{counted(search['evaluations'], 'input')})"
        )
    if record["searched"]:
        yield record["searched"]
    if record["energy"] is not None:
        yield f"energy of an inference: {si(record['energy'], 'J')} on average"


def _of_array(record: dict[str, Any]) -> Iterator[str]:
    """Vectors, engines, given currents, distance from the ideal product, energy: a line each."""
    yield (
        f"{counted(record['vectors'], 'vector')} and {counted(record['probes'], 'dense probe')} "
        f"by {record['reference']}"
        f", compared on {counted(len(record['array']['outputs']), 'line')}"
    )
    for e in record["engines"]:
        cell = e["device"]
        yield (
            f"{e['engine']} against {record['reference']}: currents differ by at most "
            f"{error(e['worst'])} of the largest ({e['line']}, vector {e['vector']}), devices by "
            f"{error(cell['error'])} (row {cell['row']}, column {cell['col']})"
        )
    stated = record["given"]
    if stated is not None:
        yield (
            f"given currents against {record['reference']}: {error(stated['worst'])} of the "
            f"largest ({stated['line']}, vector {stated['vector']})"
        )
    yield _ideal(record["ideal"])
    energy = record["energy"]
    mean, most = si(sum(energy) / len(energy), "J"), si(max(energy), "J")
    yield f"energy of a read: {mean} on average, {most} at most"


def _place(check: dict[str, Any]) -> str:
    return f"{check['matrix']}[{check['group']},{check['row']},{check['col']}]"


def _ideal(ideal: dict[str, Any]) -> str:
    return (
        f"currents at most {error(ideal['worst'])} from the ideal product ({ideal['line']}; "
        f"devices {signed(ideal['device'])}, wires {signed(ideal['wires'])})"
    )
