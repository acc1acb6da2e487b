"""Netlist text for Xyce: `PARAMS:` before subcircuit parameters, vectors as a `.DATA` table."""

from __future__ import annotations

from xbarspice.netlist.dialect import Bench
from xbarspice.netlist.records import Netlist
from xbarspice.netlist.spice import SpiceDialect

__all__ = ["XYCE", "Xyce", "write"]


class Xyce(SpiceDialect):
    """Xyce 7: `B` sources with braces; a `.DC DATA=` sweep sets the drivers' parameters."""

    name = "xyce"
    suffix = ".cir"
    params_word = " PARAMS:"

    def sources(self, bench: Bench) -> list[str]:
        lines = self.senses(bench)
        reading = " ".join(f"I({s.name})" for s in (*bench.drives, *bench.senses))
        if bench.vectors == 1:
            return [*self.constants(bench), *lines, ".op", f".print dc precision=16 {reading}",
                    ".dc Vone 0 0 1", "Vone one 0 0", "Rone one 0 1"]  # fmt: skip
        names = [f"p_{s.name}" for s in bench.drives]
        drives = [f"{s.name} {self.node(s.node)} 0 {{p_{s.name}}}" for s in bench.drives]
        first = zip(names, bench.drives, strict=True)
        return [
            *(f".global_param {name}={s.volts[0]!r}" for name, s in first),
            *drives, *lines,
            ".DATA vectors " + " ".join(names), *("+ " + row for row in self.rows(bench)),
            ".ENDDATA",
            ".dc DATA=vectors",
            f".print dc precision=16 {reading}",
        ]  # fmt: skip

    def wrap(self, text: str) -> list[str]:
        return super().wrap(text) if not text.startswith("+ ") else _rewrapped(self, text)


def _rewrapped(dialect: Xyce, text: str) -> list[str]:
    first, *rest = super(Xyce, dialect).wrap(text[2:])
    return [f"+ {first}", *rest]


XYCE = Xyce()


def write(netlist: Netlist) -> str:
    """A complete deck."""
    return XYCE.write(netlist)
