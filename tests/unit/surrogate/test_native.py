"""Compiled kernels: which library is taken, what is refused, how the package builds them."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from xbarspice.core.errors import InputError, KernelsMissingError
from xbarspice.surrogate.native import build, library

ROOT = Path(build.FOLDER).parents[2]


@pytest.fixture
def anew(monkeypatch):
    """Libraries are looked for once more, and the ones of before come back."""
    caches = (library._load, library._open, library.level, library.lanes)
    for cached in caches:
        cached.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    for cached in caches:
        cached.cache_clear()


def test_every_instruction_set_of_the_processor_loads(anew):
    best = library.level()
    usable = build.levels()[: build.levels().index(best) + 1]
    widths = []
    for level in usable:
        anew.setenv("XBARSPICE_KERNELS", level)
        for cached in (library._load, library.level, library.lanes):
            cached.cache_clear()
        assert library.level() == level
        assert library.lanes(np.float32) == 2 * library.lanes(np.float64)
        widths.append(library.lanes(np.float64))
    assert widths == sorted(set(widths))


def test_an_unknown_instruction_set_is_refused(anew):
    anew.setenv("XBARSPICE_KERNELS", "v9")
    with pytest.raises(InputError, match=r"XBARSPICE_KERNELS must be one of .*; received v9"):
        library.level()


def test_a_missing_library_is_one_sentence(anew, tmp_path):
    anew.setattr(build, "BUILT", tmp_path)
    with pytest.raises(KernelsMissingError, match=r"must be there: no .*Run `make setup`"):
        library.function("sources")


def test_a_library_of_other_sources_is_one_sentence(anew):
    anew.setattr(build, "source_hash", lambda: "0123456789abcdef")
    with pytest.raises(KernelsMissingError, match=r"those of their sources: .*Run `make setup`"):
        library.function("sources")


def test_what_is_current_is_not_compiled_again(monkeypatch):
    monkeypatch.setattr(build, "_compiler", lambda: pytest.fail("nothing is to be compiled"))
    assert build.build() == [build.library_path(level) for level in build.levels()]


def test_without_a_compiler_the_build_names_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "BUILT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(build.BuildError, match=r"apt-get install g\+\+"):
        build.build()
    assert not list(tmp_path.iterdir())


def test_a_refused_source_names_the_command_and_leaves_no_library(monkeypatch, tmp_path):
    for name in ("simd.hpp", "about.cpp"):
        shutil.copy(build.FOLDER / name, tmp_path)
    (tmp_path / "wrong.cpp").write_text("this is no C++\n")
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    monkeypatch.setattr(build, "BUILT", tmp_path / "built")
    with pytest.raises(build.BuildError, match=r"wrong\.cpp"):
        build.build()
    assert not list((tmp_path / "built").iterdir())


def test_kernels_take_only_the_arrays_that_they_are_made_for():
    kernel = library.function("solve_band", library.F64, library.F64, library.INT, library.INT)
    band, x = np.ones((2, 2)), np.ones(2)
    for wrong in (x.astype(np.float32), np.ones(4)[::2]):
        with pytest.raises(ctypes.ArgumentError, match="C-ordered array of float64"):
            kernel(band, wrong, 2, 1)


def test_a_record_needs_all_of_its_fields():
    class Pair(library.Record):
        _fields_ = (("size", library.INT), ("numbers", library.F64))

    numbers = np.arange(3.0)
    pair = Pair(size=3, numbers=numbers)
    assert pair.size == 3
    assert pair.numbers.value == numbers.ctypes.data
    with pytest.raises(TypeError, match="Pair has the fields size, numbers"):
        Pair(size=3)


ANSWERS = """
import sys
import numpy as np
import xbarspice as xb
from xbarspice.surrogate import adjoint
from xbarspice.surrogate.dissection.matrix import reduce

rng, answers = np.random.default_rng(0), {}
MIXED = xb.LineEnds(wl_right=["driven", "sensed", "floating", "sensed", "floating"])
for rows, cols in ((1, 1), (5, 3), (5, 19), (16, 16), (33, 40)):
    segments = rng.lognormal(size=(rows, cols - 1)) * (rng.random((rows, cols - 1)) < 0.7)
    for R in (0.0, 3.0, segments):
        at = 0.0 if R is segments else R
        for device in ("ohmic", "cubic_al2o3_tio2", "sinh_tio2"):
            array = xb.Crossbar(
                10 ** rng.uniform(-5, -3, (rows, cols)), R_wl=R, R_bl=2.0, R_driver=at, R_sense=1.0,
                ends=MIXED if rows == 5 else xb.LineEnds(), device=device,
            )
            drive = array.drive(rng.uniform(-0.4, 0.4, (2, rows)))
            raw, saved = adjoint.forward(array, drive)
            gradients = adjoint.backward(saved, I_out=np.ones(cols), V_wl=np.ones((rows, cols)))
            name = f"{rows} {cols} {np.sum(R)} {device}"
            for part in ("I_out", "I_in", "V_wl", "V_bl", "I_device"):
                answers[f"{name} {part}"] = getattr(raw, part)
            for part in ("V_in", "V_out", "adjoint"):
                answers[f"{name} d{part}"] = getattr(gradients, part)
            for part, value in gradients.by_solve.items():
                answers[f"{name} d{part}"] = value
        if R is segments:
            continue
        many = xb.Crossbar(10 ** rng.uniform(-5, -3, (11, rows, cols)), R_wl=R, R_sense=1.0)
        for dtype in ("float32", "float64"):
            reduction = reduce(many, dtype=dtype, keep=True)
            dG, dR = reduction.reverse(np.ones((11, rows, cols), dtype))
            for part, value in (("G_eff", reduction.G_eff), ("dG", dG), *dR.items()):
                answers[f"{rows} {cols} {R} {dtype} {part}"] = np.nan_to_num(value)
np.savez(sys.argv[1], **answers)
"""


def test_every_instruction_set_gives_the_same_answers(tmp_path):
    """To rounding of the largest number of an answer: the widths of vectors order sums anew."""
    usable = build.levels()[: build.levels().index(library.level()) + 1]
    answers = {}
    for level in usable:
        path = tmp_path / f"{level}.npz"
        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", ANSWERS, str(path)],
            capture_output=True,
            text=True,
            env={**os.environ, "XBARSPICE_KERNELS": level, "PYTHONPATH": str(ROOT)},
        )
        assert run.returncode == 0, run.stderr
        answers[level] = np.load(path)
    first = answers[usable[0]]
    for level in usable[1:]:
        assert set(answers[level].files) == set(first.files)
        for name in first.files:
            want = first[name]
            share = 2e-5 if "float32" in name else 1e-11
            atol = share * np.abs(want).max(initial=0.0)
            np.testing.assert_allclose(answers[level][name], want, rtol=0, atol=atol, err_msg=name)


@pytest.mark.slow
def test_the_source_distribution_builds_a_wheel_with_the_kernels(tmp_path):
    """As pip does it, from the archive alone: sources in, libraries out, one wheel a platform."""
    program = "import sys\nfrom hatchling import build\nprint(build.build_sdist(sys.argv[1]))\n"
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    archive = tmp_path / run.stdout.strip()
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    (source,) = (tmp_path / "unpacked").iterdir()
    assert not (source / "xbarspice/surrogate/native/built").exists()
    run = subprocess.run(
        [sys.executable, "-c", program.replace("sdist", "wheel"), str(tmp_path)],
        cwd=source,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"CXXFLAGS": "-O0"},
    )
    assert run.returncode == 0, run.stderr
    wheel = tmp_path / run.stdout.strip()
    assert wheel.name.split("-")[2:4] == ["py3", "none"]
    assert not wheel.name.endswith("any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for level in build.levels():
        assert f"xbarspice/surrogate/native/built/kernels-{level}.so" in names
