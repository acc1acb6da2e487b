"""`xbarspice config`, suggestions for settings, and errors for programs."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib

import pytest
from typer.testing import CliRunner

from xbarspice.cli.app import app
from xbarspice.config import RunConfig, listing
from xbarspice.core.errors import InputError


def test_every_setting_has_a_meaning_and_a_kind():
    settings = list(listing.entries(RunConfig))
    assert len(settings) > 60
    for entry in settings:
        assert entry.meaning, entry.name
        assert "<" not in entry.kind, (entry.name, entry.kind)
        assert "None" not in entry.kind, (entry.name, entry.kind)


def test_the_printed_file_is_the_default_configuration(tmp_path):
    shown = CliRunner().invoke(app, ["config", "--print"])
    assert shown.exit_code == 0
    assert RunConfig.from_mapping(tomllib.loads(shown.stdout)) == RunConfig()
    part = CliRunner().invoke(app, ["config", "--print", "--section", "train"])
    assert set(tomllib.loads(part.stdout)) == {"train"}


def test_the_table_and_the_record_say_the_same():
    shown = CliRunner().invoke(app, ["config"], env={"COLUMNS": "200"})
    record = json.loads(CliRunner().invoke(app, ["config", "--json"]).stdout)
    assert {e["name"] for e in record["settings"]} == {e.name for e in listing.entries(RunConfig)}
    for entry in record["settings"]:
        assert entry["name"] in shown.stdout
    refused = CliRunner().invoke(app, ["config", "--section", "trian"])
    assert isinstance(refused.exception, InputError)


@pytest.mark.parametrize(
    ("values", "meant"),
    [
        ({"trian": {"epochs": 3}}, "train"),
        ({"train": {"epoch": 3}}, "train.epochs"),
        ({"array": {"Rwl": 3.0}}, "array.R_wl"),
        ({"mapping": {"R_driver": 3.0}}, "array.R_driver"),
    ],
)
def test_a_setting_that_is_nearly_one_is_suggested(values, meant):
    with pytest.raises(InputError, match=rf"Did you mean {meant}\?"):
        RunConfig.from_mapping(values)


def test_an_error_is_json_for_who_asks_for_it(tmp_path):
    words = [sys.executable, "-m", "xbarspice", "solve", "nothing.h5", "--json"]
    process = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert process.returncode == 2
    error = json.loads(process.stdout)["error"]
    assert error["kind"] == "InputError"
    assert error["exit_status"] == 2
    assert error["message"] in process.stderr
