"""One tapeout by the command, for all tests that only read it or change a copy."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers import small_network
from tests.unit.tapeout.circuits import command
from xbarspice.cli.app import app
from xbarspice.importers import perceptron as perceptron_files


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A perceptron's file, inputs with classes, and a tapeout of it in two dialects."""
    base = tmp_path_factory.mktemp("tapeout")
    perceptron_files.save(base / "net.npz", small_network())
    rng = np.random.default_rng(5)
    np.savez(base / "x.npz", x=rng.uniform(-1.0, 1.0, (12, 2)))
    result = CliRunner().invoke(app, [*map(str, command(base)), "--out", str(base / "out")])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return base


@pytest.fixture(scope="session")
def folder(base):
    return base / "out"
