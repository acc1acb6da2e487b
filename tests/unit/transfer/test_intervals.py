"""Intervals of transfers: how often they hold the truth, and what they say of nearly nothing."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import norm

from xbarspice.core.shares import share_interval
from xbarspice.report.units import error
from xbarspice.transfer.scores import Outcomes, difference

REPEATS = 100
LAW = {"often wrong": (2.0, 0.3, 0.5, 0.3), "seldom wrong": (3.0, 0.1, 0.3, 0.1)}
"""Mean margin, scatter of the margins by transfer and by both, and what the better circuit adds, in
the scatter of the points."""


def draw(rng, transfers, points, law):
    """Two circuits whose margins scatter by point, by transfer and by both, and the true shares."""
    margin, by_transfer, by_both, better = LAW[law]
    common = margin + rng.normal(0, 1, points) + rng.normal(0, by_transfer, (transfers, 1))
    both = rng.normal(0, by_both, (transfers, points))
    other = both + rng.normal(0, 0.3 * by_both, both.shape) + better
    squares = 1 + by_transfer**2 + by_both**2
    shares = (
        norm.cdf(margin / math.sqrt(squares)),
        norm.cdf((margin + better) / math.sqrt(squares + 0.09 * by_both**2)),
    )
    return [of(common + each > 0) for each in (both, other)], shares


def of(right):
    return Outcomes(score=np.asarray(right, dtype=np.float32), classifies=True)


@pytest.mark.parametrize("law", LAW)
@pytest.mark.parametrize(
    ("transfers", "points"), [(2, 50), (3, 50), (5, 50), (20, 5), (20, 100), (100, 20), (200, 200)]
)
def test_intervals_hold_the_true_share_and_the_true_gain(law, transfers, points):
    """At least 95 % of them, less 1.8 standard deviations of so many repeats."""
    rng, hits = np.random.default_rng(3), np.zeros(2)
    for _ in range(REPEATS):
        (one, other), (share, of_other) = draw(rng, transfers, points, law)
        mean, gain = one.interval(), difference(other, one)
        hits += [mean.low <= share <= mean.high, gain.low <= of_other - share <= gain.high]
    assert hits.min() >= 0.95 * REPEATS - 4


@pytest.mark.parametrize("law", LAW)
def test_intervals_of_consistent_points_hold_the_share_of_all(law):
    margin, by_transfer, by_both, _ = LAW[law]
    needed = norm.ppf(0.95) * math.hypot(by_transfer, by_both)
    rng, hits = np.random.default_rng(4), 0
    for _ in range(REPEATS):
        interval = draw(rng, 100, 100, law)[0][0].interval("consistent")
        hits += interval.low <= norm.cdf(margin - needed) <= interval.high
    assert hits >= 0.95 * REPEATS - 4


def test_intervals_of_many_points_are_no_wider_than_needed():
    """Median width over that of +- 1.96 true standard deviations."""
    rng = np.random.default_rng(5)
    pairs = [draw(rng, 100, 1000, "often wrong")[0] for _ in range(40)]
    for intervals in (
        [one.interval() for one, _ in pairs],
        [difference(other, one) for one, other in pairs],
        [one.interval("consistent") for one, _ in pairs],
    ):
        widths = np.median([i.high - i.low for i in intervals])
        assert 0.8 <= widths / (3.92 * np.std([i.value for i in intervals])) <= 1.6


def test_what_is_right_in_every_transfer_is_not_certain():
    every = of(np.ones((200, 50)))
    assert every.interval().low == pytest.approx(share_interval(1.0, 50)[0])
    assert every.interval("consistent").low == pytest.approx(share_interval(1.0, 50)[0])
    few = [of(np.ones((n, 50))).interval().low for n in (1, 2, 5, 20)]
    assert few[0] == pytest.approx(0.025)  # one transfer says next to nothing
    assert all(a < b for a, b in pairwise(few))
    same = difference(every, of(np.ones((200, 50))))
    assert same.low == pytest.approx(-same.high)
    assert same.high > 0.05


def test_a_share_that_is_never_or_always_has_no_end_beyond_0_and_1():
    for value in (0.0, 1.0):
        for n in (1, 7):
            interval = of(np.full((n, 3), value)).interval()
            assert 0 <= interval.low <= value <= interval.high <= 1
    won = difference(of(np.ones((3, 3))), of(np.zeros((3, 3))))
    assert won.value == won.high == 1


def test_a_circuit_does_not_differ_from_itself():
    one = of(np.eye(4))
    itself = difference(one, one)
    assert (itself.low, itself.value, itself.high) == (0, 0, 0)


def test_one_transfer_of_numbers_has_no_limits():
    one = Outcomes(score=np.array([[-0.2]], dtype=np.float32), classifies=False).interval()
    assert (one.low, one.high) == (-math.inf, math.inf)
    assert [error(one.low), error(one.high)] == ["-infinite", "infinite"]
