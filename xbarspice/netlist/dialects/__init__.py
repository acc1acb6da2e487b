"""The dialects of netlists: one file a dialect, announced here."""

from xbarspice.netlist.dialects.registry import (
    Writer,
    design_dialect,
    designs,
    dialects,
    get,
    writers,
)

__all__ = ["Writer", "design_dialect", "designs", "dialects", "get", "writers"]

for _name, _write, _design in (
    ("cdl", "xbarspice.netlist.dialects.cdl:write", "xbarspice.netlist.dialects.cdl:CDL"),
    (
        "hspice",
        "xbarspice.netlist.dialects.hspice:write",
        "xbarspice.netlist.dialects.hspice:HSPICE",
    ),
    (
        "ltspice",
        "xbarspice.netlist.dialects.ltspice:write",
        "xbarspice.netlist.dialects.ltspice:LTSPICE",
    ),
    (
        "ngspice",
        "xbarspice.netlist.dialects.ngspice:write",
        "xbarspice.netlist.dialects.ngspice_design:NGSPICE",
    ),
    (
        "spectre",
        "xbarspice.netlist.dialects.spectre:write",
        "xbarspice.netlist.dialects.spectre:SPECTRE",
    ),
    (
        "vacask",
        "xbarspice.netlist.dialects.vacask:write",
        "xbarspice.netlist.dialects.vacask:VACASK",
    ),
    ("xyce", "xbarspice.netlist.dialects.xyce:write", "xbarspice.netlist.dialects.xyce:XYCE"),
):
    writers.add(_name, _write)
    designs.add(_name, _design)
