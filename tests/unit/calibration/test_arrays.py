"""A model on measured arrays: which table is which array, what it costs, what tuning saves."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import xbarspice as xb
from xbarspice.calibration import measured as study
from xbarspice.cli.app import app
from xbarspice.core.errors import InputError
from xbarspice.deployment import read
from xbarspice.variability import Compose, RelativeNoise, StuckDevices


def moons(layout):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 4), nn.Sigmoid(), nn.Linear(4, 2)).double()
    x = torch.rand(30, 2, dtype=torch.float64)
    config = xb.ArrayConfig(layout=layout, tile_rows=16, tile_cols=16)
    circuit = xb.nn.convert(model, config, calibrate=x).eval()
    with torch.no_grad():
        return circuit, x, circuit(x).argmax(dim=1).numpy()


def tables(circuit, folder, stuck=()):
    """A table of every array, in ohm, its targets but for stuck devices (array, row, col, S)."""
    out = []
    for k, array in enumerate(xb.nn.arrays(circuit)):
        G = array.crossbar.G.copy()
        for which, row, col, value in stuck:
            if which == k:
                G[row, col] = value
        path = folder / f"die{k}.csv"
        text = "\n".join(";".join(f"{1 / g:.9f}" for g in row) for row in G)
        path.write_text(f"V_read = 0.2 V\nohm\n{text}\n")
        out.append((array.name, path))
    return out


@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_a_die_that_holds_its_targets_costs_nothing(tmp_path, layout):
    circuit, x, y = moons(layout)
    dies = study.read_dies(circuit, tables(circuit, tmp_path))
    record = study.judge(circuit, dies, (x,), y)
    for case in record["cases"].values():
        assert case["output_change"] < 1e-7
        assert case["accuracy"]["reached"] == case["accuracy"]["wanted"] == 1.0
    assert not any(m.kept.any() for m in dies)


@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_partners_keep_the_differences_of_pairs(tmp_path, layout):
    circuit, x, y = moons(layout)
    (name, _), *_ = tables(circuit, tmp_path, [(0, 1, 1, 900e-6)])
    files = tables(circuit, tmp_path, [(0, 1, 1, 600e-6)])
    dies = study.read_dies(circuit, files)
    assert int(dies[0].kept.sum()) == 1
    assert dies[0].array.name == name
    record = study.judge(circuit, dies, (x,), y, engine="nodal")
    measured, target, partners = (record["cases"][c]["output_change"] for c in study.CASES)
    assert measured == pytest.approx(target, rel=1e-3)
    assert partners < target
    G, wanted = study.with_partners(dies[0]), dies[0].array.crossbar.G
    assert G[1, 1] == pytest.approx(600e-6)
    assert 1 <= (wanted != G).sum() <= 2
    config = dies[0].array.tiles[0].config
    moved = (wanted != G) & ~dies[0].kept
    assert ((G[moved] >= config.G_min) & (G[moved] <= config.G_max)).all()


def test_tuning_errors_fall_on_devices_that_are_not_stuck(tmp_path):
    circuit, x, y = moons("tiled")
    dies = study.read_dies(circuit, tables(circuit, tmp_path, [(0, 0, 0, 900e-6)]))
    errors = Compose([RelativeNoise(sigma=0.05), StuckDevices(rate_lrs=1.0, rate_hrs=0.0)])
    drawn = study.drawn_errors(
        dies, {m.array.name: m.array.crossbar.G for m in dies}, study.without_stuck(errors), 0, 0
    )
    for m in dies:
        relative = drawn[m.array.name] / m.array.crossbar.G - 1
        assert np.array_equal(drawn[m.array.name][m.kept], m.die.G[m.kept])
        assert 0.01 < np.abs(relative[~m.kept]).mean() < 0.1
    record = study.judge(circuit, dies, (x,), y, errors=errors, transfers=3)
    assert set(record["tuned"]) == set(study.CASES[1:])
    for tuned in record["tuned"].values():
        assert tuned["lowest"] <= tuned["mean"] <= 1.0


def test_tables_that_fit_no_array_are_refused(tmp_path):
    circuit, _, _ = moons("tiled")
    files = tables(circuit, tmp_path)
    paths = [path for _, path in files]
    for wrong, words in (
        ([("9[0,0,0]", paths[0])], "must name one array"),
        ([files[0], files[0]], "must name one array"),
        ([(None, paths[0])], "must name one array"),
        ([(files[0][0], paths[1])], "must be 3 x 8"),
    ):
        with pytest.raises(InputError, match=words):
            study.read_dies(circuit, wrong)
    found = study.read_dies(circuit, [(None, path) for path in paths])
    assert [m.array.name for m in found] == [name for name, _ in files]


def test_the_command_leaves_a_deployment_of_what_was_measured(tmp_path):
    circuit, x, y = moons("tiled")
    xb.save(tmp_path / "d.h5", circuit)
    np.savez(tmp_path / "p.npz", x=x.numpy(), y=y)
    (name, path), *_ = tables(circuit, tmp_path, [(0, 2, 3, 1e-3)])
    words = ["calibrate", "arrays", str(tmp_path / "d.h5"), "--inputs", str(tmp_path / "p.npz")]
    words += ["--measured", f"{name}={path}", "--out", str(tmp_path / "run"), "--json"]
    done = CliRunner().invoke(app, [*words, "--transfers", "2"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["arrays"][0]["stuck_low_ohm"] == 1
    made = read(tmp_path / "run/measured.h5")
    held = {a.name: a.crossbar.G for a in xb.nn.arrays(made.circuit)}
    assert held[name][2, 3] == pytest.approx(1e-3)
    assert "1 of 2 arrays hold devices as programmed or measured" in made.notes[-1]
    assert made.notes[-2] == f"Measured: {name} in {path.name}."
    page = (tmp_path / "run/report.html").read_text()
    for text in ("SIMULATED", "healthy devices and partners on target", name):
        assert text in page
