"""The original of a converted model: its outputs on the calibration inputs, for the import gate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xbarspice.importers.model import double_copy

__all__ = ["Origin", "in_float64", "origin_of", "outputs_of", "remember", "weights_hash"]

ATTRIBUTE = "_xbarspice_origin"


@dataclass(frozen=True, kw_only=True, eq=False)
class Origin:
    """What is kept of the original model.

    Attributes:
        inputs: arguments it was run on.
        outputs: its tensors for them, in evaluation mode and float64.
        weights_sha256: hash of its parameters and buffers.
        converted_sha256: the same of the converted model when it was made.
    """

    inputs: tuple[Any, ...]
    outputs: tuple[Tensor, ...]
    weights_sha256: str
    converted_sha256: str


def remember(circuit: nn.Module, model: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Keep the original's outputs on these inputs with the converted model."""
    origin = Origin(
        inputs=inputs,
        outputs=outputs_of(in_float64(model), as_float64(inputs)),
        weights_sha256=weights_hash(model),
        converted_sha256=weights_hash(circuit),
    )
    object.__setattr__(circuit, ATTRIBUTE, origin)


def origin_of(circuit: nn.Module) -> Origin | None:
    """What `convert(calibrate=...)` kept; None without calibration."""
    return circuit.__dict__.get(ATTRIBUTE)


def in_float64(model: nn.Module) -> nn.Module:
    """A copy in double precision and evaluation mode."""
    return double_copy(model).eval()


def as_float64(value: Any) -> Any:
    """Floating-point tensors as float64, inside tuples, lists and dictionaries too."""
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, tuple | list):
        return type(value)(as_float64(v) for v in value)
    if isinstance(value, dict):
        return {k: as_float64(v) for k, v in value.items()}
    return value


def outputs_of(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """All tensors that a model returns in evaluation, without gradients or fused evaluation."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            return tuple(flatten(model(*inputs)))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for module, training in modes.items():
            module.training = training


def flatten(value: Any) -> list[Tensor]:
    """The floating-point tensors in an output of any form, in order."""
    if isinstance(value, Tensor):
        return [value.detach()] if value.is_floating_point() else []
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [tensor for part in value for tensor in flatten(part)]
    return []


def weights_hash(model: nn.Module) -> str:
    """SHA-256 of all parameters and buffers, with their names."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
