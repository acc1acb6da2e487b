"""One rule for the inputs of all commands: a wrong path is one sentence, status 2, nothing left."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from typer.core import TyperGroup
from typer.main import get_command

import xbarspice as xb
from tests.helpers import run_command, small_network
from xbarspice.cli.app import app
from xbarspice.importers import perceptron

NO_FILES = {"config", "doctor", "drc"}
"""Commands without an input that must be there."""
COMMANDS = {
    "train": (),
    "demo": (),
    "map": ("network.npz",),
    "solve": ("net.h5",),
    "verify": ("net.h5",),
    "transfer": ("net.h5",),
    "designs": ("network.npz",),
    "campaign": ("net.h5", "--workers", "0"),
    "program": ("net.h5", "--device", "o921c_4k"),
    "netlist": ("net.h5",),
    "tapeout": ("net.h5", "--technology", "demo"),
    "lvs": ("chip.gds", "net.h5", "--technology", "demo"),
    "extract": ("chip.gds", "--technology", "demo"),
    "import": ("array.mat", "--form", "matlab"),
    "export": ("net.h5", "--out", "new.mat"),
    "calibrate arrays": ("net.h5", "--measured", "data.csv"),
    "calibrate joint": ("data.csv=G.csv",),
    **{
        f"calibrate {kind}": ("data.csv",)
        for kind in (
            [
                "sweeps",
                "reads",
                "pulses",
                "die",
                "spread",
                "noise",
                "drift",
                "curves",
                "tuning",
                "retention",
                "cycling",
            ]
        )
    },
}
"""Arguments of each command, which its other inputs come after."""


def leaves(command, name=()):
    if isinstance(command, TyperGroup):
        for word, inner in command.commands.items():
            yield from leaves(inner, (*name, word))
    else:
        yield " ".join(name), command


LEAVES = dict(leaves(get_command(app)))
INPUTS = ("--inputs", "--config", "--calibration")
CASES = [
    *((name, "") for name, words in COMMANDS.items() if words and name != "calibrate joint"),
    *(
        (name, option)
        for name in COMMANDS
        for option in INPUTS
        if name in LEAVES and any(option in part.opts for part in LEAVES[name].params)
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A deployment, a network, a table and a folder."""
    folder = tmp_path_factory.mktemp("rules")
    model = torch.nn.Sequential(torch.nn.Linear(3, 2)).double()
    x = torch.rand(4, 3, dtype=torch.float64)
    xb.save(folder / "net.h5", xb.nn.convert(model, xb.ArrayConfig(), calibrate=x))
    np.savez(folder / "x.npz", x=x.numpy())
    perceptron.save(folder / "network.npz", small_network())
    (folder / "data.csv").write_text("device,V,I\n0,0.1,1e-5\n0,0.2,2e-5\n0,0.3,3e-5\n")
    (folder / "a_folder").mkdir()
    (folder / "foreign").mkdir()
    (folder / "foreign" / "notes.txt").write_text("mine")
    return folder


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_every_command_is_among_them():
    assert set(COMMANDS) == set(LEAVES) - NO_FILES


@pytest.mark.parametrize("bad", ["missing.h5", "a_folder"])
@pytest.mark.parametrize(("name", "option"), CASES)
def test_a_path_that_leads_to_no_file_is_named_before_any_work(folder, name, option, bad):
    words = list(COMMANDS[name])
    if option:
        words += [option, bad]
        words += ["--network", "net.h5"] if name == "calibrate die" else []
    else:
        words[0] = bad
    takes_inputs = any("--inputs" in part.opts for part in LEAVES[name].params)
    if takes_inputs and option != "--inputs" and name != "calibrate die":
        words += ["--inputs", "x.npz"]
    before = listing(folder)
    ended = run_command(*name.split(), *words, "--json", cwd=folder)
    assert ended.returncode == 2, ended.stderr
    message = json.loads(ended.stdout)["error"]["message"]
    assert bad in message
    assert "must" in message
    assert message in ended.stderr.replace("\n", "")
    assert listing(folder) == before


WITH_OUT = [n for n in COMMANDS if any("--out" in part.opts for part in LEAVES[n].params)]


@pytest.mark.parametrize("name", [n for n in WITH_OUT if n != "import"])
def test_a_folder_with_files_of_others_is_never_written_over(folder, name):
    words = [w for w in COMMANDS[name] if w not in ("--out", "new.mat")]
    takes_inputs = any("--inputs" in part.opts for part in LEAVES[name].params)
    if takes_inputs and name != "calibrate die":
        words += ["--inputs", "x.npz"]
    before = listing(folder)
    ended = run_command(*name.split(), *words, "--out", "foreign", cwd=folder)
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert listing(folder) == before
