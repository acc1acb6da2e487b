"""What a user sees first: public names, types, version, citation."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import yaml
from typer.testing import CliRunner

import xbarspice as xb
from xbarspice.cli.app import app

ROOT = Path(__file__).parents[2]


def test_dir_shows_the_public_names_and_each_is_there():
    assert set(dir(xb)) == {*xb.__all__, "__version__"}
    for name in dir(xb):
        assert getattr(xb, name) is not None


def test_types_are_handed_on():
    assert (Path(xb.__file__).parent / "py.typed").is_file()


def test_the_version_is_one():
    shown = CliRunner().invoke(app, ["--version"])
    assert shown.exit_code == 0
    assert shown.stdout == f"xbarspice {xb.__version__}\n"
    assert importlib.metadata.version("xbarspice") == xb.__version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == xb.__version__
    assert citation["license"] == "BSD-3-Clause"
