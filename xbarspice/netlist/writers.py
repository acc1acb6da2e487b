"""The dialects, by name: one file a dialect, each a function from records to text."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from xbarspice.errors import broken_rule
from xbarspice.netlist.records import Netlist

__all__ = ["Writer", "dialects", "get"]

Writer = Callable[[Netlist], str]
"""Turns the records of one array into the complete text of a netlist, ending in a newline."""

_WRITERS = {
    "ngspice": "xbarspice.netlist.ngspice:write",
}


def dialects() -> list[str]:
    """Names of all dialects, sorted."""
    return sorted(_WRITERS)


def get(dialect: str) -> Writer:
    """The writer of a dialect, loaded on first use.

    Raises:
        InputError: there is no such dialect.
    """
    if dialect not in _WRITERS:
        raise broken_rule(
            f"`dialect` must be one of {dialects()}", repr(dialect), "Use one of these words."
        )
    module, _, function = _WRITERS[dialect].partition(":")
    return getattr(importlib.import_module(module), function)
