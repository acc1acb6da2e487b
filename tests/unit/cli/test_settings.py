"""What was asked is what is solved: a setting changes the solved objects, or is refused by name.

Every command meets every value of the configuration's model, so that a new value cannot be
forgotten. The commands run up to their first piece of work (`SEAMS`), which takes the arguments
down and stops; a value that is taken must change them.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import tomllib
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from torch import nn
from typer.testing import CliRunner

import xbarspice as xb
from tests.helpers import small_network
from xbarspice.cli import settings, steps
from xbarspice.cli.app import app
from xbarspice.config import RunConfig
from xbarspice.config.arrays import array_settings, with_stated_array
from xbarspice.core import crossbar_file, hdf5
from xbarspice.core.errors import InputError
from xbarspice.importers import perceptron
from xbarspice.importers.perceptron_model import perceptron_module
from xbarspice.nn import crossbar_layers
from xbarspice.nn.origin import weights_hash

# --- another value of every setting -------------------------------------------------------------

SPECIAL: dict[str, Any] = {
    "array.device": '"nili_pulse"',
    "array.parameters": "{b = 1.5}",
    "mapping.tile_rows": 2,
    "mapping.tile_cols": 2,
    "mapping.G_min": 60e-6,
    "mapping.G_max": 300e-6,
    "mapping.x_scale": 0.01,
    "mapping.clip": 99.0,
    "mapping.levels": 16,
    "array.dac_bits": 8,
    "array.adc_bits": 8,
    "array.adc_range": 1e-4,
    "array.recompute": "true",
    "layers": '{"*" = {R_wl = 7.0}}',
    "convert.exclude": '["2"]',
    "convert.quantile": 0.6,
    "train.activation": '"tanh"',
    "train.hidden": "[3]",
    "data.noise": 0.3,
    "engines": '["nodal"]',
    "reference": '"nodal"',
    "variability": '[{name = "relative_noise", sigma = 0.02}]',
    "gates.accuracy_loss": 0.25,
    "gates.beyond": 5,
    "gates.findings": 7,
    "verify.low": -0.5,
    "verify.high": 2.0,
    "sweep.sizes": "[2, 3]",
    "sweep.R_wire": "[1.0, 2.0]",
    "sweep.G_max": "[1e-5]",
    "sweep.V_read": "[0.3]",
    "sweep.devices": '["ohmic"]',
}
"""Values as TOML where half as much again, or another word, is no valid value."""
FIXED = {"data.name", "calibration", "mapping.cell_code", "convert.fold_batchnorm"}
"""One word only; what cards write and nobody sets; what needs others, or a batch norm, to count."""


def leaves(model: type[BaseModel], above: str = "") -> list[tuple[str, Any]]:
    """(dotted name, field) of every value of a configuration's model."""
    out = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            out += leaves(kind, f"{above}{name}.")
        else:
            out.append((f"{above}{name}", field))
    return out


def other(name: str, field: Any) -> str:
    """A valid value that is not the default, as TOML."""
    if name in SPECIAL:
        return str(SPECIAL[name])
    if isinstance(field.default, (dict, tuple, list)):
        raise AssertionError(f"`{name}` has no other value yet: write one into SPECIAL")
    if get_origin(field.annotation) is Literal:
        return f'"{next(w for w in get_args(field.annotation) if w != field.default)}"'
    if isinstance(field.default, int):
        return str(field.default + 3)
    return str(0.5 if field.default in (None, 0.0) else 1.5 * field.default)


SETTINGS = [(n, other(n, f)) for n, f in leaves(RunConfig) if n not in FIXED]


def test_every_value_of_the_model_has_another():
    for name, text in SETTINGS:
        _, value = settings._parse(f"{name}={text}")
        *above, last = name.split(".")
        run = RunConfig.from_mapping({above[0]: {last: value}} if above else {last: value})
        section = getattr(run, above[0]) if above else run
        default = getattr(RunConfig(), above[0]) if above else RunConfig()
        assert getattr(section, last) != getattr(default, last), name


# --- what a command is about to do --------------------------------------------------------------


class WorkReachedError(Exception):
    """The first piece of work of a command was reached."""


def digest(value: Any) -> Any:
    """Plain nested values that two equal pieces of work have in common; functions are left out."""
    if isinstance(value, np.ndarray):
        return value.shape, hashlib.sha256(value.tobytes()).hexdigest()
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    if isinstance(value, dict):
        return {str(k): digest(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [digest(v) for v in value]
    if dataclasses.is_dataclass(value):
        return type(value).__name__, digest(dict(value.__dict__))
    if isinstance(value, np.random.Generator):
        return str(value.bit_generator.state)
    if isinstance(value, (str, int, float, bool, type(None), np.generic)):
        return repr(value)
    if isinstance(value, torch.Tensor):
        return digest(value.detach().numpy())
    if isinstance(value, nn.Module):
        arrays = [m for k in crossbar_layers(value).values() for m in k.matrices.values()]
        known = [(m.name, repr(m.config), m.seed, m.transfer) for m in arrays]
        return known, weights_hash(value)
    if isinstance(value, functools.partial):
        return digest(value.keywords)
    return digest(value.__dict__) if type(value).__name__ == "GridItems" else None


STOP = object()
"""What a seam gives that ends the command."""


def _fake_fit(*_: Any, **__: Any) -> Any:
    return SimpleNamespace(network=small_network())


SEAMS: dict[str, dict[str, Any]] = {
    "train": {"xbarspice.training.train.train_perceptron": STOP},
    "map": {"xbarspice.deployment.save": STOP},
    "netlist": {"xbarspice.cli.netlist._write": STOP},
    "solve": {"xbarspice.deployment.opening.Opened.outputs": STOP},
    "verify": {
        "xbarspice.verification.verify": STOP,
        "xbarspice.verification.array.verify_array": STOP,
        "xbarspice.verification.trust_sweep.sweep": lambda *_, **__: None,
        "xbarspice.cli.screens.trust_map": STOP,
    },
    "demo": {
        "xbarspice.training.train.train_perceptron": _fake_fit,
        "xbarspice.verification.verify": STOP,
    },
    "campaign": {"xbarspice.campaign.run": STOP},
    "transfer": {"xbarspice.transfer.transfer": STOP},
    "designs": {"xbarspice.training.designs.compare_designs": STOP},
    "tapeout": {"xbarspice.tapeout.flow.tapeout": STOP},
    "program": {
        "xbarspice.programming.circuits.write_arrays": lambda *_, **__: [],
        "xbarspice.programming.circuits.compare": STOP,
    },
    "calibrate": {
        "xbarspice.calibration.fit_and_compare": STOP,
        "xbarspice.calibration.fit_joint": STOP,
        "xbarspice.calibration.fit_pulses": STOP,
        "xbarspice.calibration.fit_curves": STOP,
        "xbarspice.calibration.card_of_spread": STOP,
        "xbarspice.calibration.twin.record_of_die": lambda *_: {},
        "xbarspice.calibration.placement.serve": STOP,
        "xbarspice.calibration.measured.judge": STOP,
        "xbarspice.cli.calibrate_job.Job.write": STOP,
    },
}
"""What each command calls to do its work, and what stands in for it."""
UNSEEN = {"write", "_after"}
"""Calls whose arguments hold the configuration itself, or nothing of the problem."""

RANDOM = ("--random", "3")
FILE = ("--inputs", "p.npz")
CALLS: list[tuple[str, ...]] = [
    ("train",),
    ("map", "n.npz"),
    ("map", "n.npz", *FILE),
    ("solve", "n.npz", *FILE),
    ("solve", "n.npz", *RANDOM),
    ("solve", "d.h5", *FILE),
    ("solve", "d.h5", *RANDOM),
    *(("netlist", s, *i) for s, i in (("n.npz", RANDOM), ("d.h5", RANDOM), ("d.h5", FILE))),
    ("tapeout", "n.npz", *FILE),
    ("tapeout", "d.h5", *FILE),
    ("campaign", "d.h5", *FILE),
    ("campaign", "d.h5", *FILE, "--transfers", "2", "--sweep", "R_wl=1,2"),
    ("transfer", "d.h5", *FILE),
    ("transfer", "d.h5", *FILE, "--engine", "ideal", "--layers", "2"),
    ("designs", "d.h5", *FILE, "--choice", "placement"),
    ("designs", "n.npz", *FILE, "--choice", "bias"),
    ("program", "d.h5", *FILE, "--device", "o921c_4k", "--set", "mapping.G_max=301e-6"),
    ("program", "d.h5", *FILE, "--config", "writable.toml"),
    ("verify", "n.npz", *RANDOM),
    ("verify", "n.npz", *FILE, "--engine", "surrogate", "--reference", "nodal", "--worst-case"),
    ("verify", "a.npz", *RANDOM),
    ("verify", "c.h5", *RANDOM),
    ("verify", "--map"),
    ("demo",),
    ("calibrate", "reads", "r.csv", "--array", "f.h5"),
    ("calibrate", "reads", "r.csv", "--free", "G"),
    ("calibrate", "sweeps", "s.csv"),
    ("calibrate", "pulses", "u.csv", "--config", "writable.toml"),
    ("calibrate", "spread", "w.csv"),
    ("calibrate", "noise", "t.csv"),
    ("calibrate", "drift", "v.csv"),
    ("calibrate", "curves", "k.csv"),
    ("calibrate", "tuning", "l.csv"),
    ("calibrate", "retention", "q.csv"),
    ("calibrate", "joint", "r.csv=g.csv", "r.csv=g.csv"),
    ("calibrate", "arrays", "d.h5", *FILE, "--measured", "0[0,0,0]=e.csv"),
    ("calibrate", "die", "d.csv"),
    ("calibrate", "die", "f.csv", "--network", "n.npz", "--config", "folded.toml"),
    ("calibrate", "die", "f.csv", "--network", "n.npz", *FILE, "--config", "folded.toml"),
    ("calibrate", "die", "e.csv", "--network", "d.h5", *FILE, "--array", "0[0,0,0]"),
]  # fmt: skip
OTHER = {
    "writable.toml": {"array.device": '"o921c"', "array.parameters": "{A_p = 0.2}"},
    "folded.toml": {"mapping.layout": '"tiled"'},
    "demo": {"mapping.layout": '"tiled"', "mapping.x_scale": 0.5},
}
"""Other values for the calls with a file: one whose device has a state, one that folds. The demo
is folded by itself, and its device is not linear."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A network, deployments, arrays, inputs, and measured data for every calibration."""
    folder = tmp_path_factory.mktemp("settings")
    rng = np.random.default_rng(0)
    perceptron.save(folder / "n.npz", small_network())
    hdf5.write_tree(folder / "m.h5", {"G_max": 5e-4}, "mapped network")
    folded = xb.ArrayConfig(layout="folded", tile_rows=8, tile_cols=8, device="sinh_tio2")
    inputs = torch.from_numpy(rng.random((6, 2)))
    circuit = xb.nn.convert(perceptron_module(small_network()), folded, calibrate=inputs)
    xb.save(folder / "f.h5", circuit)
    model = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1)).double()
    xb.save(folder / "d.h5", xb.nn.convert(model, calibrate=torch.rand(6, 2).double()))
    (physical,) = xb.nn.arrays(circuit)
    array = physical.crossbar.replace(ends=xb.READ)
    crossbar_file.save(folder / "c.h5", array)
    np.savez(folder / "a.npz", G=array.G, R_wl=2.0, device="sinh_tio2")
    np.savez(folder / "p.npz", x=rng.random((6, 2)), y=np.array([0, 1] * 3))
    (folder / "folded.toml").write_text(
        '[mapping]\nlayout = "folded"\nbias = "array"\ntile_rows = 8\ntile_cols = 8\n'
    )
    (folder / "writable.toml").write_text(
        '[array]\ndevice = "o921c_4k"\n[mapping]\nG_min = 61e-6\nG_max = 301e-6\n'
    )
    V = rng.uniform(0, 0.2, (4, array.rows))
    I_out = V @ array.G
    head = [f"V_in{k}" for k in range(array.rows)] + [f"I_out{k}" for k in range(array.cols)]
    tables = {
        "r": (head, np.hstack([V, I_out])),
        "s": (["device", "V", "I"], [[0, v, 1e-4 * v] for v in (0.1, 0.2, 0.3)]),
        "u": (
            ["device", "V", "width", "G"],
            [[0, v, 1e-7, g * 1e-6] for v, g in ((0, 100), (1, 110), (1, 115))],
        ),
        "w": (
            ["device", "target", "G"],
            [[k, 1e-4, g] for k, g in enumerate(np.linspace(0.98e-4, 1.02e-4, 9))],
        ),
        "k": (
            ["V", "width", "G"],
            [[min(k, 1), 1e-7, 1e-4 + 1e-6 * k] for k in range(9)],
        ),
        "l": (
            ["target", "G"],
            [[1e-4 * k, 1e-4 * k * g] for k, g in enumerate(rng.uniform(0.98, 1.02, 30), 1)],
        ),
        "q": (
            ["device", "t", "G"],
            [[k % 4, 10.0 ** (k // 4), g] for k, g in enumerate(rng.uniform(1e-4, 1.1e-4, 20))],
        ),
        "v": (["G", "G_end", "later_writes"], [[1e-4, g, 5] for g in np.linspace(1e-4, 2e-4, 9)]),
        "t": (["device", "G"], [[k % 2, g] for k, g in enumerate(rng.uniform(1e-4, 1.1e-4, 20))]),
    }
    for name, (columns, rows) in tables.items():
        np.savetxt(folder / f"{name}.csv", np.asarray(rows), delimiter=",", comments="",
                   header=",".join(columns))  # fmt: skip
    G_text = "\n".join(";".join(map(str, 1e6 * row)) for row in array.G)
    (folder / "g.csv").write_text(f"conductance in uS\n{G_text}\n")
    R = np.full((8, 8), 5000.0) + 10 * rng.random((8, 8))
    (folder / "d.csv").write_text("ohm\n" + "\n".join(";".join(map(str, r)) for r in R))
    (folder / "f.csv").write_text("ohm\n" + "\n".join(";".join(map(str, r)) for r in R[:, :3]))
    (folder / "e.csv").write_text("ohm\n" + "\n".join(";".join(map(str, r)) for r in R[:3, :6]))
    return folder


def begin(monkeypatch, files, words: tuple[str, ...], *more: str) -> tuple[int, Any]:
    """(exit status, arguments of all work) of a command; -1 is a command that came to its work."""
    done: list[Any] = []
    for path, result in SEAMS[words[0]].items():
        name = path.rpartition(".")[2]

        def seam(*args: Any, _name: str = name, _result: Any = result, **options: Any) -> Any:
            options.pop("progress", None)
            options.pop("path", None)
            if _name not in UNSEEN:
                done.append((_name, digest(args), digest(options)))
            if _result is STOP:
                raise WorkReachedError
            return _result(*args, **options)

        monkeypatch.setattr(path, seam)
    monkeypatch.chdir(files)
    out = ("--out", "OUT.h5") if words[0] in {"map", "campaign"} else ()
    ended = CliRunner().invoke(app, [*words, *out, *more, "--json"])
    if isinstance(ended.exception, WorkReachedError):
        return -1, done
    if isinstance(ended.exception, InputError):
        return 2, str(ended.exception)
    raise AssertionError(f"{words} {more}: {ended.output} {ended.exception!r}")


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_a_setting_changes_what_is_solved_or_is_refused(monkeypatch, files, words):
    status, before = begin(monkeypatch, files, words)
    assert status == -1, before
    assert begin(monkeypatch, files, words) == (status, before)
    changed, ignored = [], []
    for name, text in SETTINGS:
        value = next((OTHER[word].get(name, text) for word in words if word in OTHER), text)
        status, after = begin(monkeypatch, files, words, "--set", f"{name}={value}")
        if status == -1:
            (ignored if after == before else changed).append(name)
    assert not ignored
    assert changed


def test_every_command_with_settings_is_among_the_calls():
    from typer.main import get_command

    from tests.unit.cli.test_card_commands import commands

    with_settings = {
        n for n, c in commands(get_command(app)) if any("--set" in p.opts for p in c.params)
    }
    called = {" ".join(w[:2]) if w[0] == "calibrate" else w[0] for w in CALLS}
    assert called == with_settings


# --- deployments and arrays ----------------------------------------------------------------------


def invoke(folder, *words):
    done = CliRunner().invoke(app, [str(folder / w) if (folder / w).exists() else w for w in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        return str(done.exception)
    assert done.exit_code == 0, done.output
    return done.output


def test_wires_of_a_deployment_are_written_and_said(files, tmp_path):
    out = tmp_path / "netlists"
    words = ("--inputs", "p.npz", "--set", "array.R_wl=100000", "--set", "array.device=sinh_tio2")
    invoke(files, "netlist", "d.h5", "--out", str(out), *words)
    said = tomllib.loads((out / "run.toml").read_text())
    assert said["array"]["R_wl"] == 100000
    assert said["array"]["device"] == "sinh_tio2"
    (deck, *_) = sorted(out.glob("*/ngspice/deck_0.cir"))
    assert "100000" in deck.read_text()


def test_run_toml_of_a_deployment_says_what_the_file_holds(files, tmp_path):
    """Not the defaults: wires, device parameters, range and tiles of the file."""
    device = xb.devices.SinhTiO2(b=1.75)
    config = xb.ArrayConfig(tile_rows=2, tile_cols=4, R_wl=7.0, device=device, G_max=400e-6,
                            V_read=0.15)  # fmt: skip
    x = np.load(files / "p.npz")["x"]
    circuit = xb.nn.convert(perceptron_module(small_network()), config, calibrate=torch.tensor(x))
    xb.save(tmp_path / "t.h5", circuit)
    record = invoke(tmp_path, "verify", "t.h5", "--engine", "surrogate", "--reference", "nodal",
                    "--inputs", str(files / "p.npz"), "--out", str(tmp_path / "v"))  # fmt: skip
    assert "PASS" in record
    said = tomllib.loads((tmp_path / "v/run.toml").read_text())
    assert said["array"] == {"R_wl": 7.0, "R_bl": 1.0, "R_driver": 0.0, "R_sense": 0.0,
                             "device": "sinh_tio2", "parameters": {"b": 1.75},
                             "recompute": False, "dtype": "float64"}  # fmt: skip
    assert said["mapping"]["layout"] == "tiled"
    assert (said["mapping"]["G_max"], said["mapping"]["V_read"]) == (400e-6, 0.15)
    assert (said["mapping"]["tile_rows"], said["mapping"]["tile_cols"]) == (2, 4)


OLD = [
    ("map", "m.h5", "--out", "OUT.h5"),
    *(
        (name, "m.h5", *FILE)
        for name in ("solve", "netlist", "tapeout", "transfer", "designs", "verify")
    ),
    ("campaign", "m.h5", *FILE, "--out", "OUT.h5"),
    ("program", "m.h5", *FILE, "--device", "o921c_4k"),
    ("calibrate", "reads", "r.csv", "--array", "m.h5"),
    ("calibrate", "arrays", "m.h5", *FILE, "--measured", "0[0,0,0]=e.csv"),
    ("calibrate", "die", "d.csv", "--network", "m.h5"),
]


@pytest.mark.parametrize("words", OLD, ids=" ".join)
def test_an_old_mapped_network_is_refused_with_the_command_that_renews_it(
    monkeypatch, files, words
):
    status, said = begin(monkeypatch, files, words)
    assert status == 2, said
    assert "m.h5`, a mapped network" in said
    assert "xbarspice map NETWORK" in said


def test_parameters_alone_go_over_the_device_of_the_file(files):
    array = xb.Crossbar([[1e-4]], device=xb.devices.SinhTiO2(b=1.75, V_read=0.3))
    run = RunConfig.from_mapping({"array": {"parameters": {"b": 2.5}}})
    assert with_stated_array(array, run).device == xb.devices.SinhTiO2(b=2.5, V_read=0.3)
    run = RunConfig.from_mapping({"array": {"device": "ohmic"}})
    assert with_stated_array(array, run).device.name == "ohmic"
    assert with_stated_array(array, RunConfig()) is array


def test_arrays_that_differ_have_no_common_value_to_say(files):
    first = xb.Crossbar([[1e-4]], R_bl=1.0, device=xb.devices.SinhTiO2(b=1.75))
    said = array_settings([first, first.replace(R_wl=9.0)])
    assert "R_wl" not in said
    assert said["R_bl"] == 1.0
    assert (said["device"], said["parameters"]) == ("sinh_tio2", {"b": 1.75})
    said = array_settings([first, first.replace(device="ohmic")])
    assert said["R_wl"] == first.R_wl
    assert not {"device", "parameters"} & set(said)


def test_the_device_set_by_hand_drops_the_parameters_of_another(files, tmp_path):
    (tmp_path / "c.toml").write_text('[array]\ndevice = "sinh_tio2"\nparameters = {b = 2.0}\n')
    run = steps.configuration(tmp_path / "c.toml", ["array.device=ohmic"], reads=("array",))
    assert run.array.model().name == "ohmic"


def test_the_check_of_a_tapeout_takes_no_settings(files):
    said = invoke(files, "tapeout", "d.h5", "--check", "--set", "array.R_wl=2")
    assert "which no setting changes" in said
