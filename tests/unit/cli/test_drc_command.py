"""The command `drc`: verdict, table, script, and one message for wrong use."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import xbarspice as xb
from tests.unit.tapeout.rules.drawn import FAULTS, clean, layout_of
from xbarspice.cli.app import app
from xbarspice.tapeout import load_technology
from xbarspice.tapeout.rules import rule_script, rules_of


def run(*words):
    return CliRunner().invoke(app, ["drc", *map(str, words)])


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A clean layout and one with a necked line, in the folder where the commands run."""
    monkeypatch.chdir(tmp_path)
    layout_of(clean()).write(str(tmp_path / "clean.oas"))
    layout_of(FAULTS[0].parts).write(str(tmp_path / "neck.gds"))
    return tmp_path


def test_the_exit_status_is_the_verdict(files):
    good = run(files / "clean.oas", "--technology", "sky130b")
    assert good.exit_code == 0, good.output
    count = len(rules_of(load_technology("sky130b")))
    assert f"CLEAN  0 of {count} rules of sky130b are broken on TOP\n" in good.output
    bad = run(files / "neck.gds", "--technology", "sky130b")
    assert bad.exit_code == 1
    (row,) = [line for line in bad.output.splitlines() if "met1.width" in line]
    assert [word.strip() for word in row.strip("│").split("│")] == [
        "met1.width",
        "1",
        "0.05 um",
        "0.14 um",
        "-0.500",
        "0.000",
    ]
    assert f"FAIL  1 of {count} rules of sky130b is broken on TOP, at 1 place\n" in bad.output
    assert "report: runs/drc/report.html\n" in bad.output
    record = json.loads((files / "runs/drc/report.json").read_text())
    assert (record["clean"], list(record["broken"])) == (False, ["met1.width"])


def test_json_holds_every_place(files):
    result = run(files / "neck.gds", "--technology", "sky130b", "--json")
    assert result.exit_code == 1
    record = json.loads(result.output)
    assert not record["clean"]
    assert record["violations"] == [
        {
            "rule": "met1.width",
            "cell": "TOP",
            "measured": 0.05,
            "limit": 0.14,
            "unit": "um",
            "box": [-0.6, -0.025, -0.4, 0.025],
        }
    ]


def test_the_script_is_written_with_or_without_a_layout(files):
    text = rule_script(load_technology("sky130b"))
    for words in (("alone.drc",), ("beside.drc", files / "clean.oas")):
        script = files / words[0]
        result = run(*words[1:], "--technology", "sky130b", "--script", script)
        assert result.exit_code == 0, result.output
        assert script.read_text() == text


def test_wrong_use_is_one_message_and_nothing_is_written(files):
    for words, rule in (
        ((), "checks a layout, or writes a script"),
        (("--script", files / "rules.txt"), "ends in .drc or .lydrc"),
        (("--script", files / "r.drc", "--cell", "TOP"), "`--cell` is one of a layout"),
        ((files / "none.gds",), "must be a GDSII or OASIS file"),
        ((files / "clean.oas", "--technology", "none"), "a technology is one of"),
        ((files / "clean.oas", "--script", files / "r.drc"), "hold shapes on the layers"),
    ):
        result = run(*words)
        assert isinstance(result.exception, xb.errors.InputError), result.output
        assert rule in str(result.exception)
    assert not list(files.glob("r*"))  # neither rules nor runs
