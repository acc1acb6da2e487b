"""Where no network is involved, the core install is enough: every command, every public name."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.core import TyperGroup
from typer.main import get_command

import xbarspice as xb
from tests.docs.command_files import write_all
from tests.unit.core.test_missing_packages import BLOCKER
from xbarspice.cli.app import app
from xbarspice.core.errors import EXTRAS
from xbarspice.tapeout import draw, load_technology, save
from xbarspice.verification.array_file import ArrayFile, save_array

ROOT = Path(__file__).parents[3]
ALONE = {
    "config": ["config --section array"],
    "doctor": ["doctor --json"],
    "verify": ["verify array.npz --out verified", "verify drawn.h5 --out verified_h5"],
    "netlist": [
        "netlist array.npz --out decks",
        "netlist array.npz --form subcircuit --dialect spectre --out designs",
    ],
    "export": ["export ohmic.h5 --out out.mat", "export ohmic.h5 --out out.json"],
    "import": [
        "import die.mat --out from_matlab",
        "import crosssim.json --weights W.npy --out from_crosssim",
        "import crossbar.cir --out from_netlist",
    ],
    "program": ["program plan.json --log log.csv --out logged"],
    "calibrate sweeps": ["calibrate sweeps iv.csv --out c1 --bootstrap 0 --no-rank --accept"],
    "calibrate reads": ["calibrate reads reads.csv --array G.csv --out c2 --no-rank --accept"],
    "calibrate pulses": ["calibrate pulses pulses.csv --set array.device=o921c_4k --out c3"],
    "calibrate die": ["calibrate die G1.csv --out c4"],
    "calibrate joint": [
        "calibrate joint die1.csv=G1.csv die2.csv=G2.csv --kelvin monitors.csv "
        "--free R_wl,R_bl,R_driver --per-die R_driver --out c5"
    ],
    "calibrate spread": ["calibrate spread writes.csv --out c6"],
    "calibrate noise": ["calibrate noise repeats.csv --out c7"],
    "calibrate drift": ["calibrate drift before.csv --after 16=after.csv --out c8"],
    "calibrate curves": ["calibrate curves curves.csv --out c9"],
    "calibrate tuning": ["calibrate tuning tuning.csv --out c10"],
    "calibrate retention": ["calibrate retention bake.csv --out c11"],
    "calibrate cycling": ["calibrate cycling cycles.csv --out c12"],
}
"""What needs none of the extras; a command that takes networks, too, stands here with an array."""
DRAWN = {
    "drc": ["drc drawn/layout.gds"],
    "lvs": ["lvs drawn/layout.gds ohmic.h5"],
    "extract": ["extract drawn/layout.gds --out extracted.h5"],
}
"""What needs KLayout alone."""
NETWORKS = {
    "demo": "demo",
    "train": "train",
    "map": "map model.pt2",
    "solve": "solve net.h5",
    "campaign": "campaign net.h5",
    "transfer": "transfer net.h5 --inputs x.npz",
    "designs": "designs model.pt2 --inputs x.npz",
    "tapeout": "tapeout net.h5 --inputs x.npz",
    "calibrate arrays": "calibrate arrays net.h5 --measured G.csv",
}
"""What is of a network alone, and needs torch."""
PROGRAM = """
import contextlib, io, json, sys
from xbarspice.cli import app

for words in json.load(sys.stdin):
    sys.argv[1:], said = words, io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            app.main()
        except SystemExit as end:
            status = end.code
    print(json.dumps([status, said.getvalue()]))
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
"""Runs commands one after the other: exit status and words of each, then what was loaded."""
NAMES = """
import inspect, json
import xbarspice as xb

need = {}
for name in xb.__all__:
    try:
        thing = getattr(xb, name)
    except ImportError as error:
        need[name] = error.name
        continue
    for inner in getattr(thing, "__all__", ()) if inspect.ismodule(thing) else ():
        try:
            getattr(thing, inner)
        except ImportError as error:
            need[f"{name}.{inner}"] = error.name
print(json.dumps(need))
"""
OF_NETWORKS = {
    *("load", "save", "verify", "nn", "transfer"),
    *("verification.CORNERS", "verification.Search"),
    *("verification.Verification", "verification.verify"),
    *("campaign.CircuitModel", "campaign.circuit_item"),
    *("tapeout.FolderCheck", "tapeout.as_drawn", "tapeout.check_folder", "tapeout.tapeout"),
    *("plot.loss_budget", "plot.transfer_points", "plot.transfers"),
    *(f"training.{name}" for name in xb.training.__all__),
}
"""Public names that need torch to be loaded; all else needs none of the extras for that."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Arrays, their drawing and measured data, a network, and what blocks packages."""
    place = tmp_path_factory.mktemp("arrays")
    write_all(place)
    (place / "sitecustomize.py").write_text(BLOCKER)
    rng = np.random.default_rng(0)
    wires = {"R_wl": 2.0, "R_bl": 3.0, "R_driver": 2.0, "R_sense": 3.0}
    array = xb.Crossbar(rng.uniform(1e-5, 1e-4, (4, 3)), **wires)
    save_array(place / "ohmic.h5", ArrayFile(crossbar=array, V_in=rng.uniform(0, 0.2, (2, 4))))
    save_array(place / "drawn.h5", ArrayFile(crossbar=array))
    (place / "drawn").mkdir()
    save(draw(array, load_technology("demo")), place / "drawn", "layout")
    return place


def run(folder: Path, absent: set[str], *words: str, text: str = ""):
    path = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, input=text, timeout=600,
        cwd=folder, env={**os.environ, "BLOCKED": ",".join(sorted(absent)), "PYTHONPATH": path},
    )  # fmt: skip


def run_commands(folder: Path, absent: set[str], lines: Iterable[str]) -> list[Any]:
    """What PROGRAM says of command lines."""
    words = json.dumps([shlex.split(line) for line in lines])
    done = run(folder, absent, "-c", PROGRAM, text=words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def leaves(command, name=""):
    """Names of all commands that do something."""
    if not isinstance(command, TyperGroup):
        return [name]
    return [
        leaf for word, inner in command.commands.items() for leaf in leaves(inner, f"{name} {word}")
    ]


def test_every_command_has_its_place():
    commands = {leaf.strip() for leaf in leaves(get_command(app))}
    assert commands == {*ALONE, *DRAWN, *NETWORKS}
    assert not set(NETWORKS) & {*ALONE, *DRAWN}
    for name, lines in (ALONE | DRAWN).items():
        assert lines
        assert all(line.split()[: len(name.split())] == name.split() for line in lines)


@pytest.mark.parametrize("lines", [ALONE, DRAWN], ids=["no extra", "KLayout alone"])
def test_commands_on_single_arrays_need_no_torch(folder, lines):
    absent = set(EXTRAS) - ({"klayout"} if lines is DRAWN else set())
    each = [line for several in lines.values() for line in several]
    *outcomes, loaded = run_commands(folder, absent, each)
    assert len(outcomes) == len(each)
    for line, (status, words) in zip(each, outcomes, strict=True):
        assert status == 0, (line, words)
    assert not absent & set(loaded)


def test_a_command_on_a_network_says_that_torch_is_missing(folder):
    before = {p.name for p in folder.iterdir()}
    *outcomes, _ = run_commands(folder, {"torch"}, NETWORKS.values())
    for line, (status, words) in zip(NETWORKS.values(), outcomes, strict=True):
        assert status == 3, (line, words)
        assert "error: xbarspice needs the Python package `torch`" in words, line
        assert 'pip install "xbarspice[torch]"' in words, line
    assert {p.name for p in folder.iterdir()} - {"runs"} <= before


def test_public_names_that_need_torch_are_those_of_networks(folder):
    done = run(folder, set(EXTRAS), "-c", NAMES)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == dict.fromkeys(OF_NETWORKS, "torch")


def test_the_page_names_every_command_beside_the_extra_that_it_needs():
    text = (ROOT / "docs/commands.md").read_text("utf-8")
    table = text.partition("## What must be installed")[2].partition("## Settings")[0]
    rows = dict(re.findall(r"^\| ([^|]+) \| (.+) \|$", table, flags=re.M))
    none, drawn = rows["none"], rows["`tapeout`"]
    networks = " ".join(
        words for extras, words in rows.items() if "torch" in extras or "demo" in extras
    )
    for names, words in ((ALONE, none), (DRAWN, drawn), (NETWORKS, networks)):
        for name in names:
            group = name.partition(" ")[0] if names is ALONE else name
            assert re.search(rf"`{group}\b", words), name


def test_a_single_array_is_no_model_and_the_command_says_so(folder):
    lines = [line.replace("net.h5", "ohmic.h5") for line in NETWORKS.values() if "net.h5" in line]
    lines.append("designs ohmic.h5 --inputs x.npz")
    *outcomes, _ = run_commands(folder, set(), lines)
    assert len(outcomes) == len(lines) > 3
    for line, (status, words) in zip(lines, outcomes, strict=True):
        assert status == 2, (line, words)
        assert "received `ohmic.h5`, a single array" in words, line
