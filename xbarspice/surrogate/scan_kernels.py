"""Compiled single passes over inputs and weights of a layer, on the bits of their floats."""

from __future__ import annotations

from typing import Any

from numba import njit

__all__ = ["equal_bits", "sizes"]

CHUNK = 4096
"""Words that are compared before the first difference is looked for."""


@njit(cache=True, nogil=True)
def equal_bits(a: Any, b: Any) -> bool:
    """Whether two flat arrays of integers, of equal size, hold the same numbers."""
    for first in range(0, a.size, CHUNK):
        one, other = a[first : first + CHUNK], b[first : first + CHUNK]
        differing = one[0] ^ one[0]
        for k in range(one.size):
            differing |= one[k] ^ other[k]
        if differing != 0:
            return False
    return True


@njit(cache=True, nogil=True)
def sizes(bits: Any, without_sign: Any, limit: Any, infinite: Any) -> tuple[Any, int]:
    """The largest of the sizes of floats, and how many of them are beyond a limit.

    The bits of floats without their signs are ordered as their sizes are; NaN is above infinity.

    Args:
        bits: floats as integers, flat.
        without_sign: mask of all bits but the sign.
        limit: bits of the limit, positive.
        infinite: bits of infinity.

    Returns:
        Bits of the largest size, and the count, without NaN.
    """
    largest, beyond = without_sign ^ without_sign, 0
    for k in range(bits.size):
        size = bits[k] & without_sign
        largest = max(largest, size)
        beyond += (size > limit) & (size <= infinite)
    return largest, beyond
