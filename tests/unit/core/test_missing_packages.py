"""Missing packages and kernels are one sentence; a read-only installation solves."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import xbarspice as xb
from tests.helpers import PATIENCE, asymmetric_crossbar
from xbarspice import tables
from xbarspice.cli import doctor
from xbarspice.config import DataConfig
from xbarspice.core import errors
from xbarspice.importers import load_model
from xbarspice.surrogate.native import library
from xbarspice.tapeout.drawing import klayout_db
from xbarspice.training.data import half_moons

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
    "torch": 'pip install "xbarspice[torch]"',
    "matplotlib": 'pip install "xbarspice[plot]"',
    "scikit-learn": 'pip install "xbarspice[demo]"',
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
        [sys.executable, *words], capture_output=True, text=True, timeout=PATIENCE, cwd=blocker,
        env={**os.environ, "BLOCKED": missing, "PYTHONPATH": path},
    )  # fmt: skip


def test_doctor_works_without_the_packages_that_it_looks_for(blocker):
    missing = ["torch", "h5py", "matplotlib", "scipy", "sklearn", "jinja2"]
    done = python(blocker, ",".join(missing), "-m", "xbarspice", "doctor", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    absent = {f["part"]: f["remedy"] for f in record["findings"] if not f["ok"]}
    for name in ("torch", "h5py", "matplotlib", "scipy", "scikit-learn", "jinja2"):
        assert absent[name] == COMMANDS.get(name, f"pip install {name}")
    assert not record["ok"]
    shown = python(blocker, ",".join(missing), "-m", "xbarspice", "doctor")
    assert shown.returncode == 0
    assert shown.stdout.count("missing") >= 6


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("h5py", ("verify", "m.h5")),
        ("matplotlib", ("tapeout", "m.h5")),
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


def test_without_matplotlib_pages_are_written_and_say_so_in_place_of_plots(blocker, tmp_path):
    words = ("verify", str(blocker / "m.h5"), "--reference", "nodal", "--engine", "surrogate")
    done = python(blocker, "matplotlib", "-m", "xbarspice", *words, "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    (page,) = (tmp_path / "out").rglob("report.html")
    text = page.read_text()
    assert "Plots need matplotlib, which is not installed: pip install" in text
    assert "xbarspice[plot]" in text
    assert "<svg" not in text
    captions = page.with_suffix(".md").read_text()
    assert "each point is one read of one array" in captions


@pytest.mark.parametrize(
    ("missing", "program"),
    [
        ("numpy", "import xbarspice"),
        ("scipy", SOLVE.format("nodal")),
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


def test_a_single_array_is_verified_by_the_core_alone(blocker, tmp_path):
    crossbar, V_in = asymmetric_crossbar()
    np.savez(tmp_path / "a.npz", G=crossbar.G, V_in=V_in)
    words = ("verify", str(tmp_path / "a.npz"), "--out", str(tmp_path / "out"), "--json")
    done = python(blocker, ",".join(sorted(errors.EXTRAS)), "-m", "xbarspice", *words)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["passed"]
    assert record["reference"] == "ngspice"
    assert (tmp_path / "out" / "report.html").is_file()


# --- extras -------------------------------------------------------------------------------------


def _write_table(folder: Path, suffix: str) -> Path:
    """A file that only its name tells apart: no reader comes so far as to open it."""
    path = folder / f"table{suffix}"
    path.write_bytes(b"\x02\0\0\0\0\0\0\0{}" if suffix == ".safetensors" else b"PK")
    return path


def _run_on_dask(folder: Path) -> None:
    scheduler = "tcp://127.0.0.1:1"
    xb.campaign.run([{"x": 1.0}], math.sqrt, folder / "c.h5", scheduler=scheduler)


USES = {
    "matplotlib": lambda folder: xb.plot.conductances(asymmetric_crossbar()[0]),
    "sklearn": lambda folder: half_moons(DataConfig()),
    "PySpice": lambda folder: xb.solve(*asymmetric_crossbar(), engine="pyspice"),
    "onnx": lambda folder: load_model(_write_table(folder, ".onnx")),
    "onnxruntime": lambda folder: load_model(_write_table(folder, ".onnx")),
    "safetensors": lambda folder: load_model(
        _write_table(folder, ".safetensors"), factory="torch:nn.Identity"
    ),
    "dask": _run_on_dask,
    "distributed": _run_on_dask,
    "klayout": lambda folder: klayout_db(),
    "pandas": lambda folder: tables.read_grid(_write_table(folder, ".xlsx")),
    "openpyxl": lambda folder: tables.read_grid(_write_table(folder, ".xlsx")),
    "pyarrow": lambda folder: tables.read_grid(_write_table(folder, ".parquet")),
}
"""What needs the package of an extra; torch is in the tests above."""


def test_every_extra_is_tried():
    assert {*USES, "torch"} == set(errors.EXTRAS)


@pytest.mark.parametrize("package", USES)
def test_a_missing_extra_is_one_sentence_before_any_work(package, tmp_path, monkeypatch):
    absent = {package, "distributed"} if package == "dask" else {package}
    for name in [n for n in sys.modules if n.partition(".")[0] in absent]:
        monkeypatch.delitem(sys.modules, name)
    for name in absent:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises((errors.PackageMissingError, errors.EngineMissingError)) as caught:
        USES[package](tmp_path)
    assert errors.install_command(package) in str(caught.value)
    assert errors.pip_name(package) in str(caught.value)
    assert str(caught.value).count(". ") <= 1
    assert {p.stem for p in tmp_path.iterdir()} <= {"table"}


def test_doctor_lists_the_packages_of_all_extras(monkeypatch):
    monkeypatch.setattr(doctor, "_is_there", lambda module: module not in errors.EXTRAS)
    parts = {f["part"]: f for f in doctor.doctor_record()["findings"]}
    for package in errors.EXTRAS:
        assert package == "PySpice" or not parts[errors.pip_name(package)]["ok"]
        assert errors.install_command(package) in parts[errors.pip_name(package)]["remedy"] or (
            package == "PySpice"
        )


def test_a_missing_module_of_our_own_is_no_missing_package():
    error = ModuleNotFoundError("No module named 'xbarspice.nowhere'", name="xbarspice.nowhere")
    assert errors.missing_package(error) is error
    with pytest.raises(errors.PackageMissingError, match=r'pip install "xbarspice\[demo\]"'):
        raise errors.missing_package(ModuleNotFoundError(name="sklearn.datasets"))
    doctor.need(*doctor.PACKAGES)


# --- kernels ------------------------------------------------------------------------------------


def _copy(folder: Path, *left_out: str) -> Path:
    """A copy of the package in a folder for PYTHONPATH."""
    ignore = shutil.ignore_patterns("__pycache__", *left_out)
    return Path(shutil.copytree(Path(xb.__file__).parent, folder / "site/xbarspice", ignore=ignore))


def _run(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=PATIENCE, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "site"), **more},
    )  # fmt: skip


def test_missing_kernels_are_one_sentence_everywhere(tmp_path, blocker):
    _copy(tmp_path, "built")
    run = _run(tmp_path, "-c", SOLVE.format("surrogate"))
    assert run.returncode == 1
    rule = "the compiled kernels must be there"
    assert (
        run.stderr.strip()
        .splitlines()[-1]
        .startswith(f"xbarspice.core.errors.KernelsMissingError: {rule}")
    )
    run = _run(tmp_path, "-m", "xbarspice", "solve", str(blocker / "m.h5"))
    assert run.returncode == 3
    assert f"error: {rule}" in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
    run = _run(tmp_path, "-m", "xbarspice", "doctor", "--json")
    (row,) = [f for f in json.loads(run.stdout)["findings"] if f["part"].startswith("kernels")]
    assert not row["ok"]
    assert rule in row["remedy"]
    assert _run(tmp_path, "-c", SOLVE.format("nodal")).returncode == 0


def test_a_read_only_installation_without_a_home_solves_and_writes_nothing(tmp_path):
    """Files stand where caches would be: the tests may run as root, who writes everywhere."""
    package = _copy(tmp_path)
    for folder in [package, *(p for p in package.rglob("*") if p.is_dir())]:
        (folder / "__pycache__").write_text("")
    (tmp_path / "none").write_text("")
    before = set(tmp_path.rglob("*"))
    home = str(tmp_path / "none" / "home")
    program = SOLVE.format("surrogate")
    run = _run(tmp_path, "-c", program, HOME=home, XDG_CACHE_HOME=home, TMPDIR=home)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout.strip("[] \n")) == pytest.approx(1e-5, rel=1e-2)
    assert set(tmp_path.rglob("*")) == before


def test_doctor_says_which_kernels_are_in_use():
    (row,) = [f for f in doctor.doctor_record()["findings"] if f["part"].startswith("kernels")]
    assert row["ok"]
    assert row["found"] == library.level()
