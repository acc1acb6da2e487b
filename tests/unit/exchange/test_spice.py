"""Netlists by any hand: read as arrays, or refused with the line that is in the way."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import ASYMMETRIC_G, asymmetric_crossbar
from xbarspice.core.errors import NetlistError
from xbarspice.exchange import spice
from xbarspice.netlist.design import design

BY_HAND = """Two word lines and three bit lines, by hand
* segments before the first and behind the last device, as badcrossbar counts them
.param rw=5 rb={rw * 0.4} g=100u
.subckt cell w b wn bn params: r=10k
Rdev w b {r}
Rw w wn {rw}     ; to the next cell
Rb b bn 'rb'
.ends
V1 s1 gnd DC 0.2
Vtwo 0 s2 100m
Rs1 s1 a1 5ohm
rs2 s2 q1 5
X1 a1 b1 a2 q1b cell
X2 a2 b2 a3 q2b cell r={1/(2*g)}
Rlast a3 b3 3.3333333333333335k $ the last column has no segment behind it
X3 q1 q1b q2 o1 cell
+ r=2500
X4 q2 q2b q3 o2 cell r=20k
Rb3 b3 o3 {rb}
Vm1 o1 0 0
Rload o2 0 20
Rload3 o3 0 20
.op
.control
print all
.endc
.end
"""


def only(text, **options):
    (array,) = spice.parse(text, **options).arrays
    return array


def test_a_netlist_by_hand_with_cells_parameters_and_sense_resistors():
    array = only(BY_HAND)
    crossbar = array.crossbar
    np.testing.assert_allclose(crossbar.G, ASYMMETRIC_G, rtol=1e-12)
    assert (crossbar.R_wl, crossbar.R_driver) == (5.0, 5.0)
    np.testing.assert_array_equal(crossbar.R_bl, [[2.0, 2.0, 2.0]])
    np.testing.assert_allclose(crossbar.R_sense, [2.0, 22.0, 20.0])
    np.testing.assert_allclose(array.V_in, [[0.2, -0.1]])
    assert array.word_lines == ("v1", "vtwo")
    assert array.bit_lines == ("vm1", "rload", "rload3")


def test_ngspice_finds_the_currents_of_the_imported_array(tmp_path):
    """The text itself, run by ngspice; two bit lines are read as voltages of their loads."""
    text = BY_HAND.replace("print all", "op\nprint i(vm1) v(o2) v(o3)")
    (tmp_path / "hand.cir").write_text(text, "utf-8")
    done = subprocess.run(
        ["ngspice", "-b", "hand.cir"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    shown = dict(re.findall(r"^(\S+) = (\S+)$", done.stdout, flags=re.M))
    peer = [float(shown["i(vm1)"]), float(shown["v(o2)"]) / 20, float(shown["v(o3)"]) / 20]
    array = only(BY_HAND)
    ours = xb.solve(array.crossbar, array.V_in, engine="nodal").I_out[0]
    np.testing.assert_allclose(ours, peer, rtol=1e-5)  # print shows seven digits


@pytest.mark.parametrize("dialect", ["ngspice", "xyce", "hspice", "ltspice", "spectre", "vacask"])
def test_our_own_decks_without_their_header(dialect):
    array, V_in = asymmetric_crossbar(R_wl=[[5.0, 1.0], [7.5, 2.0]])
    text = xb.netlist.write(array, V_in, dialect=dialect)
    title = ["title"] if dialect not in ("spectre", "vacask") else []
    lines = (line for line in text.split("\n") if not line.startswith(("*", "//")))
    bare = "\n".join([*title, *lines])
    back = only(bare)
    assert np.array_equal(back.crossbar.G, array.G)
    for name, R in array.wires.items():
        assert np.array_equal(getattr(back.crossbar, name), R), name
    assert np.array_equal(back.V_in, [V_in])


@pytest.mark.parametrize("dialect", xb.netlist.dialects.names())
@pytest.mark.parametrize("hierarchical", [False, True])
def test_a_design_has_pins_in_place_of_sources(hierarchical, dialect):
    array, _ = asymmetric_crossbar()
    whole = design([array], hierarchical=hierarchical, form="resistor")
    text = xb.netlist.dialects.get(dialect).design(whole)
    imported = spice.parse(text)
    (back,) = imported.arrays
    assert np.array_equal(back.crossbar.G, array.G)
    assert back.crossbar.wires == array.wires
    assert back.V_in is None
    assert [re.sub(r"\D", "", name) for name in back.word_lines] == ["0", "1"]
    assert all(name.startswith("wl") for name in back.word_lines)
    assert any("Which lines are word lines is free" in note for note in imported.notes)


@pytest.mark.parametrize(
    "ends",
    [
        xb.LineEnds(wl_right="driven"),
        xb.LineEnds(wl_left=["driven", "floating"], wl_right=["floating", "driven"]),
        xb.LineEnds(
            bl_top=["sensed", "floating", "floating"], bl_bottom=["floating", "sensed", "sensed"]
        ),
        xb.LineEnds(bl_top="sensed"),
    ],
)
def test_other_line_ends(ends):
    G = np.random.default_rng(0).uniform(1e-4, 5e-4, (2, 3))
    array = xb.Crossbar(G, R_wl=2.0, R_bl=3.0, R_driver=4.0, R_sense=5.0, ends=ends)
    back = only(xb.netlist.write(array, [0.2, 0.3])).crossbar
    assert np.array_equal(back.G, array.G)
    assert np.array_equal(back.wl_ends, array.wl_ends)
    assert np.array_equal(back.bl_ends, array.bl_ends)
    assert (back.R_driver, back.R_sense) == (4.0, 5.0)


def test_driven_bit_lines():
    ends = xb.LineEnds(bl_bottom=["driven", "sensed", "driven"])
    array, V_in = asymmetric_crossbar(ends=ends)
    V_out = [0.05, 0.0, 0.1]
    back = only(xb.netlist.write(array, V_in, V_out))
    assert np.array_equal(back.crossbar.G, array.G)
    assert np.array_equal(back.V_out, [V_out])
    assert np.array_equal(back.crossbar.bl_ends, array.bl_ends)


def test_pairs_at_one_node_of_a_bit_line():
    G = np.random.default_rng(0).uniform(1e-4, 5e-4, (6, 3))
    array = xb.Crossbar(G, R_wl=2.0, R_bl=[[0.0] * 3, [1.5] * 3] * 2 + [[0.0] * 3], R_sense=1.5)
    back = only(xb.netlist.write(array, [0.1, -0.1, 0.2, -0.2, 0.3, -0.3]))
    assert np.array_equal(back.crossbar.G, G)
    assert np.array_equal(back.crossbar.R_bl, array.R_bl)


def test_ideal_wires_leave_the_order_free_and_say_so():
    array, V_in = asymmetric_crossbar(R_wl=0.0, R_bl=0.0, R_driver=0.0, R_sense=0.0)
    imported = spice.parse(xb.netlist.write(array, V_in))
    assert np.array_equal(imported.arrays[0].crossbar.G, array.G)
    assert imported.arrays[0].crossbar.wires == dict.fromkeys(array.wires, 0.0)
    assert sum("is free" in note for note in imported.notes) == 2


def test_a_driver_above_all_devices_is_no_device():
    G = np.random.default_rng(0).uniform(1e-4, 5e-4, (4, 3))
    array = xb.Crossbar(G, R_wl=1.0, R_bl=2.0, R_driver=1e6, R_sense=1e5)
    back = only(xb.netlist.write(array, [0.1, 0.2, 0.0, 0.3])).crossbar
    assert np.array_equal(back.G, G)
    assert back.wires == array.wires


def test_a_nearly_broken_wire_is_no_device():
    G = np.random.default_rng(0).uniform(1e-4, 5e-4, (3, 4))
    R_wl = np.full((3, 3), 2.0)
    R_wl[1, 1] = 1e9
    array = xb.Crossbar(G, R_wl=R_wl, R_bl=1.0, R_sense=3.0)
    back = only(xb.netlist.write(array, [0.1, 0.2, 0.3])).crossbar
    assert np.array_equal(back.G, G)
    assert np.array_equal(back.R_wl, R_wl)


def corner(wire, device):
    """A 2x2 array whose last place of the first word line has this wire and this device, ohm."""
    lines = ["title", "v1 i1 0 0.2", "v2 i2 0 0.3", "rd1 i1 a1 2", "rd2 i2 b1 2"]
    lines += [f"rw1 a1 a2 {wire}", "rw2 b1 b2 2", "r11 a1 c1 5k", f"r12 a2 d1 {device}"]
    lines += ["r21 b1 c2 6k", "r22 b2 d2 7k", "rb1 c1 c2 3", "rb2 d1 d2 3", "rs1 c2 0 4"]
    return "\n".join([*lines, "rs2 d2 0 4"])


def test_a_wire_as_large_as_the_device_behind_it_is_refused_with_both():
    assert np.allclose(1 / only(corner(2, 1900)).crossbar.G, [[5e3, 1900], [6e3, 7e3]])
    for wire, device in ((2000, 1900), (1900, 2000)):
        with pytest.raises(NetlistError, match=r"line \d+: .*--wires-below"):
            only(corner(wire, device))
    stated = only(corner(1900, 2000), wires_below=1950).crossbar
    assert np.allclose(1 / stated.G, [[5e3, 2000], [6e3, 7e3]])
    assert stated.R_wl.tolist() == [[1900.0], [2.0]]


def test_any_network_of_resistors_is_no_array_of_ideal_wires():
    G = np.random.default_rng(0).uniform(3e-4, 1e-3, (4, 4))
    array = xb.Crossbar(G, R_wl=1000.0, R_bl=1500.0, R_driver=1000.0, R_sense=2000.0)
    with pytest.raises(NetlistError, match=r"line \d+: .*as its wires"):
        only(xb.netlist.write(array, [0.1, 0.2, 0.3, 0.4]))


def test_a_shorted_cell_makes_no_line_between_two_voltages():
    array = xb.Crossbar([[1e-4, 2e-4, 0.5]], R_wl=2.0, R_driver=2.0, R_sense=3.0)
    with pytest.raises(NetlistError, match="are at two ends of one line"):
        only(xb.netlist.write(array, [0.2]))


def test_wires_and_devices_may_be_told_apart_by_hand():
    array = xb.Crossbar([[1e-1, 2e-1], [5e-2, 1e-2]], R_wl=1.0, R_bl=2e-3, R_sense=1.0)
    text = xb.netlist.write(array, [0.1, 0.2])
    assert np.array_equal(only(text, wires_below=3.0).crossbar.G, array.G)
    with pytest.raises(NetlistError, match=r"below 7 ohm"):
        only(text, wires_below=7.0)


def test_resistors_in_series_and_loose_ends_are_named():
    lines = ["title", "v1 a 0 1", "r1 a b 1", "r2 b c 1", "rd1 c d 1k", "r3 c e 1", "r4 e f 2"]
    lines += ["rd2 f g 2k", "r5 f h 7", "r6 d 0 3", "r7 g 0 3"]
    imported = spice.parse("\n".join(lines))
    crossbar = imported.arrays[0].crossbar
    assert crossbar.G.tolist() == [[1e-3, 5e-4]]
    assert (crossbar.R_driver, crossbar.R_wl, crossbar.R_sense) == (2.0, 3.0, 3.0)
    notes = " ".join(imported.notes)
    assert "2 resistors in series along v1 are 1 segments" in notes
    assert "r5 leads nowhere and is left out" in notes


def small(*changes):
    """A 2x2 array with some lines replaced or added, and the number of each line."""
    lines = {
        "title": "",
        "v1": "a 0 1",
        "v2": "b 0 2",
        "ra": "a a2 2",
        "rb": "b b2 2",
        "d11": "",
        "rd11": "a c 10k",
        "rd12": "a2 d 12k",
        "rd21": "b c2 14k",
        "rd22": "b2 d2 16k",
        "rc": "c c2 3",
        "rd": "d d2 3",
        "rs1": "c2 0 4",
        "rs2": "d2 0 4",
    }
    del lines["d11"]
    for change in changes:
        name, _, words = change.partition(" ")
        lines[name] = words
    return "\n".join(f"{name} {words}" for name, words in lines.items())


def test_the_small_array_is_one():
    assert only(small()).crossbar.G.shape == (2, 2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (["r17 a2 b2 20k"], "line 14: .*r17 joins two word lines"),
        (["r17 c d2 20k"], "line 14: .*r17 joins two bit lines"),
        (["r17 a c2 20k"], "joins the same two lines as"),
        (["r17 a b 1"], "line 14: .*r17"),
        (["rx c2 d2 3"], "rx"),
        (["l1 a b 1u"], "line 14: a crossbar must consist of resistors"),
        (["e1 q 0 c d 1k"], "line 14: a crossbar must consist of resistors"),
        (["xop c d amp"], "there is no subcircuit amp"),
        (["rs1 c2 0 4 tc=1m"], "two nodes and a value, and nothing else"),
        (["rs1 c2 0 rmodel"], "there is no parameter rmodel"),
        (["rs1 c2 0 -4"], "must be >= 0"),
        (["rs1 c2 0 4mil"], "4mil is a number that programs read"),
        (["rs1 c2 0 4k7"], "4k7 must be"),
        (["rs1 c2 0 4}"], "} must be closed, or left out"),
        (["rs1 c2 0 1e999"], "numbers must be plain decimals"),
        (["rs1 c2 0 {1/0}"], "{1/0} must be a number"),
        (["xc r=1 q=2"], "must have nodes and a subcircuit"),
        (["rs1 c2 0 {__import__('os')}"], "line 12"),
        (["v1 a 0 pulse(0 1 0 1n 1n 1u 2u)"], "one constant voltage"),
        (["v3 a b 1"], "v3 must stand between a line and ground"),
        (["v3 a 0 1"], "v3 and v1 hold one node"),
        (["rr a a 5"], "rr joins a node to itself"),
        ([".include x.lib"], "line 14: .include must be understood"),
        (["v1 a 0 {p}", ".param p={q} q={p}"], "must not stand for itself"),
    ],
)
def test_what_is_no_crossbar_is_refused_with_its_line(changes, reason):
    with pytest.raises(NetlistError, match=reason):
        spice.parse(small(*changes))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must have sources"),
        ("title\nr1 a b 1k\n", "must have sources"),
        ("title\n+ r1 a b 1k\n", "line 2: a continuation must follow a line"),
        ("title\n.subckt a b\nr1 b 0 1\n", "the text is cut off"),
        ("t\n.subckt a b\nx1 b a\n.ends\nx1 c a\nv1 c 0 1\n", "must not hold itself"),
        ("t\n.subckt a b c\nr1 b c 1\n.ends\nx1 c a\n", "has 2 pins, and 1 nodes"),
        ("t\nv1 a 0 1\nr1 a b 1k\nr1 b 0 1\n", "r1 must occur once"),
    ],
)
def test_texts_that_are_no_circuit(text, reason):
    with pytest.raises(NetlistError, match=reason):
        spice.parse(text)


def test_a_title_that_looks_like_an_element_is_named():
    text = small().replace("title", "r99 a b 1", 1)
    assert "Line 1 is the title" in spice.parse(text).notes[0]


def test_a_lost_first_element_is_named_where_it_is_missed():
    text = small("r17 a2 b2 20k").partition("\n")[2]  # begins with v1: for SPICE the title
    with pytest.raises(NetlistError, match=r"Line 1 is the title.*'v1 a 0 1'"):
        spice.parse(text)


def test_parts_that_nothing_joins_are_said():
    text = "t\nv1 a 0 1\nr1 a b 1k\nr2 b 0 1\nv2 c 0 1\nr3 c d 1k\nr4 d 0 1\n"
    imported = spice.parse(text)
    assert imported.arrays[0].crossbar.G.tolist() == [[1e-3, 0.0], [0.0, 1e-3]]
    assert any("joins 2 parts of the text" in note for note in imported.notes)


def test_a_file_is_named_in_its_error(tmp_path):
    (tmp_path / "a.cir").write_text(small("r17 a2 b2 20k"), "utf-8")
    with pytest.raises(NetlistError, match=r"`a\.cir`, line 14"):
        spice.read(tmp_path / "a.cir")


SPECTRE = r"""// by hand
simulator lang=spectre
global 0 common
parameters rw=2 meg=1M \
    ron=rw*2.5K
subckt cell (a b)
parameters r=10K
Dev (a b) resistor r=r
ends cell
V1 (In1 0) vsource type=dc dc=200m
Ra (In1 a1) resistor r=rw
X1 (a1 c1) cell r=ron
X2 (a2 d1) cell
Rw1 (a1 a2) resistor r=rw
Rc (c1 0) resistor r=50
Rd (d1 0) resistor r=meg/1M*50
readout dc
"""


def test_spectre_by_hand():
    array = only(SPECTRE)
    np.testing.assert_allclose(1 / array.crossbar.G, [[5e3, 1e4]], rtol=1e-12)
    assert (array.crossbar.R_wl, array.crossbar.R_sense) == (2.0, 50.0)
    assert array.V_in.tolist() == [[0.2]]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("a2 d1", "A1 d1", "line 13: A1 and a1 must not differ in capital letters"),
        ("readout dc", 'include "x.scs"', "line 17: include must be understood"),
        ("r=50", "r=50 tc1=1", "a value, and nothing else"),
        ("type=dc", "type=pulse", "one constant voltage"),
        ("global 0 common", "global vss", "ground must be the node 0"),
        ("simulator lang=spectre", "simulator lang=spectre\nsimulator lang=spice", "one language"),
        ("X2 (a2 d1) cell", "X2 (a2 d1) other", "there is no subcircuit other"),
        ("X2 (a2 d1) cell", "L2 (a2 d1) inductor l=1n", "there is no subcircuit inductor"),
        ("rw=2 meg", "rw=2meggs meg", "line 4"),
    ],
)
def test_what_spectre_says_beside_is_refused_with_its_line(old, new, reason):
    assert old in SPECTRE
    with pytest.raises(NetlistError, match=reason):
        spice.parse(SPECTRE.replace(old, new))
