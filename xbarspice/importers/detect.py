"""What a file is, by its content; files of other kinds are refused with the way to export them."""

from __future__ import annotations

import pickletools
from pathlib import Path

from xbarspice.core.errors import InputError, broken_rule
from xbarspice.importers.archive import members, open_archive

__all__ = ["identify", "refuse"]

_HEAD = 1 << 20

_PT2 = "torch.export.save(torch.export.export(model.eval(), (x,)), 'model.pt2')"
_ONNX = "an .onnx file (tf2onnx: python -m tf2onnx.convert)"
_STATE = "torch.save(model.state_dict(), path)"

_THERE = "Open it where it was made and"
_ESTIMATOR = (
    f"{_THERE} export it: skl2onnx.to_onnx(estimator, x) for scikit-learn, or "
    "np.savez(path, W0=..., b0=..., ...) for a perceptron."
)

_REMEDIES = {
    "an empty file": "Save the model again.",
    "a TorchScript archive": f"Export the model it was made from: {_PT2}.",
    "a pickle of other objects than tensors, for example a whole torch module": (
        f"{_THERE} write {_PT2} or {_STATE}; unpickling it here would execute code."
    ),
    "a PyTorch Lightning checkpoint with pickled hyper-parameters": (
        f"{_THERE} save the weights alone: torch.save(module.state_dict(), path)."
    ),
    "a pickled object of Python (scikit-learn, joblib)": _ESTIMATOR,
    "a compressed file, as joblib writes them": _ESTIMATOR,
    "a Keras model": f"Convert it with model.export('model.onnx', format='onnx') or to {_ONNX}.",
    "an HDF5 file": (
        "Open a file of xbarspice with xb.load; convert a Keras model with "
        "model.export('model.onnx', format='onnx')."
    ),
    "a TensorFlow SavedModel": f"Convert it to {_ONNX}.",
    "a TensorFlow Lite model": (
        "Convert the model before its quantisation to an .onnx file "
        "(python -m tf2onnx.convert --tflite)."
    ),
    "a GGUF file of a language model": "Take the original's .safetensors and name its factory.",
    "a NumPy array": "Save the layers of a perceptron with np.savez(path, W0=..., b0=..., ...).",
    "a Core ML model": f"Export the model it was made from: {_PT2}.",
    "a MATLAB file": "Export the network with exportONNXNetwork.",
    "a folder": "Name the model file inside it.",
}
"""Kinds that are refused, and the way to export each."""


def identify(path: Path) -> str:
    """Kind of a model file: "pt2", "onnx", "safetensors", "torch" (a state_dict) or "npz".

    Raises:
        InputError: the file is missing, damaged or of another kind; the message names the kind
            and how to export it. Nothing is unpickled.
    """
    if not path.exists():
        raise broken_rule("the model file must exist", str(path), "Check the path.")
    kind = _of_folder(path) if path.is_dir() else _of_file(path)
    if kind in _REMEDIES:
        raise broken_rule(
            "a model must be .pt2, .onnx, .safetensors, a state_dict or a perceptron's .npz",
            f"`{path.name}`, {kind}",
            _REMEDIES[kind],
        )
    return kind


def refuse(path: Path, kind: str) -> InputError:
    """The error for a file of a kind that only reading it could tell."""
    return broken_rule(
        "a model must be .pt2, .onnx, .safetensors, a state_dict or a perceptron's .npz",
        f"`{path.name}`, {kind}",
        _REMEDIES[kind],
    )


def _of_folder(path: Path) -> str:
    return "a TensorFlow SavedModel" if (path / "saved_model.pb").exists() else "a folder"


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise InputError(f"`{path.name}` must be readable: {error}. Check the file.") from error
    if not head:
        return "an empty file"
    length = int.from_bytes(head[:8], "little")  # first, as any byte may be the lowest of it
    if head[8:9] == b"{" and 2 <= length <= path.stat().st_size - 8:
        return "safetensors"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _of_archive(path)
    if head.startswith((b"\x89HDF\r\n\x1a\n", b"xbarspice file")):
        return "a Keras model" if b"keras" in head else "an HDF5 file"
    if head.startswith(b"GGUF"):
        return "a GGUF file of a language model"
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
    if head.startswith(b"\x93NUMPY"):
        return "a NumPy array"
    if head.startswith(b"MATLAB 5.0"):
        return "a MATLAB file"
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"ZF")) or head[:2] in _ZLIB:
        return "a compressed file, as joblib writes them"
    if head[:1] == b"\x80" and head[1] <= 5:
        return _of_pickle(head)
    return _of_message(path, head)


_ZLIB = (b"\x78\x01", b"\x78\x9c", b"\x78\xda")


def _of_archive(path: Path) -> str:
    with open_archive(path, path.name) as archive:
        table = members(archive)
        names = set(table)
        if "archive_format" in names or "serialized_exported_program.json" in names:
            return "pt2"
        if any(name.startswith("models/") and name.endswith(".json") for name in names):
            return "pt2"
        if "constants.pkl" in names and any(name.startswith("code/") for name in names):
            return "a TorchScript archive"
        if "data.pkl" in names:
            return "torch"
        if {"config.json", "metadata.json"} <= names or "model.weights.h5" in names:
            return "a Keras model"
        if any(name.endswith(".mlmodel") for name in names):
            return "a Core ML model"
        if names and all(name.endswith(".npy") for name in names):
            return "npz"
    raise broken_rule(
        "a model must be .pt2, .onnx, .safetensors, a state_dict or a perceptron's .npz",
        f"`{path.name}`, a zip archive with {', '.join(sorted(names)[:3]) or 'nothing'}",
        "Name the model file itself.",
    )


def _of_pickle(head: bytes) -> str:
    """Torch's older form begins with its magic number as a pickle of its own."""
    try:
        first = next(arg for op, arg, _ in pickletools.genops(head) if op.name != "PROTO")
    except (StopIteration, ValueError, UnicodeDecodeError):
        first = None
    if first == 0x1950A86A20F9469CFC6C:
        return "torch"
    return "a pickled object of Python (scikit-learn, joblib)"


def _of_message(path: Path, head: bytes) -> str:
    """Protocol buffers have no magic number: ONNX begins with its IR version (or by name)."""
    if b"saved_model_schema_version" in head or path.name == "saved_model.pb":
        return "a TensorFlow SavedModel"
    if path.suffix == ".mlmodel":
        return "a Core ML model"
    if path.suffix in {".onnx", ".ort"} or (head[0] == 0x08 and 1 <= head[1] <= 20):
        return "onnx"
    raise broken_rule(
        "a model must be .pt2, .onnx, .safetensors, a state_dict or a perceptron's .npz",
        f"`{path.name}`, {'a text file' if _is_text(head) else 'a damaged or unknown file'}",
        f"Check the file, or export the model: {_PT2}.",
    )


def _is_text(head: bytes) -> bool:
    try:
        head[:4096].decode()
    except UnicodeDecodeError as error:
        return error.start > 4000
    return b"\0" not in head[:4096]
