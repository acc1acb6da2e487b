"""Sections that pages of all subjects have in common, each drawn from an entry of a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xbarspice.core.counts import counted
from xbarspice.report import units
from xbarspice.report.content import Item, Section, Table, Text, Verdict

__all__ = [
    "about_sections",
    "card_section",
    "card_text",
    "config_section",
    "coverage_section",
    "cut_table",
    "findings_section",
    "gate_number",
    "gates_section",
    "gates_verdict",
]

Record = Mapping[str, Any]

SHOWN = 30
"""Rows of a table before it is cut."""
RANGES = {"V": "voltages", "G": "conductances", "T": "temperatures"}
UNITS = {"R": "ohm", "G": "S", "V": "V", "I": "A"}
"""Unit of a setting by the first letter of its name."""


def cut_table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)
) -> Table:
    """A table of at most `SHOWN` rows that says how many it leaves out."""
    cut = len(rows) - SHOWN
    if cut > 0:
        more = [f"and {cut} more (report.json)", *[""] * (len(head) - 1)]
        rows = [*rows[:SHOWN], more]
    return Table(caption=caption, head=head, rows=rows, left=left)


def gates_verdict(record: Record, result: str, compared: str) -> Verdict:
    """PASS or FAIL with the result, what was compared, and what no gate judged.

    Args:
        record: with `gates` (each with `passed`) and `unjudged` (texts).
        result: the number that the reader came for, a sentence.
        compared: what was compared with what, a sentence.
    """
    gates = record["gates"]
    failed = [gate for gate in gates if not gate["passed"]]
    unjudged = " ".join(f"Not judged: {text}." for text in record["unjudged"])
    text = f"{_gates_sentence(failed, len(gates))} {result}"
    return Verdict(
        state="fail" if failed else "pass",
        word="FAIL" if failed else "PASS",
        text=text.rstrip(),
        detail=f"{compared} {unjudged}".rstrip(),
    )


def _gates_sentence(failed: Sequence[Record], count: int) -> str:
    """How many gates hold; the first that does not, with its value and its limit."""
    if not failed:
        return "The only gate holds." if count == 1 else f"{counted(count, 'gate')} hold."
    first, more = failed[0], len(failed) - 1
    value, limit = (gate_number(first, name) for name in ("value", "limit"))
    others = f" {counted(more, 'other gate')} of {count} broken, too." if more else ""
    return f"{first['name']}: {value}, limit {limit}.{others}"


def gates_section(record: Record, *items: Item) -> Section:
    """Every gate (`name`, `value`, `limit`, `unit`, `passed`), and more items below."""
    rows = [
        [
            gate["name"],
            gate_number(gate, "value"),
            gate_number(gate, "limit"),
            "PASS" if gate["passed"] else "FAIL",
        ]
        for gate in record["gates"]
    ]
    table = Table(caption="What had to hold", head=["gate", "value", "limit", ""], rows=rows)
    return Section(title="Gates", items=[table, *items])


def gate_number(gate: Record, name: str) -> str:
    """Value or limit of a gate: a ratio, or a number in the unit of the gate.

    Args:
        gate: with `value`, `limit` and `unit`.
        name: "value" or "limit".
    """
    value, unit = gate[name], gate.get("unit", "")
    if unit == "":
        return units.error(value)
    return units.short(value) if unit == "count" else units.si(value, unit, 3)


def findings_section(record: Record, looked_for: str) -> Section:
    """Every finding (`kind`, `where`, `text`, `remedy`); without one, what was looked for."""
    if not record["findings"]:
        text = f"None of these was seen: {looked_for}."
        return Section(title="Findings", items=[Text(text=text)])
    rows = [[f["kind"], f["where"], f["text"], f["remedy"]] for f in record["findings"]]
    head = ["finding", "where", "what was seen", "what to do"]
    table = Table(caption="Findings", head=head, rows=rows, left=(0, 1, 2, 3))
    return Section(title="Findings", items=[table])


def coverage_section(record: Record) -> Section:
    """What of a model is on arrays: `coverage`, the record of `nn.coverage`."""
    cover = record["coverage"]
    items: list[Item] = [Text(text=_coverage_sentence(cover))]
    rows = [
        [
            m["name"],
            m["layer"],
            f"{m['groups']} x {m['outputs']} x {m['inputs']}",
            str(m["arrays"]) if m["arrays"] else "of another matrix",
            str(m["devices"]),
            "-" if m["products"] is None else f"{m['products']:,}",
        ]
        for m in cover["matrices"]
    ]
    head = ["matrix", "layer", "groups x outputs x inputs", "arrays", "devices", "products"]
    items.append(cut_table("On arrays", head, rows, left=(0, 1)))
    if cover["ideal"]:
        rows = [[w["name"], f"{w['size']:,}", w["reason"]] for w in cover["ideal"]]
        items.append(cut_table("Not on arrays", ["weight", "size", "why"], rows, left=(0, 2)))
    if cover["digital"]:
        rows = [[d["operands"], d["operation"], f"{d['products']:,}"] for d in cover["digital"]]
        head = ["operands", "operation", "products"]
        items.append(cut_table("Matrix products outside the arrays", head, rows, left=(0, 1)))
    return Section(title="What of the model is on arrays", items=items)


def _coverage_sentence(cover: Record) -> str:
    text = (
        f"{cover['weights_on_arrays']:,} weights are on arrays, "
        f"{units.percent(cover['weight_share'])} of all weights"
    )
    if cover["product_share"] is None:
        return text + "; multiply-accumulates were not measured (convert without calibrate)."
    share = units.percent(cover["product_share"])
    return f"{text}, and {share} of the multiply-accumulates measured."


def card_text(record: Record) -> str:
    """What `calibration` says of the record's card; empty without one."""
    card = record.get("calibration")
    return f"Calibrated: {card}" if card else ""


def card_section(record: Record) -> list[Section]:
    """The card that values come from: its age, what its data covered, and uses beyond; or nothing.

    Args:
        record: with `card`, as of `xbarspice.config.card_use.describe_card`.
    """
    card = record.get("card")
    if not card:
        return []
    items: list[Item] = [Text(text=f"{_age_sentence(card)} {_range_sentence(card)}")]
    items += [Text(text=f"Beyond the card: {text}.", note=True) for text in card["beyond"]]
    if card["overridden"]:
        names = ", ".join(card["overridden"])
        items.append(Text(text=f"Set by hand in place of the card's: {names}.", note=True))
    return [Section(title="The card that values come from", items=items)]


def _age_sentence(card: Record) -> str:
    title, date, days = card["title"], card["date"], card["age_days"]
    if date is None:
        return f"The card {title!r} has no date: its age is not known."
    if days is None:
        return f"The card {title!r} is dated {date!r}, from which no age follows."
    if days < 0:
        return f"The card {title!r} is of {date}, {counted(-days, 'day')} after this report."
    return f"The card {title!r} is of {date}, {counted(days, 'day')} before this report."


def _range_sentence(card: Record) -> str:
    valid = card["valid"] or {}
    parts = []
    for name, unit in (("V", "V"), ("G", "S"), ("T", "deg C")):
        low, high = valid.get(f"{name}_low"), valid.get(f"{name}_high")
        if low is None or high is None:
            continue
        if name == "T":
            words = f"{low:g} {unit}" if low == high else f"{low:g} to {high:g} {unit}"
        else:
            words = f"{units.si(low, unit, 4)} to {units.si(high, unit, 4)}"
        parts.append(f"{RANGES[name]} {words}")
    missing = [RANGES[n] for n in RANGES if valid.get(f"{n}_low") is None]
    text = f"Its data covered {', '.join(parts)}." if parts else ""
    return f"{text} Not on the card: {', '.join(missing)}.".strip() if missing else text


def about_sections(record: Record) -> list[Section]:
    """Card, notes, settings, times and versions, as far as the record has them."""
    texts = [*([f"{card}."] if (card := card_text(record)) else []), *(record.get("notes") or ())]
    notes = [Section(title="Notes", items=[Text(text=text) for text in texts])] if texts else []
    return [*card_section(record), *notes, *config_section(record)]


def config_section(record: Record) -> list[Section]:
    """Settings, wall-clock times and versions, folded; nothing of a record without them.

    Args:
        record: as far as known with `config`, `seconds`, `environment` and `xbarspice`.
    """
    rows = [(name, _with_unit(name, value)) for name, value in _flat(record.get("config") or {})]
    seconds = record.get("seconds")
    seconds = seconds if isinstance(seconds, Mapping) else {}  # a number is a tester's time
    times = [(name, units.si(value, "s", 3)) for name, value in seconds.items()]
    version = record.get("xbarspice")
    programs = {"xbarspice": version} if version else {}
    programs |= dict(_flat(record.get("environment") or {}))
    versions = [(name, units.plain(value)) for name, value in programs.items()]
    tables: list[Item] = [
        Table(caption=caption, head=("Name", "Value"), rows=cells, left=(0, 1), collapse=True)
        for caption, cells in (
            ("Every setting that was read (run.toml)", rows),
            ("Wall-clock time", times),
            ("Programs and packages", versions),
        )
        if cells
    ]
    return [Section(title="Configuration", items=tables)] if tables else []


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Names with dots and values of nested tables."""
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _with_unit(name: str, value: object) -> str:
    unit = UNITS.get(name.rpartition(".")[2].partition("_")[0])
    if unit and isinstance(value, int | float) and not isinstance(value, bool):
        return units.si(value, unit, 6)
    return units.plain(value)
