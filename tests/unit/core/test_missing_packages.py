"""A missing package is one sentence; a read-only installation without a home still solves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import xbarspice as xb
from xbarspice.cli import doctor
from xbarspice.core import errors

BLOCKER = """
import os, sys

class Blocker:
    blocked = set(os.environ["BLOCKED"].split(","))

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""
COMMANDS = {
    "torch": 'pip install "xbarspice[nn]"',
    "matplotlib": 'pip install "xbarspice[plots]"',
    "scikit-learn": 'pip install "xbarspice[data]"',
}
"""What brings a package that is not among the base dependencies."""
SOLVE = "import xbarspice as xb; print(xb.solve(xb.Crossbar([[1e-4]]), [0.1], engine={!r}).I_out)"


@pytest.fixture(scope="module")
def blocker(tmp_path_factory):
    """A folder for PYTHONPATH that blocks the packages named in $BLOCKED, and a deployment."""
    folder = tmp_path_factory.mktemp("blocker")
    (folder / "sitecustomize.py").write_text(BLOCKER)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2)).double()
    xb.save(folder / "m.h5", xb.nn.convert(model), inputs=torch.ones(1, 2).double())
    return folder


def python(blocker: Path, missing: str, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(blocker), str(Path(xb.__file__).parents[1])])
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=120, cwd=blocker,
        env={**os.environ, "BLOCKED": missing, "PYTHONPATH": path},
    )  # fmt: skip


def test_doctor_works_without_the_packages_that_it_looks_for(blocker):
    missing = ["torch", "h5py", "matplotlib", "numba", "scipy", "sklearn", "jinja2"]
    done = python(blocker, ",".join(missing), "-m", "xbarspice", "doctor", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    absent = {f["part"]: f["remedy"] for f in record["findings"] if not f["ok"]}
    for name in ("torch", "h5py", "matplotlib", "numba", "scipy", "scikit-learn", "jinja2"):
        assert absent[name] == COMMANDS.get(name, f"pip install {name}")
    assert not record["ok"]
    shown = python(blocker, ",".join(missing), "-m", "xbarspice", "doctor")
    assert shown.returncode == 0
    assert shown.stdout.count("missing") >= 7


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("h5py", ("verify", "m.h5")),
        ("matplotlib", ("verify", "m.h5", "--reference", "nodal", "--engine", "nodal")),
        ("matplotlib", ("demo",)),
        ("numba", ("solve", "m.h5")),
        ("scipy", ("solve", "m.h5", "--engine", "nodal")),
        ("torch", ("train",)),
        ("torch", ("verify", "m.h5", "--worst-case", "--reference", "nodal")),
        ("pydantic", ("solve", "m.h5")),
        ("typer", ("solve", "m.h5")),
        ("rich", ("solve", "m.h5")),
    ],
)
def test_a_command_says_in_one_sentence_what_is_missing(blocker, missing, words):
    before = {p.name for p in blocker.iterdir()}
    done = python(blocker, missing, "-m", "xbarspice", *words)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert f"error: xbarspice needs the Python package `{missing}`" in done.stderr
    assert COMMANDS.get(missing, f"pip install {missing}") in done.stderr
    assert done.stdout == ""
    assert {p.name for p in blocker.iterdir()} - {"runs", "__pycache__"} <= before
    assert not list((blocker / "runs").glob("*/*"))


@pytest.mark.parametrize(
    ("missing", "program"),
    [
        ("numpy", "import xbarspice"),
        ("numba", SOLVE.format("surrogate")),
        ("scipy", SOLVE.format("nodal")),
        ("numba", "import xbarspice as xb; xb.effective_matrix"),
        ("torch", "import xbarspice as xb; xb.nn"),
    ],
)
def test_python_code_ends_in_a_sentence_that_names_the_package(blocker, missing, program):
    done = python(blocker, missing, "-c", program)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        f"xbarspice.core.errors.PackageMissingError: xbarspice needs the Python package `{missing}`"
    )


def test_the_core_works_without_torch_matplotlib_scikit_learn_and_pyspice(blocker):
    program = Path(__file__).parents[2] / "core_alone.py"
    missing = ",".join(sorted(errors.EXTRAS))
    done = python(blocker, missing, str(program), "nodal", "surrogate", "ngspice")
    assert done.returncode == 0, done.stderr
    assert "solved with nodal surrogate ngspice" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("without torch")


def test_a_missing_module_of_our_own_is_no_missing_package():
    error = ModuleNotFoundError("No module named 'xbarspice.nowhere'", name="xbarspice.nowhere")
    assert errors.missing_package(error) is error
    with pytest.raises(errors.PackageMissingError, match=r'pip install "xbarspice\[data\]"'):
        raise errors.missing_package(ModuleNotFoundError(name="sklearn.datasets"))
    doctor.need(*doctor.PACKAGES)


# --- kernels of a read-only installation --------------------------------------------------------


@pytest.fixture
def read_only(tmp_path):
    """A copy whose kernels can be kept neither beside the source nor in the user's folder.

    Files stand where the folders would be: the tests may run as root, who writes everywhere.
    """
    package = tmp_path / "site" / "xbarspice"
    shutil.copytree(Path(xb.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in [package, *(p for p in package.rglob("*") if p.is_dir())]:
        (folder / "__pycache__").write_text("")
    (tmp_path / "none").write_text("")
    (tmp_path / "tmp").mkdir()
    return tmp_path


def _kernel(folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    program = (
        "import xbarspice.surrogate.engine, xbarspice.surrogate.adjoint\n"  # all decorators
        "import numpy as np\n"
        "from numba import config\n"
        "from xbarspice.surrogate.pair_kernels import place_low\n"
        "out = np.zeros((1, 1, 2))\n"
        "none = np.zeros((1, 0, 1))\n"
        "place_low(np.array([[[-3.0]]]), np.array([[1.0]]), none, 1.0, 0.0, out)\n"
        "print(out[0, 0, 1], config.CACHE_DIR)\n"
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA") and k != "HOME"}
    env |= {
        "PYTHONPATH": str(folder / "site"), "XDG_CACHE_HOME": str(folder / "none" / "cache"),
        "TMPDIR": str(folder / "tmp"), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300,
        cwd=folder / "tmp", env={**env, **more},
    )  # fmt: skip


def test_a_read_only_installation_keeps_kernels_in_a_private_temporary_folder(read_only):
    done = _kernel(read_only)
    assert done.returncode == 0, done.stderr
    value, folder = done.stdout.split()
    assert float(value) == 3.0
    assert Path(folder).parent == read_only / "tmp"
    assert Path(folder).stat().st_mode & 0o777 == 0o700
    assert list(Path(folder).rglob("*.nbc"))
    open_to_all = read_only / "tmp" / Path(folder).name
    open_to_all.chmod(0o777)  # somebody else's code could stand in it
    again = _kernel(read_only)
    assert again.returncode == 0, again.stderr
    assert again.stdout.split()[1] != folder


def test_the_folder_that_the_user_names_is_taken(read_only):
    done = _kernel(read_only, NUMBA_CACHE_DIR=str(read_only / "mine"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == str(read_only / "mine")
