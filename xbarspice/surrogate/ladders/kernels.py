"""Compiled sums over an array: open-circuit voltages, line currents, Kirchhoff residuals.

All arrays of cells are C-ordered (rows, cols); line ends are those of `ladders`.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from xbarspice.surrogate.ladders.simd import (
    LANES,
    absolute,
    add,
    fill,
    fma,
    fnma,
    maximum,
    mul,
    peak,
    put,
    sub,
    take,
    total,
)
from xbarspice.surrogate.ladders.sweeps import (
    G_FIRST,
    G_LAST,
    KEEP_FIRST,
    KEEP_LAST,
    OPTIONS,
    settle,
)

__all__ = [
    "add_times",
    "copy",
    "currents",
    "largest",
    "network_residual",
    "network_residual_rows",
    "ohmic",
    "open_circuit",
    "remaining",
    "settle_rows",
    "share",
    "stiff_current",
    "uncertainty",
]

UNIT = 2.0**-53
"""Largest relative rounding error of one operation."""
SLACK = 1.001
"""More than what the sums of magnitudes themselves may lose."""


@njit(**OPTIONS)
def open_circuit(V_in: Any, V_out: Any, share_wl: Any, share_bl: Any, e: Any) -> None:
    """Device voltages of the array without devices: V_in and V_out times the share at each cell.

    A share is linear along its line: share[0] + share[1] * cell.
    """
    rows, cols = e.shape
    for i in range(rows):
        u0, u1 = V_in[i] * share_wl[0, i], V_in[i] * share_wl[1, i]
        for j in range(cols):
            v0 = V_out[j] * (share_bl[0, j] + share_bl[1, j] * i)
            e[i, j] = u0 + u1 * j - v0


@njit(**OPTIONS)
def copy(x: Any, out: Any) -> None:
    """Out = x: as an assignment to a slice, of which the compiler would check the shapes."""
    for i in range(x.shape[0]):
        for j in range(0, x.shape[1], LANES):
            put(out, i, j, x.shape[1] - j, take(x, i, j, x.shape[1] - j))


@njit(**OPTIONS)
def add_times(t: float, x: Any, out: Any) -> None:
    """Out += t x."""
    length = fill(x, t)
    for i in range(x.shape[0]):
        for j in range(0, x.shape[1], LANES):
            n = x.shape[1] - j
            put(out, i, j, n, fma(length, take(x, i, j, n), take(out, i, j, n)))


@njit(**OPTIONS)
def remaining(e: Any, a: Any, b: Any, w: Any) -> None:
    """Device voltages w = e - a - b."""
    for i in range(e.shape[0]):
        for j in range(0, e.shape[1], LANES):
            n = e.shape[1] - j
            put(w, i, j, n, sub(sub(take(e, i, j, n), take(a, i, j, n)), take(b, i, j, n)))


@njit(**OPTIONS)
def ohmic(G: Any, w: Any, current: Any) -> None:
    """Device currents G w."""
    for i in range(G.shape[0]):
        for j in range(0, G.shape[1], LANES):
            n = G.shape[1] - j
            put(current, i, j, n, mul(take(G, i, j, n), take(w, i, j, n)))


@njit(**OPTIONS)
def currents(current: Any, I_in: Any, I_out: Any) -> float:
    """Line totals of the device currents; returns the largest line total or device current, A.

    A sum that is not finite makes the return value not finite.
    """
    rows, cols = current.shape
    by_column = I_out.reshape((1, cols))
    zero = fill(current, 0.0)
    by_device, most, everything = zero, 0.0, 0.0
    for j in range(0, cols, LANES):
        put(by_column, 0, j, cols - j, zero)
    for i in range(rows):
        by_row = zero
        for j in range(0, cols, LANES):
            n = cols - j
            x = take(current, i, j, n)
            by_row = add(by_row, x)
            put(by_column, 0, j, n, add(take(by_column, 0, j, n), x))
            by_device = maximum(by_device, absolute(x))
        I_in[i] = total(by_row)
        most = max(most, abs(I_in[i]))
    for j in range(cols):
        everything += abs(I_out[j])
        most = max(most, abs(I_out[j]))
    return max(most, peak(by_device)) if math.isfinite(everything) else math.inf


@njit(**OPTIONS)
def settle_rows(F: Any, R: float, ends: Any) -> float:
    """`settle` for word lines, which run along the rows of F."""
    lines, cells = F.shape
    square = fill(F, 0.0)
    for line in range(lines):
        if R == 0.0 or cells == 1:
            carried = 0.0
            for k in range(cells):
                carried += F[line, k]
                F[line, k] = 0.0
            F[line, 0] = carried * ends[KEEP_FIRST, line] * ends[KEEP_LAST, line]
        else:
            F[line, 0] *= ends[KEEP_FIRST, line]
            F[line, cells - 1] *= ends[KEEP_LAST, line]
        for k in range(0, cells, LANES):
            x = take(F, line, k, cells - k)
            square = fma(x, x, square)
    return total(square)


@njit(**OPTIONS)
def largest(x: Any) -> float:
    """Largest magnitude; NaN is not looked for (a sum of squares finds it)."""
    worst = fill(x, 0.0)
    for i in range(x.shape[0]):
        for j in range(0, x.shape[1], LANES):
            worst = maximum(worst, absolute(take(x, i, j, x.shape[1] - j)))
    return peak(worst)


@njit(**OPTIONS)
def stiff_current(x: Any, R: float, ends: Any) -> float:
    """Current in A that the largest drop would drive through the stiffest wire or end."""
    stiffest = 1.0 / R if R > 0.0 else 0.0
    for line in range(ends.shape[1]):
        stiffest = max(stiffest, ends[G_FIRST, line], ends[G_LAST, line])
    return stiffest * largest(x)


@njit(**OPTIONS)
def network_residual(current: Any, x: Any, R: float, ends: Any, F: Any) -> float:
    """F = current - (what the bit lines carry away at the drops x), summed from branch currents.

    Returns max |F| in A, infinity if a sum is not finite.
    """
    cells, lines = x.shape
    g = fill(x, 1.0 / R if R > 0.0 else 0.0)
    for k in range(cells):
        for j in range(0, lines, LANES):
            n = lines - j
            here, left = take(x, k, j, n), take(current, k, j, n)
            if k > 0:
                left = fma(sub(take(x, k - 1, j, n), here), g, left)
            if k < cells - 1:
                left = fnma(sub(here, take(x, k + 1, j, n)), g, left)
            put(F, k, j, n, left)
    for line in range(lines):
        F[0, line] -= ends[G_FIRST, line] * x[0, line]
        F[cells - 1, line] -= ends[G_LAST, line] * x[cells - 1, line]
    square = settle(F, R, ends)
    return largest(F) if math.isfinite(square) else math.inf


@njit(**OPTIONS)
def network_residual_rows(current: Any, x: Any, R: float, ends: Any, F: Any) -> float:
    """`network_residual` for the word lines, along the rows of (rows, cols) arrays."""
    lines, cells = x.shape
    wire = 1.0 / R if R > 0.0 else 0.0
    g = fill(x, wire)
    last = cells - 1
    for line in range(lines):
        for k in range(1, last, LANES):
            n = last - k
            here = take(x, line, k, n)
            left = fnma(sub(here, take(x, line, k - 1, n)), g, take(current, line, k, n))
            put(F, line, k, n, fnma(sub(here, take(x, line, k + 1, n)), g, left))
        F[line, 0] = current[line, 0]
        if cells > 1:
            F[line, 0] -= (x[line, 0] - x[line, 1]) * wire
            F[line, last] = current[line, last] - (x[line, last] - x[line, last - 1]) * wire
        F[line, 0] -= ends[G_FIRST, line] * x[line, 0]
        F[line, last] -= ends[G_LAST, line] * x[line, last]
    square = settle_rows(F, R, ends)
    return largest(F) if math.isfinite(square) else math.inf


@njit(**OPTIONS)
def _magnitudes(x: Any) -> float:
    """Sum of all magnitudes."""
    out = fill(x, 0.0)
    for i in range(x.shape[0]):
        for j in range(0, x.shape[1], LANES):
            out = add(out, absolute(take(x, i, j, x.shape[1] - j)))
    return total(out)


@njit(**OPTIONS)
def _wire_currents(a: Any, b: Any, R: Any) -> float:
    """Sum of the magnitudes of all wire currents at the drops a, b, A."""
    rows, cols = a.shape
    along, down = fill(a, 0.0), fill(a, 0.0)
    for i in range(rows):
        if R[0] > 0.0:
            for j in range(0, cols - 1, LANES):
                n = cols - 1 - j
                along = add(along, absolute(sub(take(a, i, j, n), take(a, i, j + 1, n))))
        if R[1] > 0.0 and i < rows - 1:
            for j in range(0, cols, LANES):
                n = cols - j
                down = add(down, absolute(sub(take(b, i, j, n), take(b, i + 1, j, n))))
    out = total(along) / R[0] if R[0] > 0.0 else 0.0
    return out + total(down) / R[1] if R[1] > 0.0 else out


@njit(**OPTIONS)
def uncertainty(
    D: Any,
    e: Any,
    a: Any,
    b: Any,
    current: Any,
    F_wl: Any,
    F_bl: Any,
    R: Any,
    steps: float,
    rounding: float,
) -> float:
    """What the line totals of the device currents may be wrong by, A, if device currents rise.

    A current injected into the array leaves through its ends in shares between 0 and 1, so the
    Kirchhoff sums F count in full, and so does every rounding: of the device voltages e - a - b
    (with the slopes D; moved in `steps` steps), of the device equations (`rounding`, a share of
    |I| + |w D|), of the wire currents and of the sums over lines.
    """
    rows, cols = D.shape
    volts = fill(D, 0.0)
    for i in range(rows):
        for j in range(0, cols, LANES):
            n = cols - j
            size = add(absolute(take(e, i, j, n)), absolute(take(a, i, j, n)))
            volts = fma(take(D, i, j, n), add(size, absolute(take(b, i, j, n))), volts)
    devices, by_volts, wires = _magnitudes(current), total(volts), _wire_currents(a, b, R)
    # a Kirchhoff sum takes three roundings of a wire current at each of its ends and two additions;
    # a sum over a line takes one a cell, and no line carries more than its cells at the largest
    line = (rows + cols) * max(rows, cols) * largest(current)
    merged = cols * devices if R[0] == 0.0 else 0.0
    merged += rows * devices if R[1] == 0.0 else 0.0
    lost = 8.0 * devices + line + merged + 8.0 * wires + (8.0 + 4.0 * steps) * by_volts
    left = _magnitudes(F_wl) + _magnitudes(F_bl)
    return SLACK * (left + UNIT * lost + rounding * (devices + by_volts))


@njit(**OPTIONS)
def share(amperes: float, I_out: Any) -> float:
    """An error in A as a share of the least that the largest output current can be."""
    most = 0.0
    for j in range(I_out.shape[0]):
        most = max(most, abs(I_out[j]))
    if amperes == 0.0:
        return 0.0
    return amperes / (most - amperes) if most > amperes else math.inf
