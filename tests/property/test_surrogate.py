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
    places = {"R_wl": (rows, cols - 1), "R_bl": (rows - 1, cols)}
    places |= {"R_driver": (rows,), "R_sense": (cols,)}
    wires = {name: draw(RESISTANCE) for name in places}
    for name in draw(st.sets(st.sampled_from(list(places)))):  # these differ from place to place
        R = 10 ** rng.uniform(-2, 2, places[name])
        wires[name] = np.where(rng.random(R.shape) < draw(st.sampled_from([0.0, 0.3])), 0.0, R)
    return xb.Crossbar(G, device=draw(device), **wires), rng.uniform(-0.5, 0.5, rows)


def resistances(crossbar: xb.Crossbar) -> list[float]:
    """All resistances of an array, ohm."""
    return [float(R) for each in crossbar.wires.values() for R in np.ravel(each)]


def turned(R):
    """Resistances of the lines of the other kind, seen from the opposite corner."""
    return R.T[tuple(slice(None, None, -1) for _ in R.shape)] if isinstance(R, np.ndarray) else R


@settings(max_examples=many(200))
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


@settings(max_examples=many(60))
@given(problems(st.just("ohmic")), st.floats(-2, 2))
def test_superposition(problem, factor):
    """An ohmic array is linear in its input voltages."""
    crossbar, V = problem
    V_second = np.linspace(-0.3, 0.4, V.size)
    together = xb.solve(crossbar, V + factor * V_second).I_out
    apart = xb.solve(crossbar, V).I_out + factor * xb.solve(crossbar, V_second).I_out
    np.testing.assert_allclose(together, apart, rtol=0, atol=1e-12 * max(crossbar.G.sum(), 1e-300))


@settings(max_examples=many(60))
@given(problems())
def test_zero_resistances_give_the_ideal_product(problem):
    """Without any resistance the output is the sum of the device currents at the input voltages."""
    crossbar, V = problem
    ideal = crossbar.replace(R_wl=0.0, R_bl=0.0, R_driver=0.0, R_sense=0.0)
    expected = ideal.device.current(V[:, None] + 0 * ideal.G, ideal.G).sum(axis=0)
    atol = 1e-14 * ideal.device.current(0.5, ideal.G).sum()
    np.testing.assert_allclose(xb.solve(ideal, V).I_out, expected, rtol=0, atol=atol)


@settings(max_examples=many(60))
@given(problems(st.just("ohmic")), st.integers(0, 11), st.integers(0, 11))
def test_reciprocity(problem, row, col):
    """Transpose G, flip both axes, swap the line roles: source and sense may be exchanged."""
    crossbar, _ = problem
    row, col = row % crossbar.rows, col % crossbar.cols
    mirrored = xb.Crossbar(
        crossbar.G.T[::-1, ::-1],
        R_wl=turned(crossbar.R_bl),
        R_bl=turned(crossbar.R_wl),
        R_driver=turned(crossbar.R_sense),
        R_sense=turned(crossbar.R_driver),
    )
    there = xb.solve(crossbar, np.eye(crossbar.rows)[row]).I_out[col]
    back = xb.solve(mirrored, np.eye(crossbar.cols)[::-1][col]).I_out[::-1][row]
    np.testing.assert_allclose(there, back, rtol=0, atol=1e-12 * max(crossbar.G.sum(), 1e-300))


@settings(max_examples=many(40))
@given(problems())
def test_charge_is_conserved(problem):
    """What enters through the word lines leaves through the bit lines."""
    crossbar, V = problem
    solution = xb.solve(crossbar, V)
    scale = max(np.abs(solution.I_in).sum(), np.abs(solution.I_out).sum(), 1e-300)
    assert abs(solution.I_in.sum() - solution.I_out.sum()) <= 1e-12 * scale


@settings(max_examples=many(40))
@given(problems())
def test_one_value_in_every_place_is_the_number(problem):
    """Arrays of equal resistances give the currents of the numbers."""
    crossbar, V = problem
    rows, cols = crossbar.G.shape
    one = {name: float(np.max(R, initial=0.0)) for name, R in crossbar.wires.items()}
    places = ((rows, cols - 1), (rows - 1, cols), (rows,), (cols,))
    pairs = zip(one.items(), places, strict=True)
    arrays = {name: np.full(shape, R) for (name, R), shape in pairs}
    number, array = (xb.solve(crossbar.replace(**wires), V).I_out for wires in (one, arrays))
    atol = 1e-11 * max(np.abs(number).max(), 1e-300)
    np.testing.assert_allclose(array, number, rtol=0, atol=atol)
