"""Netlist text for VACASK, an independent simulator with a Spectre-like language of its own.

Its resistors, capacitors and devices are Verilog-A models compiled by `openvaf-r`; one operating
point a vector follows an ``alter`` of the drivers. The raw file of vector k is ``read_<k>.raw``.
"""

from __future__ import annotations

from collections.abc import Iterable

from xbarspice.devices import Device
from xbarspice.devices.numbers import decimal
from xbarspice.netlist.bench import Bench
from xbarspice.netlist.cells import DECK, Cell, mem_model
from xbarspice.netlist.dialects.spectre_like import SpectreLikeDialect

__all__ = ["Vacask"]


class Vacask(SpectreLikeDialect):
    """VACASK: ``load``, ``model``, ``subckt name(pins)``; names without brackets."""

    name = "vacask"
    suffix = ".sim"
    bare = True
    forms = ("verilog_a", "resistor")

    def design_form(self, form: str) -> str:
        return "verilog_a" if form == "subcircuit" else form

    def master(self, model: str) -> str:
        return f"{model}_model"

    def two_terminals(self, scope: str) -> dict[str, tuple[str, str]]:
        masters = super().two_terminals(scope)
        return {kind: (f"{scope}_{master}", key) for kind, (master, key) in masters.items()}

    def open_cell(self, cell: Cell) -> Iterable[str]:
        return [f"subckt {cell.name}({' '.join(map(self.node, cell.pins))})"]

    def close_cell(self, cell: Cell) -> str:
        return "ends"

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
        return [*base, f'load "{name}.osdi"', f"model {self.master(name)} {name}"]

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
