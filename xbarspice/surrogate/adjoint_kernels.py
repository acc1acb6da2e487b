"""Compiled adjoint solves: ranges of a batch, each from its sources to all gradients but dI/dp.

The equations are in `adjoint`; scratch memory and line constants are those of `solves`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from xbarspice.surrogate.kernels import settle_rows
from xbarspice.surrogate.ladders import settle, transpose
from xbarspice.surrogate.solves import DROP, LEFT, RISE, SPARE, UNFINISHED, correct, fold

__all__ = ["adjoint"]

_OPTIONS = {"cache": True, "nogil": True, "fastmath": {"contract", "reassoc", "nsz"}}
# Scratch arrays beside those of `correct`.
_H, _F, _ON_WL, _ON_BL = range(SPARE, SPARE + 4)


@njit(**_OPTIONS)
def _end_currents(f, x, R, ends, line, out):
    """Currents that leave a line (a column) through its first and its last end, A."""
    cells = f.shape[0]
    ideal_first = ends[1, line] == 0.0
    ideal_last = ends[4, line] == 0.0
    first = ends[0, line] * x[0, line]
    last = ends[3, line] * x[cells - 1, line]
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
    ideal_first = ends[1, line] == 0.0
    ideal_last = ends[4, line] == 0.0
    if not ideal_first and not ideal_last:
        return ends[0, line] * x[0, line]
    total = 0.0
    for k in range(cells):
        # between two ideal ends a current divides as along a uniform wire
        part = 1.0 - k / (cells - 1) if ideal_last else 1.0
        total += part * f[k, line]
    return total if ideal_first else 0.0


@njit(**_OPTIONS)
def _wire_sensitivity(f, x, fa, xa, R, ends):
    """Sum over all segments of (current) x (adjoint current): dL/dR of the wires, also at R = 0."""
    cells, lines = f.shape
    total = 0.0
    if R > 0.0:
        g = 1.0 / R
        for k in range(cells - 1):
            for line in range(lines):
                here = (x[k, line] - x[k + 1, line]) * g
                total += here * ((xa[k, line] - xa[k + 1, line]) * g)
    elif cells > 1:
        for line in range(lines):
            here = -_first_current(f, x, ends, line)
            there = -_first_current(fa, xa, ends, line)
            for k in range(cells - 1):
                here += f[k, line]
                there += fa[k, line]
                total += here * there
    return total


@njit(**_OPTIONS)
def _sensitivity(f, x, fa, xa, R, ends, at_ends, two):
    """As `_wire_sensitivity`; also fills at_ends (2, lines) with the same product at the ends."""
    for line in range(f.shape[1]):
        _end_currents(f, x, R, ends, line, two[0])
        _end_currents(fa, xa, R, ends, line, two[1])
        at_ends[0, line] = two[0, 0] * two[1, 0]
        at_ends[1, line] = two[0, 1] * two[1, 1]
    return _wire_sensitivity(f, x, fa, xa, R, ends)


@njit(**_OPTIONS)
def _adjoint_sources(n, D, g_out, g_in, g_dev, g_wl, g_bl, h, f_wl, f_bl):
    rows, cols = D.shape
    for i in range(rows):
        for j in range(cols):
            h[i, j] = g_in[n, i] + g_out[n, j]
    if n < g_dev.shape[0]:
        for i in range(rows):
            for j in range(cols):
                h[i, j] += g_dev[n, i, j]
    for i in range(rows):
        for j in range(cols):
            x = -D[i, j] * h[i, j]
            f_wl[i, j] = x
            f_bl[i, j] = x
    if n < g_wl.shape[0]:
        for i in range(rows):
            for j in range(cols):
                f_wl[i, j] -= g_wl[n, i, j]
                f_bl[i, j] += g_bl[n, i, j]


@njit(**_OPTIONS)
def _adjoint_one(
    n, D, g_wl, g_bl, R, ends_wl, ends_bl, share_wl, share_bl, inner, work, fT,
    mu, dV_in, dV_out, dR, at_wl, at_bl,
):  # fmt: skip
    """All gradients but those of the devices from the adjoint drops in work[DROP], work[RISE]."""
    rows, cols = D.shape
    h, la, lb = work[_H, :rows], work[DROP, :rows], work[RISE, :rows]
    f_wl, f_bl = work[_ON_WL, :rows], work[_ON_BL, :rows]
    dV_out[:] = 0.0
    for i in range(rows):
        into = 0.0
        for j in range(cols):
            mu[i, j] = h[i, j] + la[i, j] + lb[i, j]
            x = D[i, j] * mu[i, j]
            on_wl = x + g_wl[n, i, j] if n < g_wl.shape[0] else x
            on_bl = g_bl[n, i, j] - x if n < g_bl.shape[0] else -x
            f_wl[i, j] = -on_wl
            f_bl[i, j] = on_bl
            into += on_wl * (share_wl[0, i] + share_wl[1, i] * j)
            dV_out[j] += on_bl * (share_bl[0, j] + share_bl[1, j] * i)
        dV_in[i] = into
    two = np.empty((2, 2))
    dR[1] = _sensitivity(inner[2, n], inner[5, n], f_bl, lb, R[1], ends_bl, at_bl, two)
    transpose(inner[2, n], fT[0])
    transpose(inner[4, n], fT[1])
    transpose(f_wl, fT[2])
    transpose(la, fT[3])
    dR[0] = _sensitivity(fT[0], fT[1], fT[2], fT[3], R[0], ends_wl, at_wl, two)


@njit(**_OPTIONS)
def adjoint(
    start, stop, index, D, g_out, g_in, g_dev, g_wl, g_bl, share_wl, share_bl, R, ends_wl, ends_bl,
    aims, inner, work, lines, lane, folded, ready, mu, dV_in, dV_out, dR, at_wl, at_bl,
    report,
):  # fmt: skip
    """Adjoint solves: W la + D lb = -D h - g_wl, D la + B lb = -D h + g_bl; see `adjoint.py`.

    `index` says which slopes of D each solve uses; g_dev, g_wl, g_bl are (N or 0, rows, cols).
    mu is (N, 1, rows, cols); with `ready` it is (N, 2, rows, cols) and holds the adjoint drops on
    entry (direct method). Returns the new `folded`.
    """
    rows, cols = D.shape[1:]
    h, F, r = work[_H, :rows], work[_F, :rows], work[LEFT, :rows]
    on_wl, on_bl = work[_ON_WL, :rows], work[_ON_BL, :rows]
    fT = np.empty((4, cols, rows))
    for n in range(start, stop):
        k = index[n]
        _adjoint_sources(n, D[k], g_out, g_in, g_dev, g_wl, g_bl, h, F, r)
        if ready:
            work[DROP, :rows] = mu[n, 0]
            work[RISE, :rows] = mu[n, 1]
        else:
            if k != folded:
                fold(D[k], R, ends_wl, ends_bl, work, lines, lane)
                folded = k
            on_wl[:] = F
            on_bl[:] = r
            scale = settle_rows(on_wl, R[0], ends_wl) + settle(on_bl, R[1], ends_bl)
            aim2 = aims[1] * aims[1] * scale
            used, square = correct(D[k], F, r, R, ends_bl, work, lines, lane, aim2, int(aims[3]))
            report[n, 0] = used
            report[n, 2] = math.sqrt(square / scale) if scale > 0.0 else 0.0
            if not square <= aim2:
                report[n, 2] = UNFINISHED
                continue
        _adjoint_one(
            n, D[k], g_wl, g_bl, R, ends_wl, ends_bl, share_wl, share_bl, inner, work, fT,
            mu[n, 0], dV_in[n], dV_out[n], dR[n], at_wl[n], at_bl[n],
        )  # fmt: skip
    return folded
