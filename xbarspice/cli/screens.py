"""What a person sees in the terminal: progress on stderr, results on stdout.

No console reads markup: names, paths and messages may hold square brackets. What is set off by a
style is a `Text`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from xbarspice.errors import TrustWarning

__all__ = [
    "crosscheck",
    "doctor",
    "engines_progress",
    "error",
    "progress",
    "show",
    "stages_progress",
    "trust_map",
    "verification",
    "waiting",
]

_err = Console(stderr=True, highlight=False, markup=False)


def _out() -> Console:
    return Console(highlight=False, markup=False)


def _marked(word: str, style: str, rest: str = "") -> Text:
    return Text.assemble((word, style), rest)


def error(message: str) -> None:
    """One message on stderr."""
    _err.print(_marked("error:", "bold red", f" {message}"), soft_wrap=True)


_show = warnings.showwarning


def warned(message: Any, category: Any, *place: Any, **more: Any) -> None:
    """A warning of ours as one message on stderr; others as Python shows them."""
    if issubclass(category, TrustWarning):
        _err.print(_marked("warning:", "bold yellow", f" {message}"), soft_wrap=True)
    else:
        _show(message, category, *place, **more)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description:<22}", markup=False), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), console=_err,
    )  # fmt: skip


@contextmanager
def progress(title: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar; yields a function of (done, total)."""
    if quiet:
        yield lambda done, total: None
        return
    with _bars() as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
        done = bars.tasks[0].completed
        bars.update(task, total=done, completed=done)


@contextmanager
def engines_progress(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """One progress bar an engine; yields a function of (engine, done, total)."""
    with _many_bars("solving with {}", quiet=quiet) as update:
        yield update


@contextmanager
def stages_progress(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """One progress bar a stage, each done when the next begins; a function of (stage, done, total).

    A stage that fails stays as it is.
    """
    with _many_bars("{}", quiet=quiet) as update:
        last: list[tuple[str, int]] = []

        def stage(name: str, done: int, total: int) -> None:
            if last and last[-1][0] != name:
                update(last[-1][0], last[-1][1], last[-1][1])
            last[:] = [(name, total)]
            update(name, done, total)

        yield stage
        if last:
            update(last[-1][0], last[-1][1], last[-1][1])


@contextmanager
def _many_bars(title: str, *, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    if quiet:
        yield lambda name, done, total: None
        return
    with _bars() as bars:
        tasks: dict[str, Any] = {}

        def update(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(title.format(name), total=total)
            bars.update(tasks[name], completed=done, total=total)

        yield update


@contextmanager
def waiting(title: str, *, quiet: bool) -> Iterator[None]:
    """A spinner while something without steps goes on."""
    if quiet:
        yield
        return
    with _err.status(title):
        yield


def _json(record: Any) -> None:
    from xbarspice.cli.json_text import to_json

    typer.echo(to_json(record))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(v) for v in value) or "none"
    return str(value)


def show(record: dict[str, Any], as_json: bool, title: str) -> None:
    """A record as JSON, or as a table of names and values."""
    if as_json:
        _json(record)
        return
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in record.items():
        table.add_row(name.replace("_", " "), _text(value))
    _out().print(table)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def crosscheck(record: dict[str, Any], out: Path, as_json: bool) -> None:
    """The cross-check: errors a layer and line, accuracies, worst cell, times, gates."""
    if as_json:
        _json({**record, "folder": str(out)})
        return
    from xbarspice.report.tables import verdict as headline

    console = _out()
    console.print(_summary(record))
    console.print(_lines(record))
    for engine in record["engines"][1:]:
        for layer in engine["layers"]:
            cell = layer["worst_cell"]
            console.print(
                f"{engine['engine']}, layer {layer['layer']}: worst cell row {cell['row']}, column "
                f"{cell['col']} of array {cell['array']} at point {cell['point']}, "
                f"{cell['error']:.1e} of the largest device current "
                f"({cell['I_reference'] * 1e6:.3g} uA at {cell['V_device'] * 1e3:.3g} mV)"
            )
    for line in _remarks(record):
        console.print(line, soft_wrap=True)
    table = Table(title="Gates", title_justify="left")
    for name in ("gate", "value", "limit", ""):
        table.add_column(name, justify="left" if name in {"gate", ""} else "right")
    for gate in record["gates"]:
        verdict = _marked("pass", "green") if gate["passed"] else _marked("FAIL", "bold red")
        table.add_row(gate["name"], f"{gate['value']:.3g}", f"{gate['limit']:.3g}", verdict)
    console.print(table)
    answer = headline(record)
    style = {"pass": "bold green", "fail": "bold red", "none": "bold"}[answer.state]
    console.print(_marked(answer.word, style, f"  {answer.text}"), soft_wrap=True)
    console.print(f"report: {out / 'report.html'}", soft_wrap=True)


def verification(record: dict[str, Any], out: Path, as_json: bool) -> None:
    """What `xb.verify` found, gate by gate, and where the report is."""
    if as_json:
        _json(record)
        return
    print_ = _out().print
    passed = record["passed"]
    print_(
        _marked(
            "PASS" if passed else "FAIL",
            "bold green" if passed else "bold red",
            f"  {record['title']}",
        )
    )
    table = Table("gate", "value", "limit", "", title="Gates", title_justify="left")
    for gate in record["gates"]:
        word = ("holds", "green") if gate["passed"] else ("fails", "bold red")
        table.add_row(
            gate["name"], _text(gate["value"]), _text(gate["limit"]), Text(word[0], word[1])
        )
    print_(table)
    sample, covered = record["sample"], record["coverage"]
    said = f"{sample['checked']} of {sample['tiles']} arrays solved by {record['reference']}"
    print_(f"{said}; {100 * covered['weight_share']:.1f} % of the weights on arrays")
    for made in record["decisions"]:
        print_(
            f"through {made['through']}: output error {made['error']:.3g}, agreement "
            f"{_percent(made['agreement'])}, accuracy {_percent(made['accuracy'])}"
        )
    for finding in record["findings"]:
        print_(
            _marked(
                finding["kind"],
                "yellow",
                f" ({finding['where']}): {finding['text']} {finding['remedy']}",
            )
        )
    for note in record["notes"]:
        print_(f"note: {note}")
    print_(f"report: {out / 'report.html'}")


def _remarks(record: dict[str, Any]) -> Iterator[str | Text]:
    """Card, findings, distance from the ideal product, searched inputs, energy: a line each."""
    if card := record.get("calibration"):
        yield f"calibrated: {card}"
    for f in record.get("findings") or []:
        yield _marked(f["kind"], "bold yellow", f" in {f['where']}: {f['text']} {f['remedy']}")
    for k in record.get("ideal") or []:
        yield (
            f"layer {k['layer']}: at most {100 * k['worst']:.3g} % from the ideal product "
            f"({k['line']} of array {k['array']}; devices {100 * k['device']:+.3g} %, wires "
            f"{100 * k['wires']:+.3g} %), up to {k['drop'] * 1e3:.3g} mV lost in wires"
        )
    for w in record.get("worst_inputs") or []:
        what = "from the ideal product" if w["target"] == "ideal" else "between engines"
        yield f"worst input {what}: point {w['point']}, {w['value']:.2g} (search of {w['solves']})"
    energy = record["engines"][0].get("energy") or []
    if energy:
        mean, most = sum(energy) / len(energy) * 1e12, max(energy) * 1e12
        yield f"energy of an inference: {mean:.4g} pJ on average, {most:.4g} pJ at most"


def _summary(record: dict[str, Any]) -> Table:
    table = Table(title=f"{record['title']}: {record['points']} points", title_justify="left")
    for name in ("", "accuracy", "differ", "worst error", "rms error"):
        table.add_column(name, justify="right" if name else "left")
    table.add_column("Kirchhoff", justify="right")
    table.add_column("time", justify="right")
    if record.get("subject") != "array":
        table.add_row(
        "software", _percent(record["software_accuracy"]),
        str(record["software_disagreements"]), "-", "-", "-", "-",
    )  # fmt: skip
    for k, engine in enumerate(record["engines"]):
        layers = engine["layers"]
        worst = f"{max(layer['worst'] for layer in layers):.1e}" if k else "reference"
        rms = f"{max(layer['rms'] for layer in layers):.1e}" if k else "-"
        table.add_row(
            engine["engine"], _percent(engine["accuracy"]), str(engine["disagreements"]), worst,
            rms, f"{engine['kirchhoff']:.0e}", f"{engine['seconds']:.3g} s",
        )  # fmt: skip
    return table


def _lines(record: dict[str, Any], most: int = 24) -> Table:
    """Worst and rms error of every output line, one pair of columns an engine."""
    engines = record["engines"][1:]
    table = Table(
        title=f"Current error against {record['reference']}, over the layer's largest current",
        title_justify="left",
    )
    for name in ("layer", "array", "line"):
        table.add_column(name, justify="right")
    for engine in engines:
        table.add_column(f"{engine['engine']} worst", justify="right")
        table.add_column("rms", justify="right")
    for k in range(len(record["engines"][0]["layers"])):
        layers = [engine["layers"][k] for engine in engines]
        lines = list(zip(*(layer["columns"] for layer in layers), strict=True))
        shown = lines
        if len(lines) > most:
            shown = sorted(lines, key=lambda row: -max(c["worst"] for c in row))[:8]
        for row in shown:
            place = (str(k), str(row[0]["array"]), row[0]["line"])
            table.add_row(*place, *_errors(row))
        if len(shown) < len(lines):
            table.add_row(str(k), "", f"+{len(lines) - len(shown)} smaller")
        table.add_row(str(k), "", "all", *_errors(layers), style="bold", end_section=True)
    return table


def _errors(rows: Any) -> list[str]:
    return [f"{row[name]:.1e}" for row in rows for name in ("worst", "rms")]


def trust_map(found: Any, path: Path, error: float, as_json: bool) -> None:
    """Largest trusted size of every device and level, by wire resistance and conductance."""
    if as_json:
        errors = {d: {k: v.tolist() for k, v in e.items()} for d, e in found.errors.items()}
        _json({"file": str(path), "source": found.source, "axes": found.axes, "errors": errors})
        return
    table = Table(
        title=f"Largest array whose error stays within {error:g}, by wire resistance",
        title_justify="left",
    )
    for name in ("device", "level", "G_max", "V_read"):
        table.add_column(name, no_wrap=True)
    for R in found.axes["R_wire"]:
        table.add_column(f"{R:g} ohm", justify="right", no_wrap=True)
    for device, levels in found.errors.items():
        for level in levels:
            sizes = found.largest(level, device, error)  # (R_wire, G_max, V_read)
            for G, V, row in _places(sizes, found.axes):
                table.add_row(device, level, G, V, *(str(n) if n else "none" for n in row))
        table.add_section()
    console = _out()
    console.print(table)
    console.print(f"map: {path}", soft_wrap=True)


def _places(sizes: Any, axes: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Rows of a map: those that are alike for all conductances or voltages stand once."""
    alike_G, alike_V = ((sizes == sizes.take([0], axis=k)).all() for k in (1, 2))
    for k, G in enumerate(axes["G_max"][:1] if alike_G else axes["G_max"]):
        for j, V in enumerate(axes["V_read"][:1] if alike_V else axes["V_read"]):
            words = "all" if alike_G else f"{G * 1e6:g} uS", "all" if alike_V else f"{V:g} V"
            yield *words, sizes[:, k, j]


def doctor(record: dict[str, Any], as_json: bool) -> None:
    """What is installed, and what to do about what is missing."""
    if as_json:
        _json(record)
        return
    console = _out()
    table = Table(title="xbarspice doctor", title_justify="left")
    for name in ("part", "found", "what to do"):
        table.add_column(name)
    for row in record["findings"]:
        mark = ("ok", "green") if row["ok"] else ("missing", "bold red")
        table.add_row(row["part"], _marked(*mark, f"  {row['found']}"), row["remedy"])
    console.print(table)
