"""`read` and `compare`: whatever an ngspice deck holds that we do not write is refused by line."""

from __future__ import annotations

import re

import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import UNEVEN, asymmetric_crossbar
from xbarspice import netlist
from xbarspice.core.errors import InputError, NetlistError


def deck(device="ohmic", vectors=1, **change):
    crossbar, V_in = asymmetric_crossbar(device=device, **change)
    V_in = V_in if vectors == 1 else np.stack([V_in, 2 * V_in])
    return netlist.write(crossbar, V_in), crossbar, V_in


def refuses(text, crossbar, V_in, words=r"line \d+"):
    for work in (
        lambda: netlist.read(text),
        lambda: netlist.compare(crossbar, text),
        lambda: netlist.compare(crossbar, text, V_in),
    ):
        with pytest.raises(NetlistError, match=words):
            work()


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("vectors", [1, 2])
@pytest.mark.parametrize(
    "card",
    [
        ".options rshunt=1e6",
        ".options gmin=1e-3",
        ".option scale=2",
        ".param x=1",
        ".temp 100",
        ".ic v(w_0_1)=1",
        ".include x.cir",
        ".lib x y",
        ".global w_0_1",
        ".model r r tc1=1",
        ".nodeset v(w_0_1)=1",
        ".subckt xb_sinh_tio2 p n\nR1 p n 1\n.ends",
        ".if (1)",
        ".csparam a=1",
        ".tran 1 1",
        ".control\nalter Rd_0_0=1\n.endc",
        "*#alter Rd_0_0=1",
        "*ng_script",
        "+ 2",
        " R1 in_0 bs_0 1",
        "R1 in_0 bs_0 1",
        "C1 in_0 bs_0 1",
        "A1 x y z",
        ".func f(x) {x}",
        "* rows: 2",
        "* config: x",
        ".save v(nowhere)",
        ".save @Rd_0_0[i]",
        "* note \\\\",
        ".title x",
        "Vx in_0 0 1",
        "Bx in_0 0 v=1",
        "Xd in_0 bs_0 xb_sinh_tio2 xb_g=1",
        "R1 gnd bs_0 1",
    ],
)
def test_a_card_that_we_do_not_write_is_refused(device, vectors, card):
    text, crossbar, V_in = deck(device, vectors)
    for at in ("* wire segments", ".options", "* By hand"):
        refuses(text.replace(at, f"{card}\n{at}", 1), crossbar, V_in, "line")
    refuses(text + card + "\n", crossbar, V_in, "line")


@pytest.mark.parametrize(
    "command",
    [
        "alter Rd_0_0 = 1",
        "alterparam x=1",
        "set temp=100",
        "reset",
        "source x",
        "option gmin=1",
        "op ; alter Rd_0_0=1",
        "let x=1",
        "altermod r tc1=1",
        "shell rm x",
    ],
)
def test_a_command_before_the_analysis_is_refused(command):
    for vectors, run in ((1, "op"), (2, "dc Vidx 0 1 1")):
        text, crossbar, V_in = deck(vectors=vectors)
        before = text.replace(f"\n{run}\n", f"\n{command}\n{run}\n")
        assert before != text
        refuses(before, crossbar, V_in)
        refuses(text.replace("\nprint all", f"\n{command}\nprint all"), crossbar, V_in)
        refuses(text.replace(f"\n{run}\n", f"\n{run} ; {command}\n"), crossbar, V_in)


def test_another_analysis_is_refused():
    text, crossbar, V_in = deck(vectors=2)
    refuses(text.replace("dc Vidx 0 1 1", "dc Vidx 0 1 2"), crossbar, V_in, "analysis")
    refuses(text.replace("dc Vidx 0 1 1", "op"), crossbar, V_in, "analysis")
    for gone in (".control", "print all\n", "optran 1 1 1 0 0 0\n"):
        refuses(text.replace(gone, ""), crossbar, V_in, "analysis|line")
    options = next(line for line in text.splitlines() if line.startswith(".options"))
    refuses(text.replace(options, ""), crossbar, V_in, "one .options card")


@pytest.mark.parametrize("words", ["m=2", "tc1=0.1", "scale=3", "tc=1", "temp=9", "2", "ac=1"])
@pytest.mark.parametrize("start", ["Rd_0_1 ", "Rw_0_0 ", "Vin_0 ", "Vbs_1 ", "Xd_0_1 "])
def test_a_parameter_of_an_element_is_refused(words, start):
    text, crossbar, V_in = deck("sinh_tio2" if start[0] == "X" else "ohmic")
    line = next(line for line in text.splitlines() if line.startswith(start))
    refuses(text.replace(line, f"{line} {words}"), crossbar, V_in, "line|device at")


@pytest.mark.parametrize("space", ["\xa0", "\u2003", "\x0b", "\x0c", "\x85", "\u2028", "\x1c"])
def test_an_odd_space_is_refused(space):
    text, crossbar, V_in = deck()
    for old in ("Rd_0_1 w_0_1", "* wire segments"):
        refuses(text.replace(old, old.replace(" ", space)), crossbar, V_in, "plain ASCII")
        refuses(text.replace(old, old.replace(" ", f" {space}")), crossbar, V_in, "plain ASCII")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rows: 2", "rows: ²"),
        ("rows: 2", "rows: -2"),
        ("rows: 2", "rows: 2.0"),
        ("rows: 2", "rows:"),
        ("rows: 2", "rows: 99999999999"),
        ("rows: 2", "rows: 1000000"),
        ("cols: 3", "cols: 03"),
        ("vectors: 1", "vectors: many"),
        ("vectors: 1", "vectors: 2"),
        ("R_wl: 5.0", "R_wl: nan"),
        ("R_wl: 5.0", "R_wl: 1_0"),
        ("wl_left: driven", "wl_left: on"),
        ("wl_left: driven", "wl_left: driven driven driven"),
        ("ohmic\n* vectors", "gone\n* vectors"),
        ("version: ", "version: a b "),
        ("device: ohmic", "device: ohmic x=1"),
        ("device: ohmic", "device: ((((("),
        ("device: ohmic", "device: sinh_tio2 b=1 b=2"),
        ("device: ohmic", "device: sinh_tio2 b=9e999"),
        ("rows: 2", "rows: 2\n* rows: 2"),
        ("cols: 3", "cols: 4"),
    ],
)
def test_a_malformed_header_is_refused(old, new):
    text, crossbar, V_in = deck()
    assert old in text
    with pytest.raises(NetlistError):
        netlist.read(text.replace(old, new))
    with pytest.raises(NetlistError):
        netlist.compare(crossbar, text.replace(old, new), V_in)


def test_a_header_that_lies_is_refused_by_compare():
    text, crossbar, V_in = deck()
    for old, new in (("R_wl: 5.0", "R_wl: 6.0"), ("* config: ", "* config: 0")):
        lie = text.replace(old, new)
        lie = re.sub(r"(config: [0-9a-f]{64})[0-9a-f]", r"\1", lie)
        with pytest.raises(NetlistError, match="header line"):
            netlist.compare(crossbar, lie, V_in)


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_every_segment_and_end_comes_back(device):
    text, crossbar, V_in = deck(device, **UNEVEN)
    back = netlist.read(text)
    assert back.untouched
    for name, values in UNEVEN.items():
        assert np.array_equal(back.crossbar.wires[name], values)
    netlist.compare(crossbar, text, V_in)


def test_ends_of_all_sides_come_back():
    """What stands for ends of another role is nowhere in the text: 0 comes back."""
    ends = xb.LineEnds(wl_right=["sensed", "driven"], bl_top="sensed")
    given = np.array([1.0, 2.0, 3.0, 4.0]), np.arange(5.0, 13.0)
    _, crossbar, V_in = deck(R_driver=given[0], R_sense=given[1], ends=ends)
    back = netlist.read(netlist.write(crossbar, V_in))
    assert back.untouched
    assert np.array_equal(back.crossbar.R_driver, [1.0, 2.0, 0.0, 4.0])
    assert np.array_equal(back.crossbar.R_sense, [5.0, 0.0, *range(7, 13)])


def test_another_value_of_one_segment_is_read_there_and_seen_by_compare():
    text, crossbar, V_in = deck(**UNEVEN)
    changed = re.sub(r"(?m)^(Rw_1_0 .*) 7.5$", r"\1 8.5", text)
    assert changed != text
    back = netlist.read(changed)
    assert np.array_equal(back.crossbar.R_wl, [[5.0, 0.0], [8.5, 1e12]])
    assert not back.untouched
    with pytest.raises(NetlistError, match="word line 1, wire segment after column 0"):
        netlist.compare(crossbar, changed, V_in)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("R_wl: per_segment", "R_wl: per_end"),
        ("R_driver: per_end", "R_driver: per_segment"),
        ("R_wl: per_segment", "R_wl: 5.0"),
        ("Rw_1_0 ", "Rw_1_7 "),
        ("Rw_1_0 ", "Rw_x "),
    ],
)
def test_a_word_or_name_of_another_place_is_refused(old, new):
    text, crossbar, V_in = deck(**UNEVEN)
    assert old in text
    with pytest.raises(NetlistError):
        netlist.read(text.replace(old, new))
    if "R_" in old:
        with pytest.raises(NetlistError, match="header line"):
            netlist.compare(crossbar, text.replace(old, new), V_in)


@pytest.mark.parametrize("first", ["", "R9 in_0 bs_0 1\n", "title\n"])
def test_a_first_line_that_ngspice_would_swallow_is_refused(first):
    text, crossbar, V_in = deck()
    refuses((first or "\n") + text, crossbar, V_in, "line 1")


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2", "cubic_al2o3_tio2"])
@pytest.mark.parametrize("vectors", [1, 2])
@pytest.mark.parametrize("change", [{}, {"R_wl": 0.0, "R_bl": 0.0}, {"R_driver": 0.0}])
def test_what_means_the_same_is_accepted(device, vectors, change):
    """Comments, factors, other names of inner nodes and of elements that are no sources."""
    text, crossbar, V_in = deck(device, vectors, **change)
    texts = [
        re.sub(r"\b([wb])_(\d)(_\d)?\b", r"node\1\2x\3", text),
        re.sub(r"\b(in|bs)_(\d)\b", r"pad\1n\2", text),
        re.sub(r"(?m)^([RX])([dwb])(?=_\d_\d )", r"\1element\2", text),
        re.sub(r"(?m)^(R[wb][lb])(?=_\d )", r"\1end", text),
    ]
    swap = re.compile(r"(?m)^([RX])d_0_(0|1) ")
    texts.append(swap.sub(lambda m: f"{m[1]}d_0_{1 - int(m[2])} ", text))
    for mark in ("; x", " $ x", " // x"):
        texts.append(re.sub(r"(?m)^([RX].*)$", rf"\1 {mark}", text))
    texts.append(
        re.sub(r"(?m)^(R.*) 10\.0$", r"\1 10000m", text).replace("bs_0 0 0", "bs_0 0 0.000")
    )
    texts.append(text.removesuffix(".end\n"))
    texts.append(re.sub(r"(?m)^Vbs_0", "vBS_0", text))
    for same in texts:
        back = netlist.read(same)
        assert np.array_equal(back.crossbar.G, crossbar.G)
        assert back.untouched
        assert back.crossbar.device == crossbar.device
        netlist.compare(crossbar, same)
        netlist.compare(crossbar, same, V_in)


def test_a_device_as_resistive_as_a_wire_is_found_by_the_rest_of_the_graph():
    crossbar = xb.Crossbar(np.full((3, 4), 0.2), R_wl=5.0, R_bl=5.0, R_driver=5.0, R_sense=5.0)
    text = netlist.write(crossbar, [0.1, 0.2, 0.3])
    renamed = re.sub(r"\b([wb])_(\d)_(\d)\b", r"n\1\2x\3", text)
    netlist.compare(crossbar, renamed)
    assert np.array_equal(netlist.read(renamed).crossbar.G, crossbar.G)


def test_factors_are_exact():
    text, crossbar, _ = deck()
    assert netlist.read(text.replace("bs_0 b_1_0 20.0", "bs_0 b_1_0 20000M")).untouched
    long = text.replace("b_0_0 10000.0", "b_0_0 10.00000000000001k")
    assert netlist.read(long).crossbar.G[0, 0] == 1 / 10000.00000000001
    with pytest.raises(NetlistError, match="device at row 0, column 0"):
        netlist.compare(crossbar, long)


def test_tolerances_that_hide_an_error_are_refused():
    text, crossbar, V_in = deck("sinh_tio2")
    changes = (
        ("reltol=1e-12", "reltol=1e-2"),
        ("gmin=1e-20", "gmin=1e-3"),
        ("klu", ""),
        ("klu", "klu rshunt=1e9"),
        ("gmin=", "gmin=1e-20 gmin="),
    )
    for old, new in changes:
        refuses(text.replace(old, new), crossbar, V_in, "option|looser")
    refuses(re.sub(r"abstol=\S+", "abstol=1e-3", text), crossbar, V_in, "looser")


def test_texts_that_are_none_are_refused():
    for text in ("", "\n", "*", "\x00", "* a\n.end\n", "+", "é"):
        with pytest.raises(InputError):
            netlist.read(text)


@pytest.mark.parametrize("vectors", [1, 2])
def test_a_deck_that_does_not_save_a_current_is_refused(vectors):
    """What is not saved is not printed: such a deck ran and gave one current of five."""
    text, crossbar, V_in = deck(vectors=vectors)
    changed = re.sub(r"(\.save i\(\w+\)) ", r"\1 ; ", text, count=1)
    assert changed != text
    refuses(changed, crossbar, V_in, "must be saved")
    lines = [line for line in text.splitlines() if not line.startswith(".save")]
    netlist.compare(crossbar, "\n".join(lines) + "\n", V_in)  # the simulator then saves all
