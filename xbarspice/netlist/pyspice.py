"""An array as a PySpice circuit, to be embedded in a test bench that PySpice users write."""

from __future__ import annotations

from typing import Any

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import EngineMissingError, install_command
from xbarspice.netlist.dialects import ngspice as dialect
from xbarspice.netlist.records import build

__all__ = ["to_pyspice"]


def to_pyspice(crossbar: Crossbar, title: str = "xbarspice crossbar") -> Any:
    """A PySpice `Circuit` of one array without its sources, to be embedded in a bench.

    Nodes: `in_<row>` and `out_<col>` take the sources of driven lines, `ws_<row>` and `bs_<col>`
    are the sense nodes of word and bit lines. The elements are our own text (20 times faster than
    PySpice elements), so they do not appear among the circuit's element objects.

    Raises:
        EngineMissingError: PySpice is not installed.
        InputError: the crossbar is a batch of arrays.
    """
    netlist = build(crossbar, [0.0] * crossbar.rows)
    try:
        from PySpice.Spice.Netlist import Circuit
    except ImportError as error:
        raise EngineMissingError(
            f"PySpice must be installed; run: {install_command('PySpice')}"
        ) from error
    circuit = Circuit(title)
    circuit.raw_spice += "\n".join(dialect.passive(netlist)) + "\n"
    return circuit
