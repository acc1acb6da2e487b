"""The HDF5 layout of campaign results: items of one shape share the columns of one table."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xbarspice.core import hdf5
from xbarspice.core.errors import StoreError

__all__ = ["FORMAT", "Contents", "Header", "Row", "image", "merge", "read", "read_header"]

FORMAT = 1
KIND = "campaign"
_SLICE = 64 * 1024 * 1024
_TEXT = h5py.string_dtype()
_SCALARS: dict[str, Any] = {"bool": np.bool_, "int": np.int64, "float": np.float64, "str": _TEXT}
_FAILURES = {
    "index": np.int64,
    "seconds": np.float64,
    "attempts": np.int64,
    "error": _TEXT,
    "text": _TEXT,
}

Schema = tuple[tuple[str, str, tuple[int, ...]], ...]
"""Name, kind ("none", "bool", "int", "float", "str" or an array's dtype) and array shape."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file is: the function of its campaign, and the last segment merged into it."""

    function: str
    merged: int = 0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One finished or failed item; `values` and `settings` are flat (see `items.flat`)."""

    key: bytes
    index: int
    seconds: float
    settings: dict[str, Any]
    values: dict[str, Any] | None
    error: str = ""
    text: str = ""
    attempts: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Items whose values have the same names, types and shapes; all columns have N rows."""

    schema: Schema
    keys: np.ndarray
    index: np.ndarray
    seconds: np.ndarray
    columns: dict[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Contents:
    """Everything in a file; `failures` by key."""

    header: Header
    tables: list[Table]
    failures: dict[bytes, Row]


def _kind(value: Any) -> tuple[str, tuple[int, ...]]:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape
    return ("none" if value is None else type(value).__name__), ()


def _schema(row: Row) -> Schema:
    values = {f"values/{k}": v for k, v in (row.values or {}).items()}
    values |= {f"settings/{k}": v for k, v in row.settings.items()}
    return tuple((name, *_kind(value)) for name, value in sorted(values.items()))


def _cell(row: Row, name: str) -> Any:
    part, _, key = name.partition("/")
    return (row.values or {})[key] if part == "values" else row.settings[key]


def _stamp(file: h5py.File, header: Header) -> None:
    file.attrs["xbarspice_kind"] = KIND
    file.attrs["xbarspice_format"] = FORMAT
    file.attrs["function"] = header.function
    file.attrs["merged_segments"] = header.merged


def _create(group: Any, name: str, count: int, kind: str, shape: tuple[int, ...]) -> Any:
    dtype = _SCALARS.get(kind, kind)
    return group.create_dataset(name, shape=(count, *shape), dtype=dtype)


def _new_table(file: Any, number: int, schema: Schema, count: int) -> Any:
    group = file.create_group(f"tables/{number}")
    group.create_dataset("schema", data=json.dumps(schema), dtype=_TEXT)
    group.create_dataset("key", shape=(count, 32), dtype=np.uint8)
    group.create_dataset("index", shape=(count,), dtype=np.int64)
    group.create_dataset("seconds", shape=(count,), dtype=np.float64)
    for name, kind, shape in schema:
        if kind != "none":
            _create(group, name, count, kind, shape)
    return group


def image(rows: Sequence[Row], header: Header) -> bytes:
    """A complete HDF5 file of these rows, as bytes.

    It is made in memory because HDF5 that meets a full disk keeps the file open and half written.
    """
    with h5py.File("segment", "w", driver="core", backing_store=False) as file:
        _stamp(file, header)
        groups: dict[Schema, list[Row]] = {}
        for row in rows:
            if row.values is not None:
                groups.setdefault(_schema(row), []).append(row)
        for number, (schema, members) in enumerate(groups.items()):
            table = _new_table(file, number, schema, len(members))
            table["key"][...] = _keys(members)
            table["index"][...] = [row.index for row in members]
            table["seconds"][...] = [row.seconds for row in members]
            for name, kind, _ in schema:
                if kind != "none" and table[name].size:
                    table[name][...] = np.array(
                        [_cell(row, name) for row in members],
                        dtype=object if kind == "str" else None,
                    )
        _put_failures(file, [row for row in rows if row.values is None])
        file.flush()
        return file.id.get_file_image()


def _keys(rows: Iterable[Row]) -> np.ndarray:
    return np.frombuffer(b"".join(row.key for row in rows), np.uint8).reshape(-1, 32)


def _put_failures(file: Any, rows: Sequence[Row]) -> None:
    if not rows:
        return
    group = file.create_group("failures")
    group.create_dataset("key", data=_keys(rows))
    for name, dtype in _FAILURES.items():
        cells = [getattr(row, name) for row in rows]
        if dtype is _TEXT:
            cells = [
                cell.replace("\0", "\\0").encode("utf-8", "backslashreplace") for cell in cells
            ]
        group.create_dataset(name, data=cells, dtype=dtype)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(path, "r") as file:
            label = (file.attrs.get("xbarspice_kind"), file.attrs.get("xbarspice_format"))
            if label != (KIND, FORMAT):
                raise StoreError(
                    f"`{path.name}` must be a campaign file of format {FORMAT}; it says "
                    f"{label[0]!r}, {label[1]}. Choose another path."
                )
            yield file
    except (FileNotFoundError, StoreError):
        raise
    except Exception as error:  # a damaged file makes h5py raise errors of many kinds
        remedy = "Move it away and start the campaign anew, or bring it back from a copy."
        raise hdf5.unreadable(path, error, remedy) from error


def _header(file: h5py.File) -> Header:
    return Header(function=str(file.attrs["function"]), merged=int(file.attrs["merged_segments"]))  # type: ignore[arg-type]


def read_header(path: Path) -> Header:
    """The header alone.

    Raises:
        StoreError: the file is damaged or no campaign file.
    """
    with _open(path) as file:
        return _header(file)


def _schema_of(table: Any) -> Schema:
    return tuple((n, k, tuple(s)) for n, k, s in json.loads(table["schema"].asstr()[()]))


def _tables(file: Any) -> list[Any]:
    tables = file.get("tables", {})
    return [tables[name] for name in sorted(tables, key=int)]


def read(path: Path, *, columns: bool = True) -> Contents:
    """Read a file; without `columns` only which items are finished and which failed.

    Raises:
        StoreError: the file is damaged or no campaign file.
    """
    with _open(path) as file:
        tables = [_read_table(table, columns) for table in _tables(file)]
        return Contents(header=_header(file), tables=tables, failures=_read_failures(file))


def _read_table(table: Any, columns: bool) -> Table:
    schema = _schema_of(table)
    cells: dict[str, Any] = {}
    for name, kind, _ in schema if columns else ():
        if kind == "none":
            cells[name] = [None] * len(table["key"])
        else:
            cells[name] = table[name].asstr()[...] if kind == "str" else table[name][...]
    return Table(
        schema=schema,
        keys=table["key"][...],
        index=table["index"][...],
        seconds=table["seconds"][...],
        columns=cells,
    )


def _read_failures(file: Any) -> dict[bytes, Row]:
    group = file.get("failures")
    if group is None:
        return {}
    keys = group["key"][...]
    cells = {
        name: group[name].asstr()[...] if dtype is _TEXT else group[name][...].tolist()
        for name, dtype in _FAILURES.items()
    }
    return {
        key.tobytes(): Row(
            key=key.tobytes(), settings={}, values=None, **{n: c[k] for n, c in cells.items()}
        )
        for k, key in enumerate(keys)
    }


def merge(sources: Sequence[Path], target: Path, header: Header) -> None:
    """Write a new file with every finished item of the sources once, and the last failures.

    Of an item that is in several sources the first result is kept; a result outweighs a failure.
    Memory stays at the keys of all items and one slice of a column.

    Args:
        sources: campaign files, oldest first.
        target: where to write; the caller makes it appear whole.
        header: of the new file.
    """
    keys_of_results: set[bytes] = set()
    plan: dict[Schema, list[tuple[Path, int, np.ndarray]]] = {}
    failures: dict[bytes, Row] = {}
    for path in sources:
        contents = read(path, columns=False)
        failures |= contents.failures
        for number, table in enumerate(contents.tables):
            rows = [key.tobytes() for key in table.keys]
            fresh = [
                k
                for k, key in enumerate(rows)
                if not (key in keys_of_results or keys_of_results.add(key))
            ]
            plan.setdefault(table.schema, []).append((path, number, np.array(fresh, dtype=int)))
    with h5py.File(target, "w") as file:
        _stamp(file, header)
        for number, (schema, parts) in enumerate(plan.items()):
            count = sum(len(fresh) for *_, fresh in parts)
            out = _new_table(file, number, schema, count)
            start = 0
            for path, source, fresh in parts:
                with _open(path) as part:
                    _copy(_tables(part)[source], out, schema, fresh, start)
                start += len(fresh)
        _put_failures(file, [row for key, row in failures.items() if key not in keys_of_results])
        file.flush()


def _copy(source: Any, out: Any, schema: Schema, rows: np.ndarray, start: int) -> None:
    names = ["key", "index", "seconds", *(name for name, kind, _ in schema if kind != "none")]
    for name in names:
        column = source[name]
        size = int(np.prod(column.shape[1:])) * column.dtype.itemsize
        step = max(1, _SLICE // max(size, 1))
        if not column.size:
            continue
        for first in range(0, len(column), step):
            chosen = rows[(rows >= first) & (rows < first + step)]
            if len(chosen):
                begin = start + int(np.searchsorted(rows, chosen[0]))
                data = column[first : first + step][chosen - first]
                out[name][begin : begin + len(chosen)] = data
