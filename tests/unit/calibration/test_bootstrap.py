"""Intervals from samples of the data, and the losses side by side."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import many
from xbarspice import calibration
from xbarspice.calibration import Noise, Options
from xbarspice.core.errors import InputError
from xbarspice.devices import SinhTiO2

REPEATS = many(10)
B, G = 2.2, 3e-4


def sweep(seed, R=0.0, noise=0.01, every=0, points=31):
    V = np.linspace(-0.5, 0.5, points)
    true = xb.Crossbar([[G]], R_driver=R, device=SinhTiO2(b=B))
    current = xb.solve(true, V[:, None], engine="nodal").I_out[:, 0]
    current = current * (1 + noise * np.random.default_rng(seed).standard_normal(V.size))
    if every:
        current[::every] *= 1.4
    return calibration.sweeps(["x"] * V.size, V, current)


def fit(data, free=("device", "G"), R=0.0, samples=None, **options):
    start = xb.Crossbar([[G]], R_driver=R, device="sinh_tio2")
    chosen = Options(held_out=0.0, free_held=False, **options)
    return calibration.fit_and_compare(
        start, data, free, options=chosen, rank=False, samples=samples
    )


def test_bootstrap_intervals_hold_the_truth():
    """95 % intervals of b; the count of misses has a 1 in 1000 chance to be larger."""
    holds, width = [], []
    for seed in range(REPEATS):
        found, _, beside = fit(sweep(seed), samples=100, seed=seed)
        low, high = beside.bootstrap.low[0], beside.bootstrap.high[0]
        holds.append(low <= B <= high)
        width.append((high - low) / (found["device.b"][2] - found["device.b"][1]))
    assert np.mean(holds) >= (0.87 if REPEATS >= 100 else 0.6)
    assert 0.8 < np.mean(width) < 1.2


def test_a_straight_model_is_not_drawn_anew_and_agrees_where_it_is():
    data = sweep(0, points=81)
    assert fit(data)[2].bootstrap is None
    found, _, beside = fit(data, samples=400)
    assert beside.bootstrap.kind == "wild"
    assert max(beside.bootstrap.curvature) < 0.05
    assert not any("two intervals" in text for text in found.findings)
    assert fit(data, samples=400)[2].bootstrap == beside.bootstrap  # the seed draws the samples
    assert fit(data, samples=400, seed=1)[2].bootstrap != beside.bootstrap


def test_a_value_near_its_bound_is_drawn_anew_and_both_intervals_are_said(monkeypatch):
    """A series resistance that the sweep hardly tells: the linear interval crosses 0 ohm."""
    monkeypatch.setattr("xbarspice.calibration.bootstrap.SAMPLES", 100)
    found, _, beside = fit(sweep(1, R=50.0), ["R_driver", "device", "G"], R=10.0)
    drawn = beside.bootstrap
    assert drawn.curvature[0] == np.inf
    assert all(low >= 0 for low in drawn.low)
    (text,) = [t for t in found.findings if "two intervals of `device.b`" in t]
    assert "use the bootstrap: the interval reaches a bound" in text
    assert f"linear [{found['device.b'][1]:.4g}, {found['device.b'][2]:.4g}]" in text
    assert beside.record()["bootstrap"]["curvature"][0] is None


def test_reads_of_an_array_are_drawn_as_a_whole():
    rng = np.random.default_rng(0)
    array = xb.Crossbar(rng.uniform(1e-4, 4e-4, (3, 3)), R_wl=2.0, R_bl=2.0)
    V_in = rng.uniform(0, 0.4, (40, 3))
    I_out = xb.solve(array, V_in).I_out * (1 + 0.01 * rng.standard_normal((40, 3)))
    start = array.replace(R_wl=1.0, R_bl=1.0)
    found, _, beside = calibration.fit_and_compare(
        start,
        calibration.Reads(V_in=V_in, I_out=I_out),
        ["R_wire"],
        options=Options(free_held=False),
        rank=False,
        samples=200,
    )
    drawn = beside.bootstrap
    assert drawn.kind == "reads"
    assert drawn.enough
    value, low, high = found["R_wire"]
    assert drawn.low[0] < value < drawn.high[0]
    assert (drawn.high[0] - drawn.low[0]) / (high - low) == pytest.approx(1.0, abs=0.35)


def test_too_few_samples_are_refused_and_a_wrong_model_has_no_bootstrap():
    with pytest.raises(InputError, match="needs 100 samples"):
        fit(sweep(0), samples=20)
    start = xb.Crossbar([[G]], device="ohmic")
    found, _, beside = calibration.fit_and_compare(
        start, sweep(0), ["G"], options=Options(free_held=False), rank=False, samples=100
    )
    assert not found.holds
    assert beside.bootstrap is None
    assert (beside.losses[0].low, beside.losses[0].high) == ((-np.inf,), (np.inf,))


def test_losses_agree_on_clean_data_and_outliers_are_said_to_decide():
    for seed in range(5):
        found, _, beside = fit(sweep(seed), samples=0)
        assert [each.loss for each in beside.losses] == ["linear", "soft_l1", "huber"]
        assert not any("single points decide" in text for text in found.findings)
    found, _, beside = fit(sweep(0, every=15), samples=0, noise=Noise(relative=0.01))
    linear, _, huber = (each.values[1] for each in beside.losses)
    assert abs(huber / G - 1) < 0.01 < abs(linear / G - 1)
    (text,) = [t for t in found.findings if "single points decide `G[0, 0, 0]`" in t]
    assert "(linear)" in text
    assert "(huber)" in text or "(soft_l1)" in text
