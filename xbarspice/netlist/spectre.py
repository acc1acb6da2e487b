"""Netlist text for Spectre: parentheses around nodes, escaped brackets, vectors as a paramset."""

from __future__ import annotations

from collections.abc import Iterable

from xbarspice.devices import Device
from xbarspice.netlist.dialect import Bench, Dialect, folded
from xbarspice.netlist.expressions import statements, translated
from xbarspice.netlist.hierarchy import Cell, Element, mem_model
from xbarspice.netlist.records import Netlist
from xbarspice.netlist.spice import default_parameters

__all__ = ["SPECTRE", "Spectre", "write"]


class Spectre(Dialect):
    r"""Spectre: ``//`` comments, ``name (nodes) master k=v``, ``\`` at the end of a broken line."""

    name = "spectre"
    suffix = ".scs"
    comment = "//"
    opening = ("simulator lang=spectre",)
    forms = ("subcircuit", "verilog_a", "resistor")

    def node(self, name: str) -> str:
        return name.replace("<", "\\<").replace(">", "\\>")

    def element(self, element: Element) -> str:
        nodes = " ".join(map(self.node, element.nodes))
        if element.kind == "X":
            return f"{element.name} ({nodes}) {element.model}"
        if element.params:
            params = " ".join(f"{k}={v}" for k, v in element.params)
            return f"{element.name} ({nodes}) {element.model} {params}"
        master, key = ("capacitor", "c") if element.kind == "C" else ("resistor", "r")
        return f"{element.name} ({nodes}) {master} {key}={element.value}"

    def open_cell(self, cell: Cell) -> Iterable[str]:
        return [f"subckt {cell.name} ({' '.join(map(self.node, cell.pins))})"]

    def close_cell(self, cell: Cell) -> str:
        return f"ends {cell.name}"

    def include(self, file: str) -> str:
        return f'include "{file}"'

    def device_model(self, device: Device, form: str) -> list[str]:
        name = mem_model(device, form)
        if form == "verilog_a":
            return [f'ahdl_include "{name}.va"']
        if form == "resistor":
            return []
        lines = [f"subckt {name} (p n)", f"parameters {default_parameters(device, form)}"]
        for s in statements(device):
            if s.kind == "param":
                lines.append(f"parameters {s.name}={s.text}")
                continue
            text = translated(device, s.text, self.name, {"ln": "ln"})
            what = f"resistor r={text}" if s.kind == "r" else f"bsource {s.kind}={text}"
            lines.append(f"{s.name} ({s.nodes[0]} {s.nodes[1]}) {what}")
        return [*lines, f"ends {name}"]

    def sources(self, bench: Bench) -> list[str]:
        senses = [f"{s.name} ({self.node(s.node)} 0) vsource dc=0" for s in bench.senses]
        save = "save " + " ".join(f"{s.name}:p" for s in (*bench.drives, *bench.senses))
        options = "precise options reltol=1e-9 iabstol=1e-18 vabstol=1e-15 gmin=1e-20"
        if bench.vectors == 1:
            drives = [
                f"{s.name} ({self.node(s.node)} 0) vsource dc={s.volts[0]!r}" for s in bench.drives
            ]
            return [*drives, *senses, options, save, "read dc"]
        names = [f"p_{s.name}" for s in bench.drives]
        volts = zip(*(s.volts for s in bench.drives), strict=True)
        return [
            *(f"parameters {n}={s.volts[0]!r}" for n, s in zip(names, bench.drives, strict=True)),
            *(f"{s.name} ({self.node(s.node)} 0) vsource dc=p_{s.name}" for s in bench.drives),
            *senses,
            options,
            save,
            "vectors paramset {",
            " ".join(names),
            *(" ".join(map(repr, row)) for row in volts),
            "}",
            "sweep_vectors sweep paramset=vectors { read dc }",
        ]

    def closing(self) -> list[str]:
        return []

    def wrap(self, text: str) -> list[str]:
        parts = folded(text, self.width - 4)
        return [f"{p} \\" for p in parts[:-1]] + [parts[-1]]


SPECTRE = Spectre()


def write(netlist: Netlist) -> str:
    """A complete deck."""
    return SPECTRE.write(netlist)
