"""Units of measured quantities: whole words and SI prefixes, and the factor to SI."""

from __future__ import annotations

import re
from dataclasses import dataclass

from xbarspice.core.errors import broken_rule

__all__ = ["DIMENSIONS", "PREFIXES", "Unit", "find_units", "unit_of"]

DIMENSIONS: dict[str, tuple[str, ...]] = {
    "V": ("V", "volt", "volts"),
    "A": ("A", "amp", "amps", "ampere", "amperes"),
    "s": ("s", "sec", "secs", "second", "seconds"),
    "S": ("S", "siemens"),
    "ohm": ("ohm", "ohms"),
    "K": ("K", "kelvin"),
    "1": ("1",),
}
"""The SI unit of each dimension and its words. Words of one letter are taken as they are written,
longer ones in any case."""
PREFIXES = {
    "f": 1e-15,
    "p": 1e-12,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "": 1.0,
    "k": 1e3,
    "K": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
}
_WORDS = {
    "femto": "f",
    "pico": "p",
    "nano": "n",
    "micro": "u",
    "milli": "m",
    "kilo": "k",
    "mega": "M",
    "meg": "M",
    "giga": "G",
    "tera": "T",
}
_SIGNS = str.maketrans({"\u00b5": "u", "\u03bc": "u", "\u2212": "-"})
_OHM = re.compile("[\u03a9\u2126]")


@dataclass(frozen=True)
class Unit:
    """A unit as it was written.

    Attributes:
        text: as it stands in the file.
        dimension: a key of `DIMENSIONS`.
        factor: SI value of one of them.
    """

    text: str
    dimension: str
    factor: float


def _plain(text: str) -> str:
    return _OHM.sub("ohm", text.translate(_SIGNS)).strip().strip(".")


def _parse(text: str) -> tuple[str, float] | None:
    """Dimension and factor of a unit; None if it is none."""
    word = _plain(text).replace(" ", "").replace("-", "")
    for dimension, names in DIMENSIONS.items():
        for name in names:
            same = word.endswith(name) if len(name) == 1 else word.lower().endswith(name)
            if not same:
                continue
            prefix = word[: len(word) - len(name)]
            if len(name) > 1:
                prefix = _WORDS.get(prefix.lower(), prefix)
                if len(prefix) == 1 and prefix.isupper() and prefix in "FPNU":
                    prefix = prefix.lower()  # names in capitals; M is mega, as meters write it
            if prefix in PREFIXES:
                return dimension, PREFIXES[prefix]
    return None


def unit_of(text: str, dimension: str | None = None) -> Unit:
    """A unit by its text: ``uA``, ``kOhm``, ``MOhm``, ``microsiemens``.

    Args:
        text: the unit. With a dimension a bare prefix will do, as in ``R (k)``.
        dimension: what it must be a unit of; None for any.

    Raises:
        InputError: it is no unit, or one of another dimension.
    """
    word = _plain(text)
    if dimension is not None and word in PREFIXES and word not in DIMENSIONS[dimension] and word:
        return Unit(text, dimension, PREFIXES[word])
    parsed = _parse(text)
    if parsed is None or dimension not in (None, parsed[0]):
        base = "V, A, s, S, ohm or K" if dimension is None else dimension
        raise broken_rule(
            f"a unit must be {base} with an SI prefix (such as u{base[:1]} or k{base[:3]})"
            if dimension
            else f"a unit must be {base} with an SI prefix",
            repr(text),
            "Correct the head, or give the unit with --column NAME=LABEL:UNIT.",
        )
    return Unit(text, parsed[0], parsed[1])


_BRACKETS = re.compile(r"[\[(]\s*([^\[\]()]+?)\s*[\])]")
_AFTER = re.compile(r"\b(?:in|units?)\b\s*[:=;,\t]?\s*([^\s;,:=\[\]()]+)", re.IGNORECASE)


def find_units(line: str, dimensions: tuple[str, ...]) -> list[Unit]:
    """Units that a line of a head declares: in brackets, behind "in" or "unit", or alone.

    A unit behind a number is a value ("range: 100 kohm") and declares nothing.
    """
    texts = [m[1] for m in _BRACKETS.finditer(line)] + [m[1] for m in _AFTER.finditer(line)]
    bare = line.strip().strip("#%;,\"' \t:")
    units = []
    for text in [*texts, bare]:
        parsed = _parse(text) if text and text != "1" else None
        if parsed is not None and parsed[0] in dimensions:
            units.append(Unit(text, *parsed))
    return units
