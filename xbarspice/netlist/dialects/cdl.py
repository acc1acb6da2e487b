"""Netlist text in CDL, the circuit description that layout-versus-schematic tools read.

Checked against Cadence's description of its CDL netlister (Virtuoso ADE Explorer User Guide,
appendix "auCdl Netlisting": header directives, ``*.PININFO``, ``.SUBCKT``, black boxes) and a
designers' forum on ``$[name]`` (the class of a two-terminal element). `*.BIPOLAR` keeps resistors
and capacitors, `*.RESI = 0` shorts none of them however small (segments are of the order of an
ohm; auCdl's usual threshold is 2000), `*.RESVAL` and `*.CAPVAL` let their values be compared.
KLayout reads the text in every test and compares layouts with it; no commercial LVS tool has.

Every resistor names its class, ``$[RWL]``, ``$[RBL]`` or ``$[RMEM]``. Equations have
no place in CDL: in the form "subcircuit" a device is an instance of an empty (black box) cell.
"""

from __future__ import annotations

from collections.abc import Iterable

from xbarspice.core.errors import broken_rule
from xbarspice.devices import Device
from xbarspice.netlist.design import DECK, Cell, Element, mem_model
from xbarspice.netlist.dialects.base import Bench
from xbarspice.netlist.dialects.spice import SpiceDialect
from xbarspice.netlist.records import Netlist

__all__ = ["CDL", "Cdl", "write"]


class Cdl(SpiceDialect):
    """CDL: ``.SUBCKT`` with ``*.PININFO`` (B: both directions), no sources, no analyses."""

    name = "cdl"
    suffix = ".cdl"
    runs = False
    opening = ("*.BIPOLAR", "*.RESI = 0", "*.RESVAL", "*.CAPVAL")

    def element(self, element: Element, scope: str = DECK) -> str:
        text = super().element(element, scope)
        if element.kind in ("R", "D") and not element.params:
            return f"{text} $[{element.model}]"
        return text

    def open_cell(self, cell: Cell) -> Iterable[str]:
        return [
            " ".join([".SUBCKT", cell.name, *cell.pins]),
            *self._pininfo(cell.pins),
        ]

    def close_cell(self, cell: Cell) -> str:
        return ".ENDS"

    def device_model(self, device: Device, form: str, scope: str = DECK) -> list[str]:
        if form == "resistor":
            return []
        return [f".SUBCKT {mem_model(device, form, scope)} p n", "*.PININFO p:B n:B", ".ENDS"]

    def sources(self, bench: Bench) -> list[str]:
        raise broken_rule("CDL has no sources", self.name, "Take the bench of another dialect.")

    def closing(self) -> list[str]:
        return []

    def write(self, netlist: Netlist) -> str:
        from xbarspice.core.array import READ
        from xbarspice.netlist.design import design

        return self.design(design([netlist.crossbar.replace(ends=READ)], hierarchical=False))

    def _pininfo(self, pins: tuple[str, ...]) -> list[str]:
        each = 6
        return [
            " ".join(["*.PININFO", *(f"{p}:B" for p in pins[k : k + each])])
            for k in range(0, len(pins), each)
        ]


CDL = Cdl()


def write(netlist: Netlist) -> str:
    """The array as a cell with pins; CDL has no drive."""
    return CDL.write(netlist)
