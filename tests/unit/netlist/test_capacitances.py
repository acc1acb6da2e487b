"""Capacitances of segments and crossings in designs, in every dialect, with both brackets."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from xbarspice.netlist import dialects
from xbarspice.netlist.cells import Wires, expand
from xbarspice.netlist.design import design
from xbarspice.netlist.design_reader import prove

WIRES = Wires(C_wl=1e-16, C_bl=3e-16, C_cross=7e-18, C_device=4.5e-15)


def crossbar():
    return xb.Crossbar([[1e-4, 0, 2e-4], [3e-4, 1e-5, 5e-5]], R_wl=1.0, R_bl=2.0, R_sense=3.0)


@pytest.mark.parametrize("hierarchical", [True, False])
@pytest.mark.parametrize("dialect", dialects.names())
@pytest.mark.parametrize("brackets", ["<>", "[]"])
def test_every_dialect_writes_capacitances_and_brackets_and_they_are_proven(
    dialect, hierarchical, brackets
):
    writer = dialects.get(dialect, brackets)
    form = writer.design_form("subcircuit")
    it = design([crossbar()], hierarchical=hierarchical, wires=WIRES, form=form)
    text = writer.design(it)
    prove(text, dialect, it, brackets=brackets)
    body = "\n".join(x for x in text.splitlines() if not x.startswith(writer.comment))
    other = "[]" if brackets == "<>" else "<>"
    pin = "WL_0" if writer.bare else f"WL{writer.escapes}{brackets[0]}0"
    assert pin in body
    assert not any(f"{line}{writer.escapes}{other[0]}0" in body for line in ("WL", "BL"))
    place = "capacitance of the crossing at row 0, column 0"
    with pytest.raises(xb.errors.NetlistError, match=place):
        prove(text.replace("4.507e-15", "4.508e-15"), dialect, it, brackets=brackets)


def test_a_crossing_has_its_capacitance_with_and_without_a_device():
    it = design([crossbar()], wires=WIRES)
    values = {e.name: float(e.value) for _, e in expand(it.cells) if e.kind == "C"}
    between = {name: C for name, C in values.items() if name.startswith("Cx")}
    assert between["Cx_0_1"] == 7e-18
    assert between["Cx_1_2"] == 7e-18 + 4.5e-15
    assert (len(between), len(values)) == (6, 18)


def test_a_design_without_capacitances_of_crossings_keeps_its_hash():
    plain = Wires(C_wl=1e-16)
    assert design([crossbar()], wires=plain).config != design([crossbar()], wires=WIRES).config
    crossings, segments, ends, devices = 6, 2 * 2 + 3, 3, 5
    elements = expand(design([crossbar()], wires=Wires(C_cross=1e-18)).cells)
    assert len(elements) == crossings + segments + ends + devices
    with pytest.raises(xb.errors.InputError, match="`C_device` must be >= 0 F"):
        Wires(C_device=-1e-18)
    np.testing.assert_array_equal(
        WIRES.crossings(np.array([[0.0, 1.0]])), [[7e-18, 7e-18 + 4.5e-15]]
    )
