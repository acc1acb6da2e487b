"""Single writes that the normal spread does not explain are refused, or left out and counted."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.unit.calibration.test_resolution import writes
from xbarspice import calibration
from xbarspice.calibration.outliers import keep_near

RNG = np.random.default_rng(0)


def test_writes_with_outliers_are_refused_or_left_out():
    target = RNG.uniform(1e-4, 5e-4, 120)
    G = target * (1 + 0.01 * RNG.standard_normal(120))
    assert calibration.fit_spread(writes(G, target)).holds
    G[[5, 50]] *= [1.25, 0.75]
    plain, dropped = (
        calibration.fit_spread(writes(G, target), drop_outliers=d) for d in (False, True)
    )
    assert not plain.holds
    assert any("2 of 120 writes lie more than" in text for text in plain.notices)
    assert dropped.holds
    assert dropped.values["variability.cti.sigma_0"].low <= 0.01
    assert dropped.values["variability.cti.sigma_0"].high < 0.02


def test_values_that_hide_behind_larger_ones_are_left_out_as_well():
    values = RNG.standard_normal(100)
    values[:3] = [7.0, -9.0, 1e3]

    def standardise(keep):
        return (values - values[keep].mean()) / values[keep].std(ddof=1)

    near = keep_near(np.arange(100) % 10, standardise)
    keep = near.keep
    assert near.p < 1e-6
    assert not keep[:3].any()
    assert keep[3:].sum() >= 96


def once(G, target):
    """Every device was written once."""
    return dataclasses.replace(writes(G, target), device=np.arange(len(G)))


def test_devices_that_were_written_once_are_judged_together():
    target = np.full(9, 1e-4)
    assert calibration.fit_spread(once(np.linspace(0.98e-4, 1.02e-4, 9), target)).holds
    rng = np.random.default_rng(5)
    target = np.full(30, 1e-4)
    refused = 0
    for _ in range(40):
        G = target * (1 + 0.01 * rng.standard_normal(30))
        refused += not calibration.fit_spread(once(G, target)).holds
    assert refused <= 4  # 1 % of such data sets
    G[7] *= 1.2
    spread = calibration.fit_spread(once(G, target))
    assert not spread.holds
    assert any("1 of 30 writes lie more than" in text for text in spread.notices)
