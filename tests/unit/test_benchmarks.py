"""The runner of the benchmarks: a new clone, a failing part, a quick run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks import __main__ as bench


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A benchmarks folder without `out/`, whose table is the last good one."""
    monkeypatch.setattr(bench, "HERE", tmp_path)
    monkeypatch.setattr(bench, "OUT", tmp_path / "out")
    (tmp_path / "RESULTS.md").write_text("the last good table")
    return tmp_path


def parts(monkeypatch, status: int) -> list[tuple[str, list[str]]]:
    """Replace the parts: each prints its arguments; the solvers end with `status`."""
    called = []

    def run(name, options):
        called.append((name, options))
        failed = status if name == "bench_solvers" else 0
        return subprocess.CompletedProcess(name, failed, stdout=f"{name} {options}", stderr="boom")

    monkeypatch.setattr(bench, "run", run)
    return called


def test_a_full_run_in_a_new_clone_writes_the_table(clone, monkeypatch):
    called = parts(monkeypatch, 0)
    assert bench.main([]) == 0
    assert len(called) == len(bench.PARTS)
    text = (clone / "RESULTS.md").read_text()
    assert text.startswith("# Benchmarks\n")
    assert "bench_campaign" in text
    assert (clone / "out").is_dir()


def test_tables_stand_in_a_json_file_too(clone, monkeypatch):
    page = "about.\n\n| a | b, ms |\n|---|---|\n| 8x8 | 1.5 |\n| 9x9 | |\n\n| c |\n| --- |\n| 2 |"
    monkeypatch.setattr(
        bench, "run", lambda name, _: subprocess.CompletedProcess(name, 0, stdout=page, stderr="")
    )
    assert bench.main([]) == 0
    found = json.loads((clone / "RESULTS.json").read_text())
    assert "cores" in found["head"]
    assert found["Campaigns"] == [
        {"a": "8x8", "b, ms": "1.5"},
        {"a": "9x9", "b, ms": ""},
        {"c": "2"},
    ]


def test_a_failure_leaves_the_last_good_table(clone, monkeypatch, capsys):
    parts(monkeypatch, 3)
    assert bench.main([]) == 1
    assert (clone / "RESULTS.md").read_text() == "the last good table"
    assert "FAILED with status 3: boom" in (clone / "out/failed.md").read_text()
    assert "RESULTS.md was left as it is" in capsys.readouterr().err


@pytest.mark.parametrize("status", [0, 1])
def test_a_quick_run_writes_to_out_only_and_fails_if_a_part_fails(clone, monkeypatch, status):
    called = parts(monkeypatch, status)
    assert bench.main(["--quick"]) == status
    assert (clone / "RESULTS.md").read_text() == "the last good table"
    assert "quick run: no figures to quote" in (clone / "out/quick.md").read_text()
    assert [name for name, _ in called] == [
        "bench_solvers", "bench_reduced", "bench_ngspice", "bench_program", "bench_tapeout"
    ]  # fmt: skip
    assert all("--quick" in options or "--brief" in options for _, options in called)


def test_ci_runs_the_quick_benchmarks():
    root = Path(__file__).parents[2]
    assert "make bench-quick" in (root / ".ci/run").read_text()
    assert "-m benchmarks --quick" in (root / "Makefile").read_text()
