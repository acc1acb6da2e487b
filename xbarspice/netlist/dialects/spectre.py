"""Netlist text for Spectre: parentheses around nodes, escaped brackets, vectors as a paramset.

Checked against Cadence's manuals of version 23.1 (Spectre Circuit Simulator Reference: sweep,
parameters, expressions, bsource; Classic Simulator User Guide, chapters "Spectre Netlists" and
"Control Statements": paramset, options, save; name mapping of the Spectre netlister) and public
netlists (gserdyuk/models-mot-adms, kevinlinger/RegFileViPro: `ahdl_include`, `options reltol=
vabstol= iabstol= gmin=`, `save V2:1`, comment as first line). Findings: the brace of a `sweep` must
end its line; subcircuit parameters belong in one statement right after `subckt`; a sign function
is not among the documented ones and is written with ``?:``. Numbers carry no suffix, so that the
case-sensitive SI factors cannot matter. Spectre is commercial and has never run these texts; an
independent parser (PyPI `eda-netlist-parser`) reads them in the tests.
"""

from __future__ import annotations

from collections.abc import Iterable

from xbarspice.devices import Device
from xbarspice.devices.forms import default_parameters
from xbarspice.devices.numbers import decimal, decimals
from xbarspice.netlist.bench import Bench
from xbarspice.netlist.cells import DECK, Cell, mem_model
from xbarspice.netlist.dialects.expressions import statements, translate
from xbarspice.netlist.dialects.spectre_like import SpectreLikeDialect
from xbarspice.netlist.numbers import SPECTRE_FACTORS

__all__ = ["Spectre"]


class Spectre(SpectreLikeDialect):
    """Spectre: escaped brackets in names, ``bsource`` with expressions, Verilog-A."""

    name = "spectre"
    suffix = ".scs"
    factors = SPECTRE_FACTORS
    escapes = "\\"
    opening = ("simulator lang=spectre",)
    forms = ("subcircuit", "verilog_a", "resistor")

    def open_cell(self, cell: Cell) -> Iterable[str]:
        return [f"subckt {cell.name} ({' '.join(map(self.node, cell.pins))})"]

    def close_cell(self, cell: Cell) -> str:
        return f"ends {cell.name}"

    def device_model(self, device: Device, form: str, scope: str = DECK) -> list[str]:
        name = mem_model(device, form, scope)
        if form == "verilog_a":
            return [f'ahdl_include "{name}.va"']
        if form == "resistor":
            return []
        functions = {"ln": "ln", "sgn": "(({})>0?1:(({})<0?-1:0))"}
        parameters = [f"parameters {default_parameters(device)}"]
        lines = []
        for s in statements(device):
            text = translate(device, s.text, self.name, functions)
            if s.kind == "param":
                parameters.append(f"{s.name}={text}")
                continue
            what = f"resistor r={text}" if s.kind == "r" else f"bsource {s.kind}={text}"
            lines.append(f"{s.name} ({s.nodes[0]} {s.nodes[1]}) {what}")
        return [f"subckt {name} (p n)", " ".join(parameters), *lines, f"ends {name}"]

    def sources(self, bench: Bench) -> list[str]:
        senses = [f"{s.name} ({self.node(s.node)} 0) vsource dc=0" for s in bench.senses]
        save = "save " + " ".join(f"{s.name}:p" for s in (*bench.drives, *bench.senses))
        abstol, vntol = map(decimal, bench.tolerances)
        options = f"precise options reltol=1e-9 iabstol={abstol} vabstol={vntol} gmin=1e-20"
        if bench.vectors == 1:
            drives = [
                f"{s.name} ({self.node(s.node)} 0) vsource dc={decimal(s.volts[0])}"
                for s in bench.drives
            ]
            return [*drives, *senses, options, save, "readout dc"]
        names = [f"p_{s.name}" for s in bench.drives]
        return [
            *(
                f"parameters {n}={decimal(s.volts[0])}"
                for n, s in zip(names, bench.drives, strict=True)
            ),
            *(f"{s.name} ({self.node(s.node)} 0) vsource dc=p_{s.name}" for s in bench.drives),
            *senses,
            options,
            save,
            "vectors paramset {",
            " ".join(names),
            *(
                " ".join(decimals(row))
                for row in zip(*(s.volts for s in bench.drives), strict=True)
            ),
            "}",
            "every sweep paramset=vectors {",
            "readout dc",
            "}",
        ]
