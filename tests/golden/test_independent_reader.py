"""A parser that shares no code with ours reads the texts: PyPI's `eda-netlist-parser`.

It knows Spectre, which neither KLayout nor spicelib read, and the SPICE family. Its word for a
device model after ``params:`` and its blindness to ngspice's ``N`` elements are accounted for.
"""

from __future__ import annotations

import pytest
from netlist_parser import NetlistParser

from tests.helpers import asymmetric_crossbar
from xbarspice.netlist import dialects
from xbarspice.netlist.cells import Wires
from xbarspice.netlist.design import design

KNOWN = ("cdl", "hspice", "ltspice", "ngspice", "spectre", "xyce")
SUFFIX = {"cdl": ".cdl", "spectre": ".scs"}
WIRES = Wires(C_wl=1e-16, C_bl=3e-16)


def flat_elements(path, model):
    """name -> (nodes, value or parameters) of every primitive, with the nodes of the top cell."""
    cells = {cell.name: cell for cell in NetlistParser().parse(str(path)).cells}
    top = list(cells.values())[-1]
    out = {}

    def walk(cell, outer):
        for i in cell.instances:
            nodes, master = list(i.nodes), i.device_name
            if master == "params:":
                master = nodes.pop()
            nodes = [outer.get(n, n) for n in nodes]
            inner = cells.get(master) if i.code == "x" else None
            if inner is None or master == model:
                assert i.name not in out
                out[i.name] = (nodes, i.number or i.parameters)
            else:
                assert len(inner.ports) == len(nodes)
                walk(inner, dict(zip(inner.ports, nodes, strict=True)))

    walk(top, {})
    return out, top.ports


def expected_elements(array, dialect, form):
    """The same of the records; inner nodes carry unique names already."""
    node = dialects.get(dialect).node
    flat = design([array], hierarchical=False, form=form, wires=WIRES)
    return {
        e.name: (
            [node(n) for n in e.nodes],
            e.value or dict(e.params),
        )
        for e in flat.top.elements
    }, [node(p) for p in flat.top.pins]


@pytest.mark.parametrize("dialect", KNOWN)
@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2", "pickett"])
@pytest.mark.parametrize("hierarchical", [True, False])
def test_every_element_node_value_and_port_is_read_alike(dialect, device, hierarchical, tmp_path):
    array = asymmetric_crossbar(device=device)[0]
    forms = [f for f in dialects.get(dialect).forms if (dialect, f) != ("ngspice", "verilog_a")]
    for form in forms:
        if dialect == "cdl" and form == "subcircuit":
            continue  # CDL has no equations; LVS takes the resistors
        it = design([array], hierarchical=hierarchical, form=form, wires=WIRES)
        path = tmp_path / f"{form}{SUFFIX.get(dialect, '.sp')}"
        path.write_text(dialects.get(dialect).design(it))
        assert flat_elements(path, it.model) == expected_elements(array, dialect, it.form)


def test_a_swapped_connection_and_a_changed_value_are_seen(tmp_path):
    array = asymmetric_crossbar(device="ohmic")[0]
    it = design([array], wires=WIRES)
    text = dialects.get("spectre").design(it)
    path = tmp_path / "network.scs"
    for old, new in (
        ("(W\\<0\\> b_0_0 b_0_1", "(W\\<0\\> b_0_1 b_0_0"),
        ("resistor r=5000.0", "resistor r=5000.1"),
    ):
        assert old in text
        path.write_text(text.replace(old, new))
        assert flat_elements(path, it.model) != expected_elements(array, "spectre", "resistor")
