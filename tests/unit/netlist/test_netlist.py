"""Netlist text: what it contains, that it reads back, and that every change is found and named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xbarspice as xb
from tests.helpers import asymmetric_crossbar
from xbarspice import netlist
from xbarspice.core.errors import InputError, NetlistError
from xbarspice.netlist.numbers import conductance, number, resistances
from xbarspice.netlist.records import noise_gain

DEVICES = xb.devices.names()


def elements(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and line[0] in "RXVB" and "_" in line]


def test_nodes_and_values_of_the_asymmetric_example(asymmetric):
    """Row and column of every device, its two nodes and 1/G are where the convention puts them."""
    text = netlist.write(*asymmetric)
    assert "Vin_0 in_0 0 0.2\nVin_1 in_1 0 -0.1\n" in text
    assert "Rd_0_2 w_0_2 b_0_2 3333.3333333333335\n" in text
    assert "Rd_1_0 w_1_0 b_1_0 2500.0\n" in text
    assert "Rd_1_2" not in text  # absent
    assert "Rwl_1 in_1 w_1_0 10.0\n" in text
    assert "Rbb_2 bs_2 b_1_2 20.0\n" in text
    assert "Rw_1_1 w_1_1 w_1_2 5.0\n" in text
    assert "Rb_0_1 b_0_1 b_1_1 2.0\n" in text


def test_zero_resistances_are_merged_nodes(asymmetric):
    """Ideal wires and ends leave no element behind; devices hang between the sources."""
    crossbar, V_in = asymmetric
    ideal = crossbar.replace(R_wl=0, R_bl=0, R_driver=0, R_sense=0)
    lines = elements(netlist.write(ideal, V_in))
    assert [line for line in lines if line.startswith("R")] == [
        "Rd_0_0 in_0 bs_0 10000.0",
        "Rd_0_1 in_0 bs_1 5000.0",
        "Rd_0_2 in_0 bs_2 3333.3333333333335",
        "Rd_1_0 in_1 bs_0 2500.0",
        "Rd_1_1 in_1 bs_1 20000.0",
    ]


def test_header_has_version_and_hash_and_no_date(asymmetric):
    """The same problem gives the same text; another G gives another hash."""
    crossbar, V_in = asymmetric
    text = netlist.write(crossbar, V_in)
    assert f"* version: {xb.__version__}\n" in text
    assert f"* config: {netlist.config_hash(crossbar)}\n" in text
    assert text == netlist.write(crossbar, V_in)
    changed = crossbar.replace(G=np.nextafter(crossbar.G, 1))
    assert netlist.config_hash(changed) != netlist.config_hash(crossbar)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("vectors", [None, 1, 5])
def test_round_trip_is_exact(device, vectors):
    """G, wires, ends, device and drive come back bit by bit."""
    rng = np.random.default_rng(7)
    G = rng.uniform(1e-6, 1e-3, (4, 3))
    G[1, 2] = 0
    ends = xb.LineEnds(wl_right=["driven", "floating", "sensed", "floating"], bl_top="driven")
    crossbar = xb.Crossbar(G, R_wl=1.1, R_bl=0.3, R_driver=7.7, R_sense=0, device=device, ends=ends)
    shape = () if vectors is None else (vectors,)
    V_in, V_out = rng.uniform(-0.3, 0.3, (*shape, 4)), rng.uniform(-1, 1, (*shape, 3))
    text = netlist.write(crossbar, V_in, V_out)
    back = netlist.read(text)
    assert np.array_equal(back.crossbar.G, G)
    assert back.untouched
    assert back.crossbar.device == crossbar.device
    assert (back.crossbar.wl_ends == crossbar.wl_ends).all()
    assert (back.crossbar.bl_ends == crossbar.bl_ends).all()
    for name in ("R_wl", "R_bl", "R_driver", "R_sense"):
        assert getattr(back.crossbar, name) == getattr(crossbar, name)
    assert np.array_equal(back.V_in, V_in.reshape(-1, 4))
    assert np.array_equal(back.V_out, V_out.reshape(-1, 3))
    netlist.compare(crossbar, text)
    netlist.compare(crossbar, text, V_in, V_out)


@settings(max_examples=200)
@given(st.floats(1e-12, 1e3))
def test_a_resistance_keeps_every_bit_of_its_conductance(G):
    assert conductance(resistances(np.array([G]))[0]) == G


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 1)])
def test_small_shapes_round_trip(shape):
    crossbar = xb.Crossbar(np.full(shape, 1e-4), R_wl=3.0, R_bl=4.0)
    back = netlist.read(netlist.write(crossbar, np.full(shape[0], 0.1)))
    assert back.crossbar.G.shape == shape
    assert (back.crossbar.R_wl, back.crossbar.R_bl) == (3.0, 4.0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("Rd_0_1 w_0_1 b_0_1", "Rd_0_1 w_0_2 b_0_1"), "row 0, column 1"),
        (("Rd_0_1 w_0_1 b_0_1 5000.0", "Rd_0_1 w_0_1 b_0_1 5000.1"), "row 0, column 1"),
        (("Rd_1_0 w_1_0 b_1_0 2500.0\n", ""), "row 1, column 0"),
        (("Rw_0_1 w_0_1 w_0_2 5.0\n", ""), "word line 0, wire segment after column 1"),
        (("Rb_0_2 b_0_2 b_1_2 2.0", "Rb_0_2 b_0_2 b_1_2 2.5"), "bit line 2"),
        (("Rwl_1 in_1 w_1_0 10.0", "Rwl_1 in_1 w_1_0 11.0"), "left end of word line 1"),
        (("Vbs_2 bs_2 0 0\n", ""), "sense source of bit line 2"),
        (("Vin_1 in_1 0 -0.1", "Vin_1 in_1 0 -0.2"), "driver of word line 1"),
    ],
)
def test_every_change_is_found_and_named(asymmetric, change, named):
    """A changed, moved or missing element is named by its place in the array."""
    crossbar, V_in = asymmetric
    text = netlist.write(crossbar, V_in)
    assert change[0] in text
    with pytest.raises(NetlistError, match=named):
        netlist.compare(crossbar, text.replace(*change), V_in)


def test_swapped_columns_are_found(asymmetric):
    """A netlist of the array with two columns swapped is not the array's netlist."""
    crossbar, V_in = asymmetric
    swapped = netlist.write(crossbar.replace(G=crossbar.G[:, [1, 0, 2]]), V_in)
    with pytest.raises(NetlistError, match="device at row 0, column 0"):
        netlist.compare(crossbar, swapped, V_in)


def test_an_edited_value_is_read_and_admitted(asymmetric):
    """`read` takes the edited device value and says that the header's hash no longer fits."""
    crossbar, V_in = asymmetric
    text = netlist.write(crossbar, V_in).replace("b_0_1 5000.0", "b_0_1 4000.0")
    back = netlist.read(text)
    assert back.crossbar.G[0, 1] == 1 / 4000
    assert not back.untouched


def test_a_changed_model_is_found():
    crossbar, V_in = asymmetric_crossbar(device="sinh_tio2")
    text = netlist.write(crossbar, V_in).replace("sinh({xb_b}", "tanh({xb_b}")
    with pytest.raises(NetlistError, match="device model"):
        netlist.read(text)


@pytest.mark.parametrize("bad", ["1M", "1k", "1,5", "1_000", "nan", "inf", "", "0x10"])
def test_numbers_that_simulators_read_differently_are_refused(bad):
    with pytest.raises(NetlistError, match="plain decimals"):
        number(bad)


def test_foreign_text_is_refused(asymmetric):
    with pytest.raises(NetlistError, match=r"header.*Only ngspice decks"):
        netlist.read("* something else\nR1 a 0 1\n.end\n")
    text = netlist.write(*asymmetric)
    with pytest.raises(NetlistError, match=r"line .*C1"):
        netlist.read(text.replace("* wire segments", "C1 w_0_0 0 1e-12"))
    with pytest.raises(NetlistError, match="twice"):
        netlist.read(text.replace("* wire segments", "Rd_0_0 w_0_0 b_0_0 10000.0"))


def test_misuse_is_refused(asymmetric):
    crossbar, V_in = asymmetric
    with pytest.raises(InputError, match="one array"):
        netlist.write(crossbar.replace(G=np.stack([crossbar.G] * 2)), V_in)
    with pytest.raises(InputError, match="`dialect`"):
        netlist.write(crossbar, V_in, dialect="spice2")
    with pytest.raises(InputError, match="at least one"):
        netlist.write(crossbar, np.empty((0, 2)))
    with pytest.raises(NetlistError, match="2 x 3"):
        netlist.compare(xb.Crossbar([[1e-4]]), netlist.write(crossbar, V_in))


@pytest.mark.parametrize(
    ("R", "gain"),
    [
        ({"R_wl": 0.5, "R_bl": 1.0, "R_driver": 0.0, "R_sense": 0.0}, 0.0),
        ({"R_wl": 0.5, "R_bl": 1.0, "R_driver": 3.0, "R_sense": 0.0}, 6.0),
        ({"R_wl": 0.5, "R_bl": 1.0, "R_driver": 0.0, "R_sense": 3.0}, 3.0),
        ({"R_wl": 0.0, "R_bl": 1.0, "R_driver": 3.0, "R_sense": 0.0}, 0.0),
        ({"R_wl": 1.0, "R_bl": 1.0, "R_driver": 1e9, "R_sense": 0.0}, 5e3),
    ],
)
def test_noise_gain_is_that_of_a_wires_current_in_the_line_end(R, gain):
    """Devices of 2 x 100 uS stand beside a driver: 5 kohm is what a line without one has."""
    crossbar = xb.Crossbar(np.full((3, 2), 1e-4), **R)
    assert noise_gain(crossbar) == pytest.approx(gain, rel=1e-3)
