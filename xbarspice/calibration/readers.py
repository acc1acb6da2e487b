"""Measured data from CSV and HDF5 files.

Columns (CSV; SI units, or another unit in brackets as in ``I [uA]``) and datasets (HDF5; SI units):

=============  ===================================================================================
I-V sweeps     ``device`` (a label; may be left out), ``V`` (V), ``I`` (A): one point a row
array reads    ``V_in0 ... V_in<rows-1>`` (V), ``I_out0 ... I_out<cols-1>`` (A; empty if not
               measured), perhaps ``V_out0 ...`` (V) and ``I_in0 ...`` (A): one read a row.
               HDF5: ``V_in`` (reads, rows), ``I_out`` (reads, cols), ``V_out``, ``I_in``
pulse trains   ``device``, ``V`` (V; 0: a read without a pulse), ``width`` (s), and ``G`` (S) or
               ``R`` (ohm), read after the pulse: in order of time
programming    ``device``, ``target`` and ``G`` (S) of each write, perhaps ``G_end`` (S) when the
               whole array was finished and ``later_writes``, the devices written in between
repeats        ``device``, and ``G`` (S) or ``R`` (ohm) of each read, perhaps ``t`` (s since the
               device was programmed); of a whole array: array reads with repeated voltages
=============  ===================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from xbarspice.calibration import text_tables
from xbarspice.calibration.measurements import Programming, PulseTrains, Reads, Repeats, sweeps
from xbarspice.core import hdf5
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.types import Indices

__all__ = ["read_programming", "read_pulses", "read_reads", "read_repeats", "read_sweeps"]

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Duration = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    device: str = "0"


class _Sweep(_Row):
    V: Finite
    I: Finite  # noqa: E741


class _Pulse(_Row):
    V: Finite
    width: Duration
    G: Positive


class _Write(_Row):
    target: Positive
    G: Duration
    G_end: Duration | None = None
    later_writes: int = Field(default=0, ge=0)


class _Repeat(_Row):
    G: Positive
    t: Positive | None = None


class _Read(BaseModel):
    V_in: list[Finite]
    I_out: list[Finite | None]
    V_out: list[Finite] | None = None
    I_in: list[Finite | None] | None = None


DIMENSIONS = {
    "V": "V",
    "I": "A",
    "width": "s",
    "t": "s",
    "G": "S",
    "R": "ohm",
    "target": "S",
    "G_end": "S",
    "V_in": "V",
    "V_out": "V",
    "I_out": "A",
    "I_in": "A",
}
LINES = re.compile(r"^(V_in|V_out|I_in|I_out)(\d+)$")


def read_sweeps(path: Path) -> Reads:
    """I-V sweeps; see the module text.

    Raises:
        InputError: the file breaks a rule; the message names line and column.
    """
    rows = _check_rows(_Sweep, path, _records(path, ("device", "V", "I")))
    return sweeps([r.device for r in rows], [r.V for r in rows], [r.I for r in rows])


def read_pulses(path: Path) -> PulseTrains:
    """Pulse trains; see the module text."""
    rows = _check_rows(_Pulse, path, _with_G(_records(path, ("device", "V", "width", "G", "R"))))
    labels, index = _labels([r.device for r in rows])
    V, width, G = (np.array([getattr(r, n) for r in rows]) for n in ("V", "width", "G"))
    return PulseTrains(device=index, V=V, width=width, G=G, labels=labels)


def read_repeats(path: Path) -> Repeats:
    """Repeated reads of single devices; see the module text."""
    rows = _check_rows(_Repeat, path, _with_G(_records(path, ("device", "G", "R", "t"))))
    return Repeats(
        device=_labels([r.device for r in rows])[1],
        G=np.array([r.G for r in rows]),
        t=np.array([np.nan if r.t is None else r.t for r in rows]),
    )


def _with_G(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Conductances in the place of resistances."""
    for record in records:
        R = record.pop("R", None)
        if R is not None and "G" not in record:
            record["G"] = 1 / R if isinstance(R, (int, float)) and R > 0 else R
    return records


def read_programming(path: Path) -> Programming:
    """Programming records; see the module text."""
    names = ("device", "target", "G", "G_end", "later_writes")
    rows = _check_rows(_Write, path, _records(path, names))
    _, index = _labels([r.device for r in rows])
    return Programming(
        device=index,
        target=np.array([r.target for r in rows]),
        G=np.array([r.G for r in rows]),
        G_end=np.array([np.nan if r.G_end is None else r.G_end for r in rows]),
        later_writes=np.array([r.later_writes for r in rows], dtype=np.intp),
    )


def read_reads(path: Path) -> Reads:
    """Array reads; see the module text."""
    if path.suffix in (".h5", ".hdf5"):
        tree = _tree(path)
        _need(path, tree, ("V_in", "I_out"), ("V_out", "I_in"))
        return _reads(tree)
    table = text_tables.read_table(path)
    numbers: dict[str, dict[int, list[Any]]] = {}
    for name, cells in table.columns.items():
        match = LINES.match(name)
        if match is None:
            raise broken_rule(
                f"the columns of `{path.name}` must be V_in0, I_out0 and so on",
                repr(name),
                "See xbarspice.calibration.readers.",
            )
        values = _scale(cells, table.units.get(name, ""), DIMENSIONS[match[1]])
        numbers.setdefault(match[1], {})[int(match[2])] = values
    _need(path, numbers, ("V_in", "I_out"), ("V_out", "I_in"))
    for kind, columns in numbers.items():
        if sorted(columns) != list(range(len(columns))):
            raise broken_rule(
                f"the columns {kind}0, {kind}1, ... of `{path.name}` must have no gap",
                sorted(columns),
                "Leave cells empty where nothing was measured.",
            )
    count = len(table.lines)
    records = [
        {kind: [columns[k][n] for k in range(len(columns))] for kind, columns in numbers.items()}
        for n in range(count)
    ]
    rows = _check_rows(_Read, path, records, table.lines)
    return _reads({kind: [getattr(r, kind) for r in rows] for kind in numbers})


def _reads(tree: Mapping[str, Any]) -> Reads:
    values = {k: np.array(v, dtype=float) for k, v in tree.items()}
    return Reads(
        V_in=values["V_in"],
        I_out=values["I_out"],
        V_out=values.get("V_out"),
        I_in=values.get("I_in"),
    )


def _labels(names: list[str]) -> tuple[tuple[str, ...], Indices]:
    order = list(dict.fromkeys(names))
    return tuple(order), np.array([order.index(n) for n in names], dtype=np.intp)


def _records(path: Path, allowed: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of a file as dictionaries; values are numbers, or texts that are none."""
    if path.suffix in (".h5", ".hdf5"):
        tree = _tree(path)
        _need(path, tree, (), allowed)
        columns = {k: [_text(x) for x in np.asarray(v).ravel().tolist()] for k, v in tree.items()}
    else:
        table = text_tables.read_table(path)
        _need(path, table.columns, (), allowed)
        columns = {
            name: cells
            if name == "device"
            else _scale(cells, table.units.get(name, ""), DIMENSIONS.get(name, ""))
            for name, cells in table.columns.items()
        }
    if len({len(c) for c in columns.values()}) != 1:
        raise broken_rule(
            f"the columns of `{path.name}` must be equally long",
            {k: len(c) for k, c in columns.items()},
            "Check the file.",
        )
    rows = zip(*columns.values(), strict=True)
    return [{k: v for k, v in zip(columns, row, strict=True) if v is not None} for row in rows]


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return None if isinstance(value, float) and np.isnan(value) else value


def _tree(path: Path) -> dict[str, Any]:
    return {k: v for k, v in hdf5.read_plain(path).items() if not isinstance(v, dict)}


def _need(
    path: Path, columns: Mapping[str, Any], required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    missing = [name for name in required if name not in columns]
    strange = [name for name in columns if name not in (*required, *optional)]
    if missing or strange or not columns:
        raise broken_rule(
            f"`{path.name}` must hold the columns {', '.join((*required, *optional))}",
            f"{'without ' + ', '.join(missing) if missing else ', '.join(strange) or 'nothing'}",
            "Rename, add or remove columns; see xbarspice.calibration.readers.",
        )


def _scale(cells: list[str], unit: str, dimension: str) -> list[Any]:
    """Numbers in SI units; None for empty cells, the text where there is no number."""
    factor = text_tables.scale_of(unit, dimension) if unit else 1.0
    out: list[Any] = []
    for cell in cells:
        try:
            value = text_tables.number(cell) * factor if cell else None
            out.append(int(value) if value is not None and not dimension else value)
        except ValueError:
            out.append(cell)
    return out


def _check_rows(
    kind: type[BaseModel], path: Path, records: list[dict[str, Any]], lines: list[int] | None = None
) -> list[Any]:
    try:
        return TypeAdapter(list[kind]).validate_python(records)  # type: ignore[valid-type]
    except ValidationError as error:
        problems = []
        for e in error.errors()[:3]:
            row, *where = e["loc"]
            place = f"row {int(row) + 1}" if lines is None else f"line {lines[int(row)]}"
            column = "".join(str(w) for w in where)
            problems.append(f"{place}, column {column}: {e['msg']} (received {e.get('input')!r})")
        more = len(error.errors()) - len(problems)
        raise InputError(
            f"`{path.name}` must hold the documented numbers: {'; '.join(problems)}"
            f"{f'; and {more} more' if more else ''}. Correct the cells, or the units of the head."
        ) from None
