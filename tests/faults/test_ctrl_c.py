"""Ctrl-C in every long command: a real SIGINT, a sentence that says what stands, status 130."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import xbarspice as xb
from tests.helpers import PATIENCE, heed_ctrl_c, wait_until

ROOT = Path(__file__).parents[2]
PROGRAM = """
import importlib, pathlib, runpy, sys, time

place, module, *words = sys.argv[1:]
home, _, name = place.partition(":")
owner = importlib.import_module(home)
for part in name.split(".")[:-1]:
    owner = getattr(owner, part)
name = name.rpartition(".")[2]
real = getattr(owner, name)

def work_then_wait(*arguments, **options):
    result = real(*arguments, **options)
    pathlib.Path("reached").touch()
    for _ in range(36_000):
        time.sleep(0.1)
        if pathlib.Path("sent").exists():
            break
    return result

setattr(owner, name, work_then_wait)
sys.argv = [module, *words]
if module.endswith(".py"):
    runpy.run_path(module, run_name="__main__")
else:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""Runs a program in which one function is followed by a wait: there Ctrl-C meets it."""
ANEW = "stopped by Ctrl-C before a result was written; the same command begins anew"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A deployment with inputs, and repeated reads of devices."""
    folder = tmp_path_factory.mktemp("stopped")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2)).double()
    x = torch.rand(4, 3, dtype=torch.float64)
    xb.save(
        folder / "net.h5",
        xb.nn.convert(
            model, xb.ArrayConfig(G_min=152e-6, G_max=343e-6, device="sinh_tio2"), calibrate=x
        ),
    )
    np.savez(folder / "x.npz", x=x.numpy(), y=[0, 1, 0, 1])
    rows = [f"{k % 2},{1e-4 + 1e-6 * np.sin(k)}" for k in range(30)]
    (folder / "repeats.csv").write_text("\n".join(["device,G [S]", *rows]), "utf-8")
    return folder


def stop(folder: Path, place: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program, send SIGINT to its whole group as a terminal does, once a function ended."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, place, *words],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_ctrl_c,
    ) as process:
        wait_until(lambda: process.poll() is not None or (folder / "reached").exists())
        assert process.poll() is None, process.communicate()
        os.killpg(process.pid, signal.SIGINT)
        (folder / "sent").touch()
        out, err = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


MODEL = ("net.h5", "--inputs", "x.npz")
SAME = "the same command goes on"
COMMANDS = {
    "train": ("training.train:train_perceptron", ("--set", "train.epochs=2"), ANEW),
    "verify": ("verification.circuit:solve_sample", MODEL, ANEW),
    "verify --work w": (
        "verification.circuit:solve_sample",
        MODEL,
        rf"what was done stands in w/tiles\.h5: {SAME}",
    ),
    "verify --map": (
        "verification.trust_sweep:point_errors",
        ("--set", "sweep.sizes=[2, 4]", "--set", "sweep.vectors=1"),
        rf"what was done stands in \S+: {SAME}",
    ),
    "campaign": (
        "campaign:run",
        (*MODEL, "--engine", "surrogate", "--transfers", "2", "--workers", "0"),
        r"what was done stands in campaign\.h5: go on with --resume",
    ),
    "transfer": (
        "transfer:transfer",
        (*MODEL, "--transfers", "3"),
        rf"what was done stands in runs/transfer\.unfinished\.h5: {SAME}",
    ),
    "program": (
        "programming.circuits:write_arrays",
        (*MODEL, "--workers", "0", "--device", "o921c_4k"),
        rf"what was done stands in runs/program\.unfinished\.h5: {SAME}",
    ),
    "calibrate noise": ("calibration:fit_noise", ("repeats.csv",), ANEW),
    "tapeout": ("tapeout.floorplan:compose", (*MODEL, "--technology", "demo"), ANEW),
}
"""Where each command is stopped, its arguments, and what it must say."""


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_says_what_stands_and_ends_with_130(command, files, tmp_path):
    place, arguments, words = COMMANDS[command]
    for file in files.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    ended = stop(
        tmp_path, f"xbarspice.{place}", "xbarspice", *command.split(), *arguments, "--json"
    )
    assert ended.returncode == 130, ended.stderr
    assert re.search(words, ended.stderr), ended.stderr
    assert "Traceback" not in ended.stderr
    record = json.loads(ended.stdout)["error"]
    assert record["kind"] == "Interrupt"
    assert record["exit_status"] == 130
    assert re.search(words, record["message"])
    if kept := re.search(r"stands in ([^:]+):", record["message"]):
        assert (tmp_path / kept[1]).is_file()
    results = {"report.html", "report.json", "network.npz", "card.toml", "trust_map.toml"}
    assert not [path for path in tmp_path.rglob("*") if path.name in results]


def test_what_stands_is_where_the_same_command_goes_on(files, tmp_path):
    """The arrays that were solved before the stop are not solved again."""
    for file in files.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    command = ("xbarspice", "verify", *MODEL, "--work", "w")
    ended = stop(tmp_path, "xbarspice.verification.circuit:solve_sample", *command)
    assert ended.returncode == 130
    before = (tmp_path / "w" / "tiles.h5").stat().st_size
    again = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "w" / "tiles.h5").stat().st_size == before


def test_the_experiment_says_how_many_parts_stand(tmp_path):
    words = ("papers.drolet2023", "--quick", "--out", "run")
    ended = stop(tmp_path, "papers.drolet2023.kept:Kept.value", *words)
    assert ended.returncode == 130, ended.stderr
    count = len(list((tmp_path / "run" / "kept").glob("*.json")))
    assert count >= 1
    assert f"{count} finished parts stand in run/kept: {SAME}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_training_script_names_the_checkpoint(tmp_path):
    (tmp_path / "script.py").write_text(
        "import torch, xbarspice as xb\n"
        "net = torch.nn.Sequential(torch.nn.Linear(2, 2))\n"
        "x, y = torch.rand(8, 2), torch.tensor([0, 1] * 4)\n"
        "circuit = xb.nn.convert(net, xb.ArrayConfig(), calibrate=x)\n"
        "settings = xb.training.Settings(steps=50, draws=0)\n"
        "xb.training.fit(circuit, (x, y), (x, y), settings, checkpoint='run.pt')\n"
    )
    ended = stop(tmp_path, "xbarspice.training.fitting:_Run._one_step", "script.py")
    assert ended.returncode == -signal.SIGINT  # which a shell calls 130
    sentence = r"stopped by Ctrl-C after step 1 of 50; the run stands in run\.pt: the same call"
    assert re.search(sentence, ended.stderr), ended.stderr
    assert (tmp_path / "run.pt").is_file()
