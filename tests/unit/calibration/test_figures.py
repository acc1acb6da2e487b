"""Residual plots: standardised, in three orders, and readable when single points lie far off."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

import xbarspice as xb
from xbarspice import calibration
from xbarspice.calibration import Options
from xbarspice.calibration.figures import figures_of
from xbarspice.calibration.fit_plots import EDGE, standard_residuals
from xbarspice.calibration.page import write_fit

V = np.linspace(-0.4, 0.4, 81)
G = 2e-4


def fit_of(change=lambda current: current, held_out=0.2):
    rng = np.random.default_rng(0)
    current = change(G * V * (1 + 0.01 * rng.standard_normal(V.size)))
    data = calibration.sweeps(["a"] * V.size, V, current)
    options = Options(loss="huber", free_held=False, held_out=held_out)
    return calibration.fit_reads(xb.Crossbar([[[G]]]), data, ["G"], options=options)[0]


def test_residuals_are_standardised_and_stand_over_voltage_order_and_quantiles():
    fit = fit_of()
    residual = standard_residuals(fit)
    fitted = residual[fit.fitted]
    assert 1.4826 * np.median(np.abs(fitted - np.median(fitted))) == pytest.approx(1.0)
    np.testing.assert_array_equal(fit.voltage, V)
    np.testing.assert_array_equal(fit.read, np.arange(81))
    parity, voltage, order, quantiles = figures_of(fit, "A")
    assert "Model against data" in parity.caption
    for plot, x in ((voltage, V), (order, np.arange(81))):
        axes = plot.draw(ax=Figure().add_subplot())
        drawn = np.concatenate(
            [line.get_xydata() for line in axes.lines if len(line.get_xdata()) > 9]
        )
        by_x = drawn[np.argsort(drawn[:, 0])]
        np.testing.assert_allclose(by_x, np.stack([x, residual], axis=1))
    assert "Lack of fit" in quantiles.caption
    assert "Arrow" not in quantiles.caption


def test_far_points_are_drawn_at_the_edge_and_counted():
    def spoil(current):
        current[10] *= 1.5
        return current

    fit = fit_of(spoil, held_out=0.0)
    assert np.abs(standard_residuals(fit)).max() > 3 * EDGE
    _, voltage, order, quantiles = figures_of(fit, "A")
    for plot in (voltage, order, quantiles):
        axes = plot.draw(ax=Figure().add_subplot())
        assert axes.get_ylim() == pytest.approx((-1.1 * EDGE, 1.1 * EDGE))
        assert f"Arrow heads: beyond {EDGE:g}" in plot.caption
    assert "1 of 81 lie beyond 3.5" in quantiles.caption


def test_a_page_says_whether_the_model_was_tested(tmp_path):
    row = {"name": "a", "unit": "", "value": 1.0, "low": 0.5, "high": 1.5, "start": None}
    about = {"title": "t", "data": ["a.csv"], "data_sha256": "ab" * 32, "config": {}}
    record = {**about, "findings": [], "parameters": [row]}
    page = write_fit(record, None, tmp_path / "a.html").read_text()
    assert "no test of the model was possible." in page
    assert ">start<" not in page
    checks = [{"name": "c", "p": 0.5, "holds": True}]
    record |= {"checks": checks, "parameters": [row | {"start": 0.0}]}
    page = write_fit(record, None, tmp_path / "b.html").read_text()
    assert "no test of the residuals speaks against the model." in page
    assert ">start<" in page
