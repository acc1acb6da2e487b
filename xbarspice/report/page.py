"""The page builder: sections become one offline HTML file, or Markdown; files appear whole."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from xbarspice.core.counts import counted
from xbarspice.core.files import store_errors, write_whole
from xbarspice.report.content import Bar, Code, Item, Plot, Section, Table, Text, Verdict
from xbarspice.report.junit import junit

__all__ = ["html", "markdown", "page", "write_files", "write_report"]

LONG = 18
"""Characters of a cell from which it may wrap."""
WRAPPED = 16
"""Characters that a cell which wraps takes at least on a telephone."""
PADDING = 1.6
"""Room between two columns, in characters."""
NARROW = 54
"""Characters in a line of a table on a telephone of 390 pixels."""


def page(
    title: str,
    sections: Sequence[Section],
    path: Path,
    *,
    verdict: Verdict | None = None,
    subtitle: str = "",
) -> Path:
    """Draw sections as one HTML file that needs nothing else; see `html`.

    Args:
        title: the heading; any text.
        sections: what the page holds, in order.
        path: the file; it appears whole or not at all.
        verdict: the answer at the head of the page.
        subtitle: one line below the heading.

    Returns:
        `path`.

    Raises:
        StoreError: the file cannot be written.
    """
    write_files({path: html(title, sections, verdict=verdict, subtitle=subtitle)})
    return path


def write_report(
    record: Mapping[str, Any],
    folder: Path,
    sections: Sequence[Section],
    *,
    verdict: Verdict,
    subtitle: str,
    classname: str,
) -> Path:
    """Write report.html, report.md, report.json and junit.xml of a record with gates.

    Args:
        record: plain dictionaries and lists, with its title and gates.
        folder: made if it is not there.
        sections, verdict, subtitle: of the page, as for `html`.
        classname: of the gates in junit.xml.

    Returns:
        The page.

    Raises:
        StoreError: a file cannot be written; then none of them is left half-written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, title = folder / "report.html", record["title"]
    write_files(
        {
            path: html(title, sections, verdict=verdict, subtitle=subtitle),
            folder / "report.md": markdown(title, sections, verdict=verdict, subtitle=subtitle),
            folder / "report.json": json.dumps(_finite(record), indent=2) + "\n",
            folder / "junit.xml": junit(record, classname),
        }
    )
    return path


def _finite(value: object) -> object:
    """JSON knows no NaN and no infinity; they are written as words."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, Mapping):
        return {str(name): _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value


def html(
    title: str,
    sections: Sequence[Section],
    *,
    verdict: Verdict | None = None,
    subtitle: str = "",
    reload: int | None = None,
) -> str:
    """The page as text: every string escaped, plots as inline SVG, no script, no outside link.

    With `reload` a browser reads it again after so many seconds.
    """
    # Loaded here: who only solves arrays should not wait for the template engine.
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = (
        resources.files("xbarspice.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    )
    return environment.from_string(source).render(
        title=_printable(title),
        subtitle=_printable(subtitle),
        verdict=verdict,
        reload=reload,
        sections=[_prepare(k, section) for k, section in enumerate(sections)],
    )


def _prepare(number: int, section: Section) -> dict[str, Any]:
    """Template data of one section; neighbouring plots share a grid, texts a column."""
    from xbarspice.report.svg import NO_PLOTS, can_draw

    groups: list[dict[str, Any]] = []
    counter = 0
    for kind, items in groupby(section.items, key=type):
        if kind is Plot and not can_draw():
            groups.append({"kind": "Texts", "items": [Text(text=NO_PLOTS, note=True)]})
        elif kind is Plot:
            plots = cast("list[Plot]", list(items))
            groups.append({"kind": "Plots", "plots": _draw(plots, f"s{number}p", counter)})
            counter += len(plots)
        elif kind is Text:
            groups.append({"kind": "Texts", "items": list(items)})
        else:
            groups += [_group(item) for item in items]
    return {"id": f"s{number}", "title": section.title, "groups": groups}


def _draw(plots: Sequence[Plot], key: str, first: int) -> list[dict[str, Any]]:
    """Template data of plots, the ids of each unique on the page."""
    from markupsafe import Markup

    from xbarspice.report.svg import to_svg

    # Safe: `to_svg` is matplotlib's output, which escapes every text that it draws.
    return [
        {
            "svg": Markup(to_svg(plot, f"{key}{k}-")),  # noqa: S704
            "alt": plot.alt,
            "caption": plot.caption,
        }
        for k, plot in enumerate(plots, first)
    ]


def _group(item: Item) -> dict[str, Any]:
    """Template data of one item that is no plot."""
    group: dict[str, Any] = {"kind": type(item).__name__, "item": item}
    if isinstance(item, Table):
        rows = counted(len(item.rows), "row")
        group |= {"rows": rows, "wide": _is_wide(item), "long": LONG}
    if isinstance(item, Code):
        group["lines"] = counted(len(item.text.splitlines()), "line")
    return group


def _is_wide(table: Table) -> bool:
    """Whether a telephone shows the table only in part: long cells and titles wrap."""
    columns = zip(*(table.rows or [table.head]), strict=True)
    longest_words = (max(map(len, title.split()), default=0) for title in table.head)
    widths = (
        max(word, *(len(cell) if len(cell) <= LONG else WRAPPED for cell in cells))
        for word, cells in zip(longest_words, columns, strict=True)
    )
    return sum(PADDING + width for width in widths) > NARROW


def markdown(
    title: str, sections: Sequence[Section], *, verdict: Verdict | None = None, subtitle: str = ""
) -> str:
    """The same page as Markdown; of the plots only the captions are left."""
    lines = [f"# {_escape(title)}", ""]
    if subtitle:
        lines += [_escape(subtitle), ""]
    if verdict is not None:
        lines += [f"**{_escape(verdict.word)}** - {_escape(verdict.text)}", ""]
        lines += [_escape(verdict.detail), ""] if verdict.detail else []
    for section in sections:
        lines += [f"## {_escape(section.title)}", ""]
        for item in section.items:
            lines += [*_item_lines(item), ""]
    return "\n".join(lines).rstrip() + "\n"


def _item_lines(item: Item) -> list[str]:
    if isinstance(item, Text):
        return [("> " if item.note else "") + _escape(item.text)]
    if isinstance(item, Code):
        return [f"    {line}" for line in _printable(item.text, keep="\n").splitlines()]
    if isinstance(item, Plot):
        return [f"- {_escape(item.caption)}"]
    if isinstance(item, Bar):
        return [_escape(item.label)]
    rule = [":--" if k in item.left else "--:" for k in range(len(item.head))]
    rows = [item.head, *item.rows]
    cells = [[_escape(c) or " " for c in row] for row in rows]
    cells.insert(1, rule)
    return [f"{_escape(item.caption)}:", "", *(f"| {' | '.join(row)} |" for row in cells)]


def _printable(text: str, keep: str = "") -> str:
    """Text on one line: control characters have no place in HTML or XML."""
    return "".join(
        c if c in keep or (c >= " " and c not in "\x7f\ufffe\uffff") else " " for c in text
    )


def _escape(text: str) -> str:
    """Text that Markdown shows as it is."""
    text = re.sub(r"([\\`*|\[\]])", r"\\\1", _printable(text))
    return text.replace("&", "&amp;").replace("<", "&lt;")


def write_files(contents: Mapping[Path, str]) -> None:
    """Write text files so that all are complete before the first takes its name.

    Raises:
        StoreError: a file cannot be written; then none of them is left half-written.
    """
    first = next(iter(contents))
    with store_errors("the report", first.parent if len(contents) > 1 else first):
        write_whole(contents)
