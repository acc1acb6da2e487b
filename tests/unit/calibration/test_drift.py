"""Drift by later writes from maps of one's own dies: table, intervals, who draws from it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import xbarspice as xb
from xbarspice import calibration
from xbarspice.calibration.drift import Drifts, drifts_of_maps, read_written
from xbarspice.cli.app import app
from xbarspice.config.card import CalibrationCard
from xbarspice.core.errors import InputError
from xbarspice.programming.drift import measured_drift, table_of
from xbarspice.variability import BiasingSchemeEffect, DriftTable, bse_table, from_config

SIZE = {4: 1e-6, 12: 3e-6}


def drawn(seed, devices=120, slope=0.0, numbers=(4, 12)):
    """Drifts of Student's t with 4 degrees of freedom; their size may depend on G."""
    rng = np.random.default_rng(seed)
    G = rng.uniform(100e-6, 500e-6, (len(numbers), devices))
    sizes = np.array([SIZE[k] for k in numbers])[:, None] * (1 + slope * (G / 300e-6 - 1))
    return Drifts(
        G=G.ravel(),
        G_end=(G + sizes * (0.5 + rng.standard_t(4, G.shape))).ravel(),
        later_writes=np.repeat(numbers, devices),
    )


def median_size():
    """Of 0.5 + t_4, in units of its scale."""
    big = np.abs(0.5 + np.random.default_rng(1).standard_t(4, 2_000_000))
    return float(np.median(big))


def test_intervals_cover_the_truth_and_right_tables_are_not_refused():
    hits, refused, middle = {"mean": 0, "median_size": 0}, 0, median_size()
    for seed in range(100):
        found = calibration.fit_drift(drawn(seed))
        refused += not found.holds
        for k, size in SIZE.items():
            for name, true in (("mean", 0.5 * size), ("median_size", middle * size)):
                value = found.values[f"variability.bse.{name}_{k}"]
                hits[name] += value.low <= true <= value.high
    assert all(0.90 <= count / 200 <= 0.99 for count in hits.values()), hits
    assert refused <= 5


def test_a_drift_that_depends_on_the_conductance_is_found():
    found = [calibration.fit_drift(drawn(seed, slope=1.2)) for seed in range(20)]
    assert sum(not f.holds for f in found) >= 19
    assert any("depends on the conductance" in text for text in found[0].notices)


def test_the_table_is_the_data_and_is_drawn_from():
    data = drawn(5, devices=400)
    (term,) = calibration.fit_drift(data).terms
    (effect,) = from_config([term]).parts
    assert isinstance(effect, BiasingSchemeEffect)
    assert effect == BiasingSchemeEffect(table=effect.table)
    assert effect.table is not None
    assert effect.table.samples == (400, 400)
    G = np.full((20_000, 1, 13), 3e-4)
    drift = effect.apply(G, np.random.default_rng(0))[:, 0, ::-1] - 3e-4  # column k: k later
    assert not drift[:, 0].any()
    for k in (4, 12):
        real = (data.G_end - data.G)[data.later_writes == k]
        for level in (0.05, 0.25, 0.5, 0.75, 0.95):
            width = 5 * (level * (1 - level) / 20_000) ** 0.5
            assert abs((drift[:, k] <= np.quantile(real, level)).mean() - level) < width
    between = bse_table("released", effect.table)
    np.testing.assert_allclose(between.quantiles[7], 0.5 * between.quantiles[[3, 11]].sum(0))
    np.testing.assert_allclose(between.quantiles[0], 0.25 * between.quantiles[3])
    assert measured_drift([40], measured=effect.table).std() == pytest.approx(
        measured_drift([12], measured=effect.table).std()
    )
    assert xb.testing.check_variation(effect)


def test_both_readings_of_a_table_without_thin_rows_are_one():
    (term,) = calibration.fit_drift(drawn(0)).terms
    assert xb.variability.other_reading(from_config([term])) is None
    (thin,) = calibration.fit_drift(drawn(0, devices=12)).terms
    assert xb.variability.other_reading(from_config([thin])) is not None
    assert any("fewer than 30 drifts" in n for n in calibration.fit_drift(drawn(0, 12)).notices)


RULES = {
    "levels": ((0.0, 0.5, 0.9), "levels` from 0 to 1"),
    "quantiles": (((1.0, 0.0, 2.0),), "quantiles"),
    "later_writes": ((0,), "later_writes"),
    "mean": ((1.0, 2.0), "mean"),
}


@pytest.mark.parametrize("name", RULES)
def test_tables_that_are_none_are_refused(name):
    value, words = RULES[name]
    good = {
        "later_writes": (3,), "levels": (0.0, 0.5, 1.0), "quantiles": ((0.0, 1e-6, 2e-6),),
        "mean": (1e-6,), "std": (1e-6,), "samples": (9,),
    }  # fmt: skip
    DriftTable(**good)
    with pytest.raises(InputError, match=words):
        DriftTable(**(good | {name: value}))
    with pytest.raises(InputError, match=r"`bse\.table` must hold"):
        from_config([{"name": "bse", "table": {"levels": [0, 1]}}])


def test_maps_leave_out_what_was_written_and_what_was_not_read(tmp_path):
    G = np.linspace(1e-4, 5e-4, 24).reshape(4, 6)
    order = np.zeros((4, 6), int)
    order[0, :4] = [1, 2, 3, 4]
    again, later = G + 1e-6, G + 2e-6
    later[3, 5] = 0.0
    die = {k: calibration.Die(G=g, V_read=None, unit="S", settings={}, notices=())
           for k, g in ((0, G), (2, again), (4, later))}  # fmt: skip
    data = drifts_of_maps(die[0], {2: die[2], 4: die[4]}, order)
    assert np.bincount(data.later_writes)[[2, 4]].tolist() == [22, 19]
    assert any("left out: 1" in text for text in data.notices)
    assert any("written themselves, left out: 6" in text for text in data.notices)
    with pytest.raises(InputError, match="must have its 4 x 6"):
        drifts_of_maps(die[0], {2: die[2]}, order[:2])
    (tmp_path / "o.csv").write_text("0,1\n1.5,0\n")
    with pytest.raises(InputError, match="whole numbers"):
        read_written(tmp_path / "o.csv")
    with pytest.raises(InputError, match="at least 8 drifts"):
        calibration.fit_drift(drifts_of_maps(die[0], {0: die[2]}, order))


@pytest.fixture
def maps(tmp_path, monkeypatch):
    """Maps of a die before and after later writes that move it little, and a deployment."""
    rng = np.random.default_rng(2)
    G = rng.uniform(100e-6, 500e-6, (12, 12))
    for k, size in ((0, 0.02e-6), (6, 0.05e-6), (30, 0.1e-6)):
        drift = size * rng.standard_normal(G.shape)
        rows = ["R [kohm]", *(",".join(f"{1e-3 / x:.9g}" for x in row) for row in G + drift)]
        (tmp_path / f"after{k}.csv").write_text("\n".join(rows))
    rows = ["R [kohm]", *(",".join(f"{1e-3 / x:.9g}" for x in row) for row in G)]
    (tmp_path / "before.csv").write_text("\n".join(rows))
    torch.manual_seed(0)
    x = torch.rand(12, 6, dtype=torch.float64)
    circuit = xb.nn.convert(nn.Sequential(nn.Linear(6, 4)).double(), calibrate=x)
    xb.save(tmp_path / "d.h5", circuit)
    np.savez(tmp_path / "p.npz", x=x.numpy())
    monkeypatch.chdir(tmp_path)
    return tmp_path


AFTER = ("--after", "0=after0.csv", "--after", "6=after6.csv", "--after", "30=after30.csv")


def run(*words, code=0):
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == code, (result.output, result.exception)
    return json.loads(result.stdout)


def test_a_transfer_draws_from_the_card(maps):
    """Dies that drift a hundredth of the built-in ones change the outputs far less."""
    before = calibration.read_die(maps / "before.csv").G
    record = run("calibrate", "drift", "before.csv", *AFTER, "--out", "o", "--date", "2026-11-28")
    assert [row["later_writes"] for row in record["drift_rows"]] == [6, 30]
    assert record["data"] == ["before.csv", "after0.csv", "after6.csv", "after30.csv"]
    card = CalibrationCard.from_toml(maps / "o/card.toml")
    assert card.variability[0]["table"]["samples"] == [144, 144]
    assert card.valid is not None
    assert card.valid.of("G") == pytest.approx((before.min(), before.max()), rel=1e-6)
    common = ("transfer", "d.h5", "--inputs", "p.npz", "--transfers", "20", "--engine", "ideal")
    calibrated = run(*common, "--calibration", "o/card.toml", "--out", "t1")
    usual = run(*common, "--set", 'variability=[{name = "bse"}]', "--out", "t2")
    assert 0 < calibrated["output_change"]["mean"] < 0.05 * usual["output_change"]["mean"]
    assert "table=measured (2 rows to 30 later writes, 288 drifts)" in calibrated["variation"]
    page = (maps / "o/report.html").read_text()
    assert "built-in table" in page
    table = table_of(from_config(card.variability))
    assert table is not None
    assert table.later_writes == (6, 30)


def test_the_command_refuses_what_it_cannot_read(maps):
    for words, said in (
        (("--after", "x=after6.csv"), "must read K=FILE"),
        (("--after", "6=after6.csv", "--after", "6=after6.csv"), "must read K=FILE"),
        (("--after", "6=after6.csv", "--column", "G=1"), "no columns to name"),
        (("--unit", "kohm"), "are of maps"),
    ):
        done = CliRunner().invoke(app, ["calibrate", "drift", "before.csv", *words])
        assert isinstance(done.exception, InputError)
        assert said in str(done.exception)
    assert not (maps / "runs").exists()


def test_a_table_whose_drift_depends_on_the_conductance_makes_no_card(maps):
    data = drawn(1, slope=1.2)
    lines = [f"{g},{e},{k}" for g, e, k in zip(data.G, data.G_end, data.later_writes, strict=True)]
    (maps / "p.csv").write_text("G [S],G_end [S],later_writes\n" + "\n".join(lines))
    record = run("calibrate", "drift", "p.csv", "--out", "o", code=1)
    assert not (maps / "o/card.toml").exists()
    assert all(row["low"] is None for row in record["parameters"])
    run("calibrate", "drift", "p.csv", "--out", "o", "--accept", code=0)
    card = CalibrationCard.from_toml(maps / "o/card.toml")
    assert card.values["variability.bse.mean_4"].low == -np.inf
