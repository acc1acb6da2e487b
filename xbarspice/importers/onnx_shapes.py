"""ONNX operators that move or select elements, as functions of torch tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional

__all__ = ["SHAPES", "cast", "integers"]

Tensor = torch.Tensor
Ints = Sequence[int]


def reshape(x: Tensor, shape: Ints, *, allowzero: int = 0) -> Tensor:
    """New sizes; 0 keeps the input's unless `allowzero`."""
    sizes = [x.shape[k] if n == 0 and not allowzero else n for k, n in enumerate(shape)]
    return x.reshape(sizes)


def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    """Matrix of all axes before `axis`, and all from it on."""
    axis = axis + x.ndim if axis < 0 else axis
    rows = 1
    for size in x.shape[:axis]:
        rows *= size
    return x.reshape(rows, x.numel() // rows if rows else 0)


def transpose(x: Tensor, *, perm: Ints | None = None) -> Tensor:
    """Axes in another order; by default reversed."""
    return x.permute(*(perm if perm is not None else reversed(range(x.ndim))))


def squeeze(x: Tensor, axes_input: Ints | None = None, *, axes: Ints | None = None) -> Tensor:
    """Remove axes of size 1: those named, or all."""
    along = axes_input if axes_input is not None else axes
    return x.squeeze() if along is None else x.squeeze(tuple(along))


def unsqueeze(x: Tensor, axes_input: Ints | None = None, *, axes: Ints | None = None) -> Tensor:
    """Insert axes of size 1 at these places of the output."""
    along = list(axes_input if axes_input is not None else axes or ())
    rank = x.ndim + len(along)
    for axis in sorted(a % rank for a in along):
        x = x.unsqueeze(axis)
    return x


def concat(*tensors: Tensor, axis: int) -> Tensor:
    """Join along one axis."""
    return torch.cat(tensors, axis)


def split(
    x: Tensor,
    sizes: Ints | None = None,
    *,
    axis: int = 0,
    split: Ints | None = None,
    num_outputs: int | None = None,
    outputs: int,
) -> tuple[Tensor, ...]:
    """Cut along one axis: into these sizes, or equal ones of which the last may be smaller."""
    parts = sizes if sizes is not None else split
    if parts is not None:
        return torch.split(x, list(parts), axis)
    return torch.split(x, -(-x.shape[axis] // (num_outputs or outputs)), axis)


def slice_(
    x: Tensor,
    starts_input: Ints | None = None,
    ends_input: Ints | None = None,
    axes_input: Ints | None = None,
    steps: Ints | None = None,
    *,
    starts: Ints = (),
    ends: Ints = (),
    axes: Ints | None = None,
) -> Tensor:
    """Ranges with steps along some axes."""
    first = list(starts_input if starts_input is not None else starts)
    last = list(ends_input if ends_input is not None else ends)
    along = axes_input if axes_input is not None else axes
    along = list(range(len(first))) if along is None else along
    for start, end, axis, step in zip(first, last, along, steps or [1] * len(first), strict=True):
        size = x.shape[axis]
        if step > 0:
            places = range(size)[start:end:step]
        else:  # a lower end beyond the first element means "to the first one"
            places = range(size)[start : None if end < -size else end : step]
        if step == 1:
            x = x.narrow(axis, places.start if len(places) else 0, len(places))
        else:
            x = x.index_select(axis, torch.tensor(list(places), dtype=torch.int64))
    return x


def gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """Elements along one axis by an index tensor of any shape."""
    axis = axis % x.ndim
    flat = torch.where(indices < 0, indices + x.shape[axis], indices).long().reshape(-1)
    return x.index_select(axis, flat).reshape(x.shape[:axis] + indices.shape + x.shape[axis + 1 :])


def gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """Elements along one axis, one index an output element."""
    return torch.gather(x, axis, torch.where(indices < 0, indices + x.shape[axis], indices).long())


def expand(x: Tensor, shape: Ints) -> Tensor:
    """Broadcast in both directions."""
    return x.expand(torch.broadcast_shapes(x.shape, tuple(shape)))


def tile(x: Tensor, repeats: Ints) -> Tensor:
    """Copies along every axis."""
    return x.repeat(*repeats)


def shape_of(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    """Sizes as a tensor of integers."""
    return torch.tensor(list(x.shape)[start:end], dtype=torch.int64)


def size_of(x: Tensor) -> Tensor:
    """Number of elements."""
    return torch.tensor(x.numel(), dtype=torch.int64)


def constant_of_shape(shape: Ints, *, value: Tensor | None = None) -> Tensor:
    """One value, 0 by default, in every element."""
    one = torch.zeros(1) if value is None else value
    return one.reshape(()).expand(tuple(shape)).clone()


def arange(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """Values from `start` up to `limit`."""
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


def where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """`x` where the condition holds, else `y`."""
    return torch.where(condition, x, y)


def identity(x: Any) -> Any:
    """The input."""
    return x


def cast(x: Tensor, like: Tensor) -> Tensor:
    """The input in the type of `like`, a buffer that follows the module's own type."""
    return x.to(like.dtype)


def integers(x: Tensor) -> list[int]:
    """Sizes, axes or ends that the graph computes."""
    return [int(v) for v in x.reshape(-1).tolist()]


def cast_like(x: Tensor, like: Tensor, *, saturate: int = 1) -> Tensor:
    """The input in the type of another."""
    return x.to(like.dtype)


def cum_sum(x: Tensor, axis: Ints, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """Running sums along one axis."""
    (along,) = axis
    turned = x.flip(along) if reverse else x
    sums = turned.cumsum(along).to(x.dtype)
    sums = sums - turned if exclusive else sums
    return sums.flip(along) if reverse else sums


def top_k(
    x: Tensor,
    count: Ints,
    *,
    axis: int = -1,
    largest: int = 1,
    sorted: int = 1,  # noqa: A002
) -> tuple[Tensor, Tensor]:
    """The largest or smallest values along one axis, and where they are; ties by index."""
    order = torch.sort(x, dim=axis, descending=bool(largest), stable=True)
    (number,) = count
    return order.values.narrow(axis, 0, number), order.indices.narrow(axis, 0, number)


def trilu(x: Tensor, diagonal: Ints | None = None, *, upper: int = 1) -> Tensor:
    """Upper or lower triangle."""
    (k,) = diagonal if diagonal is not None else (0,)
    return torch.triu(x, k) if upper else torch.tril(x, k)


def depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """Channels to places."""
    n, c, h, w = x.shape
    b = blocksize
    if mode == "DCR":
        y = x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2)
    else:
        y = x.reshape(n, c // b**2, b, b, h, w).permute(0, 1, 4, 2, 5, 3)
    return y.reshape(n, c // b**2, h * b, w * b)


def space_to_depth(x: Tensor, *, blocksize: int) -> Tensor:
    """Places to channels."""
    n, c, h, w = x.shape
    b = blocksize
    y = x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4)
    return y.reshape(n, c * b * b, h // b, w // b)


def pad(
    x: Tensor,
    pads_input: Ints | None = None,
    value_input: Tensor | None = None,
    axes: Ints | None = None,
    *,
    mode: str = "constant",
    pads: Ints | None = None,
    value: float = 0.0,
) -> Tensor:
    """Add elements at both ends of axes: constant, of the edge, or mirrored without the edge."""
    amounts = list(pads_input if pads_input is not None else pads or ())
    along = list(range(x.ndim)) if axes is None else [a % x.ndim for a in axes]
    fill = float(value_input) if value_input is not None else value
    for axis, before, after in zip(
        along, amounts[: len(along)], amounts[len(along) :], strict=True
    ):
        if before < 0 or after < 0:
            size = x.shape[axis] + min(before, 0) + min(after, 0)
            x = x.narrow(axis, max(-before, 0), size)
        if before > 0 or after > 0:
            x = _pad_axis(x, axis, max(before, 0), max(after, 0), mode, fill)
    return x


def _pad_axis(x: Tensor, axis: int, before: int, after: int, mode: str, fill: float) -> Tensor:
    size = x.shape[axis]
    if mode == "constant":
        ends = [
            n for k in reversed(range(x.ndim)) for n in ((before, after) if k == axis else (0, 0))
        ]
        return functional.pad(x, ends, value=fill)
    places = torch.arange(-before, size + after)
    if mode == "edge":
        places = places.clamp(0, size - 1)
    elif mode == "wrap":
        places = places % size
    else:  # reflect
        period = max(2 * (size - 1), 1)
        places = size - 1 - (places % period - (size - 1)).abs()
    return x.index_select(axis, places)


SHAPES: dict[str, Callable[..., Any]] = {
    "CastLike": cast_like,
    "Concat": concat,
    "ConstantOfShape": constant_of_shape,
    "CumSum": cum_sum,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "GatherElements": gather_elements,
    "Identity": identity,
    "Pad": pad,
    "Range": arange,
    "Reshape": reshape,
    "Shape": shape_of,
    "Size": size_of,
    "Slice": slice_,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "TopK": top_k,
    "Transpose": transpose,
    "Trilu": trilu,
    "Unsqueeze": unsqueeze,
    "Where": where,
}
"""Operators by their ONNX names."""
