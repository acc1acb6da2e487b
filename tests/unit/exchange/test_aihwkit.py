"""aihwkit: its own products and currents come out of the tiles of its own files."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch

import xbarspice as xb
from tests.peer_arrays import FOLDER
from xbarspice.core.errors import InputError
from xbarspice.exchange import aihwkit
from xbarspice.exchange.aihwkit_file import StandIn, attribute, read_state

LAYERS = json.loads((FOLDER / "aihwkit.json").read_text("utf-8"))["layers"]
SINGLE = 2e-7
"""aihwkit computes in single precision; products here are of the size of 1."""


def currents(imported, x):
    V = imported.voltages(x)
    solved = {
        a.name: xb.solve(a.crossbar, V[a.name], engine="nodal").I_out for a in imported.arrays
    }
    return V, solved


@pytest.mark.parametrize("name", [name for name, entry in LAYERS.items() if "product" in entry])
def test_the_ideal_product_is_that_of_aihwkit(name):
    file, _, layer = name.partition(".")
    imported = aihwkit.read(FOLDER / f"aihwkit_{file}.pt").matrix(layer)
    x = np.array(LAYERS[name]["x"])
    V, I_out = currents(imported, x)
    y = imported.product(I_out, V)
    np.testing.assert_allclose(y, LAYERS[name]["product"], rtol=0, atol=SINGLE)
    alpha = 1.25 if name == "scales.1" else 1.0  # its drift compensation
    np.testing.assert_allclose(y, alpha * np.array(LAYERS[name]["weight"]) @ x, atol=SINGLE)


def test_currents_of_a_tile_with_wires_are_those_of_aihwkit():
    imported = aihwkit.read(FOLDER / "aihwkit_wires.pt")
    x = np.sign(LAYERS["wires.0"]["x"])
    V, I_out = currents(imported, x)
    peer = np.array(LAYERS["wires.0"]["microamperes"])
    np.testing.assert_allclose(1e6 * I_out["0"], peer, rtol=0, atol=2e-6 * np.abs(peer).max())
    ideal = imported.arrays[0].crossbar.replace(R_bl=0.0, R_sense=0.0)
    lossless = xb.solve(ideal, V["0"], engine="nodal").I_out
    assert np.abs(1e6 * lossless - peer).max() > 0.05 * np.abs(peer).max()  # wires matter


def test_the_layout_of_a_tile_with_wires():
    (array,) = aihwkit.read(FOLDER / "aihwkit_wires.pt").arrays
    crossbar = array.crossbar
    assert crossbar.G.shape == (16, 3)  # 5 inputs, padded to 8
    assert array.share.inputs[::2].tolist() == [-1, 0, 1, 2, 3, 4, -1, -1]
    assert crossbar.bl_ends.tolist() == [
        ["floating", "sensed"],
        ["sensed", "floating"],
        ["floating", "sensed"],
    ]
    assert crossbar.R_sense == 100.0
    assert crossbar.R_bl[:, 0].tolist() == [0.0, 200.0] * 7 + [0.0]
    np.testing.assert_allclose(crossbar.G.min(), 1e-6, rtol=1e-12)
    np.testing.assert_allclose(crossbar.G.max(), 25e-6, rtol=1e-12)


def test_tiles_of_a_layer_and_the_notes():
    imported = aihwkit.read(FOLDER / "aihwkit_tiles.pt")
    assert [a.name for a in imported.arrays] == ["0[0,0]", "0[0,1]", "0[1,0]", "0[1,1]"]
    assert imported.arrays[3].share.inputs[::2].tolist() == [4, 5, 6]
    assert imported.arrays[3].share.outputs.tolist() == [3, 4]
    notes = " ".join(aihwkit.read(FOLDER / "aihwkit_wires.pt").notes)
    for name in ("out_noise", "inp_res", "ir_drop_v_read = 0.4005", "prog_coeff", "bias"):
        assert name in notes


def test_other_conductances_than_those_of_the_file():
    imported = aihwkit.read(FOLDER / "aihwkit_tiles.pt", G_min=1e-5, G_max=1e-4)
    G = imported.arrays[0].crossbar.G
    assert (G.min(), G.max()) == (1e-5, 1e-4)
    with pytest.raises(InputError, match="must be > `G_min`"):
        aihwkit.read(FOLDER / "aihwkit_tiles.pt", G_min=1e-3)


def test_products_are_of_one_layer():
    imported = aihwkit.read(FOLDER / "aihwkit_scales.pt")
    with pytest.raises(InputError, match=r"products are of one matrix; received 0, 1"):
        imported.voltages(np.zeros(5))
    with pytest.raises(InputError, match=r"It has 0, 1"):
        imported.matrix("2")


def state(**changes):
    """A state_dict with one tile, as stand-ins of its objects."""
    (tile,) = read_state(FOLDER / "aihwkit_wires.pt")
    return {"0.analog_module.analog_tile_state": {**tile.state, **changes}}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rpu_config": None}, "must have conductances"),
        ({"analog_tile_weights": torch.zeros(3)}, "must have 2 axes"),
        ({"analog_tile_weights": None}, "weights of 0"),
        ({"alpha": torch.ones(2)}, "alpha of 0 must be one number or one an output"),
        ({"alpha": torch.zeros(1)}, "must not be 0"),
    ],
)
def test_tiles_without_meaning_are_refused(monkeypatch, changes, reason):
    tiles = [aihwkit_tile(state(**changes))]
    monkeypatch.setattr("xbarspice.exchange.aihwkit.read_state", lambda path: tiles)
    with pytest.raises(InputError, match=reason):
        aihwkit.read("a.pt")


def aihwkit_tile(content):
    from xbarspice.exchange.aihwkit_file import Tile

    ((key, value),) = content.items()
    return Tile(key, value, content)


def test_several_pairs_a_weight_are_refused(monkeypatch):
    content = state()
    (tile,) = content.values()
    several = type("DualPairConductanceConverter", (StandIn,), {})()
    vars(tile["rpu_config"])["noise_model"] = StandIn()
    vars(attribute(tile["rpu_config"], "noise_model"))["g_converter"] = several
    tiles = [aihwkit_tile(content)]
    monkeypatch.setattr("xbarspice.exchange.aihwkit.read_state", lambda path: tiles)
    with pytest.raises(InputError, match="DualPairConductanceConverter"):
        aihwkit.read("a.pt")


class Harm:
    def __reduce__(self):
        return exec, ("raise AssertionError('code of the file ran')",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"0.analog_tile_state": Harm()}, "tensors and objects of aihwkit only; received"),
        ({"weight": torch.zeros(2)}, "must hold tiles"),
        (torch.zeros(2), "must hold tiles"),
        (torch.nn.Linear(2, 2), "Save model.state_dict"),
    ],
)
def test_other_files_are_refused_and_no_code_of_theirs_runs(tmp_path, content, reason):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(InputError, match=reason):
        aihwkit.read(tmp_path / "a.pt")


def test_damaged_and_missing_files(tmp_path):
    with pytest.raises(InputError, match="must exist"):
        aihwkit.read(tmp_path / "a.pt")
    data = (FOLDER / "aihwkit_wires.pt").read_bytes()
    for part in (data[: len(data) // 2], b"", pickle.dumps({})):
        (tmp_path / "a.pt").write_bytes(part)
        with pytest.raises(InputError, match=r"`a\.pt`"):
            aihwkit.read(tmp_path / "a.pt")


def test_a_torch_that_cannot_look_first_is_refused(monkeypatch):
    monkeypatch.delattr(torch.serialization, "get_unsafe_globals_in_checkpoint")
    with pytest.raises(InputError, match=r"torch must be 2\.6"):
        aihwkit.read(FOLDER / "aihwkit_wires.pt")


def pairs(**changes):
    rng = np.random.default_rng(0)
    w = rng.uniform(-1, 1, (4, 3))
    w[0, 0] = 1.0
    G = np.stack([np.maximum(w, 0), np.maximum(-w, 0)], axis=1).reshape(8, 3) * 2.4e-5 + 1e-6
    return xb.Crossbar(G, **({"R_wl": 0.0, "R_bl": 0.0} | changes)), w


def test_an_array_of_pairs_survives_the_way_out(tmp_path):
    crossbar, w = pairs()
    aihwkit.write(tmp_path / "a.pt", crossbar)
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    np.testing.assert_allclose(content["weight"].numpy(), w.T, rtol=1e-12)
    assert content["g_min"] == pytest.approx(1.0)
    assert content["g_max"] == pytest.approx(25.0)
    assert (content["ir_drop_rs"], content["max_input_size"]) == (0.0, 4)


def test_wires_of_a_tile_survive_the_way_out(tmp_path):
    (array,) = aihwkit.read(FOLDER / "aihwkit_wires.pt").arrays
    aihwkit.write(tmp_path / "a.pt", array.crossbar)
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    assert (content["ir_drop_rs"], content["max_input_size"]) == (200.0, 8)
    W = content["weight"].numpy()[:, 1:6]
    peer = np.array(LAYERS["wires.0"]["weight"])
    np.testing.assert_allclose(W * np.abs(peer).max(), peer, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"R_wl": 1.0}, "ideal word lines"),
        ({"R_bl": 1.0}, "pairs at one node"),
        ({"R_sense": 1.0}, "half of it at the end"),
        ({"device": "sinh_tio2"}, "ohmic"),
        ({"G": np.full((8, 3), 1e-5)}, "equal devices"),
        ({"G": np.arange(1, 25).reshape(8, 3) * 1e-6}, "one device of each pair"),
    ],
)
def test_what_no_tile_expresses_is_refused(tmp_path, changes, reason):
    crossbar, _ = pairs()
    with pytest.raises(InputError, match=reason):
        aihwkit.write(tmp_path / "a.pt", crossbar.replace(**changes))
    assert not list(tmp_path.iterdir())
