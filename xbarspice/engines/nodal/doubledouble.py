"""Numbers of twice the precision: unevaluated sums ``high + low`` of two float64 arrays.

Addition and multiplication without error (Knuth 1969; Dekker 1971, doi:10.1007/BF01397083) and the
sums and products of pairs made of them (Hida, Li and Bailey 2001, doi:10.1109/ARITH.2001.930115).
Each operation on pairs is exact but for a share of 2^-102 of its result, as long as no number is
above 1e290 and no product below 1e-270.
"""

from __future__ import annotations

import numpy as np

from xbarspice.core.types import Array

__all__ = ["Pair", "add", "add_float", "reciprocal", "subtract", "times", "total"]

Pair = tuple[Array, Array]
"""High and low part; the low one is at most half a unit in the last place of the high one."""

_SPLIT = 134217729.0  # 2^27 + 1: halves the 53 digits of a number


def _two_sum(a: Array, b: Array) -> Pair:
    s = a + b
    back = s - a
    return s, (a - (s - back)) + (b - back)


def _fast_two_sum(a: Array, b: Array) -> Pair:
    """The same where |a| >= |b|."""
    s = a + b
    return s, b - (s - a)


def _halves(a: Array) -> Pair:
    t = _SPLIT * a
    high = t - (t - a)
    return high, a - high


def _two_product(a: Array, b: Array) -> Pair:
    p = a * b
    (ah, al), (bh, bl) = _halves(a), _halves(b)
    return p, ((ah * bh - p) + ah * bl + al * bh) + al * bl


def add(x: Pair, y: Pair) -> Pair:
    """X + y."""
    s, e = _two_sum(x[0], y[0])
    t, f = _two_sum(x[1], y[1])
    s, e = _fast_two_sum(s, e + t)
    return _fast_two_sum(s, e + f)


def subtract(x: Pair, y: Pair) -> Pair:
    """X - y."""
    return add(x, (-y[0], -y[1]))


def add_float(x: Pair, y: Array) -> Pair:
    """X + y of a pair and a float64 array."""
    s, e = _two_sum(x[0], y)
    return _fast_two_sum(s, e + x[1])


def times(x: Pair, y: Pair) -> Pair:
    """X y."""
    p, e = _two_product(x[0], y[0])
    return _fast_two_sum(p, e + (x[0] * y[1] + x[1] * y[0]))


def reciprocal(x: Array) -> Pair:
    """1 / x of a float64 array."""
    q = 1.0 / x
    p, e = _two_product(q, x)
    return _fast_two_sum(q, ((1.0 - p) - e) / x)


def total(x: Pair, axis: int) -> Pair:
    """Sum along an axis, in pairs of halves."""
    high, low = np.moveaxis(x[0], axis, 0), np.moveaxis(x[1], axis, 0)
    while len(high) > 1:
        half = len(high) // 2
        odd = high[2 * half :], low[2 * half :]
        high, low = add((high[:half], low[:half]), (high[half : 2 * half], low[half : 2 * half]))
        high, low = np.concatenate([high, odd[0]]), np.concatenate([low, odd[1]])
    return high[0], low[0]
