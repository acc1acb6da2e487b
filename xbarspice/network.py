"""A trained feed-forward network as plain arrays, and loading one that someone else trained."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.errors import InputError, broken_rule
from xbarspice.values import array_of

__all__ = ["ACTIVATIONS", "Network", "load", "save"]

Array = npt.NDArray[np.float64]

ACTIVATIONS = {
    "sigmoid": lambda z: 1.0 / (1.0 + np.exp(-np.clip(z, -700, 700))),
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0.0),
}
"""Hidden activations by name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A multi-layer perceptron: ``z = x @ W + b`` a layer, an activation between layers.

    Attributes:
        W: one weight matrix a layer, (inputs, outputs): the transpose of PyTorch's ``weight``.
        b: one bias vector a layer, (outputs,).
        activation: activation after every layer but the last: one of `ACTIVATIONS`.

    Raises:
        InputError: a weight is not finite, an array is empty or of the wrong rank, or two
            layers do not fit together.
    """

    W: tuple[Array, ...]
    b: tuple[Array, ...]
    activation: str = "sigmoid"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise broken_rule(
                f"`activation` must be one of {sorted(ACTIVATIONS)}", repr(self.activation),
                "Name the activation that the network was trained with.",
            )  # fmt: skip
        if not self.W or len(self.W) != len(self.b):
            raise broken_rule(
                "a network needs one weight matrix and one bias vector a layer, at least one",
                f"{len(self.W)} matrices and {len(self.b)} vectors", "Check the file's layers.",
            )  # fmt: skip
        object.__setattr__(self, "W", tuple(_checked(f"W{k}", w, 2) for k, w in enumerate(self.W)))
        object.__setattr__(self, "b", tuple(_checked(f"b{k}", v, 1) for k, v in enumerate(self.b)))
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
        return ACTIVATIONS[self.activation](z)

    def inputs(self, x: npt.ArrayLike) -> Array:
        """Check network inputs, (points, inputs), and return them as float64."""
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

    def predict(self, logits: Array) -> npt.NDArray[np.intp]:
        """Class of each point: the sign of a single logit, else the largest one."""
        if logits.shape[-1] == 1:
            return (logits[..., 0] > 0).astype(np.intp)
        return np.argmax(logits, axis=-1)


def _checked(name: str, value: Any, rank: int) -> Array:
    out = array_of(name, value, finite=False, remedy="Check the file.").copy()
    if out.ndim != rank or out.size == 0:
        raise broken_rule(
            f"`{name}` must have {rank} axes, none empty", f"shape {out.shape}",
            "Only networks of fully connected layers can be mapped.",
        )  # fmt: skip
    if not np.isfinite(out).all():
        bad = int((~np.isfinite(out)).sum())
        raise broken_rule(
            f"`{name}` must be finite", f"{bad} NaN or infinite values", "Check the training run."
        )
    out.setflags(write=False)
    return out


def save(path: Path, network: Network) -> None:
    """Write ``W0, b0, W1, ...`` and the activation to an ``.npz``, complete or not at all."""
    arrays: dict[str, Any] = {"activation": np.array(network.activation)}
    for k, (w, v) in enumerate(zip(network.W, network.b, strict=True)):
        arrays |= {f"W{k}": w, f"b{k}": v}
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path | str, activation: str | None = None) -> Network:
    """Load a network; pickled code is never executed.

    Args:
        path: ``.npz`` with ``W0, b0, W1, ...`` (W of shape (inputs, outputs); a missing bias is 0)
            or ``.pt``/``.pth`` with the `state_dict` of linear layers (PyTorch's own shape).
        activation: hidden activation; None takes the file's own, or "sigmoid".

    Raises:
        InputError: the file is missing, damaged, of another kind, or holds other layers.
    """
    path = Path(path)
    if not path.is_file():
        raise broken_rule("the network file must exist", str(path), "Check the path.")
    if path.suffix == ".npz":
        return _load_npz(path, activation)
    if path.suffix in {".pt", ".pth"}:
        return from_state_dict(_load_pt(path), activation or "sigmoid")
    raise broken_rule(
        "a network file must end in .npz, .pt or .pth", path.name, "Save it in one of these forms."
    )


def _load_npz(path: Path, activation: str | None) -> Network:
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"`{path.name}` must be an .npz of plain arrays; reading it failed: {error}. "
            "Save it with np.savez(path, W0=..., b0=..., ...)."
        ) from error
    own = str(data.pop("activation", "sigmoid"))
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
    return Network(W=W, b=b, activation=activation or own)


def _load_pt(path: Path) -> Mapping[str, Any]:
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for one fault: an unreadable file
        raise InputError(
            f"`{path.name}` must be a PyTorch state_dict; loading it without executing code "
            f"failed: {str(error).splitlines()[0][:200]}. "
            "Save it with torch.save(model.state_dict(), path)."
        ) from error
    if not isinstance(state, Mapping):
        raise broken_rule(
            f"`{path.name}` must hold a state_dict", type(state).__name__,
            "Save it with torch.save(model.state_dict(), path).",
        )  # fmt: skip
    return state


def from_state_dict(state: Mapping[str, Any], activation: str = "sigmoid") -> Network:
    """Network from a PyTorch `state_dict` whose layers are all linear, in file order.

    This is the only place where PyTorch's (outputs, inputs) becomes (inputs, outputs).
    """
    W, b = [], []
    known = set()
    for name, value in state.items():
        stem, _, leaf = name.rpartition(".")
        if leaf != "weight":
            continue
        W.append(np.asarray(value.detach().numpy() if hasattr(value, "detach") else value).T)
        bias = state.get(f"{stem}.bias" if stem else "bias")
        zeros = np.zeros(W[-1].shape[-1])
        b.append(zeros if bias is None else np.asarray(bias.detach().numpy()))
        known |= {name, f"{stem}.bias" if stem else "bias"}
    if not W or set(state) - known:
        raise broken_rule(
            "a state_dict must hold only linear layers (`weight`, `bias`)",
            sorted(set(state) - known) or "no layers",
            "Only networks of fully connected layers can be mapped.",
        )
    return Network(W=tuple(W), b=tuple(b), activation=activation)
