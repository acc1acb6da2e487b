"""Tables of numbers as instruments write them: CSV of either kind, head lines, units in heads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xbarspice.core.errors import InputError, broken_rule

__all__ = ["UNITS", "Table", "number", "read_table", "scale_of", "split_line", "text_of"]

UNITS: dict[str, dict[str, float]] = {
    "V": {"V": 1.0, "mV": 1e-3, "uV": 1e-6},
    "A": {"A": 1.0, "mA": 1e-3, "uA": 1e-6, "nA": 1e-9, "pA": 1e-12},
    "s": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "S": {"S": 1.0, "mS": 1e-3, "uS": 1e-6, "nS": 1e-9},
    "ohm": {"ohm": 1.0, "kohm": 1e3, "Mohm": 1e6},
}
"""Factor of each unit that a head may name, by dimension."""

HEAD = re.compile(r"^(?P<name>[A-Za-z_]\w*)\s*(?:[\[(]\s*(?P<unit>[^\])]+?)\s*[\])])?$")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns of text under their names, with the line number of every row.

    Attributes:
        columns: name -> cells.
        units: name -> unit as it stands in the head; absent where there is none.
        lines: line of each row in the file.
        meta: ``key: value`` lines above the head.
        decimal: "." or ",".
    """

    columns: Mapping[str, list[str]]
    units: Mapping[str, str]
    lines: list[int]
    meta: Mapping[str, str]
    decimal: str


def text_of(path: Path) -> str:
    """Text of a file: UTF-8 with or without mark, or Latin-1 as old instruments write it."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise broken_rule("the data file must be readable", error, "Check the path.") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def split_line(line: str) -> tuple[list[str], str]:
    """Cells of a line and the decimal sign that goes with its separator."""
    for mark in (";", "\t"):
        if mark in line:
            return [cell.strip().strip('"') for cell in line.split(mark)], ","
    return [cell.strip().strip('"') for cell in line.split(",")], "."


def number(text: str) -> float:
    """A number with a decimal point or comma; ValueError otherwise."""
    return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)


def scale_of(unit: str, dimension: str) -> float:
    """Factor that brings a unit to SI.

    Raises:
        InputError: the unit is not one of the dimension.
    """
    plain = unit.replace("\u00b5", "u").replace("\u03bc", "u").replace("\u03a9", "ohm")
    plain = plain.replace("\u2126", "ohm").replace("Ohm", "ohm").replace("OHM", "ohm").strip()
    plain = "kohm" if plain == "Kohm" else plain
    if plain in UNITS[dimension]:
        return UNITS[dimension][plain]
    raise broken_rule(
        f"a unit must be one of {', '.join(UNITS[dimension])}", repr(unit), "Correct the head."
    )


def read_table(path: Path) -> Table:
    """Read a CSV whose head names its columns, as ``V`` (SI) or ``V [mV]``.

    Lines that start with ``#`` and ``key: value`` lines above the head are kept as `meta`.
    The separator is ``;`` or a tabulator (then a decimal comma may be used) or a comma.

    Raises:
        InputError: there is no head, a name stands twice, or a row has another length.
    """
    meta: dict[str, str] = {}
    head: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    for k, line in enumerate(text_of(path).splitlines(), 1):
        bare = line.strip().lstrip("#").strip()
        if not bare or line.lstrip().startswith("#"):
            key, colon, value = bare.partition(":")
            if colon:
                meta[key.strip()] = value.strip()
            continue
        cells, _ = split_line(line)
        if not head:
            if all(HEAD.match(c) for c in cells):
                head = cells
                continue
            key, colon, value = bare.partition(":")
            if not colon:
                raise InputError(
                    f"`{path.name}` must have a head of column names such as V or I [uA]; "
                    f"received {line!r} in line {k}. Put the names above the numbers."
                )
            meta[key.strip()] = value.strip()
            continue
        if len(cells) != len(head):
            raise InputError(
                f"each row of `{path.name}` must have {len(head)} cells; received {len(cells)} in "
                f"line {k}. Use ';' between cells if the decimal sign is a comma."
            )
        rows.append(cells)
        lines.append(k)
    return _table(path, head, rows, lines, meta)


def _table(
    path: Path, head: list[str], rows: list[list[str]], lines: list[int], meta: dict[str, str]
) -> Table:
    if not rows:
        raise broken_rule(f"`{path.name}` must hold numbers", "no rows", "Check the file.")
    matches = [HEAD.match(cell) for cell in head]
    names = [m["name"] for m in matches if m]
    if len(set(names)) != len(names):
        raise broken_rule(f"the columns of `{path.name}` must differ", names, "Rename one.")
    return Table(
        columns={name: [row[k] for row in rows] for k, name in enumerate(names)},
        units={m["name"]: m["unit"] for m in matches if m and m["unit"]},
        lines=lines,
        meta=meta,
        decimal="," if any("," in cell for row in rows for cell in row) else ".",
    )
