"""A trained perceptron as plain arrays, and the files that hold one."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.core.errors import InputError, broken_rule, first_line
from xbarspice.core.files import check_file, store_errors, whole_file
from xbarspice.core.types import Array, Indices
from xbarspice.core.values import array_of
from xbarspice.importers.archive import check_archive, read_npz
from xbarspice.mapping import activations

__all__ = ["Perceptron", "from_state_dict", "load", "save"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Perceptron:
    """A multi-layer perceptron: ``z = x @ W + b`` a layer, an activation between layers.

    Attributes:
        W: one weight matrix a layer, (inputs, outputs): the transpose of PyTorch's ``weight``.
        b: one bias vector a layer, (outputs,).
        activation: activation after every layer but the last: one of `activations.names()`.

    Raises:
        InputError: a weight is not finite, an array is empty or of the wrong rank, or two
            layers do not fit together.
    """

    W: tuple[Array, ...]
    b: tuple[Array, ...]
    activation: str = "sigmoid"

    def __post_init__(self) -> None:
        activations.get(self.activation)
        if not self.W or len(self.W) != len(self.b):
            raise broken_rule(
                "a network needs one weight matrix and one bias vector a layer, at least one",
                f"{len(self.W)} matrices and {len(self.b)} vectors",
                "Check the file's layers.",
            )
        for name, rank in (("W", 2), ("b", 1)):
            arrays = enumerate(getattr(self, name))
            plain = tuple(_plain_array(f"{name}{k}", value, rank) for k, value in arrays)
            object.__setattr__(self, name, plain)
        width = self.W[0].shape[0]
        for k, (w, v) in enumerate(zip(self.W, self.b, strict=True)):
            if w.shape[0] != width or v.shape != (w.shape[1],):
                raise broken_rule(
                    f"layer {k} must take {width} inputs and have one bias an output",
                    f"W{k} {w.shape}, b{k} {v.shape}",
                    "W has the shape (inputs, outputs); transpose it if it is the other way round.",
                )
            width = w.shape[1]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of inputs, then of the outputs of every layer, for example (2, 8, 1)."""
        return (self.W[0].shape[0], *(w.shape[1] for w in self.W))

    def activate(self, z: Array) -> Array:
        """Apply the hidden activation."""
        return activations.get(self.activation).numpy(z)

    def inputs(self, x: npt.ArrayLike) -> Array:
        """Check network inputs, (points, inputs), and return them as float64.

        Raises:
            InputError: a value is not finite, or the shape is another.
        """
        remedy = "Pass one row a point."
        out = array_of("network inputs", x, finite=False, remedy=remedy)
        if out.ndim != 2 or out.shape[1] != self.sizes[0] or not np.isfinite(out).all():
            raise broken_rule(
                f"network inputs must be finite and of shape (points, {self.sizes[0]})",
                f"{out.shape}" + ("" if np.isfinite(out).all() else " with NaN or infinity"),
                remedy,
            )
        return out

    def forward(self, x: npt.ArrayLike) -> list[Array]:
        """Weighted sums of every layer, each (points, outputs); the last are the logits."""
        h, sums = self.inputs(x), []
        for w, v in zip(self.W, self.b, strict=True):
            sums.append(h @ w + v)
            h = self.activate(sums[-1])
        return sums

    def predict(self, logits: Array) -> Indices:
        """Class of each point: the sign of a single logit, else the largest one."""
        if logits.shape[-1] == 1:
            return (logits[..., 0] > 0).astype(np.intp)
        return np.argmax(logits, axis=-1)


def _plain_array(name: str, value: Any, rank: int) -> Array:
    """A finite array of one layer, read-only."""
    out = array_of(name, value, finite=False, remedy="Check the file.").copy()
    if out.ndim != rank or out.size == 0:
        raise broken_rule(
            f"`{name}` must have {rank} axes, none empty",
            f"shape {out.shape}",
            "Only networks of fully connected layers can be mapped.",
        )
    if not np.isfinite(out).all():
        bad = int((~np.isfinite(out)).sum())
        raise broken_rule(
            f"`{name}` must be finite", f"{bad} NaN or infinite values", "Check the training run."
        )
    out.setflags(write=False)
    return out


def save(path: Path, network: Perceptron) -> None:
    """Write ``W0, b0, W1, ...`` and the activation to an ``.npz``, complete or not at all."""
    arrays: dict[str, Any] = {"activation": np.array(network.activation)}
    for k, (w, v) in enumerate(zip(network.W, network.b, strict=True)):
        arrays |= {f"W{k}": w, f"b{k}": v}
    what = "the network file"
    with store_errors(what, path), whole_file(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load(path: Path | str, activation: str | None = None) -> Perceptron:
    """Load a network; pickled code is never executed.

    Args:
        path: ``.npz`` with ``W0, b0, W1, ...`` (W of shape (inputs, outputs); a missing bias is 0)
            or ``.pt``/``.pth`` with the `state_dict` of a plain perceptron (see
            `from_state_dict`).
        activation: hidden activation; None takes that of an ``.npz``, or "sigmoid" where it names
            none. A `state_dict` names none, so a network of several layers needs it.

    Raises:
        InputError: the file is missing, damaged, of another kind, or holds other layers; or the
            activation is not known.
    """
    path = Path(path)
    check_file(path, "the network file")
    if path.suffix == ".npz":
        return _load_npz(path, activation)
    if path.suffix in {".pt", ".pth"}:
        return from_state_dict(_load_pt(path), activation)
    raise broken_rule(
        "a network file must end in .npz, .pt or .pth", path.name, "Save it in one of these forms."
    )


def _load_npz(path: Path, activation: str | None) -> Perceptron:
    data: dict[str, Any] = read_npz(path)
    word = data.pop("activation", np.array("sigmoid"))
    if word.dtype.kind != "U" or word.size != 1:
        raise broken_rule(
            f"`activation` of {path.name} must be one word",
            f"{word.dtype} {word.shape}",
            f"One of {activations.names()}.",
        )
    layers = sum(name.startswith("W") for name in data)
    expected = {f"{s}{k}" for k in range(layers) for s in "Wb"}
    if not layers or not set(data) <= expected or any(f"W{k}" not in data for k in range(layers)):
        raise broken_rule(
            "an .npz network must hold W0, b0, W1, b1, ...", sorted(data), "Rename its arrays."
        )
    W = tuple(data[f"W{k}"] for k in range(layers))
    b = tuple(
        data.get(f"b{k}", np.zeros(w.shape[1] if w.ndim == 2 else 1)) for k, w in enumerate(W)
    )
    return Perceptron(W=W, b=b, activation=activation or str(word.reshape(-1)[0]))


def _load_pt(path: Path) -> Mapping[str, Any]:
    import torch

    try:
        if zipfile.is_zipfile(path):
            check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for one fault: an unreadable file
        raise InputError(
            f"`{path.name}` must be a PyTorch state_dict; loading it without executing code "
            f"failed: {first_line(error)}. Save it with torch.save(model.state_dict(), path)."
        ) from error
    if not isinstance(state, Mapping):
        raise broken_rule(
            f"`{path.name}` must hold a state_dict",
            type(state).__name__,
            "Save it with torch.save(model.state_dict(), path).",
        )
    return state


PLAIN = (
    "Only a plain perceptron's state_dict can be mapped: `<prefix>.weight` (outputs, inputs) and "
    "`<prefix>.bias` (outputs,) of each layer, in the order in which they are applied, the same "
    "activation between all of them. For another model name its code with --model module:factory, "
    "or use xb.nn.convert."
)


def from_state_dict(state: Mapping[str, Any], activation: str | None = None) -> Perceptron:
    """The perceptron of a PyTorch `state_dict`, layers in file order.

    A `state_dict` names neither activations nor connections: whatever is no chain of linear layers
    (normalisation, convolutions, skips whose shapes do not chain) is refused by name. This is the
    only place where PyTorch's (outputs, inputs) becomes (inputs, outputs).

    Args:
        state: name -> tensor.
        activation: hidden activation; may be None for a single layer, which has none.

    Raises:
        InputError: an entry is no weight or bias of a linear layer, two layers do not chain, or
            the activation is not known.
    """
    strange = [repr(name) for name in state if not isinstance(name, str)]
    strange += [
        f"{name} {_shape(value)}"
        for name, value in state.items()
        if isinstance(name, str) and not _is_linear(name, value, state)
    ]
    if strange or not state:
        raise broken_rule(
            "a state_dict must hold only linear layers (`weight`, `bias`)",
            ", ".join(strange[:5]) or "no layers",
            PLAIN,
        )
    names = [name for name in state if name.rpartition(".")[2] == "weight"]
    W = [array_of(name, _detach(state[name]), rank=2, remedy=PLAIN).T for name in names]
    b = []
    for name, w in zip(names, W, strict=True):
        bias = state.get(name.removesuffix("weight") + "bias")
        zeros = np.zeros(w.shape[1])
        b.append(zeros if bias is None else array_of(f"bias of {name}", _detach(bias), rank=1))
    for k in range(1, len(W)):
        if W[k].shape[0] != W[k - 1].shape[1]:
            raise broken_rule(
                f"`{names[k]}` must take the {W[k - 1].shape[1]} outputs of `{names[k - 1]}`",
                f"{W[k].shape[0]} inputs",
                PLAIN,
            )
    if activation is None and len(W) > 1:
        raise broken_rule(
            "the hidden activation must be stated, since a state_dict does not hold it",
            "none",
            "Add --activation relu (or tanh, sigmoid); in Python load(path, activation='relu').",
        )
    return Perceptron(W=tuple(W), b=tuple(b), activation=activation or "sigmoid")


def _is_linear(name: str, value: Any, state: Mapping[str, Any]) -> bool:
    stem, _, leaf = name.rpartition(".")
    rank = {"weight": 2, "bias": 1}.get(leaf)
    partner = f"{stem}.weight" if stem else "weight"
    return rank is not None and getattr(value, "ndim", None) == rank and partner in state


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if hasattr(value, "shape") else type(value).__name__


def _detach(value: Any) -> Any:
    """A parameter without its gradient, in a type that NumPy has; sparse ones stay as they are."""
    value = value.detach() if hasattr(value, "detach") else value
    return value.double() if str(getattr(value, "dtype", "")) == "torch.bfloat16" else value
