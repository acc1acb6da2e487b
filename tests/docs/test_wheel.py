"""The wheel: it holds all data files and works away from the checkout."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import PATIENCE
from xbarspice.core.errors import EXTRAS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel_files(tmp_path_factory):
    """The folder of an unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["-q", "--no-deps", "--no-build-isolation", "-w"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, folder, ROOT], check=True, timeout=PATIENCE
    )
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "unpacked")  # noqa: S202 - built just now
    return folder / "unpacked"


def test_every_model_and_data_file_is_in_the_wheel(wheel_files):
    for source in [*(ROOT / "models").iterdir(), *ROOT.glob("xbarspice/**/*")]:
        if source.is_file() and source.suffix in {
            ".sub",
            ".va",
            ".toml",
            ".csv",
            ".j2",
            ".py",
            ".h5",
        }:
            inside = source.relative_to(ROOT)
            place = Path("xbarspice") / inside if inside.parts[0] == "models" else inside
            assert (wheel_files / place).read_bytes() == source.read_bytes(), place


def test_the_source_distribution_holds_all_that_a_build_reads(tmp_path):
    """Sources, headers and the hook of the build; nothing that was compiled."""
    build = ("-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path))
    subprocess.run(
        [sys.executable, *build],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    native = ROOT / "xbarspice/surrogate/native"
    sources = [*native.glob("*.py"), *native.glob("*.cpp"), *native.glob("*.hpp")]
    plugin = [*(ROOT / "packaging").rglob("*.py"), *(ROOT / "models").iterdir()]
    read = {str(p.relative_to(ROOT)) for p in [*sources, *plugin]}
    assert {"pyproject.toml", "hatch_build.py", "README.md", "LICENSE"} | read <= inside
    assert not [name for name in inside if name.endswith((".so", ".o", ".pyc"))]


def test_published_experiments_and_tests_are_not_in_the_wheel(wheel_files):
    inside = {path.name for path in wheel_files.iterdir() if not path.name.endswith(".dist-info")}
    assert inside == {"xbarspice", "pytest_xbarspice"}
    assert not [p for p in wheel_files.rglob("*") if "drolet2023" in p.name]


def test_only_extras_bring_torch_matplotlib_scikit_learn_and_pyspice(wheel_files):
    """`xbarspice[all]` brings every extra; what it is installed with runs the demo below."""
    (folder,) = wheel_files.glob("*.dist-info")
    metadata = importlib.metadata.PathDistribution(folder)
    base = {re.match(r"[\w.-]+", r)[0] for r in metadata.requires or () if "extra ==" not in r}
    assert not base & {"torch", "matplotlib", "scikit-learn", "PySpice", "pyspice", *EXTRAS}
    assert {"numpy", "scipy", "h5py", "pydantic", "jinja2", "typer"} <= base
    extras = set(metadata.metadata.get_all("Provides-Extra"))
    assert extras == {*EXTRAS.values(), "all", "dev", "docs"}
    brought = {
        re.match(r"[\w.-]+", requirement)[0].lower()
        for requirement in metadata.requires or ()
        if re.search("extra == .all.", requirement)
    }
    pip_names = {"sklearn": "scikit-learn"}
    assert brought == {pip_names.get(package, package).lower() for package in EXTRAS}


def test_pytest_takes_the_plugin_from_the_wheel(wheel_files, tmp_path):
    np.savez(tmp_path / "array.npz", G=[[1e-4, 2e-4]], R_wl=5.0)
    (tmp_path / "xbarspice.toml").write_text("[verify.row]\nfile = 'array.npz'\n")
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "--xbarspice", "-v"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(wheel_files)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert "xbarspice.toml::row PASSED" in process.stdout


def test_the_demo_runs_from_the_wheel_alone(wheel_files, tmp_path):
    env = {**os.environ, "PYTHONPATH": str(wheel_files)}
    where = subprocess.run(
        [sys.executable, "-c", "import xbarspice; print(xbarspice.__file__)"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(wheel_files)
    options = ["demo", "--out", "run", "--set", "train.epochs=30", "--set", "data.test=20"]
    process = subprocess.run(
        [sys.executable, "-m", "xbarspice", *options],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "run/report.html").is_file()
