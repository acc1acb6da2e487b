"""Wheel and source distribution in empty environments of every Python: `make test-long`.

Needs a package index; versions are those of `.ci/constraints.txt`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13")
"""Those that `pyproject.toml` and CI name."""
PIP = ("-m", "pip", "--disable-pip-version-check")


def interpreter(version: str) -> str | None:
    """A Python of that version: this one, one of pyenv, or one on the path."""
    if sys.version.startswith(f"{version}."):
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    places = sorted(pyenv.glob(f"{version}.*/bin/python"))
    return str(places[-1]) if places else shutil.which(f"python{version}")


def run(*words: str | Path, cwd: Path, timeout: float = 600) -> str:
    """Output of a program that must end well, away from this environment."""
    env = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    process = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_the_versions_are_those_that_are_stated():
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert all(f"Programming Language :: Python :: {version}" in project for version in VERSIONS)
    assert f'requires-python = ">={VERSIONS[0]}"' in project
    workflow = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
    assert f"python: {json.dumps(VERSIONS)}" in workflow


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The source distribution, and the wheel that is built from it alone: (sdist, wheel)."""
    folder = tmp_path_factory.mktemp("distributions")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (sdist,) = folder.glob("*.tar.gz")
    run(sys.executable, *PIP, "wheel", "-q", "--no-deps", "-w", folder, sdist, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


@pytest.mark.parametrize("version", VERSIONS)
def test_the_wheel_works_with_the_base_dependencies_alone(version, distributions, tmp_path):
    """Arrays solved by all engines, files, netlists; `doctor` and `config`."""
    base = interpreter(version)
    if base is None:
        pytest.skip(f"there is no Python {version} on this machine")
    python = tmp_path / "venv" / "bin" / "python"
    run(base, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    constraints = ROOT / ".ci" / "constraints.txt"
    run(python, *PIP, "install", "-q", "-c", constraints, distributions[1], cwd=tmp_path)
    assert run(python, "-V", cwd=tmp_path).startswith(f"Python {version}.")
    program = ROOT / "tests" / "core_alone.py"
    said = run(python, program, "nodal", "surrogate", "ngspice", cwd=tmp_path)
    assert "solved with nodal surrogate ngspice" in said
    assert said.splitlines()[-1].startswith("without torch")

    xbarspice = tmp_path / "venv" / "bin" / "xbarspice"
    record = json.loads(run(xbarspice, "doctor", "--json", cwd=tmp_path))
    parts = {part["part"]: part for part in record["findings"]}
    assert parts["ngspice (golden engine)"]["ok"]
    assert parts["kernels of the surrogate"]["ok"]
    assert parts["torch"]["remedy"] == 'pip install "xbarspice[torch]"'
    assert "\nR_wl = " in run(xbarspice, "config", "--print", cwd=tmp_path)
