"""What a person sees in the terminal: progress on stderr, results on stdout.

No console reads markup: names, paths and messages may hold square brackets. What is set off by a
style is a `Text`.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from xbarspice.core.counts import counted
from xbarspice.core.errors import TrustWarning

if TYPE_CHECKING:
    from xbarspice.config.listing import Entry
    from xbarspice.core.types import Indices
    from xbarspice.surrogate.trust import TrustMap


__all__ = [
    "card_sentences",
    "console",
    "doctor",
    "error",
    "error_record",
    "lead_word",
    "print_json",
    "progress",
    "rules",
    "settings",
    "show",
    "show_warning",
    "stages_progress",
    "trust_map",
    "waiting",
]

_err = Console(stderr=True, highlight=False, markup=False)


def console() -> Console:
    """The one for results, on standard output."""
    return Console(highlight=False, markup=False)


def lead_word(word: str, style: str, plain: str = "") -> Text:
    """A word in a style, and plain text after it."""
    return Text.assemble((word, style), plain)


def error(message: str) -> None:
    """One message on stderr."""
    _err.print(lead_word("error:", "bold red", f" {message}"), soft_wrap=True)


_show = warnings.showwarning


def show_warning(message: Any, category: Any, *place: Any, **more: Any) -> None:
    """A warning of ours as one message on stderr; others as Python shows them."""
    if issubclass(category, TrustWarning):
        _err.print(lead_word("warning:", "bold yellow", f" {message}"), soft_wrap=True)
    else:
        _show(message, category, *place, **more)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description:<22}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=_err,
    )


@contextmanager
def progress(title: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar; yields a function of (count, total)."""
    if quiet:
        yield lambda count, total: None
        return
    with _bars() as bars:
        task = bars.add_task(title, total=None)
        yield lambda count, total: bars.update(task, completed=count, total=total)
        count = bars.tasks[0].completed
        bars.update(task, total=count, completed=count)


@contextmanager
def stages_progress(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """One progress bar a stage, each full when the next begins.

    Yields a function of (stage, count, total).

    A stage that fails stays as it is.
    """
    with _many_bars("{}", quiet=quiet) as update:
        last: list[tuple[str, int]] = []

        def stage(name: str, count: int, total: int) -> None:
            if last and last[-1][0] != name:
                update(last[-1][0], last[-1][1], last[-1][1])
            last[:] = [(name, total)]
            update(name, count, total)

        yield stage
        if last:
            update(last[-1][0], last[-1][1], last[-1][1])


@contextmanager
def _many_bars(title: str, *, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    if quiet:
        yield lambda name, count, total: None
        return
    with _bars() as bars:
        tasks: dict[str, Any] = {}

        def update(name: str, count: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(title.format(name), total=total)
            bars.update(tasks[name], completed=count, total=total)

        yield update


@contextmanager
def waiting(title: str, *, quiet: bool) -> Iterator[None]:
    """A spinner while something without steps goes on."""
    if quiet:
        yield
        return
    with _err.status(title):
        yield


def print_json(record: Any) -> None:
    """A record for programs, on standard output."""
    from xbarspice.cli.json_text import to_json

    typer.echo(to_json(record))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(v) for v in value) or "none"
    return str(value)


def show(
    record: dict[str, Any], as_json: bool, title: str, *, names_as_written: bool = False
) -> None:
    """A record as JSON, or as a table of names and values.

    Args:
        record: the values by name.
        as_json: whether it is printed as JSON.
        title: of the table.
        names_as_written: whether names are shown as they are, because they hold those of
            parameters or arrays; else ``_`` stands for a blank.
    """
    if as_json:
        print_json(record)
        return
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in record.items():
        if name == "card" and isinstance(value, dict):
            for text in card_sentences(value):
                table.add_row("card", text)
            continue
        shown = name if names_as_written else name.replace("_", " ")
        table.add_row(shown, _text(value))
    console().print(table)


def card_sentences(card: dict[str, Any]) -> Iterator[str]:
    """Age of the card of a record, and where the use goes beyond it."""
    days = card["age_days"]
    yield "its age is not known" if days is None else f"of {card['date']}, {days} days old"
    yield from (f"beyond the card: {text}" for text in card["beyond"])


def error_record(kind: str, message: str, status: int) -> None:
    """An error for programs, on standard output."""
    print_json({"error": {"kind": kind, "message": message, "exit_status": status}})


def settings(entries: Sequence[Entry], as_json: bool) -> None:
    """Settings with values, default and meaning."""
    if as_json:
        print_json({"settings": [dataclasses.asdict(entry) for entry in entries]})
        return
    table = Table(title="Settings: --set SECTION.KEY=VALUE, or --config", title_justify="left")
    for head in ("setting", "default", "values", "meaning"):
        table.add_column(head, overflow="fold")
    section = ""
    for entry in entries:
        if entry.name.rpartition(".")[0] != section:
            table.add_section()
            section = entry.name.rpartition(".")[0]
        default = "none" if entry.default in (None, {}, ()) else str(entry.default)
        if isinstance(entry.default, tuple) and entry.default:
            default = f"[{_text(entry.default)}]"
        table.add_row(entry.name, default, entry.kind, entry.meaning)
    console().print(table)


def rows(cells: Sequence[Sequence[str]], *, head: bool) -> None:
    """A table of texts; with `head` the first two rows are names and units."""
    table = Table(show_header=head)
    names, units = (cells[0], cells[1]) if head else (cells[0], ())
    for k, name in enumerate(names):
        unit = units[k] if head and units[k] else ""
        table.add_column(f"{name} [{unit}]" if unit else name if head else "")
    for row in cells[2:] if head else cells:
        table.add_row(*row)
    console().print(table)


def rules(record: dict[str, Any], folder: Path, as_json: bool) -> None:
    """What the rule check of a layout found: rule by rule, the worst of each with its place."""
    from xbarspice.tapeout.rules.page import sentence, worst_places

    if as_json:
        print_json({**record, "folder": str(folder)})
        return
    out = console()
    if not record["clean"]:
        table = Table(title="Broken rules", title_justify="left")
        for name in ("rule", "places", "worst", "limit", "at x, um", "y, um"):
            table.add_column(name, justify="left" if name == "rule" else "right")
        for name, count, worst in worst_places(record):
            unit, (left, bottom, right, top) = worst["unit"], worst["box"]
            values = (f"{worst[key]:.6g} {unit}".strip() for key in ("measured", "limit"))
            middle = (f"{(a + b) / 2:.3f}" for a, b in ((left, right), (bottom, top)))
            table.add_row(name, str(count), *values, *middle)
        out.print(table)
    for notice in record["notices"]:
        out.print(f"note: {notice}", soft_wrap=True)
    word, style = ("CLEAN", "bold green") if record["clean"] else ("FAIL", "bold red")
    out.print(lead_word(word, style, f"  {sentence(record)}"), soft_wrap=True)
    out.print(f"report: {folder / 'report.html'}", soft_wrap=True)


def comparison(record: dict[str, Any], folder: Path, as_json: bool) -> None:
    """What differs between a drawing and its arrays, fault by fault with its place."""
    from xbarspice.tapeout.lvs.page import looked_at, sentence

    if as_json:
        print_json({**record, "folder": str(folder)})
        return
    out, most = console(), 40
    faults = [(one["array"], fault) for one in record["arrays"] for fault in one["faults"]]
    if faults:
        table = Table(title="Faults", title_justify="left")
        for name in ("array", "fault", "place", "at x, um", "y, um"):
            table.add_column(name, justify="right" if "um" in name else "left")
        for array, fault in faults[:most]:
            at = ("" if v is None else f"{v:.3f}" for v in (fault["x_um"], fault["y_um"]))
            table.add_row(array, fault["kind"], fault["place"], *at)
        out.print(table)
    if len(faults) > most:
        more = counted(len(faults) - most, "more fault")
        out.print(f"{more}: --json lists all", soft_wrap=True)
    word, style = ("CLEAN", "bold green") if record["clean"] else ("FAIL", "bold red")
    scope = looked_at([(one["array"], one["looked_at"]) for one in record["arrays"]])
    out.print(lead_word(word, style, f"  {sentence(record)}; {scope}"), soft_wrap=True)
    out.print(f"report: {folder / 'report.html'}", soft_wrap=True)


def trust_map(result: TrustMap, path: Path, error: float, as_json: bool) -> None:
    """Largest trusted size of every device and level, by wire resistance and conductance."""
    if as_json:
        errors = {d: {k: v.tolist() for k, v in e.items()} for d, e in result.errors.items()}
        print_json(
            {"file": str(path), "source": result.source, "axes": result.axes, "errors": errors}
        )
        return
    table = Table(
        title=f"Largest array whose error stays within {error:g}, by wire resistance",
        title_justify="left",
    )
    for name in ("device", "level", "G_max", "V_read"):
        table.add_column(name, no_wrap=True)
    for R in result.axes["R_wire"]:
        table.add_column(f"{R:g} ohm", justify="right", no_wrap=True)
    for device, levels in result.errors.items():
        for level in levels:
            sizes = result.largest(level, device, error)  # (R_wire, G_max, V_read)
            for G, V, row in _places(sizes, result.axes):
                table.add_row(device, level, G, V, *(str(n) if n else "none" for n in row))
        table.add_section()
    out = console()
    out.print(table)
    out.print(f"map: {path}", soft_wrap=True)


def _places(
    sizes: Indices, axes: Mapping[str, Sequence[float]]
) -> Iterator[tuple[str, str, Indices]]:
    """Rows of a map: those that are alike for all conductances or voltages stand once."""
    alike_G, alike_V = ((sizes == sizes.take([0], axis=k)).all() for k in (1, 2))
    for k, G in enumerate(axes["G_max"][:1] if alike_G else axes["G_max"]):
        for j, V in enumerate(axes["V_read"][:1] if alike_V else axes["V_read"]):
            words = "all" if alike_G else f"{G * 1e6:g} uS", "all" if alike_V else f"{V:g} V"
            yield *words, sizes[:, k, j]


def doctor(record: dict[str, Any], as_json: bool) -> None:
    """What is installed, and what to do about what is missing."""
    if as_json:
        print_json(record)
        return
    out = console()
    table = Table(title="xbarspice doctor", title_justify="left")
    for name in ("part", "found", "what to do"):
        table.add_column(name)
    for row in record["findings"]:
        mark = ("ok", "green") if row["ok"] else ("missing", "bold red")
        table.add_row(row["part"], lead_word(*mark, f"  {row['found']}"), row["remedy"])
    out.print(table)
