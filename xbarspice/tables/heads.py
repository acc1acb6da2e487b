"""Where the rows of a table begin, what its head says, and what surrounds it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xbarspice.core.counts import counted
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.tables.numbers import is_mark, looks_numeric
from xbarspice.tables.sources import SEPARATORS, Rows, split
from xbarspice.tables.units import unit_of

__all__ = ["Head", "Label", "find_head", "is_data", "metadata_of"]


@dataclass(frozen=True)
class Label:
    """Name of a column, its unit ("" for none) and the cell itself."""

    name: str
    unit: str
    text: str


@dataclass(kw_only=True)
class Head:
    """Head and body of a table.

    Attributes:
        labels: of the columns; empty where there is no head.
        line: of the head in the file; 0 where there is none.
        body: cells of the rows.
        lines: their lines in the file.
        above: indices of the rows of the file above the head.
        notices: what was left out.
    """

    labels: list[Label]
    line: int
    body: list[list[str]]
    lines: list[int]
    above: list[int]
    notices: list[str] = field(default_factory=list)


_BRACKET = re.compile(r"^(?P<name>.*?[^\s\[(])\s*[\[(]\s*(?P<unit>[^\[\]()]+?)\s*[\])]$")
_SLASH = re.compile(r"^(?P<name>[^/]+?)\s*/\s*(?P<unit>[^/\s]+)$")
_IN = re.compile(r"^(?P<name>.+?)\s+in\s+(?P<unit>\S+)$", re.IGNORECASE)
_TAIL = re.compile(r"^(?P<name>[A-Za-z]\w*?)[_ ](?P<unit>[^\W_]+)$")


def parse_label(text: str) -> Label:
    """Name and unit of a head cell: ``I [uA]``, ``I (uA)``, ``I/uA``, ``I in uA``, ``I_uA``."""
    for pattern in (_BRACKET, _SLASH, _IN):
        hit = pattern.match(text)
        if hit and not hit["unit"].isdigit():
            return Label(hit["name"].strip(), hit["unit"], text)
    hit = _TAIL.match(text)
    if hit and len(hit["unit"]) > 1 and _is_unit(hit["unit"]):
        return Label(hit["name"], hit["unit"], text)
    return Label(text, "", text)


def _is_unit(text: str) -> bool:
    try:
        unit_of(text)
    except InputError:
        return False
    return True


def is_data(row: Sequence[str]) -> bool:
    """Whether a row holds a number."""
    return any(looks_numeric(cell) for cell in row)


def _is_head(row: Sequence[str]) -> bool:
    return any(row) and not is_data(row) and not all(is_mark(cell) for cell in row if cell)


def _trim(row: list[str]) -> list[str]:
    """A row without empty cells at its end."""
    count = len(row)
    while count and not row[count - 1]:
        count -= 1
    return row[:count]


def find_head(path: Path, rows: Rows) -> Head:
    """The head, and all rows below it.

    The head is the row without numbers that has the longest run of rows with numbers and of its
    width behind it. Without one, a comment right above the rows may be it.

    Raises:
        InputError: there are no rows, rows differ in length, or two tables stand in the file.
    """
    cells = rows.cells
    starts = [0] if rows.named else [k for k in range(len(cells) - 1) if _is_head(cells[k])]
    runs = {k: _run(cells, k) for k in starts}
    best = max(runs, key=lambda k: runs[k][1], default=-1)
    if best >= 0 and not runs[best][1]:  # then rows have another width: the head is the last one
        best = max(
            (
                k
                for k in starts
                if len(_trim(cells[k])) > 1 and k + 1 < len(cells) and is_data(cells[k + 1])
            ),
            default=-1,
        )
    if best < 0:
        return _without_head(path, rows)
    width = len(_trim(cells[best]))
    labels = [parse_label(cell) for cell in cells[best][:width]]
    first = best + 1
    if runs[best][0]:  # a row of units below the names
        labels = [
            Label(label.name, label.unit or cell.strip("[]() "), label.text)
            for label, cell in zip(labels, [*cells[first], *[""] * width], strict=False)
        ]
        first += 1
    head = Head(labels=labels, line=rows.lines[best], body=[], lines=[], above=list(range(best)))
    _fill_body(path, rows, head, first, cells[best])
    return head


def _run(cells: Sequence[list[str]], start: int) -> tuple[bool, int]:
    """Whether a row of units follows a head, and how many rows of its width with numbers do."""
    width = len(_trim(cells[start]))
    first, units = start + 1, False
    if first < len(cells) and not is_data(cells[first]) and _are_units(cells[first], width):
        first, units = first + 1, True
    count = 0
    for row in cells[first:]:
        if not is_data(row) or len(_trim(row)) > width or len(row) < min(width, 2):
            break
        count += 1
    return units, count


def _are_units(row: Sequence[str], width: int) -> bool:
    words = [cell.strip("[]() ") for cell in row]
    return (
        len(_trim(list(row))) <= width
        and any(words)
        and all(not word or _is_unit(word) for word in words)
    )


def _without_head(path: Path, rows: Rows) -> Head:
    first = next((k for k, row in enumerate(rows.cells) if is_data(row)), None)
    if first is None:
        raise broken_rule(f"`{path.name}` must hold numbers", "none", "Check the file.")
    width = len(rows.cells[first])
    head = Head(labels=[], line=0, body=[], lines=[], above=list(range(first)))
    before = [line for line in rows.comments if line < rows.lines[first]]
    if before:
        text = rows.comments[max(before)]
        for separator in (rows.separator, *SEPARATORS):
            names = split(text, separator)
            if len(_trim(names)) == len(_trim(rows.cells[first])) and _is_head(names):
                head.labels = [parse_label(cell) for cell in names[:width]]
                head.line = max(before)
                break
    _fill_body(path, rows, head, first, [])
    return head


def _fill_body(path: Path, rows: Rows, head: Head, first: int, names: list[str]) -> None:
    """All rows from the first on; texts between and below them are counted."""
    width = len(head.labels) or max(len(row) for row in rows.cells[first:] if is_data(row))
    texts, repeated, empty = [], 0, 0
    for row, line in zip(rows.cells[first:], rows.lines[first:], strict=True):
        if names and row == names:
            repeated += 1
        elif not any(row):
            empty += 1
        elif not is_data(row) and not all(is_mark(cell) for cell in row):
            texts.append(line)
        elif len(row) < width or len(_trim(row)) > width:
            raise InputError(
                f"each row of `{path.name}` must have {counted(width, 'cell')}; received "
                f"{len(row)} in line "
                f"{line}. Leave a cell empty where nothing was measured, and use ';' or tabs "
                "between cells if the decimal mark is a comma."
            )
        else:
            head.body.append(row[:width])
            head.lines.append(line)
    if any(len(row) > width for row in rows.cells[first:] if is_data(row)):
        head.notices.append("each row ends with a separator: the empty last column is left out")
    if texts:
        shown = ", ".join(map(str, texts[:5])) + (", ..." if len(texts) > 5 else "")
        head.notices.append(f"lines below the head that are no rows: {len(texts)} ({shown})")
    if empty:
        head.notices.append(f"rows of empty cells that are left out: {empty}")
    if repeated:
        head.notices.append(f"the head stands again in {counted(repeated, 'line')}")
    if head.line:
        head.notices.append(f"head in line {head.line}, {counted(len(head.body), 'row')}")
    if not head.body:
        raise broken_rule(f"`{path.name}` must hold rows of numbers", "none", "Check the file.")


_PAIR = re.compile(r"^\s*([^:=]+?)\s*[:=]\s*(.+?)\s*$")


def metadata_of(rows: Rows, head: Head) -> dict[str, str]:
    """``key: value`` entries above the head and in comments; other lines under their number."""
    out: dict[str, str] = {}
    texts: dict[int, str] = {}
    for k in head.above:
        texts[rows.lines[k]] = rows.text(k)
    for line, text in sorted({**texts, **rows.comments}.items()):
        hit = _PAIR.match(text)
        if line != head.line and text:
            out[hit[1] if hit else f"line {line}"] = hit[2] if hit else text
    return out
