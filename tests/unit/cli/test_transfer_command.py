"""`xbarspice transfer` from the command line."""

from __future__ import annotations

import json
import sys
import tomllib

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import xbarspice as xb
from tests.helpers import run_command
from xbarspice.cli.app import app, main
from xbarspice.core import hdf5
from xbarspice.importers import perceptron
from xbarspice.training import procedures
from xbarspice.variability import RelativeNoise


@pytest.fixture
def files(tmp_path, network, monkeypatch):
    """A perceptron, a deployment with a variation of its own, and points with classes."""
    perceptron.save(tmp_path / "n.npz", network)
    rng = np.random.default_rng(0)
    x = rng.random((20, 2))
    np.savez(tmp_path / "p.npz", x=x, y=network.predict(network.forward(x)[-1]))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    config = xb.ArrayConfig(variation=RelativeNoise(sigma=0.05))
    circuit = xb.nn.convert(model, config, calibrate=torch.from_numpy(x))
    xb.save(tmp_path / "d.h5", circuit)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words):
    result = CliRunner().invoke(app, ["transfer", *words, "--inputs", "p.npz", "--json"])
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def test_a_run_folder_tells_what_was_seen_and_goes_on_with_more(files):
    words = ("n.npz", "--out", "run", "--set", "array.R_wl=3", "--set", "mapping.tile_rows=16")
    call(*words, "--transfers", "20")
    first = hdf5.read_tree(files / "run/transfers.h5", "transfer study")
    record = call(*words, "--transfers", "50", "--layers", "3", "--golden", "1")
    assert {p.name for p in (files / "run").iterdir()} == {
        "transfers.h5",
        "report.html",
        "report.json",
        "run.toml",
    }
    assert {p.name for p in files.iterdir()} == {"n.npz", "d.h5", "p.npz", "run"}
    tree = hdf5.read_tree(files / "run/transfers.h5", "transfer study")
    assert len(tree["output_change"]) == record["transfers"] == 50
    np.testing.assert_array_equal(tree["output_change"][:20], first["output_change"])
    assert record["metric_low"] <= record["metric"] <= record["metric_high"]
    assert record["worst"] <= record["mean"] <= record["best"] <= 1
    assert record["drift_table"] == "pooled"
    assert 0 <= record["metric_released_drift_table"] <= 1
    assert record["golden"]["error"] < 1e-9
    assert [k["transfers"] for k in record["layers"]] == [3, 3]
    assert record["coverage"]["weight_share"] == 1.0
    assert tomllib.loads((files / "run/run.toml").read_text())["array"]["R_wl"] == 3.0
    page = (files / "run/report.html").read_text()
    for words in ("SIMULATED", "drift table released", "against ngspice", "What each layer"):
        assert words in page


def test_a_stopped_study_says_how_it_goes_on(files, monkeypatch):
    from xbarspice.transfer import study

    real = study._Run.change
    calls = []

    def change(*args):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return real(*args)

    words = ("d.h5", "--transfers", "10", "--inputs", "p.npz", "--out", "run")
    monkeypatch.setattr(study._Run, "change", change)
    result = run_command("transfer", *words)
    assert result.returncode == 130
    assert "run.unfinished.h5: the same command goes on" in result.stderr
    assert not (files / "run").exists()
    assert call(*words[:3], "--out", "run")["transfers"] == 10
    assert len(calls) == 7 + 4  # six were kept
    assert not (files / "run.unfinished.h5").exists()


def test_errors_are_those_of_the_configuration_else_of_the_deployment(files):
    of_file = call("d.h5", "--transfers", "5")
    assert of_file["variation"] == "relative_noise sigma=0.05"
    assert not [name for name in of_file if "drift_table" in name]
    stated = 'variability=[{name = "relative_noise", sigma = 0.02}]'
    assert call("d.h5", "--transfers", "5", "--set", stated)["variation"].endswith("0.02")
    rates = call("d.h5", "--transfers", "5", "--rate-lrs", "0.1")["variation"]
    assert "saf rate_lrs=0.1 rate_hrs=0.002" in rates


def test_the_same_model_has_the_same_transfers_at_every_engine(files):
    change = [
        call("d.h5", "--transfers", "3", "--engine", name)["output_change"]["mean"]
        for name in ("surrogate", "ngspice")
    ]
    assert change[0] == pytest.approx(change[1], rel=1e-6)


def test_the_page_has_the_loss_budget_and_remedies_of_a_model_with_three_classes(files):
    rng = np.random.default_rng(1)
    circuit = xb.load(files / "d.h5")
    x = rng.random((40, 2))
    y = circuit(torch.from_numpy(x)).argmax(dim=1).numpy()
    np.savez(files / "p.npz", x=x, y=y)
    words = ("d.h5", "--transfers", "8", "--budget", "8", "--out", "run")
    names = ["offset", "gain_and_offset", "partners+other_lines+tuning_passes+offset"]
    words = (*words, *(word for name in names for word in ("--remedy", name)))
    record = call(*words)
    budget, remedies = record["budget"], record["remedies"]
    assert {cost["source"] for cost in budget["costs"]} == {"relative noise", "wires"}
    assert budget["judged"] == "decisions, against the labels"
    assert budget["all"]["value"] == pytest.approx(record["mean"])
    assert [each["remedy"] for each in remedies] == names
    for each in remedies:
        gain = each["after"]["value"] - each["before"]["value"]
        assert each["gain"]["value"] == pytest.approx(gain)
        assert each["calibration"] + each["points"] == 40
    page = (files / "run/report.html").read_text()
    for part in ("Loss budget", "relative noise", "gain_and_offset", "judged on the other 20"):
        assert part in page
    shown = CliRunner().invoke(app, ["transfer", *words, "--inputs", "p.npz"]).output
    assert "lost by all sources" in shown
    assert "won by the remedy offset" in shown


def test_the_help_lists_all_remedies():
    shown = CliRunner().invoke(app, ["transfer", "--help"], env={"COLUMNS": "200"}).output
    assert all(name in shown for name in procedures.names())


WRONG = {
    "a misspelt remedy": (("d.h5", "--inputs", "p.npz", "--remedy", "partner"), "'partners'?"),
    "a remedy": (("d.h5", "--inputs", "p.npz", "--remedy", "prayer"), "prayer"),
    "a metric": (("d.h5", "--inputs", "p.npz", "--metric", "best"), "`--metric` must be one of"),
    "two kinds of workers": (
        ("d.h5", "--inputs", "p.npz", "--workers", "2", "--scheduler", "tcp://h:1"),
        "Leave one of them out",
    ),
    "a budget": (("d.h5", "--inputs", "p.npz", "--budget", "-1"), "`--budget` must be"),
    "no inputs": (("d.h5",), "--inputs"),
    "an old mapped network": (("m.h5", "--inputs", "p.npz"), "xbarspice map NETWORK"),
    "no transfers": (("d.h5", "--inputs", "p.npz", "--transfers", "0"), "`transfers` must be"),
    "an engine": (("d.h5", "--inputs", "p.npz", "--engine", "spice"), "spice"),
    "rates beside a variability": (
        (
            "d.h5",
            "--inputs",
            "p.npz",
            "--rate-hrs",
            "0.1",
            "--set",
            'variability=[{name = "relative_noise", sigma = 0.02}]',
        ),
        "Leave the rates out",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_ends_with_status_2_and_leaves_nothing(files, case, monkeypatch, capsys):
    hdf5.write_tree(files / "m.h5", {"G_max": 5e-4}, "mapped network")
    arguments, words = WRONG[case]
    monkeypatch.setattr(sys, "argv", ["xbarspice", "transfer", *arguments, "--out", "run"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
    assert {p.name for p in files.iterdir()} == {"n.npz", "d.h5", "p.npz", "m.h5"}


def test_the_command_explains_itself():
    shown = CliRunner().invoke(app, ["transfer", "--help"])
    assert shown.exit_code == 0
    assert "Example:" in shown.output
