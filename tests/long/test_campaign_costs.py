"""Times of campaigns against what a probe of this machine predicts: `make test-long`."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tests.crosscheck.test_campaign_costs import REAL, probe
from xbarspice import campaign
from xbarspice.campaign import cost

pytestmark = pytest.mark.long

COUNTS = (6, 6, 4)


def items_of(work, count):
    for seed in range(count):
        crossbar, V_in = work.example(1000 + seed)
        yield {
            "crossbar": crossbar,
            "V_in": V_in,
            "engine": work.engine,
            "engine_settings": {"workers": 1},
        }


@pytest.mark.parametrize(("work", "count"), list(zip(REAL, COUNTS, strict=True)))
def test_cpu_time_is_predicted_within_a_factor(work, count):
    """CPU time depends a little on what else the machine does: one of three must hold."""
    items, ratios = list(items_of(work, count)), []
    campaign.solve_item(items[0])
    for _ in range(3):
        expected = probe([work]).estimate({work: count}, count)
        before = os.times()
        for item in items:
            campaign.solve_item(item)
        ratios.append((sum(os.times()[:4]) - sum(before[:4])) / expected.cpu_seconds)
        if 1 / cost.FACTOR < ratios[-1] < cost.FACTOR:
            return
    pytest.fail(f"times over their estimates: {ratios}")


def test_a_campaign_takes_what_was_predicted(tmp_path):
    """Wall-clock time on the workers of the probe, start and end included.

    What else the machine does may change between probe and campaign: one of three must hold.
    """
    work, ratios = REAL[0], []
    items = list(items_of(work, 30))
    for attempt in range(3):
        model = campaign.probe_costs([work, replace(work, rows=18, arrays=2)], workers=2)
        done = campaign.run(items, campaign.solve_item, tmp_path / f"{attempt}.h5", workers=2)
        ratios.append(done.seconds / model.estimate({work: 30}, 30).seconds)
        if 1 / cost.FACTOR < ratios[-1] < cost.FACTOR:
            return
    pytest.fail(f"times over their estimates: {ratios}")
