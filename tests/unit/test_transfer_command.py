"""`xbarspice transfer` from the command line."""

from __future__ import annotations

import json

import numpy as np
from typer.testing import CliRunner

from xbarspice import network as network_files
from xbarspice.cli.app import app
from xbarspice.studies.transfer import TransferStudy


def test_transfer_prints_the_figures_and_goes_on_from_its_file(tmp_path, network):
    network_files.save(tmp_path / "n.npz", network)
    args = ["transfer", str(tmp_path / "n.npz"), "--engine", "ideal", "--json"]
    args += ["--out", str(tmp_path / "t.h5")]
    first = CliRunner().invoke(app, [*args, "--transfers", "50"])
    assert first.exit_code == 0, first.output
    again = CliRunner().invoke(app, [*args, "--transfers", "120"])
    assert again.exit_code == 0, again.output
    found = json.loads(again.stdout)
    assert found["transfers"] == 120
    assert found["metric_low"] <= found["metric"] <= found["metric_high"]
    assert found["drift_table"] == "pooled"
    assert 0 <= found["metric_released_drift_table"] <= 1
    assert {p.name for p in tmp_path.iterdir()} == {"n.npz", "t.h5", "t-other-reading.h5"}
    assert found["worst"] <= found["low_5_percent"] <= found["mean"] <= 1


def test_errors_without_the_drift_table_have_one_reading(tmp_path, network):
    network_files.save(tmp_path / "n.npz", network)
    args = ["transfer", str(tmp_path / "n.npz"), "--engine", "ideal", "--json", "--transfers", "20"]
    args += ["--set", 'variability=[{name = "relative_noise", sigma = 0.02}]']
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.output
    assert not [name for name in json.loads(done.stdout) if "drift_table" in name]


def test_the_command_explains_itself():
    shown = CliRunner().invoke(app, ["transfer", "--help"])
    assert shown.exit_code == 0
    assert "Example:" in shown.output


def test_summary_of_many_classes():
    logits = np.zeros((4, 3, 5))
    logits[..., 2] = 1.0
    study = TransferStudy(
        engine="ideal", labels=np.array([2, 2, 0]), logits=logits, clean=logits[0]
    )
    assert study.metric() == study.noise_free == 2 / 3
