"""`pytest --xbarspice`: verifications of a project as tests, in a pytest of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch

import xbarspice as xb
from tests.helpers import PATIENCE, asymmetric_crossbar

ROOT = Path(__file__).parents[3]
PLUGIN = ROOT / "packaging" / "pytest"
PASSING = """
[verify.array]
file = "array.npz"
engine = ["surrogate", "nodal"]
random = 2
seed = 3
set = ["gates.current=1e-6"]
"""
FAILING = """
[verify.wires]
file = "../array.npz"
set = ["gates.ideal=1e-9"]
"""


@pytest.fixture
def project(tmp_path):
    """A project with an array, a test of its own and two verifications of which one fails."""
    crossbar, V_in = asymmetric_crossbar()
    np.savez(tmp_path / "array.npz", G=crossbar.G, V_in=[V_in], R_wl=5.0, R_bl=2.0)
    (tmp_path / "test_own.py").write_text("def test_own():\n    assert True\n")
    (tmp_path / "xbarspice.toml").write_text(PASSING)
    (tmp_path / "chip").mkdir()
    (tmp_path / "chip" / "strict.xbarspice.toml").write_text(FAILING)
    return tmp_path


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """pytest in a project, with the plugin as an installation names it."""
    path = os.pathsep.join([str(ROOT), str(PLUGIN)])
    command = [sys.executable, "-m", "pytest", "-p", "pytest_xbarspice", "--rootdir", str(folder)]
    env = {**os.environ, "PYTHONPATH": path} | {"COLUMNS": "200"}
    return subprocess.run(
        [*command, *options], cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE
    )


def test_each_verification_is_a_test_and_a_broken_gate_a_failure(project):
    outcome = run_pytest(project, "--xbarspice", "-n", "2", "--junitxml", "junit.xml")
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    assert "1 failed, 2 passed" in outcome.stdout
    assert "FAIL  The array of array.npz" in outcome.stdout
    assert "broken gate: ngspice: output current from the ideal product: 0.0" in outcome.stdout
    assert "Traceback" not in outcome.stdout
    tree = ET.parse(project / "junit.xml")  # noqa: S314 - pytest wrote it
    cases = {c.attrib["name"]: c for c in tree.iter("testcase")}
    assert set(cases) == {"array", "wires", "test_own"}
    (failure,) = cases["wires"].iter("failure")
    assert failure.attrib["message"].startswith("FAIL  The array of array.npz")
    reports = {
        name: Path(next(cases[name].iter("property")).attrib["value"])
        for name in ("array", "wires")
    }
    assert all(report.is_file() for report in reports.values())
    assert reports["wires"].parts[-4:] == ("chip", "strict.xbarspice.toml", "wires", "report.html")


def test_without_the_option_nothing_is_collected_and_nothing_imported(project):
    (project / "test_own.py").write_text(
        "import sys\n\ndef test_own():\n"
        "    assert 'pytest_xbarspice' in sys.modules\n"
        "    assert not {'xbarspice', 'numpy', 'typer', 'click'} & set(sys.modules)\n"
    )
    outcome = run_pytest(project)
    assert outcome.returncode == 0, outcome.stdout
    assert "1 passed" in outcome.stdout


def test_the_marker_selects_verifications_and_reports_go_where_they_should(project):
    options = ("--xbarspice", "-m", "xbarspice", "--strict-markers", "-p", "no:cacheprovider")
    refused = run_pytest(project, *options, "xbarspice.toml")
    assert refused.returncode == 1
    assert "reports need a folder, and pytest's cache is off" in refused.stdout
    outcome = run_pytest(project, *options, "--xbarspice-out", "kept", "xbarspice.toml", ".")
    assert outcome.returncode == 1, outcome.stdout
    assert "1 failed, 1 passed" in outcome.stdout
    assert (project / "kept" / "xbarspice.toml" / "array" / "report.html").is_file()
    assert not (project / "array").exists()


BROKEN = {
    "[verify.a": "a file of verifications must be TOML",
    "": "holds tables [verify.NAME] and nothing else; received no such table",
    "verify = 3": "holds tables [verify.NAME] and nothing else; received no such table",
    "[verify]\na = 3": "each verification is a table with a name",
    "[verify.'a/b']\nfile = 'array.npz'": "each verification is a table with a name",
    "[verify.a]\nfile = 'x.npz'\n[gates]\ncurrent = 1": "received the keys gates",
    "[verify.a]\nrandom = 3": "[verify.a] must name a model, a deployment or an array",
    "[verify.a]\nfile = 'array.npz'\nout = 'x'": "[verify.a] may not state help, json",
    "[verify.a]\nfile = 'array.npz'\nset.gates.ideal = 1": "are texts, numbers, true, false",
    "[verify.a]\nfile = 'array.npz'\nrandm = 3": "No such option: --randm",
    "[verify.a]\nfile = 'array.npz'\nrandom = 0": "Invalid value for '--random'",
    "[verify.a]\nfile = 'array.npz'\nrandom = true": "Invalid value for '--random'",
    "[verify.a]\nfile = 'array.npz'\nnodes = 'yes'": "Option '--nodes' does not take a value",
}
"""Sentence of each text that is no file of verifications."""


def test_a_broken_file_is_one_sentence_and_nothing_runs(project):
    for k, text in enumerate(BROKEN):
        (project / f"broken{k}.xbarspice.toml").write_text(text)
    (project / "latin.xbarspice.toml").write_bytes(b"[verify.a]\nfile = '\xe9.npz'\n")
    outcome = run_pytest(project, "--xbarspice")
    assert outcome.returncode == pytest.ExitCode.INTERRUPTED
    assert f"{len(BROKEN) + 1} errors" in outcome.stdout
    assert not {"Traceback", "passed"} & set(outcome.stdout.split())
    for k, sentence in enumerate(BROKEN.values()):
        (line,) = [x for x in outcome.stdout.splitlines() if f"broken{k}.xbarspice.toml: " in x]
        assert sentence in line


def test_what_verify_refuses_fails_the_test_with_its_sentence(project):
    (project / "xbarspice.toml").write_text("[verify.a]\nfile = 'missing.npz'\n")
    outcome = run_pytest(project, "--xbarspice", "xbarspice.toml")
    assert outcome.returncode == pytest.ExitCode.TESTS_FAILED
    assert "missing.npz" in outcome.stdout
    assert "Traceback" not in outcome.stdout


def test_the_example_of_the_page_runs(tmp_path):
    text = (ROOT / "docs" / "pytest.md").read_text("utf-8")
    example = text.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "xbarspice.toml").write_text(example)
    (tmp_path / "settings.toml").write_text("[gates]\ncurrent = 1e-7\n")
    torch.manual_seed(0)
    x = torch.rand(8, 3, dtype=torch.float64)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2)).double()
    circuit = xb.nn.convert(model, xb.ArrayConfig(), calibrate=x)
    xb.save(tmp_path / "net.h5", circuit)
    np.savez(tmp_path / "x.npz", x=x.numpy())
    crossbar, V_in = asymmetric_crossbar()
    np.savez(tmp_path / "array.npz", G=crossbar.G, V_in=[V_in], R_wl=5.0)
    outcome = run_pytest(tmp_path, "--xbarspice", "--xbarspice-out", "runs")
    assert "2 passed" in outcome.stdout, outcome.stdout
    record = json.loads((tmp_path / "runs/xbarspice.toml/array/report.json").read_text("utf-8"))
    assert record["config"]["gates"]["current"] == 1e-7
    assert [engine["engine"] for engine in record["engines"]] == ["surrogate", "nodal"]
