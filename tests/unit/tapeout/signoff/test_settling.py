"""Settling of the linear network against ngspice, a closed form, and limits that are known."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from xbarspice.engines.ngspice import transient_read
from xbarspice.netlist.cells import Wires
from xbarspice.tapeout.signoff import settle


def test_one_device_with_capacitance_settles_as_its_closed_form():
    """One node with C to ground between R_driver and device: tau = C (R_driver || R)."""
    R, driver, C = 1e4, 1e3, 1e-13
    crossbar = xb.Crossbar([[1 / R]], R_driver=driver, R_sense=1e-6)
    result = settle(crossbar, np.array([0.2]), Wires(C_wl=C))
    tau = C / (1 / driver + 1 / R)
    assert result.elmore[0] == pytest.approx(tau, rel=1e-6)
    assert result.time[0] == pytest.approx(tau * np.log(100), rel=2e-3)
    expected = 0.2 / (driver + R) * (1 - np.exp(-result.t / tau))
    np.testing.assert_allclose(result.I_out[:, 0], expected, atol=1e-4 * expected[-1])
    assert result.power == pytest.approx(0.2**2 / (driver + R), rel=1e-6)
    end, first = 0.2 / (driver + R), 0.2 / driver
    charging = (first - end) * tau * (1 - 0.01)  # up to the settling time
    assert result.energy == pytest.approx(0.2 * (end * result.time[0] + charging), rel=5e-3)


@pytest.mark.parametrize("seed", [0, 1])
def test_arrays_settle_as_in_ngspice(seed):
    """Wires, crossings and an absent device; places differ from each other."""
    rng = np.random.default_rng(seed)
    G = rng.uniform(1e-5, 1e-4, (6, 5))
    G[2, 3] = 0.0
    wires = {
        "R_wl": rng.uniform(10, 40, (6, 4)),
        "R_bl": rng.uniform(10, 40, (5, 5)),
        "R_driver": rng.uniform(100, 400, 6),
        "R_sense": rng.uniform(100, 400, 5),
    }
    crossbar = xb.Crossbar(G, **wires)
    V = rng.uniform(0.05, 0.2, 6)
    result = settle(crossbar, V, Wires(C_wl=2e-16, C_bl=2e-16, C_device=4.5e-15))
    read = transient_read(
        crossbar, V, C_wire=2e-16, C_device=4.5e-15, rise=1e-14, width=result.t[-1]
    )
    np.testing.assert_allclose(result.time, read.settling_time, rtol=0.01)
    np.testing.assert_allclose(result.I_out[-1], read.I_settled, rtol=1e-3)
    at = np.linspace(result.t[20], result.t[-1], 50)
    for col in range(5):
        ours = np.interp(at, result.t, result.I_out[:, col])
        theirs = np.interp(at, read.t, read.I_out[:, col])
        np.testing.assert_allclose(ours, theirs, atol=3e-3 * abs(read.I_dc[col]))
    assert (result.elmore > 0).all()


def test_oxide_makes_settling_two_orders_longer():
    """4.5 fF of a cell against 0.06 fF of its wire."""
    crossbar = xb.Crossbar(np.full((8, 8), 1e-4), R_wl=0.27, R_bl=0.27, R_driver=25, R_sense=25)
    V = np.full(8, 0.2)
    without, with_oxide = (
        settle(crossbar, V, Wires(C_wl=6e-17, C_bl=5e-17, C_device=C)).time.max()
        for C in (0.0, 4.5e-15)
    )
    assert 20 < with_oxide / without < 200


def test_columns_without_current_are_settled():
    G = np.array([[1e-4, 0.0]])
    result = settle(
        xb.Crossbar(G, R_wl=1.0, R_driver=10, R_sense=10), np.array([0.2]), Wires(C_wl=1e-15)
    )
    assert result.time[1] == 0.0
    assert result.time[0] > 0
