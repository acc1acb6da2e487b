"""Commands: bad input is one line and status 2 before any work; a defect is one line and a file."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import small_network
from xbarspice.cli import app, main
from xbarspice.deployment.opening import Opened
from xbarspice.importers import perceptron


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    perceptron.save(tmp_path / "n.npz", small_network())

    def no_work(*_, **__):
        raise AssertionError("work began")

    monkeypatch.setattr(Opened, "outputs", no_work)
    return tmp_path


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["xbarspice", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


CASES = {
    "no random inputs": (
        ["--random", "-1"],
        {},
        "equal to 1|range x>=1",
    ),
    "too few labels": (["--inputs", "p.npz"], {"x": np.ones((3, 2)), "y": [0, 1]}, r"shape \(3,\)"),
    "labels that are no classes": (
        ["--inputs", "p.npz"],
        {"x": np.ones((2, 2)), "y": [0, 1.5]},
        "whole numbers; received 1.5",
    ),
    "no points": (["--inputs", "p.npz"], {"x": np.ones((0, 2))}, "at least one point"),
    "complex inputs": (["--inputs", "p.npz"], {"x": np.ones((2, 2)) * 1j}, "complex numbers"),
    "calibration = 1": (["--set", "calibration=1"], {}, "calibration"),
    "text for a number": (["--set", 'array.R_wl="1"'], {}, "array.R_wl.*'1'"),
    "true for a number": (["--set", "array.R_wl=true"], {}, "array.R_wl.*True"),
    "R = 1e308": (["--set", "array.R_wl=1e308"], {}, "R_wl"),
    "no folder": (["--out", "n.npz/deeper/out.h5"], {}, "can be written"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_line_and_status_2_before_any_work(folder, monkeypatch, capsys, name):
    arguments, points, words = CASES[name]
    if points:
        np.savez(folder / "p.npz", **points)
    assert call(monkeypatch, "solve", "n.npz", *arguments) == 2
    message = capsys.readouterr().err
    assert re.search(words, " ".join(message.replace("│", " ").split())), message
    assert "Traceback" not in message


def test_labels_beyond_the_classes_are_refused(folder, monkeypatch, capsys):
    """How many classes a model has is known once it has run; nothing is written."""
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    np.savez(folder / "p.npz", x=np.ones((2, 2)), y=[0, 7])
    assert call(monkeypatch, "solve", "n.npz", "--inputs", "p.npz", "--out", "o.h5") == 2
    assert "must lie below 2" in capsys.readouterr().err
    assert not (folder / "o.h5").exists()


def test_the_extra_column_of_a_csv_is_the_class_and_must_be_whole(folder, monkeypatch, capsys):
    (folder / "p.csv").write_text("0.1,0.2,0.5\n0.3,0.4,1\n")
    assert call(monkeypatch, "solve", "n.npz", "--inputs", "p.csv") == 2
    assert "class labels of p.csv" in capsys.readouterr().err


def test_a_defect_is_one_line_status_3_and_a_file_that_holds_the_traceback(
    folder, monkeypatch, capsys
):
    def fails(*_, **__):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(app, "app", fails)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    assert call(monkeypatch, "solve", "n.npz") == 3
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert "ZeroDivisionError: a defect" in " ".join(message.split())
    (traceback_file,) = folder.glob("xbarspice-error-*.txt")
    assert Path(traceback_file).name in message.replace("\n", "")
    assert "ZeroDivisionError: a defect" in traceback_file.read_text()
    assert "in fails" in traceback_file.read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["solve", "n.npz", "--engin", "nodal"], "No such option: --engin"),
        (["slove", "n.npz"], "No such command 'slove'"),
        (["solve"], "Missing argument"),
        (["solve", "n.npz", "--random", "no"], "Invalid value for '--random'"),
    ],
)
def test_wrong_usage_is_a_record_with_json_and_a_box_without(
    folder, monkeypatch, capsys, words, sentence
):
    assert call(monkeypatch, *words, "--json") == 2
    record = json.loads(capsys.readouterr().out)["error"]
    assert sentence in record["message"]
    assert (record["kind"], record["exit_status"]) == ("UsageError", 2)
    assert call(monkeypatch, *words) == 2
    shown = capsys.readouterr()
    assert sentence in " ".join(shown.err.replace("│", " ").split())
    assert shown.out == ""


def test_json_changes_no_exit_status_of_a_command_that_works(folder, monkeypatch, capsys):
    assert call(monkeypatch, "config", "--section", "seed", "--json") == 0
    assert json.loads(capsys.readouterr().out)
    assert call(monkeypatch, "solve", "--json", "--help") == 0
