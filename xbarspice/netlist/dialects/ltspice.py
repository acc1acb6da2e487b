"""Netlist text for LTspice: `_` instead of angle brackets, vectors as `.step` over a table.

Checked against the LTspice help as kept by LTwiki (ltwiki.org/LTspiceHelp: `.PARAM`, braces,
functions such as `table`, `sgn`, `sinh`; "B sources (complete reference)"). Its expressions know
the constants `e`, `pi`, `k` and `q`, which is one more reason for the prefix of our parameters.
Names with `<` are replaced because help and tools (spicelib) treat them as operators. That
parameters in a `B` source need no braces, that `numdgt` above 6 gives double precision, and that
`.op` may stand beside `.step` are from general knowledge. LTspice is a Windows program and has
never run these texts; ngspice runs the designs in the tests, spicelib and KLayout read them.
LTspice has no Verilog-A.
"""

from __future__ import annotations

import re

from xbarspice.devices.numbers import decimal
from xbarspice.netlist.bench import Bench
from xbarspice.netlist.dialects.spice import SpiceDialect

__all__ = ["LTspice"]


class LTspice(SpiceDialect):
    """LTspice: `B` sources, ``params:``; node names hold letters, digits and `_` only."""

    name = "ltspice"
    suffix = ".cir"
    remark = re.compile(";")
    bare = True
    params_word = " params:"
    ternary = False

    def statement(self, kind: str, name: str, nodes: tuple[str, str], text: str) -> str:
        if kind in ("i", "v"):
            return f"{name} {nodes[0]} {nodes[1]} {kind.upper()}={text}"
        return super().statement(kind, name, nodes, text)

    def sources(self, bench: Bench) -> list[str]:
        abstol, vntol = map(decimal, bench.tolerances)
        options = f".options numdgt=15 reltol=1e-12 abstol={abstol} vntol={vntol} gmin=1e-20"
        save = ".save " + " ".join(f"I({s.name})" for s in (*bench.drives, *bench.senses))
        if bench.vectors == 1:
            return [*self.constants(bench), *self.senses(bench), options, save, ".op"]
        drives = []
        for s in bench.drives:
            pairs = ", ".join(f"{k}, {decimal(v)}" for k, v in enumerate(s.volts))
            drives.append(f"{s.name} {self.node(s.node)} 0 {{table(vec, {pairs})}}")
        step = f".step param vec 0 {bench.vectors - 1} 1"
        return [*drives, *self.senses(bench), options, save, step, ".op"]
