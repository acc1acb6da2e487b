"""What a campaign says of the time that remains."""

from __future__ import annotations

import numpy as np
import pytest

from xbarspice.campaign.forecast import History, forecast
from xbarspice.campaign.page import _remaining


def history(seconds, counts):
    out = History()
    for at, count in zip(seconds, counts, strict=True):
        out.note(float(at), int(count))
    return out


def test_a_constant_rate_leaves_no_doubt():
    out = forecast(history(range(0, 101, 5), range(0, 201, 10)), 1000)
    assert out is not None
    assert out.rate == pytest.approx(2.0)
    assert (out.seconds, out.low, out.high) == pytest.approx((400.0, 400.0, 400.0))


def test_only_the_recent_rate_counts():
    """Starting took 50 s: nothing was done meanwhile."""
    at = [0, 50, *range(51, 151)]
    out = forecast(history(at, [0, 0, *range(3, 303, 3)]), 600)
    assert out is not None
    assert out.rate == pytest.approx(3.0, rel=0.02)


def test_the_interval_holds_the_true_end_of_most_campaigns():
    """Rates drawn anew every 4 s: of 200 campaigns at 40 %, some 95 % end within it."""
    rng, inside = np.random.default_rng(1), 0
    for _ in range(200):
        counts = np.concatenate([[0], np.cumsum(rng.gamma(4.0, 5.0, 300))]).astype(int)
        at = 4.0 * np.arange(301)
        out = forecast(history(at[:121], counts[:121]), int(counts[-1]))
        assert out is not None
        inside += out.low <= at[-1] - at[120] <= out.high
    assert 180 <= inside <= 198


@pytest.mark.parametrize("batches", [12, 20, 40])
def test_the_interval_holds_with_few_times_of_progress(batches):
    """Batches that take a random time each; of 400 campaigns at 40 % of what was seen by then."""
    rng, inside = np.random.default_rng(batches), 0
    for _ in range(400):
        at = np.concatenate([[0.0], np.cumsum(rng.gamma(2.0, 1.0, 5 * batches // 2))])
        out = forecast(history(at[: batches + 1], 10 * np.arange(batches + 1)), 10 * (len(at) - 1))
        assert out is not None
        inside += out.low <= at[-1] - at[batches] <= out.high
    assert inside >= 364  # 95 % less 4 standard deviations of so many campaigns


def test_two_times_say_nothing_of_how_sure_a_rate_is():
    """The rate between two times is one number: it has no scatter."""
    out = forecast(history([0.0, 1.0], [0, 5]), 1005)
    assert out is not None
    assert (out.seconds, out.low, out.high) == (200.0, 0.0, np.inf)
    assert "too few times with progress" in _remaining(out)
    done = forecast(history([0.0, 1.0], [0, 5]), 5)
    assert done is not None
    assert (done.seconds, done.low, done.high) == (0.0, 0.0, 0.0)


def test_without_progress_there_is_none():
    assert forecast(history([0.0], [0]), 10) is None
    assert forecast(history([0.0, 9.0], [0, 0]), 10) is None
    assert forecast(history([0.0, 1.0, 50.0], [0, 5, 5]), 10) is None


def test_a_rate_that_stands_still_most_of_the_time_has_no_upper_end():
    at = np.arange(0.0, 25.0)
    out = forecast(history(at, np.where(at < 24, 0, 40)), 100)
    assert out is not None
    assert out.high == np.inf


def test_a_long_history_stays_small_and_keeps_its_ends():
    long = history(range(20001), range(20001))
    assert len(long.seconds) < 5000
    assert (long.seconds[0], long.seconds[-1], long.counts[-1]) == (0.0, 20000.0, 20000)
    assert long.counts == long.seconds
