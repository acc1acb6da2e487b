"""Single passes over tensors that a layer makes at every call, compiled where they can be."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xbarspice.nn.boundary import as_numpy
from xbarspice.surrogate.scan_kernels import equal_bits, sizes

__all__ = ["range_of", "same_values"]

_INTEGERS = {
    torch.float64: (torch.int64, np.dtype(np.float64)),
    torch.float32: (torch.int32, np.dtype(np.float32)),
}


def same_values(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have one shape, type and device, and equal numbers, bit by bit.

    Where bits cannot be compared (on other devices, in other layouts), the numbers are.
    """
    if (a.shape, a.dtype, a.device) != (b.shape, b.dtype, b.device):
        return False
    if not (_is_plain(a) and _is_plain(b)):
        return torch.equal(a, b)
    return bool(equal_bits(_bits(a), _bits(b)))


def range_of(x: Tensor, limit: float) -> tuple[float, int]:
    """The largest size of the values, and how many are beyond a positive limit; NaN is not."""
    if not _is_plain(x):
        size = x.detach().abs()
        return float(size.amax()), int((size > limit).sum())
    bits, number = _bits(x), _INTEGERS[x.dtype][1].type
    kind = bits.dtype
    largest, beyond = sizes(
        bits,
        kind.type(np.iinfo(kind).max),
        number(limit).view(kind),
        number(np.inf).view(kind),
    )
    return float(kind.type(largest).view(number)), int(beyond)


def _is_plain(tensor: Tensor) -> bool:
    return tensor.dtype in _INTEGERS and tensor.device.type == "cpu" and tensor.is_contiguous()


def _bits(tensor: Tensor) -> np.ndarray:
    return as_numpy(tensor.detach().view(_INTEGERS[tensor.dtype][0])).reshape(-1)
