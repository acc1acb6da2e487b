"""The words and tables of a cross-check's report, drawn from its stored record."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from xbarspice.report import units
from xbarspice.report.content import Code, Item, Section, Table, Text, Verdict
from xbarspice.report.records import Run

__all__ = [
    "config_section", "environment_section", "gate_items", "line_section", "repeat_section",
    "scope", "summary_section", "verdict", "worst_section",
]  # fmt: skip

_LONG = 16  # rows above which a table waits folded
_MAX_LINES = 400  # lines listed one by one; a page of thousands helps nobody
_ROUNDING = 1e-9  # below this, two correct solvers differ in the order of their sums

_UNITS = {"R": "ohm", "G": "S", "V": "V", "I": "A"}


def verdict(record: dict[str, Any]) -> Verdict:
    """PASS or FAIL in words; without a gate nothing was judged, and the page says so."""
    gates = record.get("gates") or []
    failed = [g for g in gates if not g["passed"]]
    if failed:
        reasons = "; ".join(
            f"{g['name']} is {units.error(g['value'])}, limit {units.error(g['limit'])}"
            for g in failed
        )
        text = f"{len(failed)} of {len(gates)} gates broken: {reasons}. {scope(record)}".strip()
        return Verdict(state="fail", word="FAIL", text=text)
    if record.get("passed") is False:
        return Verdict(state="fail", word="FAIL", text="The run says that it did not pass.")
    if not gates:
        text = "No gate was set, so nothing was judged; the figures stand for themselves."
        return Verdict(state="none", word="NO GATES", text=text)
    text = f"Every gate holds ({len(gates)} of {len(gates)}). {scope(record)}"
    return Verdict(state="pass", word="PASS", text=text.strip())


def scope(record: dict[str, Any]) -> str:
    """What a cross-check compared with what, and what no gate judged, in a few sentences."""
    parts = []
    names = [e["engine"] for e in record.get("engines") or []][1:]
    if names:
        parts.append(
            f"Compared: currents of {' and '.join(names)} with those of {record.get('reference')} "
            f"at {record.get('points')} inputs."
        )
    if (value := record.get("end_to_end")) is not None:
        subject = "output currents" if record.get("subject") == "array" else "last layer's sums"
        sought = {w["target"]: w["value"] for w in record.get("worst_inputs") or []}
        by_search = f" ({units.error(sought['ideal'])} by search)" if "ideal" in sought else ""
        judged = any("ideal product" in g["name"] for g in record.get("gates") or [])
        parts.append(
            f"The {subject} of {record.get('reference')} are up to {units.error(value)} of the "
            f"largest{by_search} from the ideal product"
            + ("." if judged else ", which no gate judges.")
        )
    parts += [f"Not judged: {text}." for text in record.get("unjudged") or []]
    return " ".join(parts)


def _limit(gate: dict[str, Any]) -> str:
    """A limit, and what error bounds add to it where that is 1 % of it or more."""
    allowance = gate.get("allowance") or 0.0
    more = (
        f" + {units.error(allowance)} of error bounds" if allowance >= 0.01 * gate["limit"] else ""
    )
    return units.error(gate["limit"]) + more


def gate_items(record: dict[str, Any]) -> list[Item]:
    """The table of gates, as listed in JUnit XML."""
    rows = [
        (
            g["name"],
            units.error(g["value"]),
            _limit(g),
            "PASS" if g["passed"] else "FAIL",
        )
        for g in record.get("gates") or []
    ]
    if not rows:
        return []
    caption = f"Gates: each value must not exceed its limit (reference: {record.get('reference')})"
    return [Table(caption=caption, head=("Gate", "Value", "Limit", "Verdict"), rows=rows)]


def _layers(engine: dict[str, Any]) -> list[dict[str, Any]]:
    return engine.get("layers") or []


def summary_section(record: dict[str, Any]) -> Section:
    """Accuracies, errors and times, one column an engine; training and stage times below."""
    engines = record.get("engines") or []
    reference = record.get("reference")
    head = ["", "software", *(e["engine"] for e in engines)]
    soft = record.get("software_disagreements")

    def row(title: str, software: str, key: Any) -> list[str]:
        return [title, software, *(key(e) for e in engines)]

    def largest(engine: dict[str, Any], name: str) -> str:
        if engine["engine"] == reference:
            return "reference"
        return units.error(max((layer[name] for layer in _layers(engine)), default=None))

    predictions = record.get("subject") != "array"
    rows = (
        [
            row(
                "Accuracy",
                units.share(record.get("software_accuracy")),
                lambda e: units.share(e.get("accuracy")),
            ),
            row(
                "Predictions that differ",
                units.plain(soft),
                lambda e: units.plain(e.get("disagreements")),
            ),
            row("Predictions that agree", "-", lambda e: units.share(e.get("agreement"))),
        ]
        if predictions
        else []
    )
    rows += [
        row("Worst current error", "-", lambda e: largest(e, "worst")),
        row("Rms current error", "-", lambda e: largest(e, "rms")),
        row("Error bound", "-", lambda e: units.error(e.get("error_bound"))),
        row("Kirchhoff residual", "-", lambda e: units.error(e.get("kirchhoff"))),
        row("Energy an inference, mean", "-", _mean_energy),
        row("Time", "-", lambda e: units.si(e.get("seconds"), "s", 3)),
    ]  # fmt: skip
    points = record.get("points")
    remark = f"Predictions that differ: from those of {reference}. " if predictions else ""
    if not predictions:  # a single array has no software to compare with
        head.pop(1)
        for cells in rows:
            cells.pop(1)
    items: list[Item] = [
        Table(caption=f"Engines over {points} inputs", head=head, rows=rows),
        Text(text=remark + "Current errors: of the worst layer, relative to its largest reference "
                  "current. The error bound: what an engine's currents may be wrong by, relative "
                  "to the same; gates add those of both engines to their limit. "
                  "The Kirchhoff residual: relative to the largest current.", note=True),
    ]  # fmt: skip
    if record.get("software_accuracy") is None and predictions:
        items.append(
            Text(text="The inputs came without classes, so there are no accuracies.", note=True)
        )
    methods = [(e["engine"], e["method"]) for e in engines if e.get("method")]
    if methods:
        items.append(Table(caption="Methods", head=("Engine", "Method"), rows=methods, left=(0, 1)))
    for engine in engines:
        items += [
            Text(text=f"{engine['engine']}: {note}", note=True)
            for note in engine.get("notes") or []
        ]
    items += _training(record)
    return Section(title="Summary", items=items)


def _mean_energy(engine: dict[str, Any]) -> str:
    energy = engine.get("energy") or []
    return units.si(sum(energy) / len(energy), "J", 3) if energy else "-"


def _training(record: dict[str, Any]) -> Iterator[Item]:
    if training := record.get("training"):
        rows = [
            (
                name.replace("_", " "),
                units.share(v) if name.startswith("accuracy") else units.plain(v),
            )
            for name, v in _flat(training)
        ]
        yield Table(caption="Training", head=("", "Value"), rows=rows)
    if seconds := record.get("seconds"):
        rows = [(name, units.si(v, "s", 3)) for name, v in seconds.items()]
        yield Table(caption="Time a stage", head=("Stage", "Time"), rows=rows)


def line_section(record: dict[str, Any]) -> Section | None:
    """Worst and rms error of every layer, and of every output line."""
    judged = [e for e in record.get("engines") or [] if e["engine"] != record.get("reference")]
    judged = [e for e in judged if _layers(e)]
    if not judged:
        return None
    pair = [f"{e['engine']} {name}" for e in judged for name in ("worst", "rms")]
    layers = []
    for k, layer in enumerate(_layers(judged[0])):
        errors = _pairs([_layers(e)[k] for e in judged])
        layers.append([str(layer["layer"]), units.si(layer["I_max"], "A"), *errors])
    items: list[Item] = [
        Table(
            caption="Current error of every layer", head=["Layer", "Full scale", *pair], rows=layers
        ),
        *_line_tables(judged, pair),
    ]
    return Section(title="Errors by layer and line", items=items)


def _pairs(records: list[dict[str, Any]]) -> list[str]:
    return [units.error(r[name]) for r in records for name in ("worst", "rms")]


def _line_tables(judged: list[dict[str, Any]], pair: list[str]) -> Iterator[Item]:
    found = []
    for k, layer in enumerate(_layers(judged[0])):
        for c, column in enumerate(layer["columns"]):
            records = [_layers(e)[k]["columns"][c] for e in judged]
            place = [str(layer["layer"]), str(column["array"]), column["line"]]
            found.append((max(r["worst"] for r in records), [*place, *_pairs(records)]))
    if not found:
        return
    caption = "Current error of every output line"
    if len(found) > _MAX_LINES:
        caption = f"Current error of the {_MAX_LINES} worst of {len(found)} output lines"
        found = sorted(found, key=lambda f: -f[0])[:_MAX_LINES]
    rows = [row for _, row in found]
    head = ["Layer", "Array", "Line", *pair]
    if len({row[1] for row in rows}) == 1:  # one array: its column says nothing
        caption += f" (all on array {rows[0][1]})"
        head.pop(1)
        for row in rows:
            row.pop(1)
    yield Table(
        caption=caption, head=head, rows=rows, left=tuple(range(len(head) - len(pair))),
        collapse=len(rows) > _LONG,
    )  # fmt: skip


def worst_section(run: Run) -> Section | None:
    """Where each engine differs most from the reference, and what that means."""
    record = run.record
    rows, texts = [], []
    for engine in record.get("engines") or []:
        cells = [(k["layer"], k["worst_cell"]) for k in _layers(engine) if k.get("worst_cell")]
        if engine["engine"] == record.get("reference") or not cells:
            continue
        rows += [
            (
                engine["engine"], str(layer), f"{w['array']} / {w['row']} / {w['col']}",
                str(w["point"]),
                units.error(w["error"]), units.si(w["I_reference"], "A"),
                units.si(w["I_engine"] - w["I_reference"], "A", 3), units.si(w["V_device"], "V"),
            )
            for layer, w in cells
        ]  # fmt: skip
        texts.append(Text(text=_meaning(engine, max(cells, key=lambda c: c[1]["error"]), run)))
    if not rows:
        return None
    head = (
        "Engine",
        "Layer",
        "Array / row / col",
        "Input",
        "Error",
        "Reference",
        "Difference",
        "Device",
    )
    table = Table(
        caption="The device whose current differs most (error over the layer's largest one)",
        head=head, rows=rows, collapse=len(rows) > _LONG,
    )  # fmt: skip
    remark = Text(text="Rows count from the top, columns from the left, both from 0.", note=True)
    return Section(title="The worst cell", items=[*texts, table, remark])


def _meaning(engine: dict[str, Any], found: tuple[int, dict[str, Any]], run: Run) -> str:
    layer, w = found
    name, reference = engine["engine"], run.reference
    if w["error"] == 0:
        return f"{name}: every device current equals that of {reference} to the last digit."
    place = f"array {w['array']}, row {w['row']}, column {w['col']} (layer {layer})"
    text = (
        f"{name} differs most from {reference} at {place}, {_input(run, w['point'])}: "
        f"{units.si(abs(w['I_engine'] - w['I_reference']), 'A', 3)} on a device that carries "
        f"{units.si(w['I_reference'], 'A')} at {units.si(w['V_device'], 'V')}, "
        f"{units.error(w['error'])} of the layer's largest device current. "
    )
    # A rounding error is said once, by the consequence.
    why = " ".join(words for words in w.get("why") or () if not words.startswith("The error is"))
    return text + _consequence(w["error"], engine, run) + (f" {why}" if why else "")


def _input(run: Run, point: int) -> str:
    x = run.inputs.get("x")
    if x is None or not 0 <= point < len(x) or x[point].size > 4:
        return f"input {point}"
    return f"input {point} (x = {', '.join(f'{v:.3g}' for v in x[point])})"


def _consequence(error: float, engine: dict[str, Any], run: Run) -> str:
    """What an error of that size says; statements, not guesses about a cause."""
    differ = engine.get("disagreements")
    tail = "" if differ is None else f" Predictions that differ: {differ}."
    if math.isnan(error):
        return "An engine gave a number that is not finite: do not use its results."
    if error <= _ROUNDING:
        return "That is rounding, not a different circuit." + tail
    limit, worst = run.limit, max(layer["worst"] for layer in _layers(engine))
    if limit is None:
        return "No current gate was set to hold it against." + tail
    # The gate is on output currents, not on devices: judge by those.
    found, gate = units.error(worst), units.error(limit)
    if worst <= limit:
        return (
            f"That is more than rounding, but the output currents differ by {found} at most, "
            f"within the gate of {gate}." + tail
        )
    return (
        f"The output currents differ by up to {found}, above the gate of {gate}: the two do not "
        "solve the same circuit as closely as asked. Compare netlist and array at this cell: "
        "device model, wires, line ends, units." + tail
    )


def _flat(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _with_unit(name: str, value: Any) -> str:
    unit = _UNITS.get(name.rpartition(".")[2].partition("_")[0])
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return units.si(value, unit, 6) if unit and number else units.plain(value)


def config_section(record: dict[str, Any]) -> Section | None:
    """Network, arrays and the settings that were read."""
    items: list[Item] = []
    if network := record.get("network"):
        rows = [(name, units.plain(v)) for name, v in _flat(network)]
        items.append(Table(caption="Network", head=("", "Value"), rows=rows, left=(0, 1)))
    if arrays := record.get("arrays"):
        items.append(_array_table(arrays))
    if config := record.get("config"):
        rows = [(name, _with_unit(name, v)) for name, v in _flat(config)]
        items.append(
            Table(
                caption="Every setting that was read (run.toml)", head=("Name", "Value"),
                rows=rows, left=(0, 1), collapse=len(rows) > _LONG,
            )
        )  # fmt: skip
    return Section(title="Configuration", items=items) if items else None


def _array_table(arrays: list[dict[str, Any]]) -> Table:
    names = list(dict.fromkeys(k for a in arrays for k in a if k != "shape"))
    rows = [
        [str(k), " x ".join(str(n) for n in a.get("shape") or ()) or "-"]
        + [_with_unit(name, a.get(name)) for name in names]
        for k, a in enumerate(arrays)
    ]
    return Table(
        caption="Arrays", head=["Array", "Cells", *names], rows=rows, collapse=len(rows) > _LONG
    )


def environment_section(record: dict[str, Any]) -> Section | None:
    """Versions of everything that took part."""
    found = dict(_flat(record.get("environment") or {}))
    if version := record.get("xbarspice"):
        found = {"xbarspice": version, **found}
    if not found:
        return None
    rows = [(name, units.plain(v)) for name, v in found.items()]
    table = Table(caption="Programs and packages", head=("Name", "Value"), rows=rows, left=(0, 1))
    return Section(title="Environment", items=[table])


def repeat_section(record: dict[str, Any]) -> Section:
    """How to get the same numbers again."""
    items: list[Item] = []
    seed = (record.get("config") or {}).get("seed")
    with_seed = "" if seed is None else f" (seed {seed} makes every random number)"
    version = record.get("xbarspice")
    release = f"xbarspice {version}" if version else "the same xbarspice"
    items.append(
        Text(
            text=f"run.toml in this folder holds every setting that was read{with_seed}. "
            f"With {release} and the same files it gives the same arrays, netlists and "
            "predictions; currents agree within the solvers' rounding."
        )
    )
    command = record.get("command")
    if command:
        items.append(Code(text=command if isinstance(command, str) else "\n".join(command)))
    if netlists := record.get("netlists"):
        first = str(netlists[0])
        items += [
            Text(text=f"Each of the {len(netlists)} netlists also runs by hand, in this folder:"
                 if len(netlists) > 1 else "The netlist also runs by hand, in this folder:"),
            Code(text=f"ngspice -b {first}"),
        ]  # fmt: skip
    items.append(
        Text(
            text="Every number stands in report.json, every current and voltage in results.h5.",
            note=True,
        )
    )
    return Section(title="How to repeat", items=items)
