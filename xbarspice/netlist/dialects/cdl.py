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

import re
from collections.abc import Iterable, Sequence

from xbarspice.core.errors import broken_rule
from xbarspice.core.line_ends import READ
from xbarspice.devices import Device
from xbarspice.netlist.bench import Bench
from xbarspice.netlist.cards import Card, refuse
from xbarspice.netlist.cells import DECK, Cell, Element, mem_model
from xbarspice.netlist.design import design
from xbarspice.netlist.dialects.base import Instance
from xbarspice.netlist.dialects.spice import SpiceDialect
from xbarspice.netlist.records import Netlist

__all__ = ["Cdl"]

_CLASS = re.compile(r"\$\[(R(?:WL|BL|MEM))\]")


class Cdl(SpiceDialect):
    """CDL: ``.SUBCKT`` with ``*.PININFO`` (B: both directions), no sources, no analyses."""

    name = "cdl"
    suffix = ".cdl"
    runs = False
    closing = ()
    names_classes = True
    opening = ("*.BIPOLAR", "*.RESI = 0", "*.RESVAL", "*.CAPVAL")

    def design_form(self, form: str) -> str:
        return "resistor"

    def element(self, element: Element, scope: str = DECK) -> str:
        text = super().element(element, scope)
        if element.kind in ("R", "D") and not element.params:
            return f"{text} $[{element.model}]"
        return text

    def open_cell(self, cell: Cell) -> Iterable[str]:
        pins = [*map(self.node, cell.pins)]
        return [" ".join([".SUBCKT", cell.name, *pins]), *self._pininfo(pins)]

    def close_cell(self, cell: Cell) -> str:
        return ".ENDS"

    def device_model(self, device: Device, form: str, scope: str = DECK) -> list[str]:
        if form == "resistor":
            return []
        return [f".SUBCKT {mem_model(device, form, scope)} p n", "*.PININFO p:B n:B", ".ENDS"]

    def sources(self, bench: Bench) -> list[str]:
        raise broken_rule("CDL has no sources", self.name, "Take the bench of another dialect.")

    def write(self, netlist: Netlist) -> str:
        """The array as a cell with pins; CDL has no drive."""
        return self.design(design([netlist.crossbar.replace(ends=READ)], hierarchical=False))

    def _pininfo(self, pins: Sequence[str]) -> list[str]:
        each = 6
        return [
            " ".join(["*.PININFO", *(f"{p}:B" for p in pins[k : k + each])])
            for k in range(0, len(pins), each)
        ]

    def comment_of(self, line: Card) -> str | None:
        return None if line.text.startswith("*.") else super().comment_of(line)

    def read_directive(self, card: Card, pins: Sequence[str]) -> bool:
        """``*.PININFO`` names pins of its cell, each with both directions."""
        if not card.text.startswith("*."):
            return False
        head, *words = card.text.lower().split(" ")
        if head != "*.pininfo" or not set(words) <= {f"{pin}:b" for pin in pins}:
            refuse(card, "this directive is not one that we write")
        return True

    def read_instance(self, card: Card, scope: str) -> Instance:
        name, *words = card.words
        if name[0].upper() != "R":
            return super().read_instance(card, scope)
        if len(words) != 4:
            refuse(card, "a resistor must have two nodes, a value and a class")
        match = _CLASS.fullmatch(words[3])
        if match is None:
            refuse(card, f"{words[3]} is no class of a resistor that we write")
        return Instance("R", name, words[:2], "R", [f"value={words[2]}"], "value", match[1])
