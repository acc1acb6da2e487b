"""Netlists as a contract: what is written can be read back and proven equal to the crossbar."""

from __future__ import annotations

import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.netlist import dialects
from xbarspice.netlist.chain import write_chain
from xbarspice.netlist.deck_reader import ReadBack, compare, read
from xbarspice.netlist.pyspice import to_pyspice
from xbarspice.netlist.records import Netlist, build, config_hash

__all__ = [
    "Netlist",
    "ReadBack",
    "build",
    "compare",
    "config_hash",
    "dialects",
    "read",
    "to_pyspice",
    "write",
    "write_chain",
]


def write(
    crossbar: Crossbar,
    V_in: npt.ArrayLike,
    V_out: npt.ArrayLike | None = None,
    *,
    dialect: str = "ngspice",
) -> str:
    """Write one array and its drive as a netlist that can be run by hand.

    Args:
        crossbar: a single array.
        V_in: word-line voltages, V, (..., rows); several vectors become one sweep.
        V_out: bit-line voltages, V, (..., cols); None for 0 V.
        dialect: one of `dialects.names()`.

    Returns:
        The text, the same for equal problems (it holds no date and no path).

    Raises:
        InputError: an argument breaks a rule, or there is no such dialect.
        FloatingNodeError: a line has no path to any source.
    """
    return dialects.get(dialect).write(build(crossbar, V_in, V_out))
