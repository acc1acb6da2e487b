"""Options that say how a table is to be understood, and --show."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from xbarspice.cli.app import app
from xbarspice.core.errors import InputError

ANALYSER = "Item,Smu1.V[1][1],Smu1.I[1][1]\n1,0.1,1\n2,0.2,9.9E+37\n3,0.3,3.3\n4,0.4,4.6\n"
COLUMNS = ["--column", "V=Smu1.V[1][1]", "--column", "I=Smu1.I[1][1]:uA"]


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_show_prints_what_was_understood_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iv.csv").write_text(ANALYSER)
    result = run("calibrate", "sweeps", "iv.csv", *COLUMNS, "--show", "--json")
    record = json.loads(result.stdout)
    assert record["columns"]["I"] == {"label": "Smu1.I[1][1]", "unit": "uA"}
    assert record["first_rows"][2:4] == [["0.1", "1e-06"], ["0.2", "inf"]]
    assert "overflows: 1 '9.9E+37'" in record["notices"]
    screen = run("calibrate", "sweeps", "iv.csv", *COLUMNS, "--show").stdout
    assert "I [A]" in screen
    assert "columns that are not used: Item" in screen
    assert [path.name for path in tmp_path.iterdir()] == ["iv.csv"]


def test_the_card_and_the_report_say_how_the_data_were_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{k},{0.05 * k},{1e2 * 0.05 * k}\n" for k in range(1, 9))
    (tmp_path / "iv.csv").write_text("Item,Smu1.V[1][1],Smu1.I[1][1]\n" + rows)
    words = ["--free", "G", "--set", "array.device=ohmic", "--out", "out", "--json"]
    result = run("calibrate", "sweeps", "iv.csv", *COLUMNS, *words)
    assert result.exit_code == 0, result.output
    assert "columns that are not used: Item" in json.loads(result.stdout)["data_read"]
    assert "columns that are not used: Item" in (tmp_path / "out" / "card.toml").read_text()
    assert "Columns that are not used: Item." in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--column", "V"], "a column must read NAME=LABEL"),
        (["--column", "Q=1"], "--column must name one of device, V, I"),
        (["--column", "V=Smu2.V", "--column", "I=3"], "must name a column"),
        (["--decimal", ";"], "`decimal` must be . or ,"),
        (["--skip", "-1"], "`skip` must be >= 0"),
        ([], "pass --column V=LABEL:UNIT"),
    ],
)
def test_options_that_do_not_fit_are_refused(words, said, tmp_path):
    (tmp_path / "iv.csv").write_text(ANALYSER)
    result = run("calibrate", "sweeps", tmp_path / "iv.csv", *words, "--show")
    assert isinstance(result.exception, InputError)
    assert said in str(result.exception)


def test_columns_are_chosen_by_number(tmp_path):
    (tmp_path / "iv.csv").write_text("0.1 1\n0.2 2\n")
    words = ["--column", "V=1", "--column", "I=2:mA", "--show", "--json"]
    record = json.loads(run("calibrate", "sweeps", tmp_path / "iv.csv", *words).stdout)
    assert record["first_rows"][2] == ["0.1", "0.001"]
