"""`xbarspice designs` from the command line."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import xbarspice as xb
from tests.unit.training.models import three_classes
from xbarspice.cli.app import app, main
from xbarspice.variability import RelativeNoise, drolet_2023


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Deployments of a network of three classes, tiled and folded, and points with its classes."""
    x, _ = three_classes(60)
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    with torch.no_grad():
        model[0].weight.mul_(4)
        model[2].bias.sub_(model(x).mean(dim=0))
    y = model(x).argmax(dim=1).numpy()
    np.savez(tmp_path / "p.npz", x=x.numpy(), y=y)
    for name, variation, layout in (
        ("d.h5", drolet_2023(), "tiled"),
        ("f.h5", RelativeNoise(sigma=0.1), "folded"),
    ):
        config = xb.ArrayConfig(variation=variation, layout=layout)
        xb.save(tmp_path / name, xb.nn.convert(model, config, calibrate=x))
    ideal = xb.ArrayConfig(variation=RelativeNoise(sigma=0.1))
    xb.save(tmp_path / "e.h5", xb.nn.convert(model, ideal, exclude=["0"], calibrate=x))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words):
    told = ["designs", *words, "--inputs", "p.npz", "--transfers", "10", "--json"]
    result = CliRunner().invoke(app, told)
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def test_all_usual_choices_of_the_issue_are_tried_and_the_best_is_written(files):
    record = call("d.h5", "--out", "run")
    assert {effect["choice"] for effect in record["effects"]} == {
        "input_range",
        "centring",
        "bias",
        "placement",
        "w_scale",
        "conductance_range",
        "write_order",
        "x_scale",
        "cells",
    }
    assert {"0": 2.0} in [effect["value"] for effect in record["effects"]]
    assert record["gain"]["low"] <= record["gain"]["value"] <= record["gain"]["high"]
    assert {part["choice"] for part in record["parts"]} == set(record["recommended"])
    circuit = xb.load(files / "run/design.h5")
    data, encode = np.load(files / "p.npz"), record["encode"]
    x = torch.from_numpy(encode["gain"] * data["x"] + encode["offset"])
    with torch.no_grad(), xb.nn.exact_products():
        assert np.array_equal(circuit(x).argmax(dim=1).numpy(), data["y"])
    page = (files / "run/report.html").read_text()
    for part in ("Recommended design", "What each choice does", "conductance_range", "0.0003"):
        assert part in page


def test_stated_choices_alone_are_tried(files):
    words = ("--choice", "placement=high,middle", "--choice", "input_range=[-1,1]")
    record = call("d.h5", *words, "--choice", "w_scale", "--metric", "consistent", "--out", "run")
    tried = sorted((e["choice"], str(e["value"])) for e in record["effects"])
    assert tried == [
        ("input_range", "[-1, 1]"),
        ("placement", "high"),
        ("placement", "middle"),
        ("w_scale", "output"),
    ]
    assert record["metric"] == "consistent"
    assert record["refused"] == []


def test_designs_are_judged_after_a_remedy_on_points_that_it_has_not_seen(files):
    words = ("d.h5", "--choice", "placement=high", "--out", "run")
    plain, mended = call(*words), call(*words, "--remedy", "partners+offset")
    assert (plain["remedy"], plain["points"]) == ("", 60)
    assert mended["points"] == 30
    assert "compensate True" in mended["remedy"]
    assert mended["base"]["value"] > plain["base"]["value"]


def test_what_a_model_cannot_have_is_said(files):
    record = call("f.h5", "--out", "run")
    said = " ".join(record["refused"])
    assert "cells = 2: a folded array holds one pair a weight" in said
    assert "write_order = columns: a write order makes a difference" in said
    assert "What this model cannot have" in (files / "run/report.html").read_text()


WRONG = {
    "layers left ideal": (("e.h5",), "designs put every layer on arrays"),
    "a range": (("d.h5", "--set", "array.adc_range=1e-3"), "array.adc_range"),
    "a choice": (("d.h5", "--choice", "placment=high"), "Did you mean 'placement'?"),
    "a value": (("d.h5", "--choice", "placement=lower"), "`placement` must be one of"),
    "no value": (("d.h5", "--choice", "placement="), "a choice must read"),
    "no list": (("d.h5", "--choice", "input_range=[-1"), "a choice must read"),
    "no usual value": (("f.h5", "--choice", "cells"), "a folded array holds one pair"),
    "a remedy": (("d.h5", "--remedy", "ofset"), "Did you mean 'offset'?"),
    "a metric": (("d.h5", "--metric", "best"), "`metric` must be one of"),
    "transfers": (("d.h5", "--transfers", "1"), "`transfers`"),
    "an engine": (("d.h5", "--engine", "spice"), "spice"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_ends_with_status_2_and_leaves_nothing(files, case, monkeypatch, capsys):
    arguments, words = WRONG[case]
    told = ["xbarspice", "designs", *arguments, "--inputs", "p.npz", "--out", "run"]
    monkeypatch.setattr(sys, "argv", told)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
    assert {p.name for p in files.iterdir()} == {"d.h5", "e.h5", "f.h5", "p.npz"}
