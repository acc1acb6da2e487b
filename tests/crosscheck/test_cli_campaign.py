"""`xbarspice campaign`, as a person calls it."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import xbarspice as xb
from tests.helpers import headline_of
from xbarspice import campaign
from xbarspice.campaign import estimates
from xbarspice.cli.app import app
from xbarspice.core.errors import InputError
from xbarspice.engines.ngspice import NgspiceEngine
from xbarspice.importers import perceptron


def call(*arguments):
    """The command in this process, its items too."""
    result = CliRunner().invoke(app, ["campaign", *map(str, arguments), "--workers", "0"])
    message = str(result.exception) if isinstance(result.exception, InputError) else result.output
    return SimpleNamespace(returncode=result.exit_code, stdout=result.stdout, stderr=message)


@pytest.fixture
def files(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    x = np.array([[0.3, 0.8], [0.9, 0.1], [0.2, 0.2]])
    circuit = xb.nn.convert(model, calibrate=torch.from_numpy(x)).eval()
    xb.save(tmp_path / "d.h5", circuit)
    np.savez(tmp_path / "p.npz", x=x, y=np.array([0, 1, 2]))
    return tmp_path, circuit


def test_a_sweep_of_transfers_in_ngspice_and_its_resumption(files):
    folder, circuit = files
    out, data = folder / "c.h5", np.load(folder / "p.npz")
    usual = (
        folder / "d.h5",
        "--out",
        out,
        "--inputs",
        folder / "p.npz",
        "--sweep",
        "R_wl=0,2",
        "--json",
    )
    result = call(*usual)
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert (record["items"], record["finished"], record["failed"]) == (2, 2, 0)
    results = campaign.load(out)
    for key, R_wl in zip(results, (0.0, 2.0), strict=True):
        assert results.settings(key) == {"engine": "ngspice", "transfer": None, "R_wl": R_wl}
        for layer in xb.nn.crossbar_layers(circuit).values():
            matrix = layer.matrices["weight"]
            matrix.config = dataclasses.replace(matrix.config, R_wl=R_wl)
        with torch.no_grad(), xb.nn.through("nodal"):
            expected = circuit(torch.from_numpy(data["x"]))
        np.testing.assert_allclose(results[key]["output0"], expected, rtol=0, atol=1e-9)
        assert results[key]["accuracy"] == np.mean(expected.argmax(dim=1).numpy() == data["y"])
    refused = call(*usual)
    assert refused.returncode != 0
    assert "--resume" in refused.stderr
    drawn = (*usual[:2], folder / "t.h5", *usual[3:], "--resume")
    record = json.loads(call(*drawn, "--transfers", 2).stdout)
    assert (record["items"], record["already"], record["finished"]) == (4, 0, 4)
    record = json.loads(call(*drawn, "--transfers", 3).stdout)
    assert (record["items"], record["already"], record["finished"]) == (6, 4, 6)
    outputs = [v["output0"].tobytes() for v in campaign.load(folder / "t.h5").values()]
    assert len(set(outputs)) == 6


def test_a_page_follows_the_campaign(files):
    folder, _ = files
    usual = (folder / "d.h5", "--inputs", folder / "p.npz", "--engine", "nodal", "--json")
    page = folder / "c.html"
    result = call(*usual, "--out", folder / "c.h5", "--split", 1, "--page", page)
    assert result.returncode == 0, result.stderr
    assert headline_of(page) == ("COMPLETE", "3 of 3 are done, 0 failed.")
    refused = call(*usual, "--out", folder / "e.h5", "--page", folder / "c.txt")
    assert refused.returncode != 0
    assert ".html" in refused.stderr
    assert not (folder / "e.h5").exists()


def test_an_estimate_says_what_a_campaign_takes_and_runs_none(files):
    folder, _ = files
    usual = ("campaign", folder / "d.h5", "--inputs", folder / "p.npz", "--out", folder / "c.h5")
    usual = (*usual, "--transfers", 400, "--split", 2, "--estimate")
    result = CliRunner().invoke(app, [*map(str, usual), "--workers", "1", "--json"])
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["items"], record["workers"]) == (800, 1)
    low, high = record["seconds_between"]
    assert low < record["seconds"] < high
    assert {p.name for p in folder.iterdir()} == {"d.h5", "p.npz"}
    for words in (("--scheduler", "tcp://a:1"), ("--workers", "0")):
        refused = CliRunner().invoke(app, [*map(str, usual), *words])
        assert refused.exit_code != 0
        assert "estimate" in str(refused.exception)


def test_an_estimate_counts_what_ngspice_will_be_asked(files, monkeypatch):
    """Both parts of the points, of each layer, in each transfer."""
    folder, circuit = files
    packed, data = campaign.CircuitModel.of(circuit), np.load(folder / "p.npz")
    item = functools.partial(campaign.circuit_item, model=packed, x=data["x"])
    parts = [{"engine": "ngspice", "points": p} for p in ((0, 2), (2, 3))]
    counts = []
    monkeypatch.setattr(estimates, "probe_costs", lambda works, **_: counts.append(works) or Free())
    estimates.estimate_circuits(400 * parts, item)
    calls = []
    usual = NgspiceEngine.solve
    monkeypatch.setattr(
        NgspiceEngine,
        "solve",
        lambda engine, state, crossbar, V_in, *args, **words: (
            calls.append((crossbar.G.shape, len(V_in)))
            or usual(engine, state, crossbar, V_in, *args, **words)
        ),
    )
    for part in parts:
        item(part)
    assert len(calls) == 4
    asked = Counter({(w.rows, w.cols, w.arrays * w.vectors): n for w, n in counts[0].items()})
    assert asked == Counter({(*shape[-2:], points): 400 for shape, points in calls})


class Free(SimpleNamespace):
    """Costs of nothing."""

    def estimate(self, *_, **__):
        return None


def test_points_are_split_into_items(files):
    folder, circuit = files
    record = json.loads(
        call(
            folder / "d.h5",
            "--inputs",
            folder / "p.npz",
            "--engine",
            "nodal",
            "--split",
            2,
            "--out",
            folder / "c.h5",
            "--json",
        ).stdout
    )
    assert record["finished"] == 2
    parts = [v["output0"] for v in campaign.load(folder / "c.h5").values()]
    with torch.no_grad():
        expected = circuit(torch.from_numpy(np.load(folder / "p.npz")["x"]))
    np.testing.assert_allclose(np.concatenate(parts), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--sweep", "G=1,2"), "R_wl=0,1,2"),
        (("--sweep", "R_wl=1,2", "--set", "array.R_wl=3"), "reads"),
        (("--transfers", "-1"), "transfers"),
        (("--engine", "spice"), "spice"),
    ],
)
def test_what_is_wrong_is_refused(files, words, message):
    folder, _ = files
    result = call(folder / "d.h5", "--inputs", folder / "p.npz", "--out", folder / "c.h5", *words)
    assert result.returncode != 0
    assert message in result.stderr
    assert {p.name for p in folder.iterdir()} == {"d.h5", "p.npz"}


def test_a_perceptron_is_put_on_arrays_on_the_way(tmp_path, network):
    perceptron.save(tmp_path / "n.npz", network)
    np.savez(tmp_path / "p.npz", x=np.array([[0.3, 0.8], [0.9, 0.1]]))
    usual = (
        tmp_path / "n.npz",
        "--inputs",
        tmp_path / "p.npz",
        "--engine",
        "nodal",
        "--out",
        tmp_path / "c.h5",
        "--json",
    )
    assert json.loads(call(*usual).stdout)["finished"] == 1
    assert json.loads(call(*usual, "--resume").stdout)["already"] == 1
