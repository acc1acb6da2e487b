"""The coarse correction of the conjugate gradients between ladders."""

from __future__ import annotations

import contextlib
from unittest import mock

import numpy as np
import pytest

import xbarspice as xb
from xbarspice.surrogate.engine import SurrogateEngine
from xbarspice.surrogate.ladders import lines, modes

ROWS, COLS = 136, 67  # no multiple of what kernels take together


def _crossbar(**kwargs):
    """An array whose lines are soft against its devices."""
    rng = np.random.default_rng(2)
    wires = {"R_wl": 60.0, "R_bl": 60.0, "R_driver": 30.0, "R_sense": 20.0}
    return xb.Crossbar(10 ** rng.uniform(-4.5, -3.5, (ROWS, COLS)), **(wires | kwargs))


@contextlib.contextmanager
def _without_modes():
    """Lines that are remembered have the modes of when they were made."""
    with mock.patch.object(modes, "MOST", 0):
        lines._uniform.cache_clear()
        yield
    lines._uniform.cache_clear()


@pytest.mark.parametrize(("first", "last"), [(0.0, 0.5), (np.inf, 0.0), (np.inf, np.inf)])
def test_modes_are_the_slowest_of_a_line(first, last):
    """Values and vectors are close to those of the ladder matrix; ideal ends hold their nodes."""
    g = np.random.default_rng(0).uniform(0.8, 1.2, 199)
    values, vectors = modes.slowest_modes(300, g, np.full(300, first), np.full(300, last))
    drops = np.diff(np.eye(200), axis=0)
    matrix = drops.T @ (g[:, None] * drops)
    for k, end in ((0, first), (-1, last)):
        matrix[k, k] += min(end, 1e6)
    exact, directions = np.linalg.eigh(matrix)
    assert len(values) == 25
    np.testing.assert_allclose(values[:8], exact[:8], rtol=0.02, atol=1e-6)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(25), atol=1e-10)
    alike = np.abs(np.sum(vectors[:8].T * directions[:, :8], axis=0))
    np.testing.assert_array_less(0.999, alike)


def test_small_arrays_have_no_modes():
    """Arrays that need few iterations take no time for modes."""
    for cells, count in ((300, 63), (63, 300)):
        ends = np.ones((2, count))
        assert not len(modes.slowest_modes(count, np.ones(cells - 1), *ends).values)
    assert len(modes.slowest_modes(64, np.ones(63), *np.ones((2, 64))).values)


DIFFERENT = {
    "read": {},
    "ideal ends": {"R_driver": 0.0, "R_sense": 0.0},
    "driven and sensed on all sides": {
        "ends": xb.LineEnds(wl_right="sensed", bl_top="driven", bl_bottom="sensed")
    },
    "some lines float": {
        "ends": xb.LineEnds(
            wl_left=["driven", "floating"] * (ROWS // 2),
            bl_bottom=["sensed"] * 5 + ["floating"] * 62,
        )
    },
    "segments differ": {
        "R_wl": 60.0 * np.random.default_rng(5).uniform(0.8, 1.2, (ROWS, COLS - 1)),
        "R_bl": 60.0 * np.random.default_rng(6).uniform(0.8, 1.2, (ROWS - 1, COLS)),
    },
    "segments are far from each other": {
        "R_wl": 10 ** np.random.default_rng(5).uniform(0, 2.5, (ROWS, COLS - 1)),
        "R_bl": 10 ** np.random.default_rng(6).uniform(0, 2.5, (ROWS - 1, COLS)),
    },
    "a short in the wires": {
        "R_bl": np.where(np.arange(COLS) == 3, 0.0, np.full((ROWS - 1, COLS), 60.0))
    },
    "nonlinear": {"device": "sinh_tio2"},
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_answers_do_not_depend_on_the_correction(kind):
    """It costs or saves iterations; currents and their bound are those without it."""
    crossbar = _crossbar(**DIFFERENT[kind])
    V = np.random.default_rng(4).uniform(0, 0.2, ROWS) * (crossbar.wl_ends == "driven").any(axis=1)
    corrected = xb.solve(crossbar, V)
    with _without_modes():
        plain = xb.solve(_crossbar(**DIFFERENT[kind]), V)
    largest = np.abs(plain.I_out).max()
    np.testing.assert_allclose(corrected.I_out, plain.I_out, atol=1e-11 * largest, rtol=0)
    np.testing.assert_allclose(corrected.I_in, plain.I_in, atol=1e-11 * largest, rtol=0)
    assert corrected.stats.residual < 1e-12
    if kind in ("read", "ideal ends", "segments differ"):
        assert corrected.stats.iterations < 0.7 * plain.stats.iterations


def test_iterations_do_not_grow_with_the_array():
    """About nine at 256 and at 1024 lines, where ladders alone take 17 and 54."""
    rng = np.random.default_rng(0)
    engine, used = SurrogateEngine(threads=1), {}
    for size in (256, 1024):
        G, V = rng.uniform(1 / 15e3, 1 / 5e3, (size, size)), rng.uniform(0, 1, size)
        crossbar = xb.Crossbar(G, R_wl=5.0, R_bl=5.0, R_driver=5.0, R_sense=5.0)
        used[size] = xb.solve(crossbar, V, engine=engine).stats.iterations
    assert used[256] <= 10
    assert used[1024] <= 11
