"""Drives beyond a device's V_max or a layer's x_scale are said, counted, and refused on request."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import xbarspice as xb
from xbarspice.cli.app import app
from xbarspice.core.errors import InputError, RangeWarning

ARRAY = xb.Crossbar(np.full((3, 2), 1e-4), device="cubic_al2o3_tio2")  # valid for 0.4 V


def test_one_warning_a_call_names_line_voltage_and_limit():
    V = np.tile([0.1, 0.2, -0.1], (5, 1))
    V[2, 1], V[3, 0] = 1.5, -0.7
    with pytest.warns(RangeWarning) as caught:
        solution = xb.solve(ARRAY, V)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    text = str(caught[0].message)
    for words in ("word line 1 of vector 2", "1.5 V", "0.4 V", "2 of 5", "cubic_al2o3_tio2"):
        assert words in text
    assert any("word line 1 of vector 2" in note for note in solution.stats.notes)
    with pytest.raises(InputError, match="word line 1"):
        xb.solve(ARRAY, V, outside="error")
    with pytest.raises(InputError, match="outside"):
        xb.solve(ARRAY, V, outside="never")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert xb.solve(ARRAY, V, outside="ignore").stats.notes
        inside = xb.solve(ARRAY, 0.4 * np.sign(V))  # the limit itself is within
    assert not inside.stats.notes


def test_what_counts_is_the_difference_of_two_sources():
    write = ARRAY.replace(ends=xb.LineEnds(bl_bottom="driven"))
    with pytest.warns(RangeWarning, match=r"0\.6 V"):
        xb.solve(write, [0.3, 0.0, 0.0], [-0.3, 0.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xb.solve(write, [0.8, 0.8, 0.8], [0.6, 0.6])
        xb.solve(xb.Crossbar(np.full((3, 2), 1e-4)), [50.0, 0.0, 0.0])  # Ohm's law has no limit
        xb.solve(ARRAY, np.empty((0, 3)))
    with pytest.warns(RangeWarning, match="bit line 1"):
        xb.solve(write, [0.0, 0.0, 0.0], [0.0, -0.9])


def test_tensors_are_told_in_the_notes_and_never_stopped():
    G, V = torch.full((3, 2), 1e-4, dtype=torch.float64), torch.tensor([0.1, 2.0, 0.1]).double()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for tensor in (G, G.clone().requires_grad_()):
            solution = xb.nn.solve(tensor, V, device="cubic_al2o3_tio2")
            assert any("word line 1" in note and "2 V" in note for note in solution.stats.notes)


def test_an_error_says_how_far_beyond_the_range_the_drive_was():
    crossbar = xb.Crossbar(np.full((2, 2), 3e-4), R_wl=0, R_bl=0, device="sinh_tio2")
    with pytest.warns(RangeWarning), pytest.raises(xb.errors.ConvergenceError, match="word line 0"):
        xb.solve(crossbar, [400.0, 1.0])


def test_the_commands_say_it(tmp_path):
    """`verify` says it of a deployment, in JSON and in the report."""
    x = np.array([[20.0, 0.1, 0.1], [0.1, 0.1, 0.1]])
    np.savez(tmp_path / "x.npz", x=x)
    words = ["--inputs", str(tmp_path / "x.npz"), "--json"]
    model = torch.nn.Sequential(torch.nn.Linear(3, 2)).double()
    config = xb.ArrayConfig(device="cubic_al2o3_tio2")
    xb.save(tmp_path / "c.h5", xb.nn.convert(model, config, calibrate=torch.tensor(x[1:])))
    out = tmp_path / "run"
    more = ["--reference", "nodal", "--engine", "surrogate", "--out", str(out)]
    result = CliRunner().invoke(app, ["verify", str(tmp_path / "c.h5"), *words, *more])
    findings = {f["kind"]: f["text"] for f in json.loads(result.stdout)["findings"]}
    assert "40 V" in findings["input beyond its range"]
    assert "up to 40 V" in findings["beyond the device's range"]
    assert "x_scale = 0.1" in (out / "report.html").read_text()
