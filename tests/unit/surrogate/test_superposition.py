"""Many vectors on linear arrays as sums over unit drives."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from xbarspice.surrogate import engine as surrogate_engine
from xbarspice.surrogate import superposition
from xbarspice.surrogate.engine import SurrogateEngine

READ = xb.LineEnds()
FOUR_SIDED = xb.LineEnds(wl_right="sensed", bl_top="driven")


def _problem(batch=(), rows=24, cols=17, vectors=200, ends=READ):
    rng = np.random.default_rng(5)
    G = 10 ** rng.uniform(-5, -3.5, (*batch, rows, cols))
    crossbar = xb.Crossbar(G, R_wl=3.0, R_bl=2.0, R_driver=5.0, R_sense=7.0, ends=ends)
    V = rng.uniform(-0.2, 1, (vectors, *(1,) * len(batch), rows))
    return crossbar, V, rng.uniform(-0.3, 0.3, (vectors, *(1,) * len(batch), cols))


def _by_sums(solution):
    return solution.stats.method.startswith("sums of unit drives")


@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
@pytest.mark.parametrize("ends", [READ, FOUR_SIDED])
def test_sums_are_the_answers_of_single_vectors(batch, ends):
    """All line currents agree with those of vectors one by one, for batches and any line ends."""
    crossbar, V, V_out = _problem(batch, ends=ends)
    V_out = V_out if ends is FOUR_SIDED else None
    many = xb.solve(crossbar, V, V_out)
    one = xb.solve(crossbar, V, V_out, full=True)
    assert _by_sums(many)
    assert not _by_sums(one)
    largest = np.abs(one.I_out).max()
    np.testing.assert_allclose(many.I_out, one.I_out, atol=1e-13 * largest, rtol=0)
    np.testing.assert_allclose(many.I_in, one.I_in, atol=1e-13 * largest, rtol=0)
    np.testing.assert_array_equal(many.V_bl, one.V_bl)  # voltages are those of single solves


def test_sums_have_an_error_bound_that_holds():
    """The bound of the sums covers what the double-double reference measures, and is small."""
    crossbar, V, _ = _problem(vectors=60)
    solution = xb.solve(crossbar, V)
    assert _by_sums(solution)
    assert solution.stats.error_bound <= solution.stats.error_at_most <= 1e-10


def test_unit_drives_are_solved_once_for_a_crossbar(monkeypatch):
    """A second call with many vectors solves nothing; another crossbar has its own unit drives."""
    crossbar, V, _ = _problem()
    solved = []
    run = SurrogateEngine.run
    monkeypatch.setattr(
        SurrogateEngine,
        "run",
        lambda self, state, c, drive, full: (
            solved.append(len(drive.array)) or run(self, state, c, drive, full)
        ),
    )
    first = xb.solve(crossbar, V)
    assert solved == [crossbar.rows]
    again = xb.solve(crossbar, V)
    assert solved == [crossbar.rows]
    np.testing.assert_array_equal(first.I_out, again.I_out)
    twice = xb.solve(crossbar.replace(G=2 * crossbar.G), V)
    assert solved == [crossbar.rows] * 2
    assert (np.abs(twice.I_out - first.I_out) > 1e-6 * np.abs(first.I_out).max()).any()


def test_the_way_depends_on_the_call_alone():
    """Few vectors are solved one by one, also after many were summed: equal calls, equal bits."""
    crossbar, V, _ = _problem()
    before = xb.solve(crossbar, V[:3])
    assert _by_sums(xb.solve(crossbar, V))
    after = xb.solve(crossbar, V[:3])
    assert not _by_sums(before)
    assert not _by_sums(after)
    np.testing.assert_array_equal(before.I_out, after.I_out)


@pytest.mark.parametrize(
    "choose",
    [
        lambda c: (c, SurrogateEngine(direct=True)),
        lambda c: (c.replace(device="sinh_tio2"), SurrogateEngine()),
    ],
    ids=["direct", "nonlinear"],
)
def test_only_ladders_of_linear_arrays_are_summed(choose):
    """The direct method and nonlinear devices solve every vector."""
    crossbar, V, _ = _problem()
    crossbar, engine = choose(crossbar)
    assert not _by_sums(xb.solve(crossbar, V, engine=engine))


def test_a_weak_bound_is_not_used():
    """Where the sums of bounds are weak, every vector is solved by itself."""
    crossbar, V, _ = _problem()
    drives = np.zeros_like(V)
    drives[:, :2] = [1.0, -1.0]  # two equal rows cancel: the outputs vanish, the bounds add up
    crossbar = crossbar.replace(G=np.where(crossbar.G > 0, 1e-4, 0), R_bl=0.0, R_wl=0.0)
    drives[:, 1] -= 1e-12
    one = xb.solve(crossbar, drives[:5], full=True)
    many = xb.solve(crossbar, drives)
    assert "V_in" in surrogate_engine._PREPARED[crossbar].units  # they were known
    assert not _by_sums(many)
    np.testing.assert_array_equal(many.I_out[:5], one.I_out)


def test_large_unit_drives_are_not_kept(monkeypatch):
    """Memory for the unit drives is bounded."""
    crossbar, V, _ = _problem()
    monkeypatch.setattr(superposition, "KEEP_BYTES", 8 * 24 * (24 + 17) - 1)
    assert not _by_sums(xb.solve(crossbar, V))


def test_currents_that_are_not_finite_are_refused():
    """Sums that overflow are no answer."""
    crossbar = xb.Crossbar(np.full((24, 17), 3.0), R_wl=0.0, R_bl=0.0)
    V = np.ones((200, 24))
    assert _by_sums(xb.solve(crossbar, V))
    with np.errstate(all="ignore"), pytest.raises(xb.errors.ConvergenceError, match="finite"):
        xb.solve(crossbar, 1e308 * V, outside="ignore")
