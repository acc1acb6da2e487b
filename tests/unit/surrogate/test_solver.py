"""The surrogate's parts: ladders, fallback, device paths, status, threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import xbarspice as xb
from xbarspice.surrogate import newton
from xbarspice.surrogate.engine import SurrogateEngine
from xbarspice.surrogate.ladders import kernels, linear, solves
from xbarspice.surrogate.ladders import sweeps as ladders
from xbarspice.surrogate.ladders.lines import Lines, networks

ONE_ITERATION = solves.AimsRecord(residual=1e-12, gradient_share=1e-13, rounding=1e-3, limit=1)
"""`linear.aims` that no iteration can meet."""


def _crossbar(rows=6, cols=9, **kwargs):
    rng = np.random.default_rng(3)
    return xb.Crossbar(
        10 ** rng.uniform(-5, -3, (rows, cols)), **({"R_wl": 7.0, "R_bl": 4.0} | kwargs)
    )


def _dense(lines: Lines, D):
    """The ladder matrix of one line with admittances D (cells,), inverted; held nodes are 0."""
    cells = D.size
    K = np.diag(D)
    for k in range(cells - 1):
        K[k : k + 2, k : k + 2] += np.array([[1, -1], [-1, 1]]) / lines.R
    K[0, 0] += lines.ends[0, 0]
    K[-1, -1] += lines.ends[3, 0]
    free = np.ones(cells, bool)
    free[0] &= lines.ends[1, 0] > 0
    free[-1] &= lines.ends[4, 0] > 0
    out = np.zeros((cells, cells))
    out[np.ix_(free, free)] = np.linalg.inv(K[np.ix_(free, free)])
    return out


@pytest.mark.parametrize("first", ["driven", "sensed", "floating"])
@pytest.mark.parametrize("last", ["driven", "sensed", "floating"])
@pytest.mark.parametrize("R_sense", [0.0, 20.0])
def test_ladder_inverts_its_matrix(first, last, R_sense):
    """Folding and unfolding a ladder is the inverse of its nodal matrix, for every pair of ends."""
    ends = xb.LineEnds(bl_top=first, bl_bottom=last)
    crossbar = xb.Crossbar(
        np.full((5, 3), 1e-3), R_bl=6.0, R_driver=9.0, R_sense=R_sense, ends=ends
    )
    lines = networks(crossbar)[0].bl
    rng = np.random.default_rng(0)
    D, f = rng.uniform(1e-4, 1e-3, (5, 3)), rng.normal(size=(5, 3))
    s, t, x, lane = np.empty((5, 3)), np.empty((5, 3)), np.empty((5, 3)), np.empty((2, 3))
    ladders.factor(D, lines.record, s, lane)
    energy = ladders.forward(f, lines.record, s, lane, t)
    ladders.backward(t, s, lane, x)
    for line in range(3):
        np.testing.assert_allclose(x[:, line], _dense(lines, D[:, line]) @ f[:, line], rtol=1e-12)
    np.testing.assert_allclose(energy, np.sum(f * x), rtol=1e-12)


def _differences(rows):
    return np.diff(np.eye(rows), axis=0)


@pytest.mark.parametrize("first", ["driven", "sensed", "floating"])
@pytest.mark.parametrize("last", ["driven", "sensed", "floating"])
@pytest.mark.parametrize("R_sense", [0.0, 20.0])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (8, 8), (9, 16), (17, 3), (2, 21)])
def test_word_lines_invert_their_matrix(first, last, R_sense, shape):
    """Word lines, solved eight at a time in whole squares, at sizes that do not fill them."""
    ends = xb.LineEnds(wl_left=first, wl_right=last)
    crossbar = xb.Crossbar(np.full(shape, 1e-3), R_wl=6.0, R_driver=9.0, R_sense=R_sense, ends=ends)
    lines, (rows, cols) = networks(crossbar)[0].wl, shape
    rng = np.random.default_rng(0)
    D, p, F_wl, F_bl, b = rng.uniform(1e-4, 1e-3, (5, *shape))
    scratch = np.full(ladders.row_scratch(rows, cols), np.nan)
    ladders.factor_rows(D, lines.record, scratch)
    inverse = np.stack([_dense(lines, D[line]) for line in range(rows)])

    def solve_lines(f):
        return np.einsum("lij,lj->li", inverse, f)

    remaining, a, q = np.empty((3, *shape))
    ladders.eliminate(D, F_wl, F_bl, lines.record, scratch, remaining)
    np.testing.assert_allclose(remaining, F_bl - D * solve_lines(F_wl), rtol=1e-12, atol=1e-15)
    ladders.recover(D, F_wl, b, lines.record, scratch, a)
    np.testing.assert_allclose(a, solve_lines(F_wl - D * b), rtol=1e-12, atol=1e-12)
    net = networks(crossbar)[0]
    product = ladders.schur(net.record, D, p, scratch, q)
    on_bl = p * D
    if rows > 1:
        on_bl += _differences(rows).T @ (_differences(rows) @ p) / crossbar.R_bl
    on_bl[-1] += net.bl.ends[3] * p[-1]
    np.testing.assert_allclose(q, on_bl - D * solve_lines(D * p), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(product, np.sum(p * q), rtol=1e-12)


@pytest.mark.parametrize(
    ("first", "last", "R_end"),
    [
        ("driven", "driven", 0.0),
        ("floating", "sensed", 0.0),
        ("driven", "driven", 20.0),
        ("driven", "sensed", 20.0),
        ("floating", "driven", 20.0),
        ("sensed", "floating", 20.0),
    ],
)
def test_word_lines_without_wire_resistance_are_one_node(first, last, R_end):
    ends = xb.LineEnds(wl_left=first, wl_right=last)
    crossbar = xb.Crossbar(
        np.full((9, 11), 1e-3), R_wl=0.0, R_driver=R_end, R_sense=R_end, ends=ends
    )
    lines = networks(crossbar)[0].wl
    D, F_wl = np.random.default_rng(0).uniform(1e-4, 1e-3, (2, 9, 11))
    scratch, a = np.full(ladders.row_scratch(9, 11), np.nan), np.empty((9, 11))
    ladders.factor_rows(D, lines.record, scratch)
    ladders.recover(D, F_wl, 0 * D, lines.record, scratch, a)
    to_ends = lines.ends[0] + lines.ends[3]
    expected = F_wl.sum(axis=1) / (D.sum(axis=1) + to_ends) if R_end else np.zeros(9)
    np.testing.assert_allclose(a, np.repeat(expected[:, None], 11, axis=1), rtol=1e-13)


def test_small_drops_keep_their_digits():
    """Devices between lines at the same voltage carry no current, not rounding noise."""
    ends = xb.LineEnds(bl_bottom="driven")
    crossbar = _crossbar(R_wl=0.01, R_bl=0.01, R_driver=0.01, ends=ends)
    actual = xb.solve(crossbar, np.full(6, 0.5), np.full(9, 0.5), full=True)
    assert np.all(actual.I_device == 0.0)


def test_falls_back_to_the_direct_method_and_says_so(monkeypatch):
    """Too many iterations: the direct method finishes, with a note and the same answer."""
    crossbar, V = _crossbar(), np.linspace(-0.2, 0.3, 6)
    expected = xb.solve(crossbar, V)
    monkeypatch.setattr(linear, "aims", lambda *_: ONE_ITERATION)
    monkeypatch.setattr(newton, "aims", linear.aims)
    actual = xb.solve(crossbar, V)
    assert "1 of 1 solves by the direct method" in actual.stats.notes[0]
    np.testing.assert_allclose(actual.I_out, expected.I_out, rtol=1e-12)
    assert not expected.stats.notes
    bent = crossbar.replace(device="sinh_tio2")
    actual = xb.solve(bent, V)
    assert "1 of 1 solves by the direct method" in actual.stats.notes[0]
    np.testing.assert_allclose(actual.I_out, xb.solve(bent, V, engine="nodal").I_out, rtol=1e-11)


@pytest.fixture
def _new_aims():
    """What solves aim at is remembered by shape: here from constants that a test changes."""
    linear.aims.cache_clear()
    yield
    linear.aims.cache_clear()


@pytest.mark.usefixtures("_new_aims")
def test_an_unmet_residual_is_an_error_or_a_status(monkeypatch):
    """A residual that cannot be met raises by default and is a status with check=False."""
    monkeypatch.setattr(linear, "RESIDUAL", 1e-40)
    monkeypatch.setattr(linear, "ROUNDING", 0.0)
    with pytest.raises(xb.errors.ConvergenceError, match="residual"):
        xb.solve(_crossbar(), np.ones(6))
    actual = xb.solve(_crossbar(), np.ones(6), check=False)
    assert actual.status is xb.Status.NOT_CONVERGED


@dataclass(frozen=True, kw_only=True)
class Quintic(xb.devices.Device):
    """A device that the compiled Newton does not know."""

    name: ClassVar[str] = "quintic"
    source: ClassVar[str] = "made up for this test"

    def current(self, V, G):
        return G * V * (1 + V**4)

    def derivative(self, V, G):
        return G * (1 + 5 * V**4)

    def spice_parameters(self, G):
        return {"g": G}

    def spice_body(self):
        return "B1 p n i={g}*v(p,n)*(1+v(p,n)**4)"

    def verilog_a(self):
        return ""


def test_any_device_is_solved():
    """A device without a compiled equation is solved by the same Newton on NumPy arrays."""
    crossbar = _crossbar(device=Quintic())
    assert newton.closed_form(crossbar.device, crossbar.G_flat) is None
    V = np.linspace(-1.0, 1.0, 12).reshape(2, 6)
    expected, actual = xb.solve(crossbar, V, engine="nodal"), xb.solve(crossbar, V)
    np.testing.assert_allclose(actual.I_out, expected.I_out, rtol=1e-10)
    assert actual.stats.newton_steps >= 2


@pytest.mark.parametrize("device", ["cubic_al2o3_tio2", "sinh_tio2"])
@pytest.mark.parametrize("volts", [1e-6, 0.1, 1.0, 4.0])
def test_compiled_equations_are_the_devices_own(device, volts):
    """The compiled Newton and the one on NumPy arrays give the same currents."""
    crossbar = _crossbar(device=device)
    V = volts * np.linspace(-1, 1, 6)
    compiled = xb.solve(crossbar, V)
    state = SurrogateEngine().prepare(crossbar)
    problem = linear.problem(crossbar, state.nets, crossbar.drive(V), False)
    newton.solve_generic(problem, crossbar.device, crossbar.G, 0)
    assert problem.report[0, 2] <= 1e-12
    np.testing.assert_allclose(compiled.I_out, problem.I_out[0], rtol=1e-11)


@pytest.mark.parametrize("largest", [1e-12, 1e-3, 0.5, 3.9, 4.1, 40.0, 700.0])
def test_hyperbolic_functions(largest):
    """Sinh and cosh agree with NumPy to a few roundings, for small arguments too."""
    x = np.linspace(-largest, largest, 1001).reshape(7, 143)
    current, slope = np.empty((2, *x.shape))
    one = np.ones((1, 1))
    solves.evaluate(solves.SINH, np.ones_like(x), one, x, current, slope)
    np.testing.assert_allclose(current, np.sinh(x), rtol=2e-15)
    np.testing.assert_allclose(slope, np.cosh(x), rtol=2e-15)


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_threads_do_not_change_the_answer(device):
    """A batch spread over threads is the same, bit for bit, as one thread's."""
    crossbar = _crossbar(40, 50, device=device)
    V = np.random.default_rng(0).uniform(-0.3, 0.3, (64, 40))
    one, many = (xb.solve(crossbar, V, engine=SurrogateEngine(threads=t)).I_out for t in (1, 4))
    np.testing.assert_array_equal(one, many)


def test_prepared_state_serves_many_vectors():
    """Alternating between two prepared crossbars never mixes up their factors."""
    engine = SurrogateEngine()
    first, second = _crossbar(), _crossbar(R_wl=50.0)
    states = engine.prepare(first), engine.prepare(second)
    V = np.linspace(0.1, 0.3, 6)
    for _ in range(2):
        for crossbar, state in zip((first, second), states, strict=True):
            expected = xb.solve(crossbar, V, engine="nodal").I_out
            np.testing.assert_allclose(engine.solve(state, crossbar, V).I_out, expected, rtol=1e-11)


def test_threads_must_be_positive():
    """A number of threads below 1 is misuse."""
    with pytest.raises(xb.errors.InputError, match="threads"):
        SurrogateEngine(threads=0)


def test_a_hard_array_is_still_exact():
    """128x128 with stuck shorts and 30 ohm a segment: many iterations or sparse LU, same answer."""
    rng = np.random.default_rng(0)
    G = 10 ** rng.uniform(-6, -3, (128, 128))
    G[rng.random(G.shape) < 0.02] = 0.1
    crossbar = xb.Crossbar(G, R_wl=30.0, R_bl=30.0)
    V = rng.uniform(-0.5, 0.5, 128)
    expected, actual = xb.solve(crossbar, V, engine="nodal"), xb.solve(crossbar, V)
    scale = np.abs(expected.I_in).max()
    np.testing.assert_allclose(actual.I_out, expected.I_out, rtol=0, atol=1e-11 * scale)


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_memory_order_of_the_conductances_does_not_matter(device):
    """Transposed and reversed views give the answer of their values, without extra corrections."""
    G = 10 ** np.random.default_rng(0).uniform(-6, -3, (9, 17))
    V = np.linspace(0.1, 0.5, 17)
    view, copy = G.T[::-1, ::-1], np.ascontiguousarray(G.T[::-1, ::-1])
    actual, expected = (
        xb.solve(xb.Crossbar(g, R_driver=2.0, device=device), V, engine=SurrogateEngine(threads=1))
        for g in (view, copy)
    )
    np.testing.assert_array_equal(actual.I_out, expected.I_out)
    assert actual.stats.iterations == expected.stats.iterations


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_memory_order_of_the_voltages_does_not_matter(device):
    """Inputs as they come from users: in every memory order, writable or not."""
    crossbar, batch = _crossbar(device=device), np.linspace(0.1, 0.2, 12).reshape(2, 6)
    frozen = batch.copy()
    frozen.setflags(write=False)
    expected = xb.solve(crossbar, batch)
    reversed_twice = batch[:, ::-1].copy()[:, ::-1]
    for V_in in (frozen, np.asfortranarray(batch), reversed_twice):
        np.testing.assert_array_equal(xb.solve(crossbar, V_in).I_out, expected.I_out)
    several = np.broadcast_to(batch[0], (4, 6))
    np.testing.assert_array_equal(xb.solve(crossbar, several).I_out, [expected.I_out[0]] * 4)


def test_kernels_refuse_other_memory_orders():
    """Vectors would be read across the rows of a view, so that it is refused when compiled."""
    view = np.zeros((16, 8)).T
    with pytest.raises(Exception, match="C-ordered"):
        kernels.largest(view)
