"""Netlist text for LTspice: `_` instead of angle brackets, vectors as `.step` over a table."""

from __future__ import annotations

from xbarspice.netlist.dialect import Bench
from xbarspice.netlist.records import Netlist
from xbarspice.netlist.spice import SpiceDialect

__all__ = ["LTSPICE", "LTspice", "write"]


class LTspice(SpiceDialect):
    """LTspice: `B` sources, ``params:``; node names hold letters, digits and `_` only."""

    name = "ltspice"
    suffix = ".cir"
    params_word = " params:"
    ternary = False

    def node(self, name: str) -> str:
        return name.replace("<", "_").replace(">", "")

    def statement(self, kind: str, name: str, nodes: tuple[str, str], text: str) -> str:
        if kind in ("i", "v"):
            return f"{name} {nodes[0]} {nodes[1]} {kind.upper()}={text}"
        return super().statement(kind, name, nodes, text)

    def sources(self, bench: Bench) -> list[str]:
        options = ".options numdgt=15 reltol=1e-12 abstol=1e-18 vntol=1e-15 gmin=1e-20"
        if bench.vectors == 1:
            return [*self.constants(bench), *self.senses(bench), options, ".op"]
        drives = []
        for s in bench.drives:
            pairs = ", ".join(f"{k}, {v!r}" for k, v in enumerate(s.volts))
            drives.append(f"{s.name} {self.node(s.node)} 0 {{table(vec, {pairs})}}")
        step = f".step param vec 0 {bench.vectors - 1} 1"
        return [*drives, *self.senses(bench), options, step, ".op"]


LTSPICE = LTspice()


def write(netlist: Netlist) -> str:
    """A complete deck."""
    return LTSPICE.write(netlist)
