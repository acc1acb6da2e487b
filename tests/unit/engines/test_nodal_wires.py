"""The nodal engine where segments and ends differ: against exact arithmetic and against itself."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from tests import exact

MIXED = xb.LineEnds(
    wl_right=["driven", "floating", "sensed", "floating"], bl_top=["driven", "sensed", "floating"]
)


def problem(ends, zero, seed=0, device="ohmic"):
    """4x3 with a share of all resistances 0, and its voltages."""
    rng = np.random.default_rng(seed)

    def resistances(*shape):
        R = 10 ** rng.uniform(-1, 3, shape)
        R[rng.random(shape) < zero] = 0.0
        return R

    driven, sensed = (4, 3) if ends == xb.READ else (11, 10)
    crossbar = xb.Crossbar(
        rng.uniform(1e-5, 1e-3, (4, 3)) * (rng.random((4, 3)) < 0.8),
        R_wl=resistances(4, 2),
        R_bl=resistances(3, 3),
        R_driver=resistances(driven),
        R_sense=1e-3 + resistances(sensed),
        ends=ends,
        device=device,
    )
    V_out = np.array([0.0 if ends == xb.READ else 0.2, 0.0, 0.0])
    return crossbar, rng.uniform(-0.3, 0.3, 4), V_out


@pytest.mark.parametrize("ends", [xb.READ, MIXED], ids=["read", "mixed"])
@pytest.mark.parametrize("zero", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_currents_are_those_of_exact_arithmetic(ends, zero, seed):
    crossbar, V_in, V_out = problem(ends, zero, seed)
    solution = xb.solve(crossbar, V_in, V_out, engine="nodal", full=True)
    assert exact.error(crossbar, V_in, V_out, solution) <= solution.stats.error_bound <= 1e-13
    assert xb.kirchhoff_residual(crossbar, solution, V_in, V_out) <= 1e-11


def test_a_nearly_broken_segment_beside_stiff_ones():
    """1e12 ohm in one place of a line, 1e-9 ohm in others."""
    crossbar, V_in, _ = problem(xb.READ, 0.0)
    R_wl = np.where(np.eye(4, 2) > 0, 1e12, 1e-9)
    crossbar = crossbar.replace(R_wl=R_wl)
    solution = xb.solve(crossbar, V_in, engine="nodal")
    assert exact.error(crossbar, V_in, np.zeros(3), solution) <= 1e-12


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_equal_arrays_are_one_number(device):
    G = np.random.default_rng(1).uniform(1e-4, 5e-4, (6, 5))
    number = xb.Crossbar(G, R_wl=2.0, R_bl=3.0, R_driver=4.0, R_sense=5.0, device=device)
    arrays = number.replace(
        R_wl=np.full((6, 4), 2.0),
        R_bl=np.full((5, 5), 3.0),
        R_driver=np.full(6, 4.0),
        R_sense=np.full(5, 5.0),
    )
    V = np.linspace(-0.2, 0.3, 6)
    one, other = (xb.solve(c, V, engine="nodal", full=True) for c in (number, arrays))
    assert np.array_equal(one.I_out, other.I_out)
    assert np.array_equal(one.V_bl, other.V_bl)


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_a_batch_of_wires_is_its_arrays_one_by_one(device):
    rng = np.random.default_rng(2)
    G = rng.uniform(1e-4, 5e-4, (3, 2, 4, 3))
    batch = xb.Crossbar(
        G,
        R_wl=rng.uniform(0, 50, (3, 1, 4, 2)),
        R_driver=rng.uniform(0, 50, (2, 4)),
        device=device,
    )
    V = rng.uniform(-0.3, 0.3, (2, 4))
    together = xb.solve(batch, V, engine="nodal")
    assert together.stats.error_bound <= 1e-12
    for k in range(6):
        alone = xb.solve(batch.array(k), V[k % 2], engine="nodal").I_out
        np.testing.assert_array_equal(together.I_out.reshape(6, 3)[k], alone)
