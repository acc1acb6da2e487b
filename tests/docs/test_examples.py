"""Every script in examples/ runs to its end, with fewer epochs than a person would use."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(script, tmp_path):
    done = subprocess.run(
        [sys.executable, str(script), "10"], cwd=tmp_path, capture_output=True, text=True,
        timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "FAIL" not in done.stdout
    assert re.search(r"\d", done.stdout), "an example prints what it measured"


def test_there_are_examples():
    assert EXAMPLES
