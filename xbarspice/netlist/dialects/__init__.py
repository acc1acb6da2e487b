"""The dialects of netlists, by name: one file a dialect, announced here in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbarspice.core.registry import Registry

if TYPE_CHECKING:
    from xbarspice.netlist.dialects.base import Dialect

__all__ = ["get", "names", "register", "registry"]

registry: Registry[type[Dialect]] = Registry("dialect")
"""Dialects by name: classes, each with how it is written and how it is read."""
register = registry.register
"""Class decorator: a dialect is available by this name."""
names = registry.names

registry.add("cdl", "xbarspice.netlist.dialects.cdl:Cdl")
registry.add("hspice", "xbarspice.netlist.dialects.hspice:Hspice")
registry.add("ltspice", "xbarspice.netlist.dialects.ltspice:LTspice")
registry.add("ngspice", "xbarspice.netlist.dialects.ngspice:Ngspice")
registry.add("spectre", "xbarspice.netlist.dialects.spectre:Spectre")
registry.add("vacask", "xbarspice.netlist.dialects.vacask:Vacask")
registry.add("xyce", "xbarspice.netlist.dialects.xyce:Xyce")


def get(dialect: str, brackets: str = "<>") -> Dialect:
    """The dialect of that name, loaded on first use.

    Args:
        dialect: its name.
        brackets: of bus names, ``"<>"`` or ``"[]"``, where the dialect has brackets at all.

    Raises:
        InputError: there is no such dialect, or the brackets are others.
    """
    return registry.get(dialect)(brackets)
