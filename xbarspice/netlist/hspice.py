"""Netlist text for HSPICE: quoted expressions, `G`/`E` elements, vectors as a `.DATA` block."""

from __future__ import annotations

from xbarspice.devices import Device
from xbarspice.netlist.dialect import Bench
from xbarspice.netlist.hierarchy import mem_model
from xbarspice.netlist.records import Netlist
from xbarspice.netlist.spice import SpiceDialect

__all__ = ["HSPICE", "Hspice", "write"]


class Hspice(SpiceDialect):
    """HSPICE: ``G1 p n cur='...'``; Verilog-A through ``.hdl``; lines up to 1024 columns."""

    name = "hspice"
    suffix = ".sp"
    forms = ("subcircuit", "verilog_a", "resistor")
    functions = {"ln": "log", "sgn": "sgn"}  # noqa: RUF012 - a constant of the class

    def device_model(self, device: Device, form: str) -> list[str]:
        if form == "verilog_a":
            return [f'.hdl "{mem_model(device, form)}.va"']
        return super().device_model(device, form)

    def statement(self, kind: str, name: str, nodes: tuple[str, str], text: str) -> str:
        a, b = nodes
        if kind == "param":
            return f".param {name}={text}"
        if kind == "r":
            return f"{name} {a} {b} '{text}'"
        letter, word = ("G", "cur") if kind == "i" else ("E", "vol")
        return f"{letter}{name[1:]} {a} {b} {word}='{text}'"

    def sources(self, bench: Bench) -> list[str]:
        options = ".option ingold=2 numdgt=10 post=0 accurate"
        reading = ".print dc " + " ".join(f"I({s.name})" for s in (*bench.drives, *bench.senses))
        if bench.vectors == 1:
            return [*self.constants(bench), *self.senses(bench), options, ".op", reading]
        names = [f"p_{s.name}" for s in bench.drives]
        first = zip(names, bench.drives, strict=True)
        return [
            *(f".param {name}={s.volts[0]!r}" for name, s in first),
            *(f"{s.name} {self.node(s.node)} 0 'p_{s.name}'" for s in bench.drives),
            *self.senses(bench),
            options,
            " ".join([".data vectors", *names]),
            *(row for text in self.rows(bench) for row in [text]),
            ".enddata",
            ".dc data=vectors",
            reading,
        ]


HSPICE = Hspice()


def write(netlist: Netlist) -> str:
    """A complete deck."""
    return HSPICE.write(netlist)
