"""95 % intervals of every kind of fit hold the truth in 90 to 99 % of draws from known truth.

`python -m tests.unit.calibration.kinds --repeats 100` prints the table of docs/calibration.md.
"""

from __future__ import annotations

import pytest
from scipy import stats

from tests.helpers import many
from tests.unit.calibration.kinds import KINDS, SLOW
from xbarspice import devices

REPEATS = many(10)
LOW, HIGH = 0.90, 0.99
CHANCE = 1e-4
"""Probability at which a share outside the limits is no chance any more."""


def test_every_registered_model_is_tried():
    tried = {kind.name.partition(", ")[2] for kind in KINDS if kind.name.startswith("sweeps")}
    assert tried | set(SLOW) == set(devices.names())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_intervals_hold_the_truth(kind):
    """Within the limits, or off them by what so many draws cannot tell (exact binomial)."""
    for case in kind.cases:
        shares, refused = kind.coverage(case, REPEATS)
        assert stats.binom.sf(round(refused * REPEATS) - 1, REPEATS, 0.05) > CHANCE, case
        for name, share in shares.items():
            held = round(share * REPEATS)
            assert stats.binom.cdf(held, REPEATS, LOW) > CHANCE, (case, name, share)
            assert stats.binom.sf(held - 1, REPEATS, HIGH) > CHANCE, (case, name, share)
