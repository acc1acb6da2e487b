"""Files as rows of text cells: text in any encoding, spreadsheets, Parquet, MATLAB and HDF5."""

from __future__ import annotations

import codecs
import csv
import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xbarspice.core import hdf5
from xbarspice.core.errors import InputError, broken_rule, first_line, missing_package
from xbarspice.core.files import check_file
from xbarspice.tables.matlab import read_arrays
from xbarspice.tables.numbers import is_mark, looks_numeric

__all__ = ["HDF5", "SEPARATORS", "Options", "Rows", "read_rows", "split"]

HDF5 = (".h5", ".hdf5")
_SHEETS = (".xlsx", ".xlsm", ".xls", ".ods")
SEPARATORS = (";", "\t", ",", "|", " ")
_COMMENT = ("#", "%", "!", "//")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SEPARATOR_WORDS = {
    ";": "semicolon",
    "\t": "tab",
    ",": "comma",
    "|": "bar",
    " ": "blanks",
    "": "none",
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user says of a file.

    Attributes:
        columns: name -> label or number (from 1) of its column, perhaps with a unit behind a colon:
            ``{"I": "Smu1.I[1][1]:uA"}``.
        sheet: of a spreadsheet; None for the only one.
        skip: lines to leave out at the top.
        decimal: "." or ","; None to find it.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    sheet: str | None = None
    skip: int = 0
    decimal: str | None = None

    def __post_init__(self) -> None:
        if self.skip < 0:
            raise broken_rule("`skip` must be >= 0 lines", self.skip, "Leave it out for none.")
        if self.decimal not in (None, ".", ","):
            raise broken_rule("`decimal` must be . or ,", repr(self.decimal), "Use one of them.")


@dataclass(kw_only=True)
class Rows:
    """Cells of a file, before they are understood.

    Attributes:
        cells: of each line that is neither empty nor a comment.
        lines: number of each of these lines in the file, from 1.
        comments: line -> text of the comments, without their sign.
        separator: between cells; "" where the file has cells of its own.
        form: sentence on encoding and separator.
        named: whether the first row holds the names of columns for certain.
    """

    cells: list[list[str]]
    lines: list[int]
    comments: dict[int, str]
    separator: str
    form: str
    named: bool = False

    def text(self, k: int) -> str:
        """A row as a line: two cells as key and value."""
        cells = [cell for cell in self.cells[k] if cell]
        return (": " if len(cells) == 2 else " ").join(cells)


def read_rows(path: Path, options: Options) -> Rows:
    """Rows of a file of any kind that is known by its suffix; all others are text.

    Raises:
        InputError: it cannot be read. PackageMissingError: its kind needs a package.
    """
    check_file(path, "the data file")
    suffix = path.suffix.lower()
    if suffix in _SHEETS:
        rows = _sheet_rows(path, options.sheet)
    elif suffix == ".parquet":
        rows = _parquet_rows(path)
    elif suffix == ".mat" or suffix in HDF5:
        rows = _array_rows(path, suffix)
    else:
        rows = _text_rows(path, options.decimal)
    if options.skip:
        keep = [k for k, line in enumerate(rows.lines) if line > options.skip]
        rows.cells = [rows.cells[k] for k in keep]
        rows.lines = [rows.lines[k] for k in keep]
        rows.comments = {k: text for k, text in rows.comments.items() if k > options.skip}
    if not rows.cells:
        raise broken_rule(f"`{path.name}` must hold numbers", "no rows", "Check the file.")
    return rows


# --- text ----------------------------------------------------------------------------------------


def _decode(path: Path) -> tuple[str, str]:
    """Text of a file and its encoding."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise broken_rule("the data file must be readable", error, "Check the path.") from None
    encoding = next((name for mark, name in _BOMS if raw.startswith(mark)), None)
    if encoding is None and raw[:400].count(0) > len(raw[:400]) // 4:
        encoding = "utf-16-le" if raw[1:400:2].count(0) > raw[0:400:2].count(0) else "utf-16-be"
    for name in (encoding,) if encoding else ("utf-8", "cp1252", "latin-1"):
        try:
            text = raw.decode(name)
        except UnicodeError:
            continue
        if "\0" in text:
            break
        return text, name.removesuffix("-sig")
    raise broken_rule(
        f"`{path.name}` must be text, a spreadsheet, .mat, .h5 or .parquet by its suffix",
        "bytes that are no text",
        "Export the table as CSV.",
    )


def _text_rows(path: Path, decimal: str | None) -> Rows:
    text, encoding = _decode(path)
    lines = {k: line for k, line in enumerate(text.splitlines(), 1) if line.strip()}
    comments, stated = {}, ""
    for k, line in list(lines.items()):
        bare = line.strip()
        if re.fullmatch(r'"?sep=.?"?', bare, re.IGNORECASE):
            stated = line.strip().strip('"')[4:] or "\t"
            del lines[k]
        elif bare.startswith(_COMMENT) and not is_mark(bare.split(",")[0].split(";")[0].strip()):
            comments[k] = bare.lstrip("#%!/").strip()
            del lines[k]
    separator = stated or _find_separator(list(lines.values()), decimal)
    word = SEPARATOR_WORDS.get(separator, repr(separator))
    return Rows(
        cells=[split(line, separator) for line in lines.values()],
        lines=list(lines),
        comments=comments,
        separator=separator,
        form=f"encoding {encoding}, separator {word}",
    )


def split(line: str, separator: str) -> list[str]:
    """Cells of a line; quotes protect a separator."""
    if separator == " ":
        line = re.sub(r"\s+", " ", line.strip())
    row = next(csv.reader([line], delimiter=separator or ",", skipinitialspace=True), [])
    return [cell.strip().strip('"').strip() for cell in row]


def _find_separator(lines: Sequence[str], decimal: str | None) -> str:
    """The separator that leaves most cells numbers and fewest cells neither number nor mark.

    A known decimal mark separates nothing.
    """

    def score(separator: str) -> float:
        rows = [split(line, separator) for line in lines]
        numbers = [sum(looks_numeric(cell) for cell in row) for row in rows]
        widths = [len(row) for row, n in zip(rows, numbers, strict=True) if n]
        if not widths:
            return 0.0
        width = max(set(widths), key=widths.count)
        return sum(
            n - 2 * sum(not looks_numeric(c) and not is_mark(c) for c in row) + 0.5 * width
            for row, n in zip(rows, numbers, strict=True)
            if n and len(row) == width
        )

    best = max((s for s in SEPARATORS if s != decimal), key=score)  # the first of equals
    return best if any(len(split(line, best)) > 1 for line in lines) else ""


# --- files with cells of their own ---------------------------------------------------------------


def _pandas(*packages: str) -> Any:
    for package in ("pandas", *packages):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise missing_package(error) from None
    return importlib.import_module("pandas")


def _sheet_rows(path: Path, sheet: str | None) -> Rows:
    package = {".xls": "xlrd", ".ods": "odf"}.get(path.suffix.lower(), "openpyxl")
    pandas = _pandas(package)
    try:
        with pandas.ExcelFile(path) as book:
            names = [str(name) for name in book.sheet_names]
            name = names[0] if sheet is None and len(names) == 1 else sheet
            if name not in names:
                raise broken_rule(
                    f"the sheet of `{path.name}` must be one of {names}",
                    "none" if sheet is None else repr(sheet),
                    "Name it with --sheet.",
                )
            frame = pandas.read_excel(
                book, sheet_name=name, header=None, dtype=object, keep_default_na=False
            )
    except InputError:
        raise
    except Exception as error:  # damaged spreadsheets raise errors of many kinds
        raise InputError(
            f"`{path.name}` must be a readable spreadsheet; {first_line(error)}. Save it anew."
        ) from error
    cells = [[_text(value) for value in row] for row in frame.itertuples(index=False)]
    while cells and cells[0] and all(not row[-1] for row in cells):
        cells = [row[:-1] for row in cells]
    keep = [k for k, row in enumerate(cells) if any(row)]
    comments = {
        k + 1: cells[k][0].lstrip("#% ") for k in keep if cells[k][0].startswith(("#", "%"))
    }
    keep = [k for k in keep if k + 1 not in comments]
    return Rows(
        cells=[cells[k] for k in keep],
        lines=[k + 1 for k in keep],
        comments=comments,
        separator="",
        form=f"sheet {name!r}",
    )


def _parquet_rows(path: Path) -> Rows:
    pandas = _pandas("pyarrow")
    try:
        frame = pandas.read_parquet(path)
    except Exception as error:  # damaged files raise errors of many kinds
        raise InputError(
            f"`{path.name}` must be a readable Parquet file; {first_line(error)}. Save it anew."
        ) from error
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    return _named_rows(columns, "Parquet")


def _array_rows(path: Path, suffix: str) -> Rows:
    """Vectors of equal length as columns under their names, or one matrix alone."""
    arrays = _arrays(path, suffix)
    tables = {name: a for name, a in arrays.items() if a.ndim == 2 and min(a.shape) > 1}
    vectors = {name: a.ravel().tolist() for name, a in arrays.items() if name not in tables}
    if len(tables) == 1 and not vectors:
        name, table = next(iter(tables.items()))
        cells = [[_text(value) for value in row] for row in table.tolist()]
        lines = list(range(1, len(cells) + 1))
        return Rows(
            cells=cells, lines=lines, comments={0: name}, separator="", form=f"array {name!r}"
        )
    long = {name: values for name, values in vectors.items() if len(values) > 1}
    scalars = {name: values[0] for name, values in vectors.items() if len(values) == 1}
    if tables or len({len(values) for values in long.values()}) != 1:
        shapes = {name: a.shape for name, a in arrays.items()}
        raise broken_rule(
            f"`{path.name}` must hold columns of one length, or one matrix",
            shapes,
            "Save these alone.",
        )
    rows = _named_rows(long, "arrays by name")
    rows.comments = {0: "; ".join(f"{name}: {value}" for name, value in scalars.items())}
    return rows


def _arrays(path: Path, suffix: str) -> dict[str, np.ndarray]:
    if suffix == ".mat" and not hdf5.is_hdf5(path):
        tree: Mapping[str, Any] = read_arrays(path)
    else:
        tree = hdf5.read_plain(path)
    out = {}
    for name, value in tree.items():
        if not isinstance(name, str):  # h5py: a name that is no UTF-8
            raise broken_rule(
                f"names of the arrays of `{path.name}` must be text", repr(name), "Save it anew."
            )
        if isinstance(value, dict) or value is None:
            continue
        array = np.atleast_1d(np.asarray(value))
        if (array.dtype.kind in "biuf" and array.ndim <= 2) or (
            array.dtype.kind in "OSU" and array.ndim == 1 and array.size > 1
        ):
            out[name] = array
    if not out:
        raise broken_rule(f"`{path.name}` must hold arrays of numbers", "none", "Check the file.")
    return out


def _named_rows(columns: Mapping[str, list[Any]], form: str) -> Rows:
    body = [[_text(value) for value in row] for row in zip(*columns.values(), strict=True)]
    cells = [list(columns), *body]
    lines = list(range(len(cells)))
    return Rows(cells=cells, lines=lines, comments={}, separator="", form=form, named=True)


def _text(value: Any) -> str:
    """A value as a cell; numbers read back exactly."""
    if value is None or value != value:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if isinstance(value, bool):
        return str(int(value))
    return repr(float(value)) if isinstance(value, (float, np.floating)) else str(value).strip()
