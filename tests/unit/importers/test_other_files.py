"""Files of other kinds: one sentence that says what each is and how to export it; no code runs."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from xbarspice.core.errors import InputError
from xbarspice.importers import load_model


class Creates:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def archive(path, **members):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name.replace("__", "/").replace("_DOT_", "."), data)


def message(path, **settings):
    with pytest.raises(InputError) as caught:
        load_model(path, **settings)
    text = str(caught.value)
    assert path.name in text
    assert text.count("\n") == 0
    return text


def test_a_pickled_module_is_named_and_not_executed(tmp_path):
    torch.save(nn.Sequential(nn.Linear(2, 2)), tmp_path / "net.pt")
    for factory in ("collections:OrderedDict", None):
        settings = {"factory": factory} if factory else {"activation": "tanh"}
        text = message(tmp_path / "net.pt", **settings)
        assert "a pickle of other objects than tensors" in text
        assert "torch.export.save" in text


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_a_hostile_pickle_of_torch_creates_no_file(tmp_path, zipped, nested):
    path, proof = tmp_path / "net.pt", tmp_path / "proof"
    content = {"model": {"w": Creates(proof)}} if nested else Creates(proof)
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert "a pickle of other objects than tensors" in message(path, activation="tanh")
    assert not proof.exists()
    torch.load(path, weights_only=False)
    assert proof.exists()  # so the payload is one


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "model.pt", "model.onnx"])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_hostile_pickle_of_python_creates_no_file(tmp_path, name, protocol):
    path, proof = tmp_path / name, tmp_path / "proof"
    path.write_bytes(pickle.dumps(Creates(proof), protocol=protocol))
    assert "a pickled object of Python" in message(path)
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert "a compressed file" in message(path)
    path.write_bytes(zlib.compress(pickle.dumps(Creates(proof))))
    assert "skl2onnx" in message(path)
    assert not proof.exists()


def test_a_hostile_array_creates_no_file(tmp_path):
    path, proof = tmp_path / "net.npz", tmp_path / "proof"
    with path.open("wb") as file:
        np.savez(file, W0=np.array([Creates(proof)], dtype=object), b0=np.zeros(1))
    message(path, activation="tanh")
    assert not proof.exists()


def test_a_lightning_checkpoint_with_objects_is_named(tmp_path):
    path = tmp_path / "last.ckpt"
    state = nn.Linear(2, 2).state_dict()
    content = {"pytorch-lightning_version": "2.4.0", "state_dict": state}
    torch.save({**content, "hyper_parameters": Creates(tmp_path / "proof")}, path)
    text = message(path, factory="torch.nn:Linear")
    assert "a PyTorch Lightning checkpoint" in text
    assert "state_dict()" in text
    torch.save({**content, "hyper_parameters": {"width": 3}}, path)
    assert load_model(path, factory=lambda: nn.Linear(2, 2)).kind == "state_dict"


def test_torchscript_is_named(tmp_path):
    path = tmp_path / "net.pt"
    archive(path, net__constants_DOT_pkl=b"x", net__code__a_DOT_py=b"", net__data_DOT_pkl=b"")
    assert "a TorchScript archive" in message(path)
    assert "torch.export" in message(path)


def test_keras_and_hdf5_files_are_named(tmp_path):
    path = tmp_path / "net.keras"
    archive(path, config_DOT_json="{}", metadata_DOT_json="{}", model_DOT_weights_DOT_h5=b"")
    assert "a Keras model" in message(path)
    magic = b"\x89HDF\r\n\x1a\n"
    path = tmp_path / "net.h5"
    path.write_bytes(magic + b"keras_version")
    assert "a Keras model" in message(path)
    assert "model.export" in message(path)
    path.write_bytes(magic + bytes(100))
    assert "xb.load" in message(path)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("net.gguf", b"GGUF\3\0\0\0" + bytes(20), "a GGUF file"),
        ("net.tflite", b"\x1c\0\0\0TFL3" + bytes(20), "a TensorFlow Lite model"),
        ("net.npy", b"\x93NUMPY\1\0" + bytes(20), "a NumPy array"),
        ("net.mat", b"MATLAB 5.0 MAT-file" + bytes(20), "a MATLAB file"),
        ("net.pt2", b"", "an empty file"),
        ("saved_model.pb", b"\x08\x01\x12\x05", "a TensorFlow SavedModel"),
        ("net.json", b'{"layers": []}', "a text file"),
        ("net.safetensors", bytes(range(200, 256)), "a damaged or unknown file"),
        ("net.zip", b"PK\5\6" + bytes(18), "a zip archive with nothing"),
    ],
)
def test_other_kinds_are_told_by_content(tmp_path, name, content, kind):
    path = tmp_path / name
    path.write_bytes(content)
    assert kind in message(path)


def test_folders_and_missing_files(tmp_path):
    folder = tmp_path / "net"
    folder.mkdir()
    assert "a folder" in message(folder)
    (folder / "saved_model.pb").write_bytes(b"")
    assert "tf2onnx" in message(folder)
    assert "must exist" in message(tmp_path / "absent.pt2")


def test_the_suffix_does_not_decide(tmp_path):
    layers = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    path = tmp_path / "net.onnx"
    torch.save(layers.state_dict(), path)
    assert load_model(path, activation="tanh").kind == "perceptron"


def test_archives_that_unpack_to_far_more_than_they_hold_are_refused(tmp_path):
    path = tmp_path / "net.npz"
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(2**22))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("W0.npy", buffer.getvalue())
    assert "unpack to a size in proportion" in message(path, activation="tanh")


def test_archives_with_members_twice_or_outside_are_refused(tmp_path):
    path = tmp_path / "net.pt2"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/archive_format", "pt2")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a/archive_format", "pt3")
    assert "must occur once" in message(path)
    archive(path, a__archive_format="pt2")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("../outside", "x")
    assert "must stay inside it" in message(path)


def test_a_safetensors_header_of_any_length_is_told_from_pickles(tmp_path):
    for length in (0x80, 0x178, 0x8B1F, 0x9C78):
        header = {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "__metadata__": {}}
        text = json.dumps(header).encode().ljust(length)
        path = tmp_path / "net.safetensors"
        path.write_bytes(struct.pack("<Q", length) + text + bytes(4))
        assert "weights alone" in message(path)
