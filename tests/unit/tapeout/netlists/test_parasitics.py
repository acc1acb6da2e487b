"""DSPF and SPEF: every segment and capacitance of every net, proven, and run by ngspice."""

from __future__ import annotations

import re

import klayout.db as kdb
import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import PATIENCE
from xbarspice.engines.ngspice import ngspice_info
from xbarspice.engines.ngspice.runner import control_section, run_deck
from xbarspice.netlist.cells import Wires
from xbarspice.tapeout import load_technology
from xbarspice.tapeout.netlists.dspf import prove_dspf, write_dspf
from xbarspice.tapeout.netlists.parasitics import parasitics
from xbarspice.tapeout.netlists.spef import prove_spef, write_spef

TECHNOLOGY = load_technology("sky130b")
SHAPE = (3, 4)
WIRES = {"R_wl": 0.3, "R_bl": 0.4, "R_driver": 7.0, "R_sense": 9.0}
PAIRS = [(write_dspf, prove_dspf), (write_spef, prove_spef)]


def crossbar(**wires):
    G = np.full(SHAPE, 2e-4)
    G[1, 2] = 0.0
    return xb.Crossbar(G, **{**WIRES, **wires})


def nets(array=None):
    return parasitics(array or crossbar(), TECHNOLOGY, Wires(**TECHNOLOGY.capacitances()), "die_a0")


def test_a_net_tells_its_nodes_resistances_and_capacitances():
    it = nets()
    assert [net.name for net in it.nets] == [f"WL<{k}>" for k in range(3)] + [
        f"BL<{k}>" for k in range(4)
    ]
    line = it.nets[1]
    assert line.devices == (("Xd_1_0", "BE"), ("Xd_1_1", "BE"), ("Xd_1_3", "BE"))
    assert line.inner == ("WL<1>:3",)
    assert [(b.a, b.b, float(b.value)) for b in line.resistors] == [
        ("WL<1>", "Xd_1_0:BE", 7.0),
        ("Xd_1_0:BE", "Xd_1_1:BE", 0.3),
        ("Xd_1_1:BE", "WL<1>:3", 0.3),
        ("WL<1>:3", "Xd_1_3:BE", 0.3),
    ]
    C = TECHNOLOGY.capacitances()
    crossing = C["C_cross"] + C["C_device"]
    assert line.capacitance == pytest.approx(4 * C["C_wl"] + 3 * crossing + C["C_cross"])
    assert it.nets[3].capacitance == pytest.approx(3 * C["C_bl"] + 3 * crossing)
    assert it.nets[5].capacitance == pytest.approx(3 * C["C_bl"] + 2 * crossing + C["C_cross"])
    assert crossing == pytest.approx(4.5e-15, rel=0.02)  # 5 nm of oxide under 0.32 x 0.32 um


@pytest.mark.parametrize(("write", "prove"), PAIRS)
@pytest.mark.parametrize("brackets", ["<>", "[]"])
def test_texts_are_proven(write, prove, brackets):
    it = nets()
    text = write(it, brackets)
    prove(text, it, brackets)
    assert text == write(nets(), brackets)
    lines = text.splitlines()
    for at in range(len(lines)):
        if lines[at].strip() in ("", "*", "* devices"):
            continue
        with pytest.raises(xb.errors.NetlistError):
            prove("\n".join([*lines[:at], *lines[at + 1 :], ""]), it, brackets)


@pytest.mark.parametrize(("write", "prove"), PAIRS)
def test_another_value_or_node_is_named(write, prove):
    it, other = nets(), nets(crossbar(R_wl=0.3 * (1 + 1e-15)))
    with pytest.raises(xb.errors.NetlistError, match=r"missing.*superfluous|differ"):
        prove(write(other), it)
    text = write(it).replace("Xd_0_1:BE Xd_0_2:BE", "Xd_0_1:BE Xd_0_3:BE", 1)
    with pytest.raises(xb.errors.NetlistError, match=r"(?i)Xd_0_3:BE"):
        prove(text, it)


def test_wires_without_resistance_are_refused():
    with pytest.raises(xb.errors.InputError, match="resistance > 0"):
        nets(crossbar(R_bl=0.0))


def test_ngspice_runs_the_dspf_text_and_agrees_with_the_nodal_engine():
    """The foundry's cell is a resistor here, so all devices have one conductance."""
    array, V = crossbar(), np.array([0.1, 0.2, -0.15])
    sources = [f"Vin_{k} WL<{k}> 0 {v}" for k, v in enumerate(V)]
    senses = [f"Vbs_{k} BL<{k}> 0 0" for k in range(SHAPE[1])]
    pins = [f"WL<{k}>" for k in range(SHAPE[0])] + [f"BL<{k}>" for k in range(SHAPE[1])]
    cell = TECHNOLOGY.device.subckt
    model = [f".subckt {cell} BE TE area_ox=1", f"R1 BE TE {1 / 2e-4!r}", ".ends"]
    text = write_dspf(nets(array)).splitlines()
    deck = ["* title", *model, *text, f"Xdut {' '.join(pins)} die_a0", *sources, *senses]
    deck.append(".options reltol=1e-12 abstol=1e-18 vntol=1e-15 gmin=1e-20")
    command = [ngspice_info().path, "-n", "-b"]
    raw = run_deck(
        command,
        [*deck, *control_section("op")],
        points=1,
        klu=False,
        timeout=PATIENCE,
    ).raw
    actual = [raw.values[0, raw.columns[f"i(vbs_{k})"]] for k in range(SHAPE[1])]
    expected = xb.solve(array, V, engine="nodal").I_out
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_klayout_reads_resistances_and_capacitances_of_the_dspf_text(tmp_path):
    it = nets()
    path = tmp_path / "a.dspf"
    path.write_text(write_dspf(it))
    netlist = kdb.Netlist()
    netlist.read(str(path), kdb.NetlistSpiceReader())
    devices = list(netlist.circuit_by_name("DIE_A0").each_device())
    R = sorted(d.parameter("R") for d in devices if d.device_class().name == "RES")
    C = [d.parameter("C") for d in devices if d.device_class().name == "CAP"]
    expected = [float(b.value) for net in it.nets for b in net.resistors]
    np.testing.assert_allclose(R, sorted(expected), rtol=1e-12)
    assert len(C) == sum(len(net.capacitors) for net in it.nets)


def test_equal_numbers_of_lines_and_statements():
    text = write_dspf(nets())
    rows, cols = SHAPE
    assert len(re.findall(r"^R\d", text, re.MULTILINE)) == rows * cols + cols * rows
    assert text.count("*|NET ") == rows + cols
    assert text.count("*|I ") == 2 * (rows * cols - 1)
    assert text.count("*|S ") == 2
