"""Compiled adjoint solves: ranges of a batch, each from its sources to all gradients but dI/dp.

The equations are in `adjoint`; scratch memory and line constants are those of `solves`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from xbarspice.surrogate.ladders.kernels import copy, settle_rows
from xbarspice.surrogate.ladders.simd import LANES, add, fill, fma, fnma, put, sub, take, total
from xbarspice.surrogate.ladders.solves import DROP, LEFT, RISE, SPARE, UNFINISHED, correct, fold
from xbarspice.surrogate.ladders.sweeps import (
    G_FIRST,
    G_LAST,
    KEEP_FIRST,
    KEEP_LAST,
    OPTIONS,
    settle,
)

__all__ = ["adjoint"]

_OPTIONS = {"cache": True, "nogil": True, "fastmath": {"contract", "reassoc", "nsz"}}
# Scratch arrays beside those of `correct`.
_H, _F, _ON_WL, _ON_BL = range(SPARE, SPARE + 4)


@njit(**_OPTIONS)
def _end_currents(f, x, R, ends, line, out):
    """Currents that leave a line (a column) through its first and its last end, A."""
    cells = f.shape[0]
    ideal_first = ends[KEEP_FIRST, line] == 0.0
    ideal_last = ends[KEEP_LAST, line] == 0.0
    first = ends[G_FIRST, line] * x[0, line]
    last = ends[G_LAST, line] * x[cells - 1, line]
    if ideal_first or ideal_last:
        if cells > 1 and R > 0.0:
            if ideal_first:
                first = f[0, line] + x[1, line] / R
            if ideal_last:
                last = f[cells - 1, line] + x[cells - 2, line] / R
        else:
            total = 0.0
            for k in range(cells):
                total += f[k, line]
            both = 0.5 if ideal_first and ideal_last else 1.0
            first = total * both if ideal_first else 0.0
            last = total * both if ideal_last else 0.0
    out[0] = first
    out[1] = last


@njit(**_OPTIONS)
def _first_current(f, x, ends, line):
    """What leaves a line without wire resistance through its first end, for the split in wires."""
    cells = f.shape[0]
    ideal_first = ends[KEEP_FIRST, line] == 0.0
    ideal_last = ends[KEEP_LAST, line] == 0.0
    if not ideal_first and not ideal_last:
        return ends[G_FIRST, line] * x[0, line]
    total = 0.0
    for k in range(cells):
        # between two ideal ends a current divides as along a uniform wire
        part = 1.0 - k / (cells - 1) if ideal_last else 1.0
        total += part * f[k, line]
    return total if ideal_first else 0.0


@njit(**_OPTIONS)
def _without_resistance(f, x, fa, xa, ends):
    """Sum over all segments of (current) x (adjoint current) where wires have no resistance."""
    cells, lines = f.shape
    found = 0.0
    if cells == 1:
        return found  # no segment
    for line in range(lines):
        here = -_first_current(f, x, ends, line)
        there = -_first_current(fa, xa, ends, line)
        for k in range(cells - 1):
            here += f[k, line]
            there += fa[k, line]
            found += here * there
    return found


@njit(**OPTIONS)
def _along_columns(x, xa):
    """Sum over all segments of the bit lines of (drop) x (adjoint drop)."""
    found = fill(x, 0.0)
    for k in range(x.shape[0] - 1):
        for j in range(0, x.shape[1], LANES):
            n = x.shape[1] - j
            drop = sub(take(x, k, j, n), take(x, k + 1, j, n))
            found = fma(drop, sub(take(xa, k, j, n), take(xa, k + 1, j, n)), found)
    return total(found)


@njit(**OPTIONS)
def _along_rows(x, xa):
    """As `_along_columns`, for the word lines."""
    found = fill(x, 0.0)
    segments = x.shape[1] - 1
    for i in range(x.shape[0]):
        for k in range(0, segments, LANES):
            n = segments - k
            drop = sub(take(x, i, k, n), take(x, i, k + 1, n))
            found = fma(drop, sub(take(xa, i, k, n), take(xa, i, k + 1, n)), found)
    return total(found)


@njit(**_OPTIONS)
def _at_ends(f, x, fa, xa, R, ends, at_ends, two):
    """Fill at_ends (2, lines) with (current) x (adjoint current) at both ends of every line."""
    for line in range(f.shape[1]):
        _end_currents(f, x, R, ends, line, two[0])
        _end_currents(fa, xa, R, ends, line, two[1])
        at_ends[G_FIRST, line] = two[0, 0] * two[1, 0]
        at_ends[KEEP_FIRST, line] = two[0, 1] * two[1, 1]


@njit(**OPTIONS)
def _sources(n, D, g_out, g_in, g_dev, g_wl, g_bl, h, f_wl, f_bl):
    """What the adjoint solve n is driven by: h, -D h - g_wl and -D h + g_bl."""
    rows, cols = D.shape
    by_device, on_nodes = n < len(g_dev), n < len(g_wl)
    zero = fill(D, 0.0)
    for i in range(rows):
        by_row = fill(D, g_in[n, i])
        for j in range(0, cols, LANES):
            m = cols - j
            x = add(by_row, take(g_out, n, j, m))
            if by_device:
                x = add(x, take(g_dev[n], i, j, m))
            put(h, i, j, m, x)
            x = fnma(take(D, i, j, m), x, zero)
            put(f_wl, i, j, m, sub(x, take(g_wl[n], i, j, m)) if on_nodes else x)
            put(f_bl, i, j, m, add(x, take(g_bl[n], i, j, m)) if on_nodes else x)


@njit(**OPTIONS)
def _injected(n, D, g_wl, g_bl, h, la, lb, mu, f_wl, f_bl):
    """The adjoint device voltages mu = h + la + lb and the adjoint currents into both lines."""
    rows, cols = D.shape
    on_nodes = n < len(g_wl)
    zero = fill(D, 0.0)
    for i in range(rows):
        for j in range(0, cols, LANES):
            m = cols - j
            voltage = add(take(h, i, j, m), add(take(la, i, j, m), take(lb, i, j, m)))
            put(mu, i, j, m, voltage)
            x = fnma(take(D, i, j, m), voltage, zero)
            put(f_wl, i, j, m, sub(x, take(g_wl[n], i, j, m)) if on_nodes else x)
            put(f_bl, i, j, m, add(x, take(g_bl[n], i, j, m)) if on_nodes else x)


@njit(**_OPTIONS)
def _by_drivers(f_wl, f_bl, share_wl, share_bl, dV_in, dV_out):
    """Gradients of the driver voltages from the adjoint currents into the lines."""
    rows, cols = f_wl.shape
    dV_out[:] = 0.0
    for i in range(rows):
        by_share, by_cell = 0.0, 0.0
        for j in range(cols):
            by_share -= f_wl[i, j]
            by_cell -= f_wl[i, j] * j
        dV_in[i] = by_share * share_wl[0, i] + by_cell * share_wl[1, i]
        for j in range(cols):
            dV_out[j] += f_bl[i, j] * (share_bl[0, j] + share_bl[1, j] * i)


@njit(**_OPTIONS)
def _adjoint_one(
    n,
    D,
    g_wl,
    g_bl,
    R,
    ends_wl,
    ends_bl,
    share_wl,
    share_bl,
    inner,
    work,
    two,
    mu,
    dV_in,
    dV_out,
    dR,
    at_wl,
    at_bl,
):
    """All gradients but those of the devices from the adjoint drops in work[DROP], work[RISE]."""
    rows = len(D)
    h, la, lb = work[_H, :rows], work[DROP, :rows], work[RISE, :rows]
    f_wl, f_bl = work[_ON_WL, :rows], work[_ON_BL, :rows]
    current, a, b = inner[2, n], inner[4, n], inner[5, n]
    _injected(n, D, g_wl, g_bl, h, la, lb, mu, f_wl, f_bl)
    _by_drivers(f_wl, f_bl, share_wl, share_bl, dV_in, dV_out)
    _at_ends(current, b, f_bl, lb, R[1], ends_bl, at_bl, two)
    _at_ends(current.T, a.T, f_wl.T, la.T, R[0], ends_wl, at_wl, two)
    if R[0] > 0.0:
        dR[0] = _along_rows(a, la) / (R[0] * R[0])
    else:
        dR[0] = _without_resistance(current.T, a.T, f_wl.T, la.T, ends_wl)
    if R[1] > 0.0:
        dR[1] = _along_columns(b, lb) / (R[1] * R[1])
    else:
        dR[1] = _without_resistance(current, b, f_bl, lb, ends_bl)


@njit(**_OPTIONS)
def adjoint(
    start,
    stop,
    index,
    D,
    g_out,
    g_in,
    g_dev,
    g_wl,
    g_bl,
    share_wl,
    share_bl,
    R,
    ends_wl,
    ends_bl,
    aims,
    inner,
    work,
    lines,
    lane,
    folded,
    ready,
    mu,
    dV_in,
    dV_out,
    dR,
    at_wl,
    at_bl,
    report,
):
    """Adjoint solves: W la + D lb = -D h - g_wl, D la + B lb = -D h + g_bl; see `adjoint.py`.

    `index` says which slopes of D each solve uses; g_dev, g_wl, g_bl are (N or 0, rows, cols).
    mu is (N, 1, rows, cols); with `ready` it is (N, 2, rows, cols) and holds the adjoint drops on
    entry (direct method). Returns the new `folded`.
    """
    rows = D.shape[1]
    h, F, r = work[_H, :rows], work[_F, :rows], work[LEFT, :rows]
    on_wl, on_bl = work[_ON_WL, :rows], work[_ON_BL, :rows]
    two = np.empty((2, 2))
    for n in range(start, stop):
        k = index[n]
        _sources(n, D[k], g_out, g_in, g_dev, g_wl, g_bl, h, F, r)
        if ready:
            copy(mu[n, 0], work[DROP, :rows])
            copy(mu[n, 1], work[RISE, :rows])
        else:
            if k != folded:
                fold(D[k], R, ends_wl, ends_bl, work, lines, lane)
                folded = k
            copy(F, on_wl)
            copy(r, on_bl)
            scale = settle_rows(on_wl, R[0], ends_wl) + settle(on_bl, R[1], ends_bl)
            aim2 = aims[1] * aims[1] * scale
            used, square = correct(D[k], F, r, R, ends_bl, work, lines, lane, aim2, int(aims[3]))
            report[n, 0] = used
            report[n, 2] = 0.0 if scale == 0.0 else math.sqrt(square / scale)
            if not square <= aim2:
                report[n, 2] = UNFINISHED
                continue
        _adjoint_one(
            n,
            D[k],
            g_wl,
            g_bl,
            R,
            ends_wl,
            ends_bl,
            share_wl,
            share_bl,
            inner,
            work,
            two,
            mu[n, 0],
            dV_in[n],
            dV_out[n],
            dR[n],
            at_wl[n],
            at_bl[n],
        )
    return folded
