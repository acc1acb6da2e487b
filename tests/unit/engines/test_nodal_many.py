"""Many vectors of one nonlinear array: the same answers as one by one, in fewer factorizations."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from xbarspice.engines.nodal import engine, equations, many


def array(device="sinh_tio2", **wires):
    G = np.random.default_rng(3).uniform(1e-4, 5e-4, (12, 9))
    return xb.Crossbar(G, device=device, **{"R_wl": 5.0, "R_bl": 5.0, **wires})


@pytest.mark.parametrize("device", ["sinh_tio2", "cubic_al2o3_tio2", "o921c"])
@pytest.mark.parametrize("wires", [{}, {"R_wl": 0.0, "R_driver": 3.0}, {"R_wl": 80.0}])
def test_answers_are_those_of_single_vectors(device, wires):
    crossbar = array(device, **wires)
    V = np.random.default_rng(1).uniform(-0.4, 0.4, (7, 12))
    V[2] = 0.0
    together = xb.solve(crossbar, V, engine="nodal", outside="ignore")
    residuals = []
    for n, vector in enumerate(V):
        one = xb.solve(crossbar, vector, engine="nodal", outside="ignore")
        scale = np.abs(one.I_out).max()
        assert np.abs(together.I_out[n] - one.I_out).max() <= 1e-13 * scale
        assert np.abs(together.V_wl[n] - one.V_wl).max() <= 1e-13
        residuals.append(one.stats.residual)
    assert together.stats.residual <= 1.5 * max(residuals)  # both end at the floor of rounding
    assert together.stats.error_bound <= 1e-12


def test_a_step_is_one_factorization(monkeypatch):
    count, factor = [], equations.NodalEquations.factor
    monkeypatch.setattr(
        equations.NodalEquations, "factor", lambda *a, **k: count.append(1) or factor(*a, **k)
    )
    V = np.random.default_rng(1).uniform(0, 0.3, (50, 12))
    solution = xb.solve(array(), V, engine="nodal")
    assert len(count) == solution.stats.newton_steps <= 8


def test_what_does_not_settle_together_is_solved_alone(monkeypatch):
    """With no iteration of the gradients nothing moves; every vector then takes the other way."""
    monkeypatch.setattr(many, "MAX_ITERATIONS", 0)
    alone, solve_one = [], engine._Answers._solve_one
    monkeypatch.setattr(
        engine._Answers, "_solve_one", lambda *a: alone.append(a[-1]) or solve_one(*a)
    )
    V = np.random.default_rng(1).uniform(0, 0.3, (3, 12))
    answer = xb.solve(array(), V, engine="nodal")
    assert alone == [0, 1, 2]
    expected = xb.solve(array(), V, engine="surrogate")
    assert np.abs(answer.I_out - expected.I_out).max() <= 1e-12 * np.abs(expected.I_out).max()
