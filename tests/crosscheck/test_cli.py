"""The command line, as a person calls it: files, exit statuses, messages, nothing half-written."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import xbarspice as xb
from tests.helpers import PATIENCE, heed_ctrl_c, run_command, wait_until
from xbarspice.core import hdf5
from xbarspice.importers import perceptron
from xbarspice.surrogate import trust

FAST = ["--set", "train.epochs=60", "--set", "data.test=40"]


def start_command(*arguments, cwd=None, env=None):
    """As from a shell: one test of every exit status, and what depends on the surroundings."""
    return subprocess.run(
        [sys.executable, "-m", "xbarspice", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=PATIENCE,
        env={**os.environ, **(env or {}), "COLUMNS": "100"},
    )


def test_the_demo_leaves_a_whole_run_folder_and_passes(tmp_path):
    out = tmp_path / "run"
    result = start_command("demo", "--out", out, "--json", *FAST)
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["passed"]
    assert (record["reference"], record["engines"]) == ("ngspice", ["nodal", "surrogate"])
    assert all(gate["value"] <= gate["limit"] for gate in record["gates"])
    assert record["points"] == 40
    assert [d["through"] for d in record["decisions"]] == ["surrogate", "ngspice"]
    assert record["title"] == "Half moons on one 8x8 sinh_tio2 crossbar"
    expected = {"run.toml", "net.h5", "netlists", "report.html", "report.json", "report.md"}
    assert expected <= {p.name for p in out.iterdir()}
    assert len(list((out / "netlists").iterdir())) == 2  # one array, read twice
    assert xb.nn.arrays(xb.load(out / "net.h5"))[0].crossbar.G.shape == (8, 8)
    assert list(tmp_path.iterdir()) == [out]
    second = run_command("demo", "--out", out, "--config", out / "run.toml", "--json")
    assert json.loads(second.stdout)["decisions"] == record["decisions"]


def test_the_steps_one_by_one(tmp_path):
    def step(*arguments):
        result = run_command(*arguments, "--json", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    trained = step("train", "--out", "n.npz", "--data-out", "p.npz", *FAST)
    assert trained["sizes"] == [2, 8, 1]
    mapped = step("map", "n.npz", "--out", "m.h5", "--set", "mapping.tile_rows=8")
    assert mapped["devices"] == 2 * (3 * 8 + 9)  # a pair a weight and bias
    assert step("netlist", "n.npz", "--inputs", "p.npz")["points"] == 40
    answers = {
        e: step("solve", "m.h5", "--engine", e, "--inputs", "p.npz", "--out", f"{e}.h5")
        for e in ("surrogate", "nodal", "ngspice")
    }
    for answer in answers.values():
        np.testing.assert_allclose(answer["values"][0], answers["ngspice"]["values"][0], atol=1e-6)
        assert answer["accuracy"] == answers["ngspice"]["accuracy"]
    assert answers["ngspice"]["accuracy"] == pytest.approx(trained["accuracy_test"], abs=0.1)
    step("map", "n.npz", "--inputs", "p.npz", "--out", "net.h5", "--set", "mapping.tile_rows=8")
    record = step("verify", "net.h5", "--inputs", "p.npz", "--out", "v")
    assert record["passed"]
    page = (tmp_path / "v/report.html").read_text()
    assert page.count("<figure>") == 2
    assert "surrogate against ngspice: each point is one read" in page
    assert "One matrix: it on arrays, all others exact." in page


def test_verify_takes_a_state_dict_of_any_size(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(5, 9), torch.nn.ReLU(), torch.nn.Linear(9, 3))
    torch.save(model.state_dict(), tmp_path / "m.pt")
    result = run_command(
        "verify",
        "m.pt",
        "--activation",
        "relu",
        "--random",
        6,
        "--json",
        "--set",
        "mapping.tile_rows=4",
        cwd=tmp_path,
    )
    record = json.loads(result.stdout)
    assert result.returncode == 0, result.stderr
    assert record["sample"]["tiles"] > 2
    assert record["points"] == 6
    assert record["decisions"][0]["accuracy"] is None
    assert record["notes"][0].startswith("No inputs were given")


def test_a_failed_gate_is_exit_status_1_and_keeps_the_report(tmp_path, network):
    perceptron.save(tmp_path / "n.npz", network)
    result = start_command(
        "verify", "n.npz", "--out", "v", "--random", 3, "--set", "gates.energy=1e-30", cwd=tmp_path
    )
    assert result.returncode == 1
    assert "FAIL" in result.stdout
    assert "FAIL" in (tmp_path / "v/report.md").read_text()


BAD = {
    "nan": ({"W0": [[np.nan]]}, [], "`W0` must be finite"),
    "infinite": ({"W0": [[np.inf]]}, [], "`W0` must be finite"),
    "empty": ({"W0": np.zeros((0, 1))}, [], "none empty"),
    "rank": ({"W0": [1.0]}, [], "2 axes"),
    "range": ({"W0": [[1.0]]}, ["--set", "mapping.G_min=1"], "0 <= G_min < G_max; received 1"),
    "wire": ({"W0": [[1.0]]}, ["--set", "array.R_wl=-1"], "array: `R_wl` must be >= 0 ohm"),
    "device": ({"W0": [[1.0]]}, ["--set", "array.device=magic"], "`device` must be"),
    "setting": ({"W0": [[1.0]]}, ["--set", "R_wl"], "section.key=value"),
    "folder": ({"W0": [[1.0]]}, ["--out", "/proc/none/m.h5"], "folder that can be written"),
    "suffix": ({"W0": [[1.0]]}, ["--out", "m.txt"], "must end in .h5"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message_exit_status_2_and_no_file(tmp_path, case):
    arrays, options, words = BAD[case]
    np.savez(tmp_path / "n.npz", **arrays)
    result = run_command("map", "n.npz", "--activation", "tanh", *options, cwd=tmp_path)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert [p.name for p in tmp_path.iterdir()] == ["n.npz"]


def test_without_ngspice_the_status_is_3_and_nothing_is_left(tmp_path, network):
    perceptron.save(tmp_path / "n.npz", network)
    empty = tmp_path / "bin"
    empty.mkdir()
    env = {"PATH": str(empty)}
    result = start_command("verify", "n.npz", "--out", "v", cwd=tmp_path, env=env)
    assert result.returncode == 3
    assert "ngspice must be installed" in result.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"n.npz", "bin"}
    doctor = start_command("doctor", "--json", cwd=tmp_path, env=env)
    assert doctor.returncode == 3
    assert json.loads(doctor.stdout)["ngspice"]["path"] is None


def test_doctor_names_engine_and_versions():
    result = run_command("doctor", "--json")
    record = json.loads(result.stdout)
    assert result.returncode == 0
    assert Path(record["ngspice"]["path"]).is_file()
    assert set(record["ngspice"]) >= {"version", "klu", "osdi"}
    assert record["packages"]["numpy"] == np.__version__
    assert record["pyspice"]["ok"], record["pyspice"]


def test_a_foreign_folder_is_never_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    result = start_command("demo", "--out", tmp_path / "mine", *FAST)
    assert result.returncode == 2
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"


def test_ctrl_c_leaves_nothing_behind(tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "xbarspice",
            "demo",
            "--out",
            str(tmp_path / "run"),
            "--set",
            "train.epochs=100000",
            "--set",
            "train.patience=100000",
        ],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
    wait_until(lambda: process.poll() is not None or list(tmp_path.iterdir()))
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE)
    # a shell shows both as 130; Python ends itself by the signal if it came inside an `exec`
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", ["train", "map", "netlist", "solve", "verify", "demo", "doctor"]
)
def test_help_shows_an_example(command):
    result = run_command(command, "--help")
    assert result.returncode == 0
    assert "Example" in result.stdout
    assert "--json" in result.stdout


def test_verify_judges_an_array_and_explains_its_currents(tmp_path):
    """A file whose currents were found with the two end resistances exchanged: one finding."""
    rng = np.random.default_rng(0)
    G, V = rng.uniform(1e-4, 5e-4, (6, 5)), rng.uniform(0, 0.2, (4, 6))
    wires = {"R_wl": 2.0, "R_bl": 2.0}
    right = xb.Crossbar(G, **wires, R_sense=90.0, device="sinh_tio2")
    I_out = xb.solve(right, V, engine="nodal").I_out
    np.savez(
        tmp_path / "a.npz",
        G=G,
        **wires,
        R_driver=90.0,
        R_sense=0.0,
        device="sinh_tio2",
        V_in=V,
        I_out=I_out,
    )
    result = run_command(
        "verify",
        "a.npz",
        "--engine",
        "surrogate",
        "--out",
        "v",
        "--json",
        "--random",
        2,
        cwd=tmp_path,
    )
    record = json.loads(result.stdout)
    assert result.returncode == 1, result.stderr
    assert [e["engine"] for e in record["engines"]] == ["surrogate"]
    assert record["reference"] == "ngspice"
    assert [f["kind"] for f in record["findings"]] == ["driver resistance on the wrong side"]
    assert [g["name"] for g in record["gates"] if not g["passed"]] == [
        "given currents against ngspice"
    ]
    assert (record["vectors"], record["probes"]) == (6, 1)
    assert record["engines"][0]["worst"] < 1e-9
    assert "driver resistance on the wrong side" in (tmp_path / "v/junit.xml").read_text()
    assert (tmp_path / "v/array.h5").is_file()
    shown = run_command("verify", "a.npz", "--engine", "surrogate", "--out", "v", cwd=tmp_path)
    assert re.search(r"given currents against ngspice: [\d.]+ % of the largest", shown.stdout)
    assert "FAIL" in shown.stdout
    for option in ("--worst-case", "--corners", "--nodes"):
        result = run_command("verify", "a.npz", option, "--out", "w", cwd=tmp_path)
        assert result.returncode == 2
        assert f"received {option}" in result.stderr


def test_verify_searches_and_draws_inputs_of_a_model(tmp_path, network):
    """By engines of choice: the points of the file, random ones after them, two that were found."""
    perceptron.save(tmp_path / "n.npz", network)
    x = np.random.default_rng(0).random((20, 2))
    np.savez(tmp_path / "p.npz", x=x, y=np.arange(20) % 2)
    result = run_command(
        "verify",
        "n.npz",
        "--engine",
        "surrogate",
        "--engine",
        "pyspice",
        "--reference",
        "nodal",
        "--inputs",
        "p.npz",
        "--random",
        3,
        "--worst-case",
        "--nodes",
        "--set",
        "verify.steps=2",
        "--set",
        "verify.rounds=1",
        "--set",
        "verify.starts=2",
        "--out",
        "v",
        "--json",
        cwd=tmp_path,
    )
    record = json.loads(result.stdout)
    assert result.returncode == 0, result.stderr
    assert record["engines"] == ["surrogate", "pyspice"]
    assert record["points"] == 23
    assert "3 of the inputs are random." in record["notes"]
    assert [s["target"] for s in record["searches"]] == ["ideal", "engines"]
    assert record["searches"][1]["value"] < 1e-6
    # the weights were never trained, and 20 labels show it
    assert [f["kind"] for f in record["findings"]] == ["labels at chance level"]
    assert record["energy"] > 0
    nodes = hdf5.read_tree(tmp_path / "v/nodes.h5", "node voltages")
    first = nodes["array0"]
    assert first["pyspice"]["V_wl"].shape == first["reference"]["V_wl"].shape
    assert all(c["device"]["error"] < 1e-6 for c in record["tiles"]["surrogate"])
    assert run_command("verify", cwd=tmp_path).returncode == 2


SWEEP = [
    "--set",
    "sweep.sizes=[2, 3]",
    "--set",
    "sweep.R_wire=[1.0, 10.0]",
    "--set",
    "sweep.G_max=[1e-4]",
    "--set",
    "sweep.V_read=[0.1]",
    "--set",
    'sweep.devices=["ohmic"]',
]


def test_verify_maps_the_trust_region_with_ngspice(tmp_path):
    result = run_command("verify", "--map", "--map-out", "m.toml", "--json", *SWEEP, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["source"]["reference"].startswith("ngspice")
    ideal = np.array(record["errors"]["ohmic"]["ideal"])
    assert ideal.shape == (2, 2, 1, 1)
    assert (np.diff(ideal, axis=1) > 0).all()
    assert [p.name for p in tmp_path.iterdir()] == ["m.toml"]
    assert trust.load(tmp_path / "m.toml").axes["size"] == (2, 3)


def test_ctrl_c_in_a_sweep_keeps_the_points(tmp_path):
    """The message names the journal, and the same command goes on from it."""
    command = [sys.executable, "-m", "xbarspice", "verify", "--map", "--map-out", "m.toml"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c
    )
    journal = tmp_path / "m.toml.points.jsonl"
    wait_until(lambda: journal.exists() and len(journal.read_text().splitlines()) > 3)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "the same command goes on" in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "m.toml").exists()
    assert json.loads(journal.read_text().splitlines()[-1])["errors"]["ideal"]


def test_a_level_outside_of_its_region_is_one_message(tmp_path, network):
    """Warned on stderr in words, not as a Python warning with a line of source."""
    perceptron.save(tmp_path / "n.npz", network)
    result = start_command(
        "solve",
        "n.npz",
        "--engine",
        "ideal",
        "--set",
        "array.R_wl=30",
        "--set",
        "mapping.layout=folded",
        cwd=tmp_path,
    )
    assert result.returncode == 0
    assert result.stderr.count("outside of its trust region") == 1
    assert "TrustWarning" not in result.stderr
