"""What a person sees in the terminal: progress on stderr, results on stdout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

__all__ = ["crosscheck", "doctor", "engines_progress", "error", "progress", "show", "waiting"]

_err = Console(stderr=True, highlight=False)


def _out() -> Console:
    return Console(highlight=False)


def error(message: str) -> None:
    """One message on stderr."""
    _err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(),
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
    if quiet:
        yield lambda engine, done, total: None
        return
    with _bars() as bars:
        tasks: dict[str, Any] = {}

        def update(engine: str, done: int, total: int) -> None:
            if engine not in tasks:
                tasks[engine] = bars.add_task(f"solving with {engine}", total=total)
            bars.update(tasks[engine], completed=done, total=total)

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
    from xbarspice.cli import steps

    typer.echo(steps.to_json(record))


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
        table.add_row(name.replace("_", " "), escape(_text(value)))
    _out().print(table)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def crosscheck(record: dict[str, Any], out: Path, as_json: bool) -> None:
    """The cross-check: errors a layer and line, accuracies, worst cell, times, gates."""
    if as_json:
        _json({**record, "folder": str(out)})
        return
    console = _out()
    golden = record["engines"][0]
    console.print(_summary(record))
    for engine in record["engines"][1:]:
        console.print(_lines(engine, golden))
        for layer in engine["layers"]:
            cell = layer["worst_cell"]
            console.print(
                f"  layer {layer['layer']}: worst cell row {cell['row']}, column {cell['col']} of "
                f"array {cell['array']} at point {cell['point']}: error {cell['error']:.1e} of the "
                f"largest device current (it carries {cell['I_reference'] * 1e6:.4g} uA at "
                f"{cell['V_device'] * 1e3:.4g} mV)"
            )
    table = Table(title="Gates", title_justify="left")
    for name in ("gate", "value", "limit", ""):
        table.add_column(name, justify="left" if name in {"gate", ""} else "right")
    for gate in record["gates"]:
        verdict = "[green]pass[/]" if gate["passed"] else "[bold red]FAIL[/]"
        table.add_row(gate["name"], f"{gate['value']:.3g}", f"{gate['limit']:.3g}", verdict)
    console.print(table)
    verdict = "[bold green]PASS[/]" if record["passed"] else "[bold red]FAIL[/]"
    console.print(f"{verdict}  report: {escape(str(out / 'report.html'))}", soft_wrap=True)


def _summary(record: dict[str, Any]) -> Table:
    table = Table(
        title=f"{record['title']}: {record['points']} points", title_justify="left"
    )
    for name in ("", "accuracy", "differs from " + record["reference"], "worst error", "rms error"):
        table.add_column(name, justify="right" if name else "left")
    table.add_column("Kirchhoff", justify="right")
    table.add_column("time", justify="right")
    table.add_row(
        "software (no circuit)", _percent(record["software_accuracy"]),
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


def _lines(engine: dict[str, Any], golden: dict[str, Any], most: int = 24) -> Table:
    title = f"{engine['engine']} against {golden['engine']}: error over the largest output current"
    table = Table(title=title, title_justify="left")
    for name in ("layer", "array", "line", "worst", "rms"):
        table.add_column(name, justify="right")
    for layer in engine["layers"]:
        lines = layer["columns"]
        shown = lines if len(lines) <= most else sorted(lines, key=lambda c: -c["worst"])[:8]
        for line in shown:
            table.add_row(
                str(layer["layer"]), str(line["array"]), line["line"], f"{line['worst']:.1e}",
                f"{line['rms']:.1e}",
            )  # fmt: skip
        if len(shown) < len(lines):
            table.add_row(str(layer["layer"]), "", f"+{len(lines) - len(shown)} better", "", "")
        table.add_row(
            str(layer["layer"]), "", "all", f"[bold]{layer['worst']:.1e}", f"{layer['rms']:.1e}",
            end_section=True,
        )  # fmt: skip
    return table


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
        mark = "[green]ok[/]  " if row["ok"] else "[bold red]missing[/]  "
        table.add_row(row["part"], mark + escape(row["found"]), escape(row["remedy"]))
    console.print(table)
