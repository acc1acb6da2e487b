"""Calibration against ngspice: intervals that hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from xbarspice.calibration import Noise, Options, Reads, fit_reads
from xbarspice.devices import SinhTiO2

TRUTH = {"R_wl": 2.0, "R_bl": 3.0, "R_driver": 20.0, "R_sense": 10.0, "device.b": 2.5}
REPEATS = 100


@pytest.fixture(scope="module")
def measured():
    """A known array and its exact currents by ngspice."""
    rng = np.random.default_rng(1)
    G = rng.uniform(100e-6, 500e-6, size=(8, 8))
    V_in = rng.uniform(-0.8, 0.8, size=(10, 8))
    wires = {name: TRUTH[name] for name in ("R_wl", "R_bl", "R_driver", "R_sense")}
    array = xb.Crossbar(G, **wires, device=SinhTiO2(b=TRUTH["device.b"]))
    return G, V_in, xb.solve(array, V_in, engine="ngspice").I_out


def test_intervals_hold_the_truth_in_90_to_99_of_100_repeats(measured):
    """95 % intervals from 1 % noise; 100 draws, 5 parameters."""
    G, V_in, I_out = measured
    start = xb.Crossbar(G, R_driver=5.0, R_sense=5.0, device="sinh_tio2")
    options = Options(noise=Noise(relative=0.01, absolute=0.0), held_out=0.0)
    holds = np.zeros((REPEATS, len(TRUTH)), bool)
    for k in range(REPEATS):
        noisy = I_out * (1 + 0.01 * np.random.default_rng([7, k]).standard_normal(I_out.shape))
        fit, _ = fit_reads(start, Reads(V_in=V_in, I_out=noisy), list(TRUTH), options=options)
        assert not fit.findings
        holds[k] = [fit[n][1] <= x <= fit[n][2] for n, x in TRUTH.items()]
    share = holds.mean(axis=0)
    assert 0.90 <= holds.mean() <= 0.99
    assert ((share >= 0.88) & (share < 1.0)).all(), share
    assert (~holds).any(axis=1).sum() >= 5  # intervals that never miss would be too wide


def test_exact_currents_of_ngspice_give_back_the_truth(measured):
    G, V_in, I_out = measured
    start = xb.Crossbar(G, R_driver=5.0, R_sense=5.0, device="sinh_tio2")
    fit, array = fit_reads(start, Reads(V_in=V_in, I_out=I_out), list(TRUTH))
    for name, value in TRUTH.items():
        assert fit[name][0] == pytest.approx(value, rel=1e-7)
    assert fit.held_out is not None
    assert fit.held_out.error < 1e-8
    assert array.device.b == pytest.approx(2.5, rel=1e-7)
