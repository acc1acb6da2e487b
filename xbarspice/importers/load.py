"""Read a trained model of any origin into one thing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from xbarspice.core.errors import broken_rule
from xbarspice.importers.archive import hash_files
from xbarspice.importers.detect import identify
from xbarspice.importers.exported import load_pt2
from xbarspice.importers.model import ImportedModel
from xbarspice.importers.onnx_file import load_onnx
from xbarspice.importers.perceptron_model import load_perceptron
from xbarspice.importers.weights import load_weights, read_weights

__all__ = ["load_model"]


def load_model(
    path: Path | str,
    *,
    factory: str | Callable[[], torch.nn.Module] | None = None,
    activation: str | None = None,
) -> ImportedModel:
    """Import a trained model; what the file is, its content tells, not its name.

    Nothing in the file is executed: ``.pt2`` archives are checked and rebuilt before torch loads
    them, pickles are read as tensors only. A factory is code that you name, and it is imported
    and run.

    Args:
        path: ``.pt2`` (`torch.export.save`), ``.onnx``, ``.safetensors``, a ``state_dict`` or a
            checkpoint that holds one (``.pt``, ``.pth``), or a perceptron's ``.npz``.
        factory: ``"module:callable"`` that makes the untrained module for weights without code;
            it is imported and called, so name only code that you trust.
        activation: for weights of linear layers alone, the activation between them.

    Returns:
        The model; see `ImportedModel`.

    Raises:
        PackageMissingError: a package that reads this kind of file is not installed.
        InputError: the file is missing, damaged, hostile or of a kind that cannot be read without
            executing it; the message says what it is and how to export it.
    """
    path = Path(path)
    kind = identify(path)
    weights = kind in {"safetensors", "torch"}
    if factory is not None and (activation is not None or not weights):
        raise broken_rule(
            "a factory is for weights without code, in place of an activation",
            f"`{path.name}`" + (" with both" if activation is not None else f", {kind}"),
            "Leave `factory` out." if not weights else "Pass one of the two.",
        )
    if activation is not None and not (weights or kind == "npz"):
        raise broken_rule(
            "an activation is for perceptrons without one",
            f"`{path.name}`, {kind}",
            "Leave `activation` out: the file holds the whole model.",
        )
    return _load(path, kind, factory, activation)


def _load(
    path: Path,
    kind: str,
    factory: str | Callable[[], torch.nn.Module] | None,
    activation: str | None,
) -> ImportedModel:
    if kind == "onnx":
        return load_onnx(path)
    sha256 = hash_files([path])
    if kind == "pt2":
        return load_pt2(path, sha256)
    kind = "state_dict" if kind == "torch" else kind
    if factory is not None:
        return load_weights(path, sha256, kind, factory)
    if activation is None and kind != "npz":
        read_weights(path, kind)  # which says of other things than weights what they are
        raise broken_rule(
            "weights alone are no model",
            f"`{path.name}` without `factory` and `activation`",
            "Pass factory='module:callable' that makes the module, or for a plain perceptron "
            "the activation between its layers.",
        )
    return load_perceptron(path, sha256, kind, activation)
