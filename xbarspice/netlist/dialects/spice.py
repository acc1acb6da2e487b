"""The dialects that descend from Berkeley SPICE: what they share, before each one's own rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

import numpy as np

from xbarspice.devices import Device
from xbarspice.devices.forms import default_parameters
from xbarspice.devices.numbers import decimal, decimals
from xbarspice.netlist.design import DECK, Cell, Element, mem_model
from xbarspice.netlist.dialects.base import Bench, Dialect
from xbarspice.netlist.dialects.expressions import statements, translated
from xbarspice.netlist.numbers import SPICE_FACTORS

__all__ = ["SpiceDialect"]


class SpiceDialect(Dialect):
    """SPICE cards: ``R1 a b 1.0``, ``X1 a b cell xb_g=1.0``, ``.subckt``, ``.ends``."""

    factors: ClassVar[Mapping[str, int]] = SPICE_FACTORS
    params_word: ClassVar[str] = ""
    """What stands before the parameters of a subcircuit or instance."""
    functions: ClassVar[Mapping[str, str]] = {"ln": "ln", "sgn": "sgn"}
    ternary: ClassVar[bool] = True

    def element(self, element: Element, scope: str = DECK) -> str:
        nodes = " ".join(map(self.node, element.nodes))
        if element.kind == "X":
            return f"{element.name} {nodes} {element.model}"
        if element.params:
            params = " ".join(f"{k}={v}" for k, v in element.params)
            return f"{element.name} {nodes} {element.model}{self.params_word} {params}"
        return f"{element.name} {nodes} {element.value}"

    def open_cell(self, cell: Cell) -> Iterable[str]:
        return [" ".join([".subckt", cell.name, *map(self.node, cell.pins)])]

    def close_cell(self, cell: Cell) -> str:
        return f".ends {cell.name}"

    def include(self, file: str) -> str:
        return f'.include "{file}"'

    def device_model(self, device: Device, form: str, scope: str = DECK) -> list[str]:
        if form == "resistor":
            return []
        name = mem_model(device, form, scope)
        defaults = default_parameters(device)
        lines = [f".subckt {name} p n{self.params_word} {defaults}"]
        for s in statements(device):
            text = translated(device, s.text, self.name, self.functions, ternary=self.ternary)
            lines.append(self.statement(s.kind, s.name, s.nodes, text))
        return [*lines, f".ends {name}"]

    def statement(self, kind: str, name: str, nodes: tuple[str, str], text: str) -> str:
        """One line of a device body; `text` is an expression without braces."""
        a, b = nodes
        if kind == "param":
            return f".param {name}={text}"
        if kind == "r":
            return f"{name} {a} {b} {{{text}}}"
        return f"{name} {a} {b} {kind.upper()}={{{text}}}"

    def senses(self, bench: Bench) -> list[str]:
        """Sense nodes: sources of 0 V whose current is the reading."""
        return [f"{s.name} {self.node(s.node)} 0 0" for s in bench.senses]

    def constants(self, bench: Bench) -> list[str]:
        """Drivers with the volts of the first (only) vector."""
        return [f"{s.name} {self.node(s.node)} 0 {decimal(s.volts[0])}" for s in bench.drives]

    def rows(self, bench: Bench) -> list[str]:
        """The volts of every vector, one text a vector."""
        volts = np.array([s.volts for s in bench.drives]).reshape(len(bench.drives), -1)
        return [" ".join(decimals(row)) for row in volts.T]
