"""5000 damaged files through every loader: an error of ours, or the same object as before.

Binary files (which carry checksums or a hash) are damaged byte by byte. Text files and HDF5 files
of other programs carry none, and a changed digit is another good file: of a text every number that
is accepted must be the one that stands in it, which an independent parser reads.
"""

from __future__ import annotations

import json
import random
import shutil
import tomllib
from pathlib import Path

import h5py
import klayout.db as kdb
import numpy as np
import pytest
import tomli_w
import torch

import xbarspice as xb
from tests.helpers import asymmetric_crossbar, many, small_network
from tests.unit.tapeout.rules.drawn import clean, layout_of
from xbarspice import config, devices
from xbarspice.calibration.die import read_die
from xbarspice.calibration.log_readers import read_pulses
from xbarspice.calibration.readers import read_reads, read_sweeps
from xbarspice.config.card import CalibrationCard
from xbarspice.core import crossbar_file
from xbarspice.core.errors import InputError, XbarspiceError
from xbarspice.importers import TensorSpec, perceptron
from xbarspice.importers.inputs import read_inputs
from xbarspice.surrogate import trust
from xbarspice.tapeout import rules, technology
from xbarspice.training import checkpoints
from xbarspice.verification.array_file import load_array

DEFAULTS = config.RunConfig().array.arguments()


def plain(value):
    """Everything in an object, as text that is equal for equal objects."""
    if isinstance(value, (np.ndarray, np.generic)):
        return f"{value.dtype}{value.shape}{value.tolist()!r}"
    if isinstance(value, torch.Tensor):
        return plain(value.detach().numpy())
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "__dict__") and not isinstance(value, type):
        return {k: plain(v) for k, v in vars(value).items() if not callable(v)}
    return repr(value)


def _array_npz(path):
    np.savez(path, G=np.full((2, 3), 1e-4), R_wl=1.5, device="sinh_tio2", V_in=np.ones((4, 2)))


def _array_h5(path):
    with h5py.File(path, "w") as file:
        file["G"], file.attrs["R_wl"] = np.full((2, 3), 1e-4), 1.5


def _network_pt(path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    torch.save(model.state_dict(), path)


def _crossbar(path):
    crossbar, _ = asymmetric_crossbar()
    crossbar_file.save(path, crossbar)


def _deployment(path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    x = torch.rand(5, 2, dtype=torch.float64)
    xb.save(path, xb.nn.convert(model.double(), calibrate=x), inputs=(x,))


def _points(path):
    np.savez(path, x=np.random.default_rng(0).random((5, 2)), y=np.array([0, 1, 0, 1, 1]))


MEASURED = Path(__file__).parents[1] / "data" / "measured"
POINTS = (TensorSpec(name="x", shape=("points", 2), dtype="float64"),)
"""What a model of two inputs takes."""
BINARY = {
    "array.npz": (_array_npz, lambda p: load_array(p, DEFAULTS)),
    "array.h5": (_array_h5, lambda p: load_array(p, DEFAULTS)),
    "network.npz": (lambda p: perceptron.save(p, small_network()), perceptron.load),
    "network.pt": (_network_pt, lambda p: perceptron.load(p, "relu")),
    "deployment.h5": (
        _deployment,
        lambda p: [a.crossbar.G.tolist() for a in xb.nn.arrays(xb.load(p))],
    ),
    "crossbar.h5": (_crossbar, lambda p: load_array(p, DEFAULTS)),
    "points.npz": (_points, lambda p: read_inputs(p, POINTS)),
    "checkpoint.pt": (
        lambda p: checkpoints.write(p, "key", {"w": torch.arange(9.0), "epoch": 3}),
        lambda p: checkpoints.read(p, "key"),
    ),
    **{
        name: (
            lambda p: shutil.copy(MEASURED / p.name, p),
            lambda p: (read_sweeps(p).V_in, read_sweeps(p).I_out),
        )
        for name in ("book.xlsx", "iv.parquet", "iv_v5.mat", "iv_v73.mat")
    },
}

UNSUMMED = {"array.h5", "iv.parquet", "iv_v5.mat", "iv_v73.mat"}
"""Files of other programs without any checksum: damage to their numbers cannot be noticed."""


def damage(data: bytes, draw: random.Random) -> bytes:
    """One of: bits flipped, a part cut off, removed, repeated or overwritten."""
    out = bytearray(data)
    a, b = sorted(draw.randrange(len(data)) for _ in range(2))
    b = min(b, a + draw.choice((1, 8, 64, len(data))))
    match draw.choice(("flip", "flip", "flip", "cut", "remove", "repeat", "zero", "random")):
        case "flip":
            for _ in range(draw.choice((1, 1, 3))):
                out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
        case "cut":
            del out[a:]
        case "remove":
            del out[a:b]
        case "repeat":
            out[a:a] = out[a:b]
        case "zero":
            out[a:b] = bytes(b - a)
        case "random":
            out[a:b] = draw.randbytes(b - a)
    return bytes(out)


@pytest.mark.parametrize("name", BINARY)
def test_a_damaged_binary_file_is_refused_or_gives_the_same_object(name, tmp_path):
    write, load = BINARY[name]
    path = tmp_path / name
    write(path)
    whole, before = path.read_bytes(), plain(load(path))
    draw, refused = random.Random(name), 0  # noqa: S311 - damage, no secret
    for _ in range(many(400)):
        path.write_bytes(damage(whole, draw))
        try:
            loaded = plain(load(path))
        except XbarspiceError:
            refused += 1
            continue
        assert loaded == before or name in UNSUMMED
    assert refused > 100


@pytest.mark.parametrize("suffix", [".gds", ".oas"])
def test_a_damaged_layout_is_refused_or_checked(suffix, tmp_path):
    """A layout carries no checksum; its cell is placed 6 times, and damage may say 30000."""
    sky = technology.load_technology("sky130b")
    layout, path = layout_of(clean()), tmp_path / f"a{suffix}"
    part, top = layout.top_cell(), layout.create_cell("CHIP")
    steps = kdb.DVector(20, 0), kdb.DVector(0, 20), 2, 3
    top.insert(kdb.DCellInstArray(part.cell_index(), kdb.DTrans(), *steps))
    layout.write(str(path))
    assert rules.check_file(path, sky).clean
    whole = path.read_bytes()
    draw, refused, broken = random.Random(suffix), 0, 0  # noqa: S311 - damage, no secret
    for _ in range(many(200)):
        path.write_bytes(damage(whole, draw))
        try:
            broken += not rules.check_file(path, sky).clean
        except InputError:
            refused += 1
    assert refused > 20
    assert broken > 5


CARD = """\
title = "die 7"
data_sha256 = "00"
device = "sinh_tio2"
[values.R_wl]
value = 2.13
low = 2.05
high = 2.21
unit = "ohm"
[values."device.b"]
value = 1.5
low = 1.0
high = inf
"""
DEVICE = 'model = "sinh_tio2"\nsource = "die 7"\n[parameters]\nb = 1.5\n'
MAP = (
    "format = 1\nsource = {seed = 0}\n[axes]\nsize = [4, 8]\nR_wire = [1.0]\n"
    "G_max = [1e-4]\nV_read = [0.2]\n"
    "[errors.ohmic]\nideal = [[[[0.1]]], [[[0.2]]]]\n"
)


def _numbers(value):
    """All numbers of nested plain values, sorted as text; truth values and dates are none."""
    if isinstance(value, dict):
        return sorted(n for v in value.values() for n in _numbers(v))
    if isinstance(value, (list, tuple, np.ndarray)):
        return sorted(n for v in value for n in _numbers(v))
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return [repr(float(value))] if number else []


def _config(path):
    return config.RunConfig.from_toml(path).model_dump(mode="json", exclude_unset=True)


def _technology(path):
    """A technology, with which rules are written and a layout is checked or refused."""
    loaded = technology.load_technology(path)
    rules.rule_script(loaded)
    try:
        rules.check_layout(layout_of(clean()), loaded)
    except InputError as error:
        assert "received" in str(error)  # noqa: PT017 - a refusal says what came
    return loaded.model_dump(mode="json", exclude_unset=True)


TOML = {
    "config.toml": (config.RunConfig().to_toml(), _config),
    "card.toml": (
        CARD,
        lambda p: CalibrationCard.from_toml(p).model_dump(mode="json", exclude_unset=True),
    ),
    "device.toml": (
        DEVICE,
        lambda p: {
            k: v
            for k, v in vars(devices.load_toml(p)).items()
            if k in tomllib.loads(p.read_text()).get("parameters", {})
        },
    ),
    "map.toml": (MAP, lambda p: {**vars(trust.load(p)), "format": 1}),
    **{
        f"technology_{name}.toml": (technology.packaged(name), _technology)
        for name in ("demo", "sky130b")
    },
}
STRANGE = (
    True,
    False,
    "text",
    "1",
    "",
    [],
    {},
    [1, 2],
    -1,
    0,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    10**30,
    0.5,
    [True],
    ["1"],
    {"a": 1},
    tomllib.loads("d = 2026-01-01")["d"],
)


def change(tree: dict, draw: random.Random) -> dict:
    """Nested tables and lists with one entry removed, renamed or moved, added or made strange."""
    out = json.loads(json.dumps(tree), parse_constant=float)
    place = out
    while True:
        key = draw.choice(sorted(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], (dict, list)) or not place[key] or draw.random() < 0.2:
            break
        place = place[key]
    match draw.choice(("remove", "rename", "add", "value", "value", "value")):
        case "remove":
            del place[key]
        case "rename" if isinstance(place, dict):
            place[key[::-1] + "_"] = place.pop(key)
        case "rename":
            place.append(place.pop(key))
        case "add" if isinstance(place, dict):
            place["more"] = draw.choice(STRANGE)
        case "add":
            place.append(draw.choice(STRANGE))
        case "value":
            place[key] = draw.choice(STRANGE)
    return out


@pytest.mark.parametrize("name", TOML)
def test_a_changed_text_file_is_refused_or_every_number_is_the_one_in_the_text(name, tmp_path):
    text, load = TOML[name]
    path = tmp_path / name
    tree, draw, refused = tomllib.loads(text), random.Random(name), 0  # noqa: S311
    path.write_text(text)
    load(path)
    for k in range(many(300)):
        if k % 3:
            path.write_text(tomli_w.dumps(change(tree, draw)))
        else:
            path.write_bytes(damage(text.encode(), draw))
        try:
            loaded = _numbers(load(path))
        except XbarspiceError:
            refused += 1
            continue
        assert loaded == _numbers(tomllib.loads(path.read_text())), path.read_text()
    assert refused > 100


TABLES = {
    "points.csv": ("0.1,0.2,1\n0.3,0.4,0\n", lambda p: read_inputs(p, POINTS)),
    "sweeps.csv": ("device,V,I [uA]\na,0.1,1\nb,0.2,2\n", read_sweeps),
    "reads.csv": ("V_in0,V_in1,I_out0\n0.1,0,1e-6\n0,0.1,2e-6\n", read_reads),
    "pulses.csv": ("device,V,width,G\na,0,0,1e-4\na,1,1e-6,2e-4\n", read_pulses),
    "die.csv": ("ohm\n1000;2000\n3000;4000\n", read_die),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_changed_table_is_refused_or_holds_finite_numbers_only(name, tmp_path):
    text, load = TABLES[name]
    path = tmp_path / name
    path.write_text(text)
    load(path)
    draw, refused = random.Random(name), 0  # noqa: S311
    cells = ("nan", "inf", "-1", "", "text", "1e400", "1+2j", "True", "0x10", "\0", "1_0")
    for k in range(many(160)):
        if k % 2:
            data = damage(text.encode(), draw)
        else:
            parts = text.replace(";", ",").split(",")
            parts[draw.randrange(len(parts))] = draw.choice(cells)
            data = ",".join(parts).encode()
        path.write_bytes(data)
        try:
            loaded = load(path)
        except XbarspiceError:
            refused += 1
            continue
        parts = loaded if isinstance(loaded, tuple) else vars(loaded).values()
        arrays = [v for v in parts if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
        assert arrays
        assert all(not np.isinf(a).any() for a in arrays), data
    assert refused > 30
