"""What a fit held fixed is listed with where it came from, and what depends on it is said."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import xbarspice as xb
from xbarspice import calibration
from xbarspice.calibration.held import MOST, fixed_values
from xbarspice.cli.app import app
from xbarspice.config.card import CalibrationCard, CardValue
from xbarspice.core import crossbar_file
from xbarspice.devices import SinhTiO2

G = np.random.default_rng(0).uniform(1e-4, 5e-4, (4, 4))
TRUE = xb.Crossbar(G, R_wl=2.0, R_bl=2.0, R_driver=20.0, R_sense=10.0, device=SinhTiO2(b=2.2))


@pytest.fixture
def folder(tmp_path):
    """Reads of an array with leads of 10 ohm at the sense nodes, and its conductances."""
    rng = np.random.default_rng(2)
    V_in = rng.uniform(0, 0.6, (24, 4))
    I_out = xb.solve(TRUE, V_in, outside="ignore").I_out
    I_out *= 1 + 0.01 * rng.standard_normal(I_out.shape)
    head = ",".join([f"V_in{k}" for k in range(4)] + [f"I_out{k}" for k in range(4)])
    table = np.hstack([V_in, I_out])
    np.savetxt(tmp_path / "reads.csv", table, delimiter=",", header=head, comments="")
    np.savetxt(tmp_path / "G.csv", G, delimiter=",", header="G [S]", comments="")
    crossbar_file.save(tmp_path / "array.h5", TRUE.replace(R_sense=0.0))
    return tmp_path


def run(folder, free, *options, array="G.csv", json_out=True):
    words = ["calibrate", "reads", folder / "reads.csv", "--array", folder / array]
    words += ["--free", free, "--out", folder / "out", *options, *(["--json"] if json_out else [])]
    return CliRunner().invoke(app, [str(word) for word in words])


def rows(result):
    record = json.loads(result.stdout)
    return record, {f["name"]: (f["value"], f["origin"]) for f in record["fixed"]}


FREE = "R_wire,R_driver,device.b"


def test_a_lead_that_was_held_at_0_is_in_the_interval_of_what_depends_on_it(folder):
    """R_sense is 10 ohm and held at 0 by default: R_driver would be 30 for 20, and called known."""
    record, fixed = rows(run(folder, FREE))
    assert fixed["R_sense"] == (0.0, "default of the command")
    by_name = {p["name"]: p for p in record["parameters"]}
    assert not by_name["R_driver"]["low"] <= 20.0 <= by_name["R_driver"]["high"]
    assert by_name["R_driver"]["given"] == ["R_sense = 0 ohm"]
    assert any("are given `R_sense` = 0 ohm, which was held" in t for t in record["findings"])
    card = CalibrationCard.from_toml(folder / "out" / "card.toml")
    assert card.values["R_driver"].given == ("R_sense = 0 ohm",)
    page = (folder / "out" / "report.html").read_text()
    assert "WARNINGS" in page
    assert "DETERMINED" not in page
    assert "default of the command" in page
    screen = " ".join(run(folder, FREE, json_out=False).output.replace("│", " ").split())
    assert "given R_sense = 0 ohm" in screen


def test_with_the_lead_free_every_interval_holds_the_truth(folder):
    record, fixed = rows(run(folder, f"{FREE},R_sense"))
    truth = {"R_wire": 2.0, "R_driver": 20.0, "R_sense": 10.0, "device.b": 2.2}
    for p in record["parameters"]:
        assert p["low"] <= truth[p["name"]] <= p["high"], p["name"]
        assert p["given"] == []
    assert not any("which was held" in text for text in record["findings"])
    assert "R_sense" not in fixed


def test_a_held_value_says_where_it_came_from(folder):
    card = CalibrationCard(
        title="die 7", data_sha256="ab" * 32, device="sinh_tio2",
        values={"R_wl": CardValue(value=2.0, low=1.9, high=2.1, unit="ohm")},
    )  # fmt: skip
    (folder / "card.toml").write_text(card.to_toml())
    (folder / "c.toml").write_text("[array]\nR_driver = 20.0\nR_bl = 3.0\n")
    options = ("--config", folder / "c.toml", "--calibration", folder / "card.toml")
    _, fixed = rows(run(folder, "R_sense", *options, "--set", "array.R_bl=2"))
    assert fixed["R_wl"] == (2.0, "card 'die 7'")
    assert fixed["R_driver"] == (20.0, "file c.toml")
    assert fixed["R_bl"] == (2.0, "option --set array.R_bl")
    assert fixed["device"] == ("sinh_tio2", "card 'die 7'")
    assert fixed["device.b"][1] == "default of the model"
    assert fixed["G"][1] == "G.csv"
    _, fixed = rows(run(folder, "R_sense", array="array.h5"))
    assert fixed["R_driver"] == (20.0, "file array.h5")
    assert fixed["device.b"] == (2.2, "file array.h5")
    assert fixed["G"][0].startswith("16 devices, ")


def test_everything_that_is_not_fitted_is_listed():
    names = [f.name for f in fixed_values(TRUE, ["R_wire", "device.b"])]
    assert names == ["R_driver", "R_sense", "G", "device", "device.V_read"]
    names = [f.name for f in fixed_values(TRUE, ["R_wl", "G"])]
    assert names == ["R_bl", "R_driver", "R_sense", "device", "device.b", "device.V_read"]
    device = xb.devices.get("o921c_4k")
    fixed = {f.name for f in fixed_values(device, ["A_p"])}
    assert "device.A_n" in fixed
    assert "device.A_p" not in fixed


def test_why_a_held_lead_was_not_freed_is_said():
    rng = np.random.default_rng(1)
    devices = MOST + 1
    arrays = xb.Crossbar(np.full((devices, 1, 1), 1e-4), device="sinh_tio2")
    V = np.tile(np.linspace(0.1, 0.6, 4), devices)
    names = np.repeat([f"d{k}" for k in range(devices)], 4)
    I_out = 1e-4 * V * (1 + 0.01 * rng.standard_normal(V.size))
    options = calibration.Options(held_out=0.0)
    fit, _ = calibration.fit_reads(
        arrays, calibration.sweeps(names, V, I_out), ["G"], options=options
    )
    assert {h.reason for h in fit.held} == {f"more than {MOST} parameters were fitted"}
    few = calibration.sweeps(["a"] * 3, V[:3], I_out[:3])
    start = xb.Crossbar([[1e-4]], device="sinh_tio2")
    fit, _ = calibration.fit_reads(start, few, ["G", "device.b"], options=options)
    assert all("needs more measured values" in h.reason for h in fit.held)
