"""Every command line of the pages: its options exist, and what takes seconds runs as it stands."""

from __future__ import annotations

import re
import shlex
import shutil

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from tests.docs.command_files import write_all
from tests.docs.pages import PAGES, ROOT, command_lines
from xbarspice.cli.app import app

LINES = {page.name: command_lines(page) for page in PAGES if command_lines(page)}
LONG = {"verify --map"}
"""What takes minutes: parsed only."""
FOREIGN = {"tapeout chip --drc foundry"}
"""What needs files of a foundry: parsed only; tests of decks run it with decks of our own."""


def words_of(line: str) -> list[str]:
    """Arguments of a line as a shell would pass them, without the comment behind it."""
    return shlex.split(line, comments=True)[1:]


def is_parsed_only(line: str) -> bool:
    return any(" ".join(words_of(line)).startswith(start) for start in LONG | FOREIGN)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What the command lines name: a model, its deployment, inputs, an array, measured data."""
    folder = tmp_path_factory.mktemp("commands")
    write_all(folder)
    return folder


@pytest.mark.parametrize("line", [line for lines in LINES.values() for line in lines])
def test_a_command_line_parses(line, files, tmp_path, monkeypatch):
    """The command and all its options exist, and every value is of the option's kind."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    command, words = get_command(app), words_of(line)
    name = "xbarspice"
    while isinstance(command, TyperGroup):
        name, *words = words
        command = command.commands[name]
    assert name != "xbarspice"
    command.make_context(name, words)


@pytest.mark.parametrize("page", LINES)
def test_the_command_lines_of_a_page_run_in_order(page, files, tmp_path, monkeypatch):
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for line in LINES[page]:
        if not is_parsed_only(line):
            outcome = CliRunner().invoke(app, words_of(line))
            assert outcome.exit_code == 0, (line, outcome.output, outcome.exception)


def test_the_table_names_every_command_once():
    table = (ROOT / "docs" / "commands.md").read_text("utf-8")
    rows = re.findall(r"^\| `xbarspice (\w+)` \|", table, flags=re.M)
    assert sorted(rows) == sorted(get_command(app).commands)  # type: ignore[attr-defined]


def test_every_calibration_stands_on_its_page():
    lines = " ".join(LINES["calibration.md"])
    group = get_command(app).commands["calibrate"]  # type: ignore[attr-defined]
    assert sorted(set(re.findall(r"xbarspice calibrate (\w+)", lines))) == sorted(group.commands)
