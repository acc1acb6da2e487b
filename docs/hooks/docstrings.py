"""How the reference reads docstrings: several names before one colon become an entry each."""

from __future__ import annotations

import re
from typing import Any

import griffe

__all__ = ["EntryOfEachName"]

SEVERAL = re.compile(
    r"^(?P<indent> +)(?P<names>\w+(?:, \w+)+):(?P<text> .*(?:\n(?P=indent) +\S.*)*)$",
    flags=re.MULTILINE,
)
"""``R_on, R_off: text`` with its further lines; the parser takes R_off for the type of R_on."""


def one_by_one(match: re.Match[str]) -> str:
    """The first name with the text, and each other name with a reference to it."""
    indent, (first, *others) = match["indent"], match["names"].split(", ")
    lines = [f"{indent}{first}:{match['text']}"]
    return "\n".join([*lines, *(f"{indent}{name}: as `{first}`." for name in others)])


class EntryOfEachName(griffe.Extension):
    """Give each of several names before one colon an entry of its own, with its own type."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the docstring of a class, function or attribute before it is parsed."""
        if obj.docstring is not None:
            obj.docstring.value = SEVERAL.sub(one_by_one, obj.docstring.value)
