"""ONNX operators that pool or resample places, as functions of torch tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional

__all__ = ["POOLS", "pad_same"]

Tensor = torch.Tensor
Ints = Sequence[int]


def pad_same(
    x: Tensor, kernel: Ints, strides: Ints, dilations: Ints, lower: bool, fill: float = 0.0
) -> Tensor:
    """Pad so that an output has ``ceil(size / stride)`` elements (`auto_pad` SAME)."""
    ends: list[int] = []
    for size, k, stride, dilation in reversed(
        list(zip(x.shape[2:], kernel, strides, dilations, strict=True))
    ):
        out = -(-size // stride)
        total = max((out - 1) * stride + (k - 1) * dilation + 1 - size, 0)
        ends += [total - total // 2, total // 2] if lower else [total // 2, total - total // 2]
    return functional.pad(x, ends, value=fill)


_BY_AXES: dict[str, dict[int, Callable[..., Any]]] = {
    "max": {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d},
    "mean": {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d},
}


def _pool_input(
    x: Tensor,
    fill: float,
    kernel: Ints,
    strides: Ints,
    dilations: Ints,
    pads: Ints,
    auto_pad: str,
    ceil_mode: int,
) -> Tensor:
    """The input with all padding applied, such that a plain pool gives the right places."""
    if auto_pad in {"SAME_UPPER", "SAME_LOWER"}:
        return pad_same(x, kernel, strides, dilations, auto_pad == "SAME_LOWER", fill)
    n = len(kernel)
    ends: list[int] = []
    for k in reversed(range(n)):
        before, after = (0, 0) if auto_pad == "VALID" else (pads[k], pads[k + n])
        span = (kernel[k] - 1) * dilations[k] + 1
        size = x.shape[2 + k] + before + after
        more = 0
        if ceil_mode:
            out = -(-(size - span) // strides[k]) + 1
            if (out - 1) * strides[k] >= x.shape[2 + k] + before:  # would begin in the padding
                out -= 1
            more = max((out - 1) * strides[k] + span - size, 0)
        ends += [before, after + more]
    return functional.pad(x, ends, value=fill)


def max_pool(
    x: Tensor,
    *,
    kernel_shape: Ints,
    strides: Ints | None = None,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    storage_order: int = 0,
) -> Tensor:
    """Largest value in a window; padding never wins."""
    n = len(kernel_shape)
    strides, dilations = list(strides or [1] * n), list(dilations or [1] * n)
    filled = _pool_input(
        x, -torch.inf, kernel_shape, strides, dilations, pads or [0] * 2 * n, auto_pad, ceil_mode
    )
    return _BY_AXES["max"][n](filled, list(kernel_shape), strides, 0, dilations)


def average_pool(
    x: Tensor,
    *,
    kernel_shape: Ints,
    strides: Ints | None = None,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
) -> Tensor:
    """Mean in a window, of the real elements alone or with the padding."""
    n = len(kernel_shape)
    strides, dilations = list(strides or [1] * n), list(dilations or [1] * n)
    plain = (kernel_shape, strides, dilations, pads or [0] * 2 * n, auto_pad)
    ones = torch.ones_like(x[:1, :1])
    if count_include_pad:  # padding counts, but not what `ceil_mode` adds beyond it
        ones = _pool_input(ones, 1.0, *plain, 0)
        x = _pool_input(x, 0.0, *plain, 0)
        plain = (*plain[:3], [0] * 2 * n, "NOTSET")
    pool = _BY_AXES["mean"][n]
    sums = pool(_pool_input(x, 0.0, *plain, ceil_mode), list(kernel_shape), strides)
    return sums / pool(_pool_input(ones, 0.0, *plain, ceil_mode), list(kernel_shape), strides)


def global_average_pool(x: Tensor) -> Tensor:
    """Mean of every channel."""
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


def global_max_pool(x: Tensor) -> Tensor:
    """Largest value of every channel."""
    return x.amax(tuple(range(2, x.ndim)), keepdim=True)


def resize(
    x: Tensor,
    roi: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Ints | None = None,
    *,
    mode: str = "nearest",
    coordinate_transformation_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    antialias: int = 0,
    keep_aspect_ratio_policy: str = "stretch",
) -> Tensor:
    """Nearest elements or linear interpolation, axis by axis."""
    factors: list[float | None] = [None] * x.ndim
    if scales is not None and scales.numel():
        factors = [float(s) for s in scales]
    targets = (
        list(sizes)
        if sizes
        else [int(n * (f or 1.0)) for n, f in zip(x.shape, factors, strict=True)]
    )
    for axis, target in enumerate(targets):
        if target != x.shape[axis] or (factors[axis] or 1.0) != 1.0:
            scale = factors[axis] or target / x.shape[axis]
            places = _places(x.shape[axis], target, scale, coordinate_transformation_mode)
            x = _resample(x, axis, places, nearest_mode if mode == "nearest" else None)
    return x


def _places(size: int, target: int, scale: float, mode: str) -> Tensor:
    """Where the output's elements lie among the input's."""
    out = torch.arange(target, dtype=torch.float64)
    if mode == "align_corners":
        return out * (size - 1) / max(target - 1, 1)
    if mode == "asymmetric":
        return out / scale
    if mode == "pytorch_half_pixel" and target <= 1:
        return torch.zeros_like(out)
    return (out + 0.5) / scale - 0.5


def _resample(x: Tensor, axis: int, places: Tensor, nearest: str | None) -> Tensor:
    last = x.shape[axis] - 1
    if nearest is not None:
        rounded = {
            "floor": places.floor(),
            "ceil": places.ceil(),
            "round_prefer_floor": (places - 0.5).ceil(),
            "round_prefer_ceil": (places + 0.5).floor(),
        }[nearest]
        return x.index_select(axis, rounded.clamp(0, last).long())
    places = places.clamp(0, last)
    low = places.floor()
    share = (places - low).to(x.dtype).reshape([-1 if k == axis else 1 for k in range(x.ndim)])
    lower = x.index_select(axis, low.long())
    upper = x.index_select(axis, (low + 1).clamp(max=last).long())
    return lower * (1 - share) + upper * share


POOLS: dict[str, Callable[..., Any]] = {
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "MaxPool": max_pool,
    "Resize": resize,
}
"""Operators by their ONNX names."""
