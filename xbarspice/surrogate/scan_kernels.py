"""Compiled single passes over inputs and weights of a layer, on the bits of their floats."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from xbarspice.surrogate.native.library import F32, F64, INT, INTS, NUMBER, function

__all__ = ["equal_bits", "range_of_sizes"]

Array = npt.NDArray[np.floating]

_equal_bits = function("equal_bits", ctypes.c_void_p, ctypes.c_void_p, INT, result=INT)
_ranges = {
    np.dtype(np.float64): function("range_f64", F64, INT, NUMBER, F64, INTS),
    np.dtype(np.float32): function("range_f32", F32, INT, NUMBER, F32, INTS),
}


def equal_bits(a: Array, b: Array) -> bool:
    """Whether two C-ordered arrays, of equal shape and dtype, hold the same numbers bit by bit."""
    return bool(_equal_bits(a.ctypes.data, b.ctypes.data, a.nbytes))


def range_of_sizes(x: Array, limit: float) -> tuple[float, int]:
    """The largest size of the numbers of a C-ordered array, and how many are beyond a limit.

    Args:
        x: float64 or float32; NaN counts as the largest, but not as beyond.
        limit: positive.
    """
    largest, beyond = np.empty(1, x.dtype), np.empty(1, np.int64)
    _ranges[x.dtype](x, x.size, limit, largest, beyond)
    return float(largest[0]), int(beyond[0])
