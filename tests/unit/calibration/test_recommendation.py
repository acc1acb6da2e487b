"""The candidate to take: intervals that hold, and no advantage by having been picked."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from xbarspice.calibration import assignment
from xbarspice.calibration.recommendation import choose, gain, share


def draw_right(rng, p, draws, points, spread=0.0):
    """Right or wrong, (draws, points): points differ in difficulty, draws in quality."""
    hard = rng.normal(scale=0.5, size=points)
    luck = rng.normal(scale=spread, size=(draws, 1))
    noise = rng.normal(size=(draws, points))
    limit = np.sqrt(1 + 0.25 + spread**2) * _quantile(p)
    return hard, luck, noise, limit


def _quantile(p):
    from scipy import stats

    return stats.norm.ppf(p)


def pair(rng, p, q, draws, points, spread=0.1):
    """Two candidates with accuracies p and q on the same points and draws, alike in part."""
    hard, luck, noise, limit = draw_right(rng, p, draws, points, spread)
    other = 0.8 * noise + 0.6 * rng.normal(size=noise.shape)
    first = (hard + luck + noise < limit).astype(float)
    second_limit = np.sqrt(1 + 0.25 + spread**2) * _quantile(q)
    return first, (hard + luck + other < second_limit).astype(float)


@pytest.mark.parametrize(("draws", "points"), [(1, 60), (20, 60), (20, 300)])
@pytest.mark.parametrize(("p", "q"), [(0.8, 0.8), (0.95, 0.98), (0.7, 0.85)])
def test_intervals_hold_the_truth(p, q, draws, points):
    """95 % intervals, wide rather than narrow: of 300 at least 92 % hold."""
    rng = np.random.default_rng(int(1000 * (p + q)) + points + draws)
    of_share = of_gain = 0
    for _ in range(300):
        first, second = pair(rng, p, q, draws, points)
        one, two = share(first), gain(second, first)
        assert one.low <= one.value <= one.high
        assert two.low <= two.value <= two.high
        of_share += one.low <= p <= one.high
        of_gain += two.low <= q - p <= two.high
    assert of_share >= 276
    assert of_gain >= 276


def test_equal_candidates_are_rarely_taken_for_better():
    """Five others that are as good as the first: at most 5 % of choices leave it."""
    rng = np.random.default_rng(0)
    left = 0
    for _ in range(300):
        first, _ = pair(rng, 0.85, 0.85, 10, 80)
        others = [pair(rng, 0.85, 0.85, 10, 80)[1] for _ in range(5)]
        chosen, gains = choose([first, *others])
        assert gains[0].value == 0
        left += chosen > 0
    assert left <= 15


def test_a_better_candidate_is_found():
    rng = np.random.default_rng(1)
    chosen = [choose(pair(rng, 0.7, 0.9, 10, 120))[0] for _ in range(50)]
    assert np.mean(chosen) >= 0.9
    identical = np.ones((1, 10))
    assert choose([identical, identical.copy()])[0] == 0


def test_the_assignment_on_more_lines_is_that_of_all_subsets_and_orders():
    """2x3 on 4x4 against all placements; pairs of bit lines move together in the second case."""
    rng = np.random.default_rng(2)
    weight, wanted = rng.uniform(0.1, 1, (2, 3, 2)), rng.uniform(1, 5, (2, 3, 2))
    stuck, value = rng.random((4, 4, 2)) < 0.6, rng.uniform(0, 8, (4, 4, 2))

    def cost(rows, cols):
        s, v = stuck[np.ix_(rows, cols)], value[np.ix_(rows, cols)]
        return float(((weight * (v - wanted)) ** 2 * s).sum())

    least = min(
        cost(list(r), list(c))
        for r in itertools.permutations(range(4), 2)
        for c in itertools.permutations(range(4), 3)
    )
    groups = [(np.arange(2), np.arange(4))], [(np.arange(3), np.arange(4))]
    rows, cols, exact = assignment.best_lines(weight, wanted, stuck, value, *groups)
    assert exact
    assert cost(rows, cols) == pytest.approx(least, rel=1e-12)
    rows, cols = assignment._alternate(weight, wanted, stuck, value, *groups)
    assert cost(rows, cols) == pytest.approx(least, rel=1e-12)
    none = np.zeros_like(stuck)
    rows, cols, _ = assignment.best_lines(weight, wanted, none, value, *groups)
    assert (rows.tolist(), cols.tolist()) == ([0, 1], [0, 1, 2])  # next to the drivers


def test_one_line_moves_at_a_time_and_no_place_is_taken_twice():
    rng = np.random.default_rng(3)
    sides = [(np.arange(3), np.arange(5))], [(np.arange(2), np.arange(2))]
    order = assignment.shuffle_lines(sides, rng)
    for _ in range(50):
        new = assignment.move_line(order, sides, rng)
        changed = sum(int((a != b).sum()) for a, b in zip(order, new, strict=True))
        assert changed in (1, 2)
        assert len(set(new[0].tolist())) == 3
        assert sorted(new[1].tolist()) == [0, 1]
        order = new
