"""The asymmetric 2x3 example through every engine, the netlist, the round trip and the file."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import ASYMMETRIC_G, ASYMMETRIC_V, asymmetric_crossbar
from xbarspice.core import crossbar_file

R_WL, R_BL, R_DRIVER, R_SENSE = 5.0, 2.0, 10.0, 20.0


def written_out():
    """Kirchhoff's law at the twelve nodes, written out one element at a time; independent."""
    node = {
        (line, i, j): 6 * (line == "b") + 3 * i + j
        for line in "wb"
        for i in range(2)
        for j in range(3)
    }
    A, b = np.zeros((12, 12)), np.zeros(12)

    def resistor(p, n, g):
        A[p, p] += g
        A[n, n] += g
        A[p, n] -= g
        A[n, p] -= g

    for i in range(2):
        for j in range(3):
            resistor(node["w", i, j], node["b", i, j], ASYMMETRIC_G[i, j])
            if j < 2:
                resistor(node["w", i, j], node["w", i, j + 1], 1 / R_WL)
            if i < 1:
                resistor(node["b", i, j], node["b", i + 1, j], 1 / R_BL)
        A[node["w", i, 0], node["w", i, 0]] += 1 / R_DRIVER
        b[node["w", i, 0]] += ASYMMETRIC_V[i] / R_DRIVER
    for j in range(3):
        A[node["b", 1, j], node["b", 1, j]] += 1 / R_SENSE
    V = np.linalg.solve(A, b)
    return V[:6].reshape(2, 3), V[6:].reshape(2, 3)


V_WL, V_BL = written_out()
I_OUT = V_BL[1] / R_SENSE
I_IN = (ASYMMETRIC_V - V_WL[:, 0]) / R_DRIVER


@pytest.mark.parametrize("engine", ["nodal", "surrogate", "ngspice", "pyspice"])
def test_every_engine_finds_the_same_currents_and_voltages(engine):
    crossbar, V_in = asymmetric_crossbar()
    sol = xb.solve(crossbar, V_in, engine=engine, full=True)
    scale = np.abs(I_OUT).max()
    np.testing.assert_allclose(sol.I_out, I_OUT, rtol=0, atol=1e-10 * scale)
    np.testing.assert_allclose(sol.I_in, I_IN, rtol=0, atol=1e-10 * scale)
    np.testing.assert_allclose(sol.V_wl, V_WL, rtol=0, atol=1e-11)
    np.testing.assert_allclose(sol.V_bl, V_BL, rtol=0, atol=1e-11)
    np.testing.assert_allclose(
        sol.I_device, ASYMMETRIC_G * (V_WL - V_BL), rtol=0, atol=1e-10 * scale
    )
    assert sol.I_device[1, 2] == 0


def test_signs_and_places_are_what_the_words_say():
    """Current flows from the positive row into the array and out of the columns."""
    assert np.sign(I_OUT).tolist() == [-1, 1, 1]
    assert np.sign(I_IN).tolist() == [1, -1]
    ideal = ASYMMETRIC_V @ ASYMMETRIC_G
    np.testing.assert_allclose(I_OUT, ideal, rtol=0.05)
    crossbar, V_in = asymmetric_crossbar(R_wl=0, R_bl=0, R_driver=0, R_sense=0)
    np.testing.assert_allclose(xb.solve(crossbar, V_in).I_out, ideal, rtol=1e-14)


def test_the_netlist_reads_back_equal():
    crossbar, V_in = asymmetric_crossbar()
    text = xb.netlist.write(crossbar, V_in)
    assert xb.netlist.write(crossbar, V_in) == text
    back = xb.netlist.read(text).crossbar
    assert np.array_equal(back.G, crossbar.G)
    for name, value in (
        ("R_wl", R_WL),
        ("R_bl", R_BL),
        ("R_driver", R_DRIVER),
        ("R_sense", R_SENSE),
    ):
        assert getattr(back, name) == value
    xb.netlist.compare(crossbar, text)


def test_the_file_gives_it_back(tmp_path):
    crossbar, V_in = asymmetric_crossbar()
    crossbar_file.save(tmp_path / "c.h5", crossbar)
    copy = crossbar_file.load(tmp_path / "c.h5")
    sol = xb.solve(copy, V_in, engine="nodal")
    np.testing.assert_allclose(sol.I_out, I_OUT, rtol=1e-12)
