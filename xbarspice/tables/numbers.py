"""Cells: numbers with either decimal mark, and the marks for missing and for overflowing values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from xbarspice.core.errors import InputError

__all__ = ["Marks", "NumberForm", "find_form", "is_mark", "looks_numeric"]

MISSING = {
    *("", "nan", "-nan", "+nan", "n/a", "#n/a", "na", "#na", "null", "none", "nil", "missing"),
    *("-", "--", "---", ".", "#value!", "#div/0!", "#num!", "#ref!"),
}
"""Cells without a value, in lower case."""
OVERFLOW = {
    *("inf", "+inf", "-inf", "infinity", "ol", "+ol", "-ol", "o.l.", "o.l", "ovld", "ovl", "ovf"),
    *("over", "overload", "overflow", "over range", "overrange", "ovr", "open", "1.#inf"),
}
"""Cells of a value beyond the range of the instrument, in lower case."""
LARGEST = 9.89e36
"""Instruments write 9.9e37 (SCPI), 199.999e99 or the largest float64 for an overflow."""
NOT_A_NUMBER = 9.91e37
"""SCPI 1999.0, 7.2.1.5: the number that stands for "not a number"."""
_HUGE = re.compile(r"^[-+]?\d+(?:[.,]\d*)?[eE]\+?(?:3[7-9]|[4-9]\d|\d{3,})$")
"""Numbers that only stand for an overflow; instruments write them with a point everywhere."""
_LIMIT = re.compile(r"^[<>]\s*=?\s*(?=[-+.\d])")
_BLANKS = "\u00a0\u202f\u2009'\u2019 "
_NUMBER = re.compile(
    rf"^[-+]?(?:\d+(?:[.,{_BLANKS}]\d{{3}})*(?:[.,]\d*)?|[.,]\d+)(?:[eEdD][-+]?\d+)?$"
)
_MINUS = str.maketrans({"\u2212": "-"})


def looks_numeric(cell: str) -> bool:
    """Whether a cell is a number with some decimal mark."""
    return bool(_NUMBER.match(cell.translate(_MINUS)))


def is_mark(cell: str) -> bool:
    """Whether a cell is a mark of a missing or overflowing value."""
    return cell.lower() in MISSING or cell.lower() in OVERFLOW or bool(_LIMIT.match(cell))


@dataclass
class Marks:
    """How many cells were marks, by their text."""

    missing: dict[str, int]
    overflow: dict[str, int]

    def count(self, kind: dict[str, int], cell: str) -> None:
        """One more."""
        kind[cell] = kind.get(cell, 0) + 1

    def sentences(self) -> list[str]:
        """What was counted."""
        out = []
        for words, kind in (("missing values", self.missing), ("overflows", self.overflow)):
            if kind:
                texts = [f"{n} {cell!r}" if cell else f"{n} empty" for cell, n in kind.items()]
                out.append(f"{words}: {', '.join(texts)}")
        return out


@dataclass(frozen=True)
class NumberForm:
    """How numbers are written.

    Attributes:
        decimal: decimal mark.
        thousands: marks between groups of three digits.
        sure: whether some cell decides it, or none has such a mark; otherwise it is assumed.
    """

    decimal: str
    thousands: str
    sure: bool

    def words(self) -> str:
        """The form for a notice."""
        return f"decimal mark {self.decimal!r}{'' if self.sure else ' (no cell decides it)'}"

    def number(self, cell: str) -> float:
        """Value of a numeric cell.

        Raises:
            ValueError: it is no number in this form.
        """
        text = cell.translate(_MINUS)
        if not _NUMBER.match(text):
            raise ValueError(cell)
        head, mark, tail = text.partition(self.decimal)
        if self.decimal in tail or any(c in tail for c in self.thousands):
            raise ValueError(cell)
        for c in self.thousands:
            head = head.replace(c, "")
        return float((head + ("." if mark else "") + tail).replace("d", "e").replace("D", "e"))

    def value(self, cell: str, marks: Marks) -> float:
        """Value of a cell: NaN for a missing one, infinity for an overflow; both are counted.

        Raises:
            ValueError: it is neither a number nor a mark.
        """
        word = cell.lower()
        if word in MISSING:
            marks.count(marks.missing, cell)
            return math.nan
        if word in OVERFLOW or _LIMIT.match(cell):
            below = cell.startswith("<")
            marks.count(marks.missing if below else marks.overflow, cell)
            return math.nan if below else math.inf
        number = float(cell.replace(",", ".")) if _HUGE.match(cell) else self.number(cell)
        if math.isclose(number, NOT_A_NUMBER, rel_tol=1e-6):
            marks.count(marks.missing, cell)
            return math.nan
        if abs(number) > LARGEST:
            marks.count(marks.overflow, cell)
            return math.inf
        return number


_GROUP = r"^[-+]?[1-9]\d{0,2}(?:%s\d{3})+$"
_ONE_GROUP = {mark: re.compile(_GROUP % re.escape(mark)) for mark in ".,"}


def find_form(cells: Iterable[str], separator: str, decimal: str | None = None) -> NumberForm:
    """Decimal and thousands marks of a file, from all of its numeric cells.

    A cell decides: with both marks the last is the decimal one; a mark that stands twice separates
    thousands; one that is not followed by exactly three digits, or follows a leading 0, is decimal.

    Args:
        cells: its cells.
        separator: between cells.
        decimal: the decimal mark if it is known.

    Raises:
        InputError: two cells contradict each other, or no cell says whether a comma is decimal.
    """
    witnesses: dict[str, str] = {} if decimal is None else {decimal: f"--decimal {decimal}"}
    doubtful, blanks, marked = "", set[str](), False
    for cell in cells:
        text = cell.translate(_MINUS)
        if not _NUMBER.match(text) or _HUGE.match(text):
            continue
        mantissa = re.split("[eEdD]", text)[0]
        blanks |= {c for c in mantissa if c in _BLANKS}
        mark = _decimal_of(mantissa)
        marked |= "." in mantissa or "," in mantissa
        if mark is not None:
            witnesses.setdefault(mark, cell)
        elif "," in mantissa:
            doubtful = doubtful or cell
    if len(witnesses) > 1:
        raise InputError(
            "the numbers of a file must have one decimal mark; received "
            f"{witnesses['.']!r} and {witnesses[',']!r}. Correct the cells, or pass --decimal."
        )
    if doubtful and not witnesses and separator != ",":
        raise InputError(
            f"a decimal mark must be told from a thousands mark; received {doubtful!r}, which may "
            "be either, and no other cell decides it. Pass --decimal . or --decimal ,."
        )
    mark = next(iter(witnesses), ".")
    opposite = "," if mark == "." else "."
    return NumberForm(mark, opposite + "".join(sorted(blanks)), bool(witnesses) or not marked)


def _decimal_of(mantissa: str) -> str | None:
    """The decimal mark that the digits of one number prove, if they do."""
    points, commas = mantissa.count("."), mantissa.count(",")
    if points and commas:
        return "," if mantissa.rfind(",") > mantissa.rfind(".") else "."
    for mark, count, opposite in ((".", points, ","), (",", commas, ".")):
        if count > 1:
            return opposite
        if count == 1 and not _ONE_GROUP[mark].match(mantissa):
            return mark
    return None
