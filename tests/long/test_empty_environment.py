"""The wheel with its base dependencies alone, in an empty environment: `make test-long`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]


def test_the_core_works_with_the_base_dependencies_alone(tmp_path):
    """Needs a package index; versions are those of `.ci/constraints.txt`."""
    pip = ("-m", "pip", "--disable-pip-version-check")
    build = ("wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(ROOT))
    subprocess.run([sys.executable, *pip, *build], check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, timeout=120)
    python = str(tmp_path / "venv" / "bin" / "python")
    constraints = str(ROOT / ".ci" / "constraints.txt")
    install = ("install", "-q", "-c", constraints, str(wheel))
    subprocess.run([python, *pip, *install], check=True, timeout=900)
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [python, str(ROOT / "tests" / "core_alone.py"), "nodal", "surrogate", "ngspice"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=env,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "solved with nodal surrogate ngspice" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("without torch")
