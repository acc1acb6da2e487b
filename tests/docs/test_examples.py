"""Every script in examples/ runs to its end, with fewer epochs than a person would use."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import PATIENCE

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(script, tmp_path):
    process = subprocess.run(
        [sys.executable, str(script), "10"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.returncode == 0, process.stderr
    assert "FAIL" not in process.stdout
    assert re.search(r"\d", process.stdout), "an example prints what it measured"


def test_there_are_examples():
    assert EXAMPLES
