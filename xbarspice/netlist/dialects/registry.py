"""The dialects, by name: one file a dialect, each a function from records to text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from xbarspice.core.registry import Registry
from xbarspice.netlist.records import Netlist

if TYPE_CHECKING:
    from xbarspice.netlist.dialects.base import Dialect

__all__ = ["Writer", "design_dialect", "designs", "dialects", "get", "writers"]

Writer = Callable[[Netlist], str]
"""Turns the records of one array into the complete text of a netlist, ending in a newline."""

writers: Registry[Writer] = Registry("dialect")
"""Writers of array netlists by the name of their dialect."""
designs: Registry[Dialect] = Registry("dialect")
"""Dialects of designs with cells and pins, and of their test benches."""


def dialects() -> list[str]:
    """Names of all dialects, sorted."""
    return writers.names()


def get(dialect: str) -> Writer:
    """The writer of a dialect, loaded on first use.

    Raises:
        InputError: there is no such dialect.
    """
    return writers.get(dialect)


def design_dialect(dialect: str) -> Dialect:
    """The dialect of designs and test benches, loaded on first use.

    Raises:
        InputError: there is no such dialect.
    """
    return designs.get(dialect)
