"""Wheel and source distribution in empty environments of every Python: `make test-long`.

Needs a package index; versions are those of `.ci/constraints.txt`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13")
"""Those that `pyproject.toml` and CI name."""
FIRST_NETWORK = """\
{python} -m venv env && env/bin/python -m pip install -q -c {constraints} '{wheel}[torch]'
env/bin/xbarspice verify model.pt2 --inputs x.npz
"""
"""What a fresh user types, with ngspice and a Python there: two commands."""
PIP = ("-m", "pip", "--disable-pip-version-check")


def interpreter(version: str) -> str | None:
    """A Python of that version: this one, one of pyenv, or one on the path."""
    if sys.version.startswith(f"{version}."):
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    places = sorted(pyenv.glob(f"{version}.*/bin/python"))
    return str(places[-1]) if places else shutil.which(f"python{version}")


def run(*words: str | Path, cwd: Path, timeout: float = 600, home: Path | None = None) -> str:
    """Output of a program that must end well, away from this environment."""
    env = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    env |= {} if home is None else {"HOME": str(home), "OMP_NUM_THREADS": "1"}
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


def seconds(command: str, folder: Path) -> tuple[float, float, str]:
    """Time and processor time of a line of a shell in a new home, and its output."""
    before, start = os.times(), time.monotonic()
    output = run("bash", "-euc", command, cwd=folder, home=folder)
    wall, after = time.monotonic() - start, os.times()
    busy = after.children_user + after.children_system
    return wall, busy - before.children_user - before.children_system, output


def test_a_fresh_user_verifies_a_network_of_their_own(distributions, tmp_path, record_property):
    """Two commands in an empty folder, under ten minutes, of which those of this package under two.

    The first command is the time of others: pip brings their packages. docs/start.md states what
    it took on the development machine.
    """
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    x = torch.rand(20, 4, dtype=torch.float64)
    points = {0: torch.export.Dim("points")}
    exported = torch.export.export(model.double(), (x,), dynamic_shapes=(points,))
    torch.export.save(exported, tmp_path / "model.pt2")
    np.savez(tmp_path / "x.npz", x=x.numpy())
    constraints = ROOT / ".ci" / "constraints.txt"
    lines = FIRST_NETWORK.format(
        python=sys.executable, constraints=constraints, wheel=distributions[1]
    ).splitlines()
    install, verify = (seconds(line, tmp_path) for line in lines)
    for name, (wall, busy, _) in (("install", install), ("verify", verify)):
        record_property(name, f"{wall:.0f} s, {busy:.0f} s of processor time")
    assert "PASS" in verify[2]
    (report,) = tmp_path.glob("**/report.html")
    assert "ngspice" in report.read_text("utf-8")
    assert verify[0] < 120
    assert install[0] + verify[0] < 600
