"""Netlist text for Xyce: `PARAMS:` before subcircuit parameters, vectors as a `.DATA` table.

Checked card by card against the Xyce Reference Guide (github.com/Xyce/Xyce, doc/Reference_Guide:
SUBCKT, DATA, DC, GLOBAL_PARAM, PRINT, B_Device, Expression_Arithmetic_Functions) and the Users'
Guide (doc/Users_Guide: Xyce_UG_ch04 on titles, comments, continuation, numbers and reserved words;
nlstbl on `.OPTIONS NONLIN`). Two findings from there: `.OP` prints nothing by itself, so that one
vector is a table of one row; and the default RHSTOL of 1e-6 is a residual in ampere, far more than
these currents may be wrong by, so that the bench sets it. Xyce reads Verilog-A only through its
plugin compiler, hence the forms. Not checked: angle brackets in node names (the guide's table of
allowed characters was not at hand). Xyce itself has never run these texts: it is in no registry
(the PyPI packages `xyce` and `xycepymi` hold no program).
"""

from __future__ import annotations

import re

from xbarspice.devices.numbers import decimal
from xbarspice.netlist.bench import Bench
from xbarspice.netlist.dialects.spice import SpiceDialect
from xbarspice.netlist.numbers import number_like

__all__ = ["Xyce"]


class Xyce(SpiceDialect):
    """Xyce 7: `B` sources with braces; a `.DC DATA=` sweep sets the drivers' parameters."""

    name = "xyce"
    suffix = ".cir"
    remark = re.compile(";")
    params_word = " PARAMS:"

    def statement(self, kind: str, name: str, nodes: tuple[str, str], text: str) -> str:
        expression = kind == "param" and not number_like(text)
        return super().statement(kind, name, nodes, f"{{{text}}}" if expression else text)

    def sources(self, bench: Bench) -> list[str]:
        reading = " ".join(f"I({s.name})" for s in (*bench.drives, *bench.senses))
        names = [f"p_{s.name}" for s in bench.drives]
        abstol, _ = bench.tolerances
        return [
            *(
                f".global_param {name}={decimal(s.volts[0])}"
                for name, s in zip(names, bench.drives, strict=True)
            ),
            *(f"{s.name} {self.node(s.node)} 0 {{p_{s.name}}}" for s in bench.drives),
            *self.senses(bench),
            f".options nonlin reltol=1e-9 abstol={decimal(abstol)} rhstol={25 * abstol:.3g}",
            ".DATA vectors",
            "+ " + " ".join(names),
            *("+ " + row for row in self.rows(bench)),
            ".ENDDATA",
            ".dc DATA=vectors",
            f".print dc width=24 precision=16 {reading}",
        ]

    def wrap(self, text: str) -> list[str]:
        if not text.startswith("+ "):
            return super().wrap(text)
        first, *more = super().wrap(text[2:])
        return [f"+ {first}", *more]
