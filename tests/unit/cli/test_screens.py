"""What a person reads: square brackets in names, paths and help texts are text, not markup."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from typer.main import get_command
from typer.testing import CliRunner

import xbarspice as xb
from tests.unit.cli.test_card_commands import commands
from xbarspice.cli import screens, verification_screen
from xbarspice.cli.app import app
from xbarspice.core.errors import TrustWarning

NAME = "die[red]7[/red] [b] [sweep]"


def test_help_texts_keep_their_brackets():
    """Every bracketed word of a help text, an example or a docstring stands in what is printed."""
    words = 0
    for name, command in commands(get_command(app)):
        shown = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "200"}).output
        plain = re.sub(r"[\s│]+", " ", shown)
        texts = [command.help or "", command.epilog or ""]
        texts += [getattr(p, "help", None) or "" for p in command.params]
        for word in re.findall(r"\\?(\[[^\]\s]+\])", " ".join(texts)):
            words += 1
            assert word in plain, (name, word)
    assert words >= 2  # `[sweep]` of verify, `train.hidden=[8]` of train


def test_titles_names_and_paths_keep_their_brackets(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    model, x = torch.nn.Sequential(torch.nn.Linear(2, 2)).double(), torch.rand(3, 2).double()
    record = xb.verify(model, x, title=NAME, reference="nodal").record() | {
        "calibration": NAME,
        "notes": [NAME],
    }
    record["findings"] = [{"kind": NAME, "where": NAME, "text": NAME, "remedy": NAME}]
    record["gates"][0]["name"] = "my[b]engine"
    verification_screen.show(record, Path("[b]out"), False)
    shown = capsys.readouterr().out
    assert shown.count(NAME) >= 4
    assert "my[b]engine" in shown
    assert "[b]out" in shown
    screens.show({NAME: [NAME]}, False, "Title")
    assert capsys.readouterr().out.count(NAME) == 2
    row = {"part": NAME, "ok": False, "found": NAME, "remedy": NAME}
    screens.doctor({"findings": [row]}, False)
    assert capsys.readouterr().out.count(NAME) == 3


def test_messages_keep_their_brackets(capsys):
    screens._err.file = None
    screens.error(NAME)
    screens.show_warning(TrustWarning(NAME), TrustWarning)
    with screens.progress(NAME, quiet=False) as report:
        report(1, 1)
    assert capsys.readouterr().err.count(NAME) == 3


def test_names_of_parameters_and_arrays_are_shown_as_they_are_typed(tmp_path):
    """`--free R_wl` is typed with its underscore, and so is an array of the layer fc_1."""
    V = np.linspace(-0.6, 0.6, 25)
    np.savetxt(tmp_path / "s.csv", np.c_[V, 1e-4 * V], delimiter=",", header="V,I", comments="")
    words = ["calibrate", "sweeps", str(tmp_path / "s.csv"), "--device", "ohmic", "--free", "G"]
    shown = CliRunner().invoke(
        app, [*words, "--no-rank", "--out", str(tmp_path / "o")], env={"COLUMNS": "200"}
    )
    assert shown.exit_code == 0, shown.output
    assert "held: R_wl " in shown.output
    assert "R wl" not in shown.output
