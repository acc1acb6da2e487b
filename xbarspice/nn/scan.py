"""Single passes over tensors that a layer makes at every call, compiled where they can be."""

from __future__ import annotations

import torch
from torch import Tensor

from xbarspice.nn.boundary import as_numpy
from xbarspice.surrogate.scan_kernels import equal_bits, range_of_sizes

__all__ = ["range_of", "same_values"]


def same_values(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have one shape, type and device, and equal numbers, bit by bit.

    Where bits cannot be compared (on other devices, in other layouts), the numbers are.
    """
    if (a.shape, a.dtype, a.device) != (b.shape, b.dtype, b.device):
        return False
    if not (_is_plain(a) and _is_plain(b)):
        return torch.equal(a, b)
    return equal_bits(as_numpy(a), as_numpy(b))


def range_of(x: Tensor, limit: float) -> tuple[float, int]:
    """The largest size of the values, and how many are beyond a positive limit; NaN is not."""
    if not _is_plain(x):
        size = x.detach().abs()
        return float(size.amax()), int((size > limit).sum())
    return range_of_sizes(as_numpy(x), limit)


def _is_plain(tensor: Tensor) -> bool:
    floats = tensor.dtype in (torch.float64, torch.float32)
    return floats and tensor.device.type == "cpu" and tensor.is_contiguous()
