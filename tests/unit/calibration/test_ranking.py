"""Device models are ranked by voltages that were left out; the one that made the data is found."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import xbarspice as xb
from tests.helpers import many
from xbarspice import calibration
from xbarspice.calibration.model import Model, shape_fields
from xbarspice.calibration.ranking import rank_models
from xbarspice.cli.app import app
from xbarspice.config.card import CalibrationCard
from xbarspice.core.errors import InputError
from xbarspice.devices import SinhTiO2

LONG = many(1) > 1
REPEATS = 40 if LONG else 3
G = 2e-4
TRUTHS = {
    "ohmic": "ohmic",
    "sinh_tio2": SinhTiO2(b=2.2),
    "cubic_al2o3_tio2": "cubic_al2o3_tio2",
    "pickett": "pickett",
}


def sweep(device, seed, noise=0.01, points=49):
    V = np.linspace(-0.6, 0.6, points)
    rng = np.random.default_rng(seed)
    current = xb.devices.get(device).current(V, np.full_like(V, G))
    return calibration.sweeps(
        ["a"] * V.size, V, current * (1 + noise * rng.standard_normal(V.size))
    )


def ranked(data, device="sinh_tio2", free=("device", "G"), work=False):
    return rank_models(xb.Crossbar([[[G]]], device=device), data, free, work=work)


@pytest.mark.parametrize("name", TRUTHS)
def test_the_model_that_made_the_data_is_chosen(name):
    """At 1 % noise; the models differ by more than that over the sweep."""
    chosen = []
    for seed in range(10, 10 + REPEATS if name != "pickett" or LONG else 11):
        ranking = ranked(sweep(TRUTHS[name], seed, points=25), work=LONG or name == "pickett")
        chosen.append(ranking.candidates[ranking.best].name)
    assert np.mean([each == name for each in chosen]) >= 0.95


def test_every_registered_model_is_a_candidate_or_named_beside_one():
    ranking = ranked(sweep("ohmic", 10, points=13), work=True)
    names = [name for c in ranking.candidates for name in (c.name, *c.alike)]
    assert set(names) == set(xb.devices.names())
    assert all(c.holds for c in ranking.candidates[: ranking.best + 1])
    assert all(c.error > 5 for c in ranking.candidates if c.name == "cubic_al2o3_tio2")


def test_the_simplest_model_within_one_standard_error_is_chosen():
    """sinh with b near 0 is ohmic, with one value more."""
    ranking = ranked(sweep("ohmic", 1))
    best, sinh = (ranking.candidates[k] for k in (ranking.best, ranking.reference))
    assert (best.name, best.parameters) == ("ohmic", 1)
    assert (sinh.name, sinh.parameters) == ("sinh_tio2", 2)
    assert sinh.error == pytest.approx(best.error, rel=0.02)
    assert ranking.finding is None


def test_a_model_that_loses_is_said_to_with_the_size():
    ranking = ranked(sweep("cubic_al2o3_tio2", 0), "ohmic", ("G",))
    assert "`cubic_al2o3_tio2` with T fitted predicts voltages that were left out better than " in (
        ranking.finding
    )
    best, asked = (ranking.candidates[k] for k in (ranking.best, ranking.reference))
    assert f"{best.error:.3g} against at least {asked.error:.3g}" in ranking.finding
    assert 0.7 < best.error < 1.3
    assert asked.error > 5


def test_fields_that_were_held_are_a_candidate_when_fitted():
    """The asked sinh keeps b = 2.7 of its die; with b fitted it is another candidate."""
    ranking = ranked(sweep(SinhTiO2(b=1.5), 0), "sinh_tio2", ("G",))
    best, asked = (ranking.candidates[k] for k in (ranking.best, ranking.reference))
    assert (best.name, best.fitted) == ("sinh_tio2", ("b",))
    assert (asked.name, asked.fitted) == ("sinh_tio2", ())
    assert "`sinh_tio2` with b fitted predicts" in ranking.finding


def test_arrays_are_ranked_by_the_same_rule():
    rng = np.random.default_rng(0)
    array = xb.Crossbar(rng.uniform(1e-4, 4e-4, (3, 3)), R_wl=2.0, R_bl=2.0, device=SinhTiO2(b=2.2))
    V_in = rng.uniform(0, 0.6, (30, 3))
    I_out = xb.solve(array, V_in, outside="ignore").I_out
    data = calibration.Reads(V_in=V_in, I_out=I_out * (1 + 0.01 * rng.standard_normal(I_out.shape)))
    start = array.replace(R_wl=1.0, R_bl=1.0, device="cubic_al2o3_tio2")
    ranking = rank_models(start, data, ["R_wire", "device"])
    assert ranking.candidates[ranking.best].name == "sinh_tio2"
    assert ranking.finding is not None
    slow = {c.name: c.reason for c in ranking.candidates}["pickett"]
    assert "takes long" in slow


def test_what_cannot_be_ranked_is_said():
    two = calibration.sweeps(["a"] * 4, [0.1, 0.2, 0.1, 0.2], [1e-5, 2e-5, 1e-5, 2e-5])
    assert "3 voltages" in ranked(two, "ohmic", ("G",))
    with pytest.raises(InputError, match="where models can be ranked"):
        calibration.fit_and_compare(
            xb.Crossbar([[[G]]]),
            two,
            ["G"],
            options=calibration.Options(held_out=0),
            choose=True,
        )


def test_device_stands_for_the_fields_of_the_curve():
    points = np.linspace(0.1, 0.5, 5), np.full(5, G)
    assert shape_fields(xb.devices.get("n1257r"), *points) == ("b",)
    assert shape_fields(xb.devices.get("ohmic"), *points) == ()
    data = sweep("ohmic", 0)
    array = xb.Crossbar([[[G]]], device="sinh_tio2")
    assert Model(array, [data], ["device", "G"]).free == ("device.b", "G")
    with pytest.raises(InputError, match="each once"):
        Model(array, [data], ["device", "device.b"])


def test_the_command_chooses_a_model_and_its_card_keeps_the_ranking(tmp_path):
    data = sweep("cubic_al2o3_tio2", 0)
    rows = "".join(f"{v},{i}\n" for v, i in zip(data.V_in[:, 0], data.I_out[:, 0], strict=True))
    (tmp_path / "iv.csv").write_text("V,I\n" + rows)

    def run(*options):
        words = ["calibrate", "sweeps", tmp_path / "iv.csv", "--out", tmp_path / "out", *options]
        result = CliRunner().invoke(app, [str(word) for word in words])
        return result, json.loads((tmp_path / "out" / "report.json").read_text())

    result, record = run("--device", "auto", "--json")
    assert result.exit_code == 0
    origins = {row["name"]: row["origin"] for row in record["fixed"]}
    assert "ranking" in origins["device"]
    card = CalibrationCard.from_toml(tmp_path / "out" / "card.toml")
    assert (card.format, card.device) == (2, "cubic_al2o3_tio2")
    assert card.ranking[0].device == "cubic_al2o3_tio2"
    assert {"ohmic", "sinh_tio2"} < {each.device for each in card.ranking}
    assert {each.by for each in card.beside} >= {"linear", "soft_l1", "huber"}
    assert not any("left out better" in text for text in record["findings"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Device models by the error of voltages that were left out" in page
    assert "Every loss: values and 95 % intervals" in page
    result, record = run("--device", "ohmic")
    assert any("left out better" in text for text in record["findings"])
    assert "model 1" in result.stdout
    result, record = run("--no-rank")
    assert record["ranking"] is None
