"""Every setting of a schema, one by one: type, default and what it says."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

import tomli_w
from pydantic_core import PydanticUndefined

from xbarspice.config.sections import Section

__all__ = ["Entry", "commented_toml", "entries", "type_words"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One setting.

    Attributes:
        name: as ``--set`` takes it, ``section.key``.
        kind: what values it takes, in words.
        default: the value without any setting.
        meaning: what it is, with its unit.
    """

    name: str
    kind: str
    default: Any
    meaning: str


def entries(section: type[Section], prefix: str = "") -> Iterator[Entry]:
    """The settings of a section and of the sections in it, in their order."""
    for name, info in section.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from entries(kind, f"{prefix}{name}.")
            continue
        yield Entry(
            name=prefix + name,
            kind=type_words(kind),
            default=None if info.default is PydanticUndefined else info.default,
            meaning=(info.description or "").rstrip("."),
        )


def commented_toml(settings: Iterable[Entry]) -> str:
    """TOML that says every setting with its default; what has none is a comment."""
    lines: list[str] = []
    table = ""
    for entry in sorted(settings, key=lambda e: "." in e.name):  # TOML: first what has no table
        section, _, key = entry.name.rpartition(".")
        if section != table:
            table = section
            lines += ["", f"[{section}]"]
        comment = f"{entry.meaning} ({entry.kind})"
        lines += [f"# {line}" for line in textwrap.wrap(comment, 96)]
        plain = list(entry.default) if isinstance(entry.default, tuple) else entry.default
        if plain is None or plain in ({}, []):
            lines.append(f"# {key} =")
        else:
            lines.append(tomli_w.dumps({key: plain}, multiline_strings=False).strip())
    return "\n".join(lines).strip() + "\n"


_WORDS = {
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "str": "text",
    "None": "none",
    "NoneType": "none",
}


def type_words(kind: Any) -> str:
    """A type in words: ``list of numbers``, ``"tiled" or "folded"``."""
    name, inner = str(getattr(kind, "__origin__", kind)), get_args(kind)
    if "Literal" in name:
        return " or ".join(f'"{value}"' for value in inner)
    if name.startswith("<class 'tuple'"):
        return f"list of {_plural(type_words(inner[0]))}"
    if name.startswith("<class 'dict'"):
        return "table"
    if inner:
        return " or ".join(type_words(part) for part in inner)
    plain = getattr(kind, "__name__", str(kind))
    return _WORDS.get(plain, "table" if re.match(r"[A-Z]", plain) else plain)


def _plural(word: str) -> str:
    return word if word in ("text", "true or false") else f"{word}s"
