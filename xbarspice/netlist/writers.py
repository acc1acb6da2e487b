"""The dialects, by name: one file a dialect, each a function from records to text."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from xbarspice.errors import broken_rule
from xbarspice.netlist.records import Netlist

if TYPE_CHECKING:
    from xbarspice.netlist.dialect import Dialect

__all__ = ["Writer", "design_dialect", "dialects", "get"]

Writer = Callable[[Netlist], str]
"""Turns the records of one array into the complete text of a netlist, ending in a newline."""

_WRITERS = {
    "cdl": "xbarspice.netlist.cdl:write",
    "hspice": "xbarspice.netlist.hspice:write",
    "ltspice": "xbarspice.netlist.ltspice:write",
    "ngspice": "xbarspice.netlist.ngspice:write",
    "spectre": "xbarspice.netlist.spectre:write",
    "vacask": "xbarspice.netlist.vacask:write",
    "xyce": "xbarspice.netlist.xyce:write",
}

_DESIGNS = {
    "cdl": "xbarspice.netlist.cdl:CDL",
    "hspice": "xbarspice.netlist.hspice:HSPICE",
    "ltspice": "xbarspice.netlist.ltspice:LTSPICE",
    "ngspice": "xbarspice.netlist.ngspice_design:NGSPICE",
    "spectre": "xbarspice.netlist.spectre:SPECTRE",
    "vacask": "xbarspice.netlist.vacask:VACASK",
    "xyce": "xbarspice.netlist.xyce:XYCE",
}
"""Dialects of designs with cells and pins, and of their test benches."""


def dialects() -> list[str]:
    """Names of all dialects, sorted."""
    return sorted(_WRITERS)


def get(dialect: str) -> Writer:
    """The writer of a dialect, loaded on first use.

    Raises:
        InputError: there is no such dialect.
    """
    return _load(_WRITERS, dialect)


def design_dialect(dialect: str) -> Dialect:
    """The dialect of designs and test benches, loaded on first use.

    Raises:
        InputError: there is no such dialect.
    """
    return _load(_DESIGNS, dialect)


def _load(table: dict[str, str], dialect: str) -> Any:
    if dialect not in table:
        raise broken_rule(
            f"`dialect` must be one of {dialects()}", repr(dialect), "Use one of these words."
        )
    module, _, name = table[dialect].partition(":")
    return getattr(importlib.import_module(module), name)
