"""A plain perceptron, as ``.npz`` or as a ``state_dict`` with its activation named."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from xbarspice.core.errors import broken_rule
from xbarspice.importers.archive import read_npz
from xbarspice.importers.model import ImportedModel, TensorSpec
from xbarspice.importers.perceptron import Perceptron, from_state_dict, load
from xbarspice.importers.weights import read_weights
from xbarspice.mapping import activations

__all__ = ["load_perceptron", "perceptron_module"]


def perceptron_module(network: Perceptron) -> torch.nn.Sequential:
    """The network as torch layers in float64: ``0``, ``2``, ... linear, the activation between.

    The logits come last, without an activation, as in `Perceptron.forward`.
    """
    layers: list[torch.nn.Module] = []
    for W, b in zip(network.W, network.b, strict=True):
        layer = torch.nn.Linear(*W.shape, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(np.array(W.T)))
            layer.bias.copy_(torch.tensor(np.array(b)))
        layers += [layer, activations.get(network.activation).module()]
    return torch.nn.Sequential(*layers[:-1]).eval()


def load_perceptron(path: Path, sha256: str, kind: str, activation: str | None) -> ImportedModel:
    """Import a perceptron; its activation is the file's own or must be named.

    Args:
        path: ``.npz`` with ``W0, b0, ...``, or weights of linear layers in torch's own shape.
        sha256: hash of the file.
        kind: "npz", "safetensors" or "state_dict".
        activation: one of `xbarspice.mapping.activations.names()`, or None for the file's own.

    Raises:
        InputError: the activation is unknown or not named, or the layers do not make a
            perceptron.
    """
    notes: tuple[str, ...] = ()
    if kind == "npz":
        if activation is None and "activation" not in read_npz(path):
            raise _no_activation(path)
        network = load(path, activation)
    else:
        if activation is None:
            raise _no_activation(path)
        state, notes = read_weights(path, kind)
        state = _by_number(state, path) if kind == "safetensors" else state
        network = from_state_dict(state, activation)

    def original(tensors: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (torch.from_numpy(network.forward(tensors[0].numpy())[-1].copy()),)

    return ImportedModel(
        module=perceptron_module(network),
        kind="perceptron",
        sha256=sha256,
        inputs=(TensorSpec(name="x", shape=("points", network.sizes[0]), dtype="float64"),),
        library="xbarspice",
        notes=notes,
        original=original,
        original_library=f"NumPy {np.__version__}",
    )


def _by_number(state: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """Layers in the order of their numbers: a ``.safetensors`` file keeps no order of its own."""
    stems = {name.rpartition(".")[0] for name in state}
    if len(stems) > 1 and len({re.sub(r"[0-9]+", "0", stem) for stem in stems}) > 1:
        raise broken_rule(
            "layers of a perceptron in a .safetensors file must differ by their numbers alone",
            f"{', '.join(sorted(stems)[:4])} in `{path.name}`, which does not tell their order",
            "Save them with torch.save(model.state_dict(), path), or pass factory=.",
        )

    def key(name: str) -> list[tuple[int, str]]:
        return [(int(p or 0), "") if p.isdigit() else (0, p) for p in re.split(r"([0-9]+)", name)]

    return {name: state[name] for name in sorted(state, key=key)}


def _no_activation(path: Path) -> Exception:
    return broken_rule(
        "a perceptron needs the activation that it was trained with",
        f"weights alone in `{path.name}`",
        f"Pass activation= one of {activations.names()}; for any other model pass factory=.",
    )
