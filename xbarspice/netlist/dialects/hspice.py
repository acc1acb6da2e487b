"""Netlist text for HSPICE: quoted expressions, `G`/`E` elements, vectors as a `.DATA` block.

Checked against public copies of Synopsys' manuals (HSPICE Quick Reference Guide X-2005.09,
studylib.net/doc/18892087; HSPICE Command Reference X-2005.09, documents.pub) as far as they could
be read, a public rendering of the Star-Hspice rules of names (names may hold
``! # $ % * + - / < > [ ] _``, start with a letter, ignore case, and end at blank, comma, ``=`` and
parentheses; lines up to 1024 columns), Cadence's name mapping for HSPICE (maeSKILLref, HspiceD:
``<`` and ``>`` stay), and public decks: `.hdl "x.va"` with the module as an `X` element
(cosineAlh/RRAM_model), `numdgt` up to 10 with `ingold=2` (mmartin4064/ECE555). `.print dc` needs a
`.dc`, so one vector is a table of one row; `accurate` and `post` were dropped (they concern
transients and waveform files). The limits of `absv`, `relv`, `absi` and `reli`, and `sgn` and the
sign rule of `log` (its argument is positive here), are from general knowledge. HSPICE itself is
commercial and has never run these texts; ngspice, in its HSPICE mode, runs the designs in the
tests.
"""

from __future__ import annotations

import re

from xbarspice.devices import Device
from xbarspice.devices.numbers import decimal
from xbarspice.netlist.bench import Bench
from xbarspice.netlist.cells import DECK, mem_model
from xbarspice.netlist.dialects.spice import SpiceDialect

__all__ = ["Hspice"]


_COLUMNS = 8
"""Currents of one table, which so stays within the page of every release."""


class Hspice(SpiceDialect):
    """HSPICE: ``G1 p n cur='...'``; Verilog-A through ``.hdl``; lines up to 1024 columns."""

    name = "hspice"
    suffix = ".sp"
    remark = re.compile(r"\s\$(?=\s|$)")
    forms = ("subcircuit", "verilog_a", "resistor")
    functions = {"ln": "log", "sgn": "sgn"}  # noqa: RUF012 - a constant of the class

    def device_model(self, device: Device, form: str, scope: str = DECK) -> list[str]:
        if form == "verilog_a":
            return [f'.hdl "{mem_model(device, form, scope)}.va"']
        return super().device_model(device, form, scope)

    def statement(self, kind: str, name: str, nodes: tuple[str, str], text: str) -> str:
        a, b = nodes
        if kind == "param":
            return f".param {name}={text}"
        if kind == "r":
            return f"{name} {a} {b} '{text}'"
        letter, word = ("G", "cur") if kind == "i" else ("E", "vol")
        return f"{letter}{name[1:]} {a} {b} {word}='{text}'"

    def sources(self, bench: Bench) -> list[str]:
        abstol, vntol = bench.tolerances
        names = [f"p_{s.name}" for s in bench.drives]
        reading = [f"I({s.name})" for s in (*bench.drives, *bench.senses)]
        return [
            *(
                f".param {name}={decimal(s.volts[0])}"
                for name, s in zip(names, bench.drives, strict=True)
            ),
            *(f"{s.name} {self.node(s.node)} 0 'p_{s.name}'" for s in bench.drives),
            *self.senses(bench),
            ".option ingold=2 numdgt=10",
            f".option absv={decimal(vntol)} relv=1e-9 absi={decimal(abstol)} reli=1e-9",
            " ".join([".data vectors", *names]),
            *self.rows(bench),
            ".enddata",
            ".dc data=vectors",
            *(
                " ".join([".print dc", *reading[k : k + _COLUMNS]])
                for k in range(0, len(reading), _COLUMNS)
            ),
        ]
