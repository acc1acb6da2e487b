"""ONNX operators that normalise, as functions of torch tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

__all__ = ["NORMS"]

Tensor = torch.Tensor


def layer_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Tensor:
    """Normalisation over all axes from `axis` on."""
    shape = x.shape[axis:]
    whole = scale.shape == shape and (bias is None or bias.shape == shape)
    if whole:
        return functional.layer_norm(x, shape, scale, bias, epsilon)
    out = functional.layer_norm(x, shape, None, None, epsilon) * scale
    return out if bias is None else out + bias


def instance_norm(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """Normalisation of every channel of every point."""
    return functional.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


def group_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    *,
    num_groups: int,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Tensor:
    """Normalisation of groups of channels with one scale a channel (opset 21 and later)."""
    return functional.group_norm(x, num_groups, scale, bias, epsilon)


def batch_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
) -> Tensor:
    """Normalisation by stored statistics."""
    return functional.batch_norm(x, mean, var, scale, bias, False, 0.0, epsilon)


def lrn(
    x: Tensor, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Tensor:
    """Local response normalisation across channels."""
    square = x.pow(2).flatten(2).unsqueeze(1)
    pad = (0, 0, (size - 1) // 2, size - 1 - (size - 1) // 2)
    sums = functional.avg_pool2d(functional.pad(square, pad), (size, 1), 1) * size
    return x / (bias + alpha / size * sums.squeeze(1).reshape(x.shape)).pow(beta)


def lp_normalization(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    """Unit norm along one axis; zero vectors stay zero."""
    norm = x.norm(p, axis, keepdim=True)
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)


def rms_norm(
    x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Tensor:
    """Division by the root mean square over all axes from `axis` on."""
    axes = tuple(range(axis % x.ndim, x.ndim))
    return x * torch.rsqrt(x.pow(2).mean(axes, keepdim=True) + epsilon) * scale


NORMS: dict[str, Callable[..., Tensor]] = {
    "BatchNormalization": batch_norm,
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LRN": lrn,
    "LayerNormalization": layer_norm,
    "LpNormalization": lp_normalization,
    "RMSNormalization": rms_norm,
}
"""Operators by their ONNX names."""
