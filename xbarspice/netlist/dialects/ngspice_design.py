"""Designs and test benches for ngspice; whole decks are written by `dialects.ngspice`."""

from __future__ import annotations

import re

from xbarspice.devices import Device
from xbarspice.devices.forms import default_parameters, spice_body
from xbarspice.netlist.design import DECK, Element, mem_model
from xbarspice.netlist.dialects.base import Bench
from xbarspice.netlist.dialects.ngspice import SWEEP, plateaus, save_cards, tolerances
from xbarspice.netlist.dialects.ngspice import write as write_deck
from xbarspice.netlist.dialects.spice import SpiceDialect
from xbarspice.netlist.records import Netlist

__all__ = ["NGSPICE", "Ngspice"]


class Ngspice(SpiceDialect):
    """ngspice 42 or later: `B` sources, Verilog-A through OSDI (``N`` elements)."""

    name = "ngspice"
    suffix = ".cir"
    remark = re.compile(r";|\s//|\s\$(?=\s|$)")
    forms = ("subcircuit", "verilog_a", "resistor")

    def write(self, netlist: Netlist) -> str:
        return write_deck(netlist)

    def device_model(self, device: Device, form: str, scope: str = DECK) -> list[str]:
        name = mem_model(device, form, scope)
        if form == "verilog_a":
            return [f".model {name} {name}"]
        if form == "resistor":
            return []
        head = f".subckt {name} p n {default_parameters(device)}"
        return [head, *spice_body(device), f".ends {name}"]

    def element(self, element: Element, scope: str = DECK) -> str:
        text = super().element(element, scope)
        return f"N{text[1:]}" if element.kind == "N" else text

    def sources(self, bench: Bench) -> list[str]:
        lines = self.senses(bench)
        run = "op"
        if bench.vectors == 1:
            lines = [*self.constants(bench), *lines]
        else:
            run = f"dc Vidx 0 {bench.vectors - 1} 1"
            drives = [*SWEEP]
            for s in bench.drives:
                drives += [
                    f"B{s.name[1:]} {self.node(s.node)} 0 v=pwl(v(idx)",
                    *plateaus(list(s.volts)),
                ]
            lines = [*drives, *lines]
        osdi = [f"pre_osdi {bench.model}.osdi"] if bench.form == "verilog_a" else []
        volts = max((abs(v) for s in bench.drives for v in s.volts), default=0.0)
        options = tolerances(bench.slope, volts)
        kind = "V" if bench.vectors == 1 else "B"
        saved = [f"i({kind}{s.name[1:]})" for s in bench.drives]
        saved += [f"i({s.name})" for s in bench.senses]
        lines += [f".options {options} klu", *save_cards(saved)]
        return [
            *lines,
            ".control",
            *osdi,
            "set numdgt=15",
            "optran 1 1 1 0 0 0",
            run,
            "print all",
            ".endc",
        ]


NGSPICE = Ngspice()
