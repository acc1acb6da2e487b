"""A deployment is read back to the arrays and answers that were saved, or refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from tests import small_models
from xbarspice.core import hdf5
from xbarspice.core.errors import InputError, StoreError
from xbarspice.deployment import read, writing
from xbarspice.deployment.rebuild import stored_matrices
from xbarspice.deployment.schema import ConfigRecord
from xbarspice.mapping import ArrayConfig
from xbarspice.nn.origin import origin_of
from xbarspice.variability import ReadNoise, Variation, drolet_2023
from xbarspice.verification.forward import import_gate

CNN = "tests.small_models:convolutions"


def images(points=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(points, 1, 8, 8, generator=generator)


def deploy(tmp_path, config=None, **options):
    """A converted model, and the same after it went through a file that names its factory."""
    model = small_models.convolutions()
    circuit = xb.nn.convert(
        model, config or ArrayConfig(tile_rows=16), calibrate=images(), **options
    ).eval()
    xb.save(tmp_path / "net.h5", circuit, model=CNN)
    return circuit, xb.load(tmp_path / "net.h5", factory=CNN)


def assert_alike(a, b, x):
    for matrix, expected in zip(stored_matrices(a), stored_matrices(b), strict=True):
        assert (matrix.name, matrix.seed, matrix.transfer) == (
            expected.name,
            expected.seed,
            expected.transfer,
        )
        assert ConfigRecord.of(matrix.config) == ConfigRecord.of(expected.config)
        np.testing.assert_array_equal(matrix.G, expected.G)
    with torch.no_grad():
        torch.testing.assert_close(a(x), b(x), rtol=0, atol=0)


@pytest.mark.parametrize(
    "config",
    [
        ArrayConfig(tile_rows=16, R_wl=2.0, device="sinh_tio2"),
        ArrayConfig(tile_rows=16, adc_bits=8, dac_bits=6, w_scale="output", clip=99.0),
        ArrayConfig(levels=(1e-4, 2e-4, 5e-4), placement="middle", dtype="float32"),
        ArrayConfig(cells=2, cell_code="slices", levels=16, bias="digital", x_centre=0.5),
    ],
)
def test_arrays_answers_and_coverage_come_back(tmp_path, config):
    circuit, loaded = deploy(tmp_path, config)
    assert_alike(circuit, loaded, images(3, seed=1))
    assert xb.nn.coverage(loaded) == xb.nn.coverage(circuit)
    record = import_gate(loaded, (images(2),), None)
    assert record == import_gate(circuit, (images(2),), None)
    assert record.passed  # exact products are placed in float64, whatever the circuit is
    assert "the original model's outputs" in record.against


def test_a_transfer_comes_back_with_its_errors(tmp_path):
    model = small_models.convolutions()
    config = ArrayConfig(variation=drolet_2023())
    circuit = xb.nn.convert(model, config, calibrate=images(), seed=3).eval()
    G = stored_matrices(circuit)[0].G
    xb.nn.program(circuit, 5)
    xb.save(tmp_path / "net.h5", circuit, model=CNN)
    loaded = xb.load(tmp_path / "net.h5", factory=CNN)
    assert not np.array_equal(stored_matrices(loaded)[0].G, G)
    assert_alike(circuit, loaded, images(3, seed=1))


def test_conductances_that_were_put_come_back_beside_those_of_the_weights(tmp_path):
    circuit = xb.nn.convert(
        small_models.convolutions(), ArrayConfig(tile_rows=16), calibrate=images()
    ).eval()
    nominal = stored_matrices(circuit)
    array = xb.nn.arrays(circuit)[-1]
    G = array.crossbar.G * np.linspace(0.9, 1.1, array.crossbar.G.size).reshape(
        array.crossbar.G.shape
    )
    xb.nn.put_conductances(circuit, {array.name: G})
    xb.save(tmp_path / "net.h5", circuit, model=CNN)
    deployment = read(tmp_path / "net.h5", factory=CNN)
    assert_alike(circuit, deployment.circuit, images(3, seed=1))
    np.testing.assert_array_equal(xb.nn.arrays(deployment.circuit)[-1].crossbar.G, G)
    for matrix, expected in zip(nominal, stored_matrices(deployment.circuit), strict=True):
        np.testing.assert_array_equal(matrix.G, expected.G)
    assert deployment.notes[-1].startswith(
        f"1 of {len(xb.nn.arrays(circuit))} arrays hold devices as programmed or measured"
    )
    xb.nn.put_conductances(deployment.circuit, None)
    xb.save(tmp_path / "again.h5", deployment.circuit, model=CNN)
    assert not read(tmp_path / "again.h5", factory=CNN).notes


def test_a_folded_array_keeps_what_was_put_on_it(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 1)).double()
    x = torch.rand(5, 2, dtype=torch.float64)
    config = ArrayConfig(layout="folded", tile_rows=8, tile_cols=8, R_wl=3.0)
    circuit = xb.nn.convert(model, config, calibrate=x).eval()
    (array,) = xb.nn.arrays(circuit)
    G = array.crossbar.G * np.linspace(0.8, 1.2, array.crossbar.G.size).reshape(8, 8)
    xb.nn.put_conductances(circuit, {array.name: G})
    xb.save(tmp_path / "net.h5", circuit)
    loaded = xb.load(tmp_path / "net.h5")
    np.testing.assert_array_equal(xb.nn.arrays(loaded)[0].crossbar.G, G)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), circuit(x), rtol=1e-12, atol=1e-12)


def test_conductances_without_their_hash_are_refused(tmp_path):
    circuit = xb.nn.convert(small_models.convolutions(), calibrate=images()).eval()
    array = xb.nn.arrays(circuit)[0]
    xb.nn.put_conductances(circuit, {array.name: array.crossbar.G * 1.01})
    xb.save(tmp_path / "net.h5", circuit, model=CNN)
    tree = hdf5.read_tree(tmp_path / "net.h5", "deployment")
    stored = next(m for m in tree["matrices"].values() if "conductances" in m)
    for change, words in (
        ({"conductances": stored["conductances"] * 1.01}, "must have the hash"),
        ({"conductances": stored["conductances"][:, :-1]}, "in the shape of G"),
        ({"conductances": -stored["conductances"]}, "numbers >= 0"),
    ):
        before = dict(stored)
        stored |= change
        hdf5.write_tree(tmp_path / "changed.h5", tree, "deployment")
        with pytest.raises(StoreError, match=words):
            read(tmp_path / "changed.h5", factory=CNN)
        stored |= before


def test_folded_batch_normalisation_is_folded_again(tmp_path):
    circuit, loaded = deploy(tmp_path, fold_batchnorm=True)
    assert isinstance(loaded[1], nn.Identity)
    assert_alike(circuit, loaded, images(3, seed=1))


def test_weights_that_were_trained_since_are_said_to_be(tmp_path):
    circuit = xb.nn.convert(small_models.convolutions(), calibrate=images()).eval()
    with torch.no_grad():
        circuit[6].bias.add_(0.25)
    xb.save(tmp_path / "net.h5", circuit, model=CNN)
    loaded = xb.load(tmp_path / "net.h5", factory=CNN)
    assert_alike(circuit, loaded, images(3, seed=1))
    assert "changed after the conversion" in import_gate(loaded, (images(2),), None).against


def test_code_is_run_only_if_the_caller_names_it_too(tmp_path):
    deploy(tmp_path)
    path = tmp_path / "net.h5"
    with pytest.raises(InputError, match=f"needs the code that makes its model, `{CNN}`"):
        xb.load(path)
    with pytest.raises(InputError, match=r"received factory='tests.small_models:rows'"):
        xb.load(path, factory="tests.small_models:rows")
    with pytest.raises(InputError, match="the factory must make the model that was saved"):
        xb.load(path, factory=small_models.rows)


MODELS = {
    "convolutions": (small_models.convolutions, (1, 8, 8)),
    "lstm": (small_models.rows, (6, 5)),
    "transformer": (small_models.encoder, (6, 8)),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("points", [1, 5])
def test_an_exported_model_needs_no_code(tmp_path, name, points):
    """The digital part is a program; its batch may vary, whatever the calibration's was."""
    make, shape = MODELS[name]
    x = torch.rand(points, *shape, generator=torch.Generator().manual_seed(1))
    circuit = xb.nn.convert(make(), ArrayConfig(tile_rows=6), calibrate=x).eval()
    xb.save(tmp_path / "net.h5", circuit)
    deployment = read(tmp_path / "net.h5")
    loaded = deployment.circuit
    saved = {m.name: m for m in stored_matrices(circuit)}
    assert set(saved) == {m.name for m in stored_matrices(loaded)}
    for m in stored_matrices(loaded):
        np.testing.assert_array_equal(m.G, saved[m.name].G)
    assert deployment.inputs[0].shape[1:] == shape
    assert isinstance(deployment.inputs[0].shape[0], str)
    more = torch.rand(3, *shape)
    with torch.no_grad():
        torch.testing.assert_close(loaded(more), circuit(more), rtol=1e-5, atol=1e-5)
    assert import_gate(loaded, (x,), None).passed
    assert xb.nn.coverage(loaded).product_share == xb.nn.coverage(circuit).product_share
    xb.save(tmp_path / "again.h5", loaded)
    xb.load(tmp_path / "again.h5")


@pytest.mark.parametrize(
    ("model", "x", "words"),
    [
        (small_models.branching(), torch.rand(4, 5), r"can export; .*model=\"module:factory\""),
        (nn.Linear(5, 3), torch.rand(4, 5), "layers of an exported model need names"),
        (small_models.rows(), None, "exporting a model needs inputs"),
    ],
)
def test_a_model_that_cannot_be_exported_is_refused_with_the_way_out(
    tmp_path, capfd, model, x, words
):
    circuit = xb.nn.convert(model, calibrate=x)
    with pytest.raises(InputError, match=words):
        xb.save(tmp_path / "net.h5", circuit)
    assert not list(tmp_path.iterdir())
    assert not "".join(capfd.readouterr())


def test_a_branching_model_is_kept_by_its_code(tmp_path):
    factory = "tests.small_models:branching"
    circuit = xb.nn.convert(small_models.branching(), calibrate=torch.rand(4, 5)).eval()
    xb.save(tmp_path / "net.h5", circuit, model=factory)
    loaded = xb.load(tmp_path / "net.h5", factory=factory)
    for x in (torch.rand(2, 5), -torch.rand(2, 5)):
        assert_alike(circuit, loaded, x)


class Random(nn.Module):
    """A forward whose answer is drawn anew each time."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        return self.fc(x) + torch.rand(3)


def test_an_export_that_answers_otherwise_is_refused(tmp_path):
    circuit = xb.nn.convert(Random(), calibrate=torch.rand(4, 5))
    with pytest.raises(InputError, match="must answer as the model that is saved"):
        xb.save(tmp_path / "net.h5", circuit)
    assert not list(tmp_path.iterdir())


def test_a_hostile_program_in_a_deployment_runs_no_code(tmp_path):
    import io
    import pickle
    import zipfile

    circuit = xb.nn.convert(small_models.rows(), calibrate=torch.rand(4, 6, 5))
    xb.save(tmp_path / "net.h5", circuit)

    def poison(tree):
        source = zipfile.ZipFile(io.BytesIO(tree["program"].tobytes()))
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as target:
            for name in source.namelist():
                target.writestr(name, source.read(name))
            root = source.namelist()[0].split("/")[0]
            target.writestr(f"{root}/data/constants/opaque_obj_0", pickle.dumps(print))
        tree["program"] = np.frombuffer(out.getvalue(), np.uint8)

    change_file(tmp_path / "net.h5", "deployment", poison)
    with pytest.raises(InputError, match=r"the program in net\.h5.*opaque"):
        xb.load(tmp_path / "net.h5")
    with pytest.raises(InputError, match="which holds its program"):
        xb.load(tmp_path / "net.h5", factory=small_models.rows)


def change_file(path, kind, change):
    """Write a file anew, hash and all, with something else in it."""
    tree = hdf5.read_tree(path, kind)
    change(tree)
    hdf5.write_tree(path, tree, kind)


def another_conductance(tree):
    G = tree["matrices"]["1"]["G"]
    G[0, 2, 1] = np.nextafter(G[0, 2, 1], 1.0)


def another_range(tree):
    config = bytes(tree["matrices"]["0"]["config"]).replace(b'"G_max":0.0005', b'"G_max":-1.0')
    tree["matrices"]["0"]["config"] = np.frombuffer(config, np.uint8)


def another_type(tree):
    config = bytes(tree["matrices"]["0"]["config"]).replace(b'"cells":1', b'"cells":"1"')
    tree["matrices"]["0"]["config"] = np.frombuffer(config, np.uint8)


def an_unknown_device(tree):
    config = bytes(tree["matrices"]["0"]["config"]).replace(b'"ohmic"', b'"magic"')
    tree["matrices"]["0"]["config"] = np.frombuffer(config, np.uint8)


def a_pickle(tree):
    import pickle

    tree["program"] = np.frombuffer(pickle.dumps(print, protocol=2), np.uint8)


def no_matrices(tree):
    tree["matrices"] = {}


def an_edge_too_far(tree):
    tree["matrices"]["0"]["row_edges"] = tree["matrices"]["0"]["row_edges"] + 1


def no_coverage(tree):
    tree["coverage"] = np.frombuffer(b"[]", np.uint8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (another_conductance, "bit by bit; received 1 of .* devices of `3` that differ"),
        (another_range, "0 <= G_min < G_max"),
        (another_type, "cells"),
        (an_unknown_device, "magic"),
        (a_pickle, "plain tensors|pickled"),
        (no_matrices, "numbered from 0"),
        (an_edge_too_far, "edges must rise from 0"),
        (no_coverage, "a dict is needed"),
        (lambda tree: tree.update(extra=1), "extra"),
        (lambda tree: tree.pop("notes"), "notes"),
        (lambda tree: tree["origin"].update(inputs={"1": np.zeros(2)}), "without a gap"),
    ],
)
def test_a_file_with_other_content_is_one_clear_error(tmp_path, change, words):
    deploy(tmp_path)
    change_file(tmp_path / "net.h5", "deployment", change)
    with pytest.raises((InputError, StoreError), match=words):
        xb.load(tmp_path / "net.h5", factory=CNN)


def test_a_changed_byte_breaks_the_hash(tmp_path):
    deploy(tmp_path)
    with h5py.File(tmp_path / "net.h5", "r+") as file:
        file["matrices/0/G"][0, 0, 0] *= 2
    with pytest.raises(StoreError, match="damaged or changed"):
        xb.load(tmp_path / "net.h5", factory=CNN)


def test_load_says_what_another_file_is(tmp_path):
    hdf5.write_tree(tmp_path / "m.h5", {"G_max": 5e-4}, "mapped network")
    with pytest.raises(InputError, match=r"`m\.h5`, a mapped network .*: xbarspice map NETWORK"):
        xb.load(tmp_path / "m.h5")
    (tmp_path / "x.pt2").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"importers\.load_model"):
        xb.load(tmp_path / "x.pt2")
    with pytest.raises(InputError, match="must exist"):
        xb.load(tmp_path / "none.h5")
    hdf5.write_tree(tmp_path / "c.h5", {"G": np.ones((2, 2))}, "crossbar")
    with pytest.raises(StoreError, match="kind 'deployment'"):
        xb.load(tmp_path / "c.h5")


@dataclass(frozen=True)
class Unnamed(Variation):
    name: ClassVar[str] = "unnamed"
    source: ClassVar[str] = "this test"

    def _apply(self, G, draws):
        return G


def test_what_cannot_be_named_is_refused_before_a_file_is_written(tmp_path):
    for model in (small_models.convolutions(), "a text"):
        with pytest.raises(InputError, match="a deployment must be a model on arrays"):
            xb.save(tmp_path / "net.h5", model)
    config = ArrayConfig(variation=Unnamed())
    circuit = xb.nn.convert(small_models.convolutions(), config, calibrate=images())
    with pytest.raises(InputError, match="can be made by name"):
        xb.save(tmp_path / "net.h5", circuit, model=CNN)
    assert not list(tmp_path.iterdir())


def test_the_originals_answers_are_bounded_in_size(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "SIZE_LIMIT", 1500)
    _, loaded = deploy(tmp_path)
    origin = origin_of(loaded)
    assert origin is not None
    assert 1 <= len(origin.inputs[0]) < 6
    assert len(origin.outputs[0]) == len(origin.inputs[0])
    tree = hdf5.read_tree(tmp_path / "net.h5", "deployment")
    assert f"first {len(origin.inputs[0])} of 6 points" in tree["origin"]["note"]
    assert import_gate(loaded, (images(2),), None).passed
    monkeypatch.setattr(writing, "SIZE_LIMIT", 10)
    _, loaded = deploy(tmp_path)
    assert origin_of(loaded) is None
    assert "left out" in hdf5.read_tree(tmp_path / "net.h5", "deployment")["origin"]["note"]


def test_the_notes_of_the_writer_come_back(tmp_path):
    circuit = xb.nn.convert(small_models.convolutions(), calibrate=images())
    xb.save(tmp_path / "net.h5", circuit, model=CNN, notes=["One sentence."])
    assert read(tmp_path / "net.h5", factory=CNN).notes == ("One sentence.",)


def test_every_option_of_a_configuration_is_recorded():
    config = ArrayConfig(variation=ReadNoise(), levels=4, x_centre=1)
    loaded = ConfigRecord.model_validate_json(ConfigRecord.of(config).model_dump_json()).config()
    assert xb.variability.to_config(loaded.variation) == xb.variability.to_config(config.variation)
    assert set(ConfigRecord.model_fields) == set(ArrayConfig.__dataclass_fields__)
