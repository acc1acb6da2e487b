"""The schematic netlist for LVS: its form, its proof, and what other programs read of it."""

from __future__ import annotations

import re

import klayout.db as kdb
import numpy as np
import pytest

import xbarspice as xb
from xbarspice.tapeout import load_technology
from xbarspice.tapeout.decks.netgen import read_comparison
from xbarspice.tapeout.decks.tools import run_tool
from xbarspice.tapeout.netlists.schematic import (
    FORMS,
    prove_schematic,
    schematic,
    write_schematic,
)

CELL = "sky130_fd_pr_reram__reram_cell"


def crossbar():
    G = np.full((3, 4), 1e-5)
    G[1, 2] = 0.0
    return xb.Crossbar(G)


def technology(**device):
    it = load_technology("sky130b")
    return it.model_copy(update={"device": it.device.model_copy(update=device)})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("brackets", ["<>", "[]"])
def test_a_line_is_a_net_and_a_device_a_cell_with_its_area(form, brackets):
    it = schematic(crossbar(), technology(), "die_a0")
    text = write_schematic(it, form, brackets)
    a, b = brackets
    assert f"Xd_2_3 WL{a}2{b} BL{a}3{b} {CELL} area_ox=0.1024p" in text.splitlines()
    assert text.count(f" {CELL} ") == 11
    assert "Xd_1_2" not in text
    assert not re.search(r"^[RC]", text, re.MULTILINE)
    pins = [f"WL{a}{k}{b}" for k in range(3)] + [f"BL{a}{k}{b}" for k in range(4)]
    assert f".subckt die_a0 {' '.join(pins)}".lower() in text.lower()
    prove_schematic(text, form, it, brackets)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("Xd_0_1 WL<0> BL<1>", "Xd_0_1 WL<0> BL<2>"), "2 places differ"),
        (("Xd_0_1 WL<0> BL<1>", "Xd_0_1 BL<1> WL<0>"), "2 places differ"),
        (("area_ox=0.1024p", "area_ox=0.1p"), "2 places differ"),
        (("Xd_0_1 ", "*Xd_0_1 "), "missing: wl<0>-bl<1>"),
        (("Xd_0_1 ", "Xd_0_0 "), "occurs twice"),
        (("die_a0 WL<0> WL<1>", "die_a0 WL<1> WL<0>"), "cell and pins"),
        ((".subckt die_a0", ".subckt die_b0"), "cell and pins"),
        (("Xd_0_1 ", "R1 WL<0> BL<0> 5\nXd_0_1 "), "holds devices only"),
        ((".ends die_a0", ""), "cut off"),
        ((".ends die_a0", ".ends die_a0\nXd_9_9 a b c"), "one cell"),
        (("Xd_0_1 WL<0>", "Xd_0_1 WL[0]"), "2 places differ"),
    ],
)
def test_a_text_that_says_anything_else_is_refused(change, words):
    it = schematic(crossbar(), technology(), "die_a0")
    text = write_schematic(it, "spice").replace(*change, 1)
    with pytest.raises(xb.errors.NetlistError, match=re.escape(words)):
        prove_schematic(text, "spice", it)


def test_pins_stand_in_the_order_of_the_foundry_whichever_electrode_is_the_word_line():
    def nodes(**device):
        it = schematic(crossbar(), technology(**device), "d")
        return it.cell.elements[0].nodes

    assert nodes() == ("WL<0>", "BL<0>")  # met1 is the word line and the bottom electrode
    assert nodes(pins=("TE", "BE"), bottom_pin="BE") == ("BL<0>", "WL<0>")
    assert nodes(bottom="met2", top="met3") == ("BL<0>", "WL<0>")


def test_what_the_technology_does_not_name_is_refused():
    for change in ({"subckt": None}, {"pins": None}):
        with pytest.raises(xb.errors.InputError, match="foundry's name of the device"):
            schematic(crossbar(), technology(**change), "d")
    assert schematic(crossbar(), technology(area_parameter=None), "d").cell.elements[0].params == ()
    with pytest.raises(xb.errors.InputError, match=r"cdl or spice"):
        write_schematic(schematic(crossbar(), technology(), "d"), "verilog")
    with pytest.raises(xb.errors.InputError, match="brackets"):
        write_schematic(schematic(crossbar(), technology(), "d"), "cdl", "()")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("brackets", ["<>", "[]"])
def test_klayout_reads_the_same_circuit(form, brackets, tmp_path):
    it = schematic(crossbar(), technology(), "die_a0")
    path = tmp_path / "s.cir"
    path.write_text(write_schematic(it, form, brackets))
    netlist = kdb.Netlist()
    netlist.read(str(path), kdb.NetlistSpiceReader())
    top = netlist.circuit_by_name("DIE_A0")
    a, b = brackets
    expected = [f"WL{a}{k}{b}" for k in range(3)] + [f"BL{a}{k}{b}" for k in range(4)]
    assert [pin.name() for pin in top.each_pin()] == expected
    parts = {
        (s.net_for_pin(0).name, s.net_for_pin(1).name): s.circuit_ref().name
        for s in top.each_subcircuit()
    }
    assert set(parts) == {
        (f"WL{a}{r}{b}", f"BL{a}{c}{b}") for r in range(3) for c in range(4) if (r, c) != (1, 2)
    }
    assert {name.partition("(")[0] for name in parts.values()} == {CELL.upper()}


def test_netgen_reads_the_same_circuit_in_both_forms(tmp_path):
    it = schematic(crossbar(), technology(), "die_a0")
    for form in FORMS:
        (tmp_path / f"{form}.spice").write_text(write_schematic(it, form))
    (tmp_path / "setup.tcl").write_text("permute default\n")
    sides = ["cdl.spice die_a0", "spice.spice die_a0"]
    command = ["-batch", "lvs", *sides, "setup.tcl", "c.out", "-json"]
    run_tool("netgen", command, tmp_path, 60.0)
    words = (tmp_path / "c.out").read_text()
    answer = read_comparison(tmp_path / "c.json", words, "die_a0")
    assert answer == ("cell die_a0, 11 devices and 7 nets, 7 names", [], [])


def test_the_schematic_for_netgen_stands_as_the_extraction_writes_devices():
    """Magic writes the upper electrode first and the area in um^2; 15 x 16 tells pins apart."""
    it = schematic(crossbar(), technology(), "die_a0", extracted=True)
    text = write_schematic(it, "spice")
    assert f"Xd_2_3 BL<3> WL<2> {CELL} area_ox=0.1024" in text.splitlines()
    assert "pins TE BE" in text
    same = technology(extracted_pins=None, extracted_area="m2")
    assert schematic(crossbar(), same, "d", extracted=True) == schematic(crossbar(), same, "d")
    with pytest.raises(ValueError, match=r"device\.extracted_pins"):
        type(same).model_validate(technology(extracted_pins=("TE", "XX")).model_dump())
