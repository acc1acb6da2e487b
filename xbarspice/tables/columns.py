"""Tables with named columns: which column is which quantity, in SI units, and what was left out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xbarspice.core.counts import counted
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.types import Array
from xbarspice.tables.heads import Head, Label, find_head, metadata_of
from xbarspice.tables.numbers import Marks, NumberForm, find_form
from xbarspice.tables.sources import Options, read_rows
from xbarspice.tables.units import Unit, unit_of

__all__ = ["Column", "Quantity", "Table", "read_table"]


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A column that a reader looks for.

    Attributes:
        name: under which the column is handed on.
        dimension: a key of `units.DIMENSIONS`; "" for texts.
        aliases: other labels, in lower case.
        required: whether a table without it is refused.
        indexed: whether there is one a line, as ``V_in0``, ``V_in1`` ...
    """

    name: str
    dimension: str
    aliases: tuple[str, ...] = ()
    required: bool = True
    indexed: bool = False

    def match(self, label: Label) -> str | None:
        """Name of the column of that label; None if it is another's."""
        if self.indexed:
            pattern = "[_ ]?".join(re.escape(part) for part in self.name.split("_"))
            hit = re.fullmatch(rf"{pattern}[_ ]?[\[(]?(\d+)[\])]?", label.name, re.IGNORECASE)
            return f"{self.name}{int(hit[1])}" if hit else None
        same = label.name == self.name or label.name.lower() in (self.name.lower(), *self.aliases)
        return self.name if same else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """One column.

    Attributes:
        label: as it stands in the file.
        dimension: SI unit of the values; "" for texts.
        unit: of the numbers in the file; None where the file names none (then SI).
        values: SI units, (rows,); NaN where missing, infinite where the instrument overflowed.
        texts: cells of a column of texts; empty otherwise.
    """

    label: str
    dimension: str
    unit: Unit | None
    values: Array
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """What was understood of a file.

    Attributes:
        file: its name.
        columns: by the names of the quantities.
        lines: line of each row in the file, (rows,).
        metadata: ``key: value`` lines and comments.
        notices: how it was read and what was left out, sentences.
    """

    file: str
    columns: Mapping[str, Column]
    lines: tuple[int, ...]
    metadata: Mapping[str, str]
    notices: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.lines)

    def values(self, name: str) -> Array:
        """Numbers of a column, SI units, (rows,)."""
        return self.columns[name].values

    def preview(self, rows: int = 5) -> list[list[str]]:
        """Names, SI units and the first rows as they were understood."""
        out = [list(self.columns), [c.dimension for c in self.columns.values()]]
        for k in range(min(rows, len(self))):
            cells = (c.texts[k] if c.texts else f"{c.values[k]:.6g}" for c in self.columns.values())
            out.append(list(cells))
        return out

    def record(self) -> dict[str, Any]:
        """How the file was read, for JSON and cards."""
        return {
            "file": self.file,
            "rows": len(self),
            "columns": {
                name: {"label": c.label, "unit": c.unit.text if c.unit else None}
                for name, c in self.columns.items()
            },
            "notices": list(self.notices),
            "metadata": dict(self.metadata),
        }


def read_table(path: Path, quantities: Sequence[Quantity], options: Options | None = None) -> Table:
    """Read the columns of some quantities from a file of any kind.

    Args:
        path: text with any separator, .xlsx, .ods, .parquet, .mat or .h5.
        quantities: what is looked for; other columns are left out and named in a notice.
        options: what the user says of the file.

    Raises:
        InputError: a required column is missing or stands twice, a unit is unknown, rows differ in
            length, or a cell is neither a number nor a known mark.
    """
    options = options or Options()
    rows = read_rows(path, options)
    head = find_head(path, rows)
    choice = _choose(path, head, quantities, options)
    numeric = [index for index, _, quantity in choice.values() if quantity.dimension]
    cells = (row[k] for row in head.body for k in numeric)
    form = find_form(cells, rows.separator, options.decimal)
    marks = Marks({}, {})
    columns = {
        name: _column(path, head, index, unit, quantity, form, marks)
        for name, (index, unit, quantity) in choice.items()
    }
    heads = (f"{n} from {c.label!r} in {_unit_text(c)}" for n, c in columns.items() if c.dimension)
    used = {index for index, _, _ in choice.values()}
    notices = [f"{rows.form}, {form.words()}", "; ".join(heads), *head.notices, *marks.sentences()]
    spare = [label.text or f"column {k + 1} without a name" for k, label in enumerate(head.labels)]
    spare = [text for k, text in enumerate(spare) if k not in used]
    if spare:
        notices.append(f"columns that are not used: {', '.join(spare)}")
    return Table(
        file=path.name,
        columns=columns,
        lines=tuple(head.lines),
        metadata=metadata_of(rows, head),
        notices=tuple(notices),
    )


def _unit_text(column: Column) -> str:
    return column.unit.text if column.unit else f"{column.dimension} (no unit in the head)"


Choice = dict[str, tuple[int, Unit | None, Quantity]]


def _choose(path: Path, head: Head, quantities: Sequence[Quantity], options: Options) -> Choice:
    """Index, unit and quantity of every column that is used."""
    choice: Choice = {}
    by_name = {q.name: q for q in quantities}
    for name, text in options.columns.items():
        base = name if name in by_name else name.rstrip("0123456789")
        if base not in by_name:
            raise broken_rule(
                f"--column must name one of {', '.join(by_name)}", repr(name), "Correct the name."
            )
        index, unit = _locate(path, head, text, by_name[base])
        choice[name] = index, unit, by_name[base]
    used = {index for index, _, _ in choice.values()}
    for quantity in quantities:
        for index, label in enumerate(head.labels):
            name = quantity.match(label) if index not in used else None
            if name is None or name in options.columns:
                continue
            if name in choice:
                twice = [head.labels[choice[name][0]].text, label.text]
                raise broken_rule(
                    f"one column of `{path.name}` must be {name}",
                    " and ".join(map(repr, twice)),
                    f"Choose it with --column {name}=LABEL.",
                )
            choice[name] = index, _unit(label.unit, quantity), quantity
    missing = [q.name for q in quantities if q.required and not _present(q, choice)]
    if missing:
        _refuse_missing(path, head, missing)
    return choice


def _present(quantity: Quantity, choice: Choice) -> bool:
    return any(q.name == quantity.name for _, _, q in choice.values())


def _refuse_missing(path: Path, head: Head, missing: list[str]) -> None:
    labels = (
        ", ".join(repr(label.text) for label in head.labels)
        or f"{counted(len(head.body[0]), 'column')}"
    )
    raise broken_rule(
        f"`{path.name}` must have the columns {', '.join(missing)}",
        labels if head.line else f"{labels} without a head",
        f"Name them in a head line, or pass --column {missing[0]}=LABEL:UNIT (or its number).",
    )


def _locate(path: Path, head: Head, text: str, quantity: Quantity) -> tuple[int, Unit | None]:
    """Column and unit of ``LABEL``, ``LABEL:UNIT`` or a number in the place of the label."""
    label, _, unit = text.rpartition(":") if ":" in text else (text, "", "")
    by_text = {shown: k for k, x in enumerate(head.labels) for shown in (x.name, x.text)}
    if label not in by_text and text in by_text:
        label, unit = text, ""
    if label in by_text:
        index = by_text[label]
    elif label.isdigit() and 1 <= int(label) <= len(head.body[0]):
        index = int(label) - 1
    else:
        raise broken_rule(
            f"--column must name a column of `{path.name}`, or its number from 1",
            repr(label),
            f"It has {', '.join(repr(x.text) for x in head.labels) or len(head.body[0])}.",
        )
    stated = head.labels[index].unit if head.labels else ""
    if unit and stated and unit_of(unit).factor != unit_of(stated).factor:
        raise broken_rule(
            f"the unit of {quantity.name} must be the one of the head",
            f"{unit} by --column and {stated} in the head",
            "Correct one of them.",
        )
    unit = unit or stated
    return index, _unit(unit, quantity)


def _unit(text: str, quantity: Quantity) -> Unit | None:
    return unit_of(text, quantity.dimension) if text and quantity.dimension else None


def _column(
    path: Path,
    head: Head,
    index: int,
    unit: Unit | None,
    quantity: Quantity,
    form: NumberForm,
    marks: Marks,
) -> Column:
    label = head.labels[index].text if head.labels else f"column {index + 1}"
    cells = [row[index] for row in head.body]
    if not quantity.dimension:
        return Column(label=label, dimension="", unit=None, values=np.empty(0), texts=tuple(cells))
    values = np.empty(len(cells))
    for k, cell in enumerate(cells):
        try:
            values[k] = form.value(cell, marks)
        except ValueError:
            raise InputError(
                f"each cell of column {label!r} of `{path.name}` must be a number, empty or a "
                f"known mark such as nan or OVLD; received {cell!r} in line {head.lines[k]}. "
                "Correct the cell."
            ) from None
    return Column(
        label=label,
        dimension=quantity.dimension,
        unit=unit,
        values=values * (unit.factor if unit else 1.0),
    )
