"""Intervals of least squares and of robust losses: few points, scatter of another shape."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from xbarspice.calibration.fit import influence_of
from xbarspice.calibration.uncertainty import uncertainty

REPEATS = 600
TRUE = np.array([1.0, 2.0])
SHAPES = {
    "as stated": lambda v: np.ones_like(v),
    "growing": lambda v: 0.2 + 1.5 * v,
    "falling": lambda v: 1 / (v + 0.1),
}


def solve(X, y, loss):
    """Solution and half widths of a straight line."""
    theta, limit = np.linalg.lstsq(X, y, rcond=None)[0], 1.0
    if loss != "linear":
        for _ in range(2):
            limit = 1.345 * 1.4826 * float(np.median(np.abs(X @ theta - y)))
            theta = optimize.least_squares(
                lambda x: X @ x - y, theta, jac=lambda x: X, loss=loss, f_scale=limit
            ).x
    psi, slope = influence_of(X @ theta - y, loss, limit)
    s = np.sqrt((psi**2).sum() / (len(y) - 2)) / slope.mean()
    told = uncertainty(X, s, theta, np.ones(2), ["a", "b"], ["", ""], influence=(psi, slope))
    return theta, told.half


def coverage(points, shape, loss="linear", outliers=0, repeats=REPEATS):
    rng = np.random.default_rng(points)
    v = np.linspace(0.05, 1, points)
    X = np.stack([np.ones(points), v], axis=1)
    hits = []
    for _ in range(repeats):
        y = X @ TRUE + SHAPES[shape](v) * rng.standard_normal(points)
        y[rng.choice(points, outliers, replace=False)] += 30
        theta, half = solve(X, y, loss)
        hits.append(np.abs(theta - TRUE) <= half)
    return np.mean(hits, axis=0)


@pytest.mark.parametrize("points", [8, 16, 64])
@pytest.mark.parametrize("shape", ["as stated", "falling"])
def test_intervals_hold_with_few_points_and_with_scatter_of_another_shape(points, shape):
    share = coverage(points, shape)
    assert (share > 0.92).all(), share
    assert (share < 0.985).all(), share


@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_of_a_robust_loss_hold_with_outliers(shape):
    share = coverage(100, shape, "huber", outliers=2, repeats=200)
    assert (share > 0.89).all(), share
    assert (share <= 0.995).all(), share


def test_a_point_that_decides_alone_gets_the_scatter_of_all_points():
    """Its residual is 0 whatever its error: the error of its parameter is that of one reading."""
    X = np.zeros((21, 2))
    X[:20, 0], X[20, 1] = 1.0, 1.0
    y = X @ TRUE + np.append(0.1 * np.random.default_rng(0).standard_normal(20), 0.0)
    theta = np.linalg.lstsq(X, y, rcond=None)[0]
    r = X @ theta - y
    s = float(np.sqrt(r @ r / 19))
    told = uncertainty(X, s, theta, np.ones(2), "ab", ["", ""], influence=(r, np.ones(21)))
    assert told.error[0] == pytest.approx(s / 20**0.5)
    assert told.error[1] == pytest.approx(s)


def test_points_beyond_the_limit_of_a_loss_determine_nothing():
    X = np.zeros((20, 2))
    X[:18, 0], X[18:, 1] = 1.0, 1.0
    psi, slope = influence_of(np.append(np.linspace(-1, 1, 18), [9.0, -9.0]), "huber", 2.0)
    told = uncertainty(X, 1.0, TRUE, np.ones(2), "ab", ["", ""], influence=(psi, slope))
    assert told.error[0] < 0.5
    assert told.error[1] > 1e4
