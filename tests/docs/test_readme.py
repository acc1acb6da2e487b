"""The README: its Python blocks run, its commands and figures exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from xbarspice.cli.app import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_python_blocks_run(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[number], f"README block {number}", "exec"), {})  # noqa: S102


def test_there_is_an_example():
    assert BLOCKS


def test_every_command_stands_in_the_table():
    for name in get_command(app).commands:  # type: ignore[attr-defined]
        assert f"`xbarspice {name}" in README, f"the README's table lacks `xbarspice {name}`"


def test_pictures_and_links_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
