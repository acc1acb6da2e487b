"""Netlist text for VACASK, an independent simulator with a Spectre-like language of its own.

Its resistors, capacitors and devices are Verilog-A models compiled by `openvaf-r`; one operating
point a vector follows an ``alter`` of the drivers. The raw file of vector k is ``read_<k>.raw``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from xbarspice.devices import Device
from xbarspice.devices.numbers import decimal
from xbarspice.netlist.design import DECK, Cell, Element, mem_model
from xbarspice.netlist.dialects.base import Bench, Dialect, folded
from xbarspice.netlist.records import Netlist

__all__ = ["VACASK", "Vacask", "write"]


class Vacask(Dialect):
    """VACASK: ``load``, ``model``, ``subckt name(pins)``; names without brackets."""

    name = "vacask"
    suffix = ".sim"
    comment = "//"
    remark = re.compile(r"\s//")
    case_sensitive = True
    bus = ""
    forms = ("verilog_a", "resistor")

    def node(self, name: str) -> str:
        return name.replace("<", "_").replace(">", "")

    def element(self, element: Element, scope: str = DECK) -> str:
        nodes = " ".join(map(self.node, element.nodes))
        if element.kind == "X":
            return f"{element.name} ({nodes}) {element.model}"
        if element.params:
            params = " ".join(f"{k}={v}" for k, v in element.params)
            return f"{element.name} ({nodes}) {element.model}_model {params}"
        master, key = ("capacitor", "c") if element.kind == "C" else ("resistor", "r")
        return f"{element.name} ({nodes}) {scope}_{master} {key}={element.value}"

    def open_cell(self, cell: Cell) -> Iterable[str]:
        return [f"subckt {cell.name}({' '.join(map(self.node, cell.pins))})"]

    def close_cell(self, cell: Cell) -> str:
        return "ends"

    def include(self, file: str) -> str:
        return f'include "{file}"'

    def device_model(self, device: Device, form: str, scope: str = DECK) -> list[str]:
        base = [
            'load "resistor.osdi"',
            'load "capacitor.osdi"',
            f"model {scope}_resistor resistor",
            f"model {scope}_capacitor capacitor",
        ]
        if form == "resistor":
            return base
        name = mem_model(device, form, scope)
        return [*base, f'load "{name}.osdi"', f"model {name}_model {name}"]

    def sources(self, bench: Bench) -> list[str]:
        lines = ["ground 0", "model xb_source vsource"]
        for s in (*bench.drives, *bench.senses):
            lines.append(f"{s.name} ({self.node(s.node)} 0) xb_source dc={decimal(s.volts[0])}")
        abstol, vntol = bench.tolerances
        lines += [
            "control",
            f"  options reltol=1e-9 abstol={decimal(abstol)} vntol={decimal(vntol)} gmin=0",
        ]
        lines.append("  save " + " ".join(f"i({s.name})" for s in (*bench.drives, *bench.senses)))
        for k in range(bench.vectors):
            if k:
                lines += [
                    f'  alter instance("{s.name}") dc={decimal(s.volts[k])}' for s in bench.drives
                ]
            lines.append(f"  analysis read_{k} op")
        return [*lines, "endc"]

    def closing(self) -> list[str]:
        return []

    def wrap(self, text: str) -> list[str]:
        parts = folded(text, self.width - 4)
        return [f"{p} \\" for p in parts[:-1]] + [parts[-1]]


VACASK = Vacask()


def write(netlist: Netlist) -> str:
    """A complete deck; nonlinear devices are Verilog-A models."""
    return VACASK.write(netlist)
