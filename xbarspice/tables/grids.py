"""A rectangle of numbers without names of columns, as the table of a die or of network inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xbarspice.core.counts import counted
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.types import Array
from xbarspice.tables.heads import is_data
from xbarspice.tables.numbers import Marks, find_form, is_mark, looks_numeric
from xbarspice.tables.sources import Options, Rows, read_rows

__all__ = ["Grid", "read_grid"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Numbers of a file, row by row.

    Attributes:
        values: as they stand in the file, (rows, cols); NaN where missing, infinite where the
            instrument overflowed.
        head: lines above the numbers and comments, as text.
        lines: line of each row in the file.
        missing, overflow: how often each mark occurs.
        notices: how the file was read and what was left out.
    """

    values: Array
    head: tuple[str, ...]
    lines: tuple[int, ...]
    missing: dict[str, int]
    overflow: dict[str, int]
    notices: tuple[str, ...]


def read_grid(path: Path, options: Options | None = None) -> Grid:
    """Read the one rectangle of numbers in a file.

    Lines above it are its head. Names and numbers of its rows and columns are left out, with a
    notice. A trailing separator makes no column.

    Raises:
        InputError: rows differ in length, or a cell is neither a number nor a known mark.
    """
    options = options or Options()
    rows = read_rows(path, options)
    first, width = _start(path, rows)
    body, lines, notices = _body(path, rows, first, width)
    body, lines, more = _without_names(body, lines)
    form = find_form((cell for row in body for cell in row), rows.separator, options.decimal)
    marks = Marks({}, {})
    values = np.empty((len(body), len(body[0]) if body else 0))
    for r, row in enumerate(body):
        for c, cell in enumerate(row):
            try:
                values[r, c] = form.value(cell, marks)
            except ValueError:
                raise InputError(
                    f"each cell of `{path.name}` must be a number, empty or a known mark such as "
                    f"nan or OVLD; received {cell!r} in line {lines[r]}. Correct the cell."
                ) from None
    above = {rows.lines[k]: rows.text(k) for k in range(first)}
    words = f"{rows.form}, {form.words()}, {values.shape[0]}x{values.shape[1]}"
    return Grid(
        values=values,
        head=tuple(text for _, text in sorted({**above, **rows.comments}.items()) if text),
        lines=tuple(lines),
        missing=marks.missing,
        overflow=marks.overflow,
        notices=(words, *notices, *more, *marks.sentences()),
    )


def _count(row: Sequence[str]) -> int:
    return sum(looks_numeric(cell) for cell in row)


def _start(path: Path, rows: Rows) -> tuple[int, int]:
    """First row and width of the rectangle: the width of most numbers."""
    weights: dict[int, int] = {}
    for row in rows.cells:
        weights[len(row)] = weights.get(len(row), 0) + _count(row)
    width = max(weights, key=lambda n: weights[n])
    if not weights[width]:
        raise broken_rule(f"`{path.name}` must hold numbers", "none", "Check the file.")
    fitting = [k for k, row in enumerate(rows.cells) if len(row) == width and _is_row(row)]
    named = sum(not _is_cell(rows.cells[k][0]) for k in fitting) * 2 > len(fitting)
    first = next(
        k
        for k in fitting
        if named or width == 1 or _is_cell(rows.cells[k][0]) or _counts(rows.cells[k][1:])
    )
    while first and len(rows.cells[first - 1]) == width and _is_row_of_marks(rows.cells[first - 1]):
        first -= 1
    return first, width


def _is_cell(cell: str) -> bool:
    return looks_numeric(cell) or is_mark(cell)


def _is_row(row: Sequence[str]) -> bool:
    return is_data(row[1:]) or looks_numeric(row[0])


def _is_row_of_marks(row: Sequence[str]) -> bool:
    return all(is_mark(cell) for cell in row[1:] or row)


def _body(
    path: Path, rows: Rows, first: int, width: int
) -> tuple[list[list[str]], list[int], list[str]]:
    body, lines, texts, notices = [], [], [], []
    for row, line in zip(rows.cells[first:], rows.lines[first:], strict=True):
        if len(row) == width and (_is_row(row) or _is_row_of_marks(row)):
            body.append(row)
            lines.append(line)
        elif is_data(row):
            raise InputError(
                f"the table of `{path.name}` must be rectangular; received "
                f"{counted(len(row), 'cell')} in "
                f"line {line} among rows of {width}. Leave a cell empty where there is no value."
            )
        else:
            texts.append(line)
    if texts:
        notices.append(f"{counted(len(texts), 'line')} of text below the first row are no rows")
    if width > 1 and all(not row[-1] for row in body):
        body = [row[:-1] for row in body]
        notices.append("each row ends with a separator: the empty last column is left out")
    return body, lines, notices


def _without_names(
    body: list[list[str]], lines: list[int]
) -> tuple[list[list[str]], list[int], list[str]]:
    """The table without names or numbers of its rows and columns."""
    notices = []
    corner = body[0][0]
    numbered = len(body) > 1 and len(body[0]) > 2 and _counts(body[0][1:])
    if numbered and (corner in ("0", "1") or not looks_numeric(corner)):
        body, lines = body[1:], lines[1:]
        notices.append("the first row numbers the columns and is left out")
        numbered = _counts([row[0] for row in body])
    else:
        numbered = False
    if len(body[0]) > 1 and (numbered or all(not _is_cell(row[0]) for row in body)):
        body = [row[1:] for row in body]
        notices.append("the first column names the rows and is left out")
    return body, lines, notices


def _counts(cells: Sequence[str]) -> bool:
    ranges = ([str(k + first) for k in range(len(cells))] for first in (0, 1))
    return len(cells) > 1 and list(cells) in ranges
