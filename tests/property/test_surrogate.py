"""Laws that hold for every array: the surrogate against the nodal engine and against physics."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import xbarspice as xb
from tests.helpers import many

RESISTANCE = st.one_of(st.just(0.0), st.floats(0.01, 100.0))
DEVICE = st.sampled_from(["ohmic", "cubic_al2o3_tio2", "sinh_tio2"])


@st.composite
def problems(draw, device=DEVICE):
    """A random array of 1x1 to 12x12 in read mode and its input."""
    rows, cols = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    G = 10 ** rng.uniform(-6, -3, (rows, cols))
    G[rng.random(G.shape) < draw(st.sampled_from([0.0, 0.1, 0.6]))] = 0.0
    wires = {name: draw(RESISTANCE) for name in ("R_wl", "R_bl", "R_driver", "R_sense")}
    return xb.Crossbar(G, device=draw(device), **wires), rng.uniform(-0.5, 0.5, rows)


def resistances(crossbar: xb.Crossbar) -> tuple[float, ...]:
    """The four resistances of an array, ohm."""
    return crossbar.R_wl, crossbar.R_bl, crossbar.R_driver, crossbar.R_sense


@settings(max_examples=many(200), deadline=None)
@given(problems())
def test_equals_the_nodal_engine(problem):
    """Output currents agree to 1e-9 of the largest one, and Kirchhoff's law holds."""
    crossbar, V = problem
    expected, solution = xb.solve(crossbar, V, engine="nodal"), xb.solve(crossbar, V, full=True)
    scale = np.abs(expected.I_device).max()
    np.testing.assert_allclose(solution.I_out, expected.I_out, rtol=0, atol=1e-9 * scale)
    assert solution.stats.residual <= 1e-12
    steepest = max([1 / R for R in resistances(crossbar) if R > 0] + [crossbar.G.max()])
    rounding = np.finfo(float).eps * steepest * np.abs(V).max()  # a node voltage known to one ulp
    assert xb.kirchhoff_residual(crossbar, solution, V) <= 1e-9 + rounding / max(scale, 1e-300)


@settings(max_examples=many(60), deadline=None)
@given(problems(st.just("ohmic")), st.floats(-2, 2))
def test_superposition(problem, factor):
    """An ohmic array is linear in its input voltages."""
    crossbar, V = problem
    V_second = np.linspace(-0.3, 0.4, V.size)
    together = xb.solve(crossbar, V + factor * V_second).I_out
    apart = xb.solve(crossbar, V).I_out + factor * xb.solve(crossbar, V_second).I_out
    np.testing.assert_allclose(together, apart, rtol=0, atol=1e-12 * max(crossbar.G.sum(), 1e-300))


@settings(max_examples=many(60), deadline=None)
@given(problems())
def test_zero_resistances_give_the_ideal_product(problem):
    """Without any resistance the output is the sum of the device currents at the input voltages."""
    crossbar, V = problem
    ideal = crossbar.replace(R_wl=0.0, R_bl=0.0, R_driver=0.0, R_sense=0.0)
    expected = ideal.device.current(V[:, None] + 0 * ideal.G, ideal.G).sum(axis=0)
    atol = 1e-14 * ideal.device.current(0.5, ideal.G).sum()
    np.testing.assert_allclose(xb.solve(ideal, V).I_out, expected, rtol=0, atol=atol)


@settings(max_examples=many(60), deadline=None)
@given(problems(st.just("ohmic")), st.integers(0, 11), st.integers(0, 11))
def test_reciprocity(problem, row, col):
    """Transpose G, flip both axes, swap the line roles: source and sense may be exchanged."""
    crossbar, _ = problem
    row, col = row % crossbar.rows, col % crossbar.cols
    mirrored = xb.Crossbar(
        crossbar.G.T[::-1, ::-1],
        R_wl=crossbar.R_bl,
        R_bl=crossbar.R_wl,
        R_driver=crossbar.R_sense,
        R_sense=crossbar.R_driver,
    )
    there = xb.solve(crossbar, np.eye(crossbar.rows)[row]).I_out[col]
    back = xb.solve(mirrored, np.eye(crossbar.cols)[::-1][col]).I_out[::-1][row]
    np.testing.assert_allclose(there, back, rtol=0, atol=1e-12 * max(crossbar.G.sum(), 1e-300))


@settings(max_examples=many(40), deadline=None)
@given(problems())
def test_charge_is_conserved(problem):
    """What enters through the word lines leaves through the bit lines."""
    crossbar, V = problem
    solution = xb.solve(crossbar, V)
    scale = max(np.abs(solution.I_in).sum(), np.abs(solution.I_out).sum(), 1e-300)
    assert abs(solution.I_in.sum() - solution.I_out.sum()) <= 1e-12 * scale
