"""Compiled whole solves: ranges of a batch, each solve from its voltages to its line currents.

The scratch memory is `work` (ARRAYS, at least rows, cols), `lines` and `lane` (see `ladders`); line
constants come as (R_wl, R_bl), ends and shares (see `linear.Lines`). A solve whose conjugate
gradients need too many iterations is left with the residual `UNFINISHED` for the direct method.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from xbarspice.surrogate.kernels import (
    currents,
    largest,
    network_residual,
    network_residual_rows,
    ohmic,
    open_circuit,
    remaining,
    settle_rows,
    stiff_current,
)
from xbarspice.surrogate.ladders import (
    OPTIONS,
    eliminate,
    factor,
    factor_rows,
    pcg,
    recover,
    settle,
    transpose,
)
from xbarspice.surrogate.simd import LANES, add, fill, fma, fnma, mul, put, sub, take

__all__ = [
    "ARRAYS",
    "CUBIC",
    "SINH",
    "UNFINISHED",
    "adjoint",
    "correct",
    "fold",
    "linear",
    "newton",
    "true_residual",
]

_OPTIONS = {"cache": True, "nogil": True, "fastmath": {"contract", "reassoc", "nsz"}}

UNFINISHED = -1.0
"""Residual of a solve that was left to the direct method."""
CUBIC, SINH = 1, 2
"""Device equations known to the compiled Newton: I = P V + Q V^3 and I = P sinh(Q V)."""
RESIDUAL_MET = 1e-13
"""Relative residual below which the allowance for rounding need not be found."""
MAX_CORRECTIONS = 4
MAX_STEPS = 100
SMALLEST_STEP = 1e-9

# Scratch arrays of cells. Between calls: factors _S; corrections a, b in _G, _B; what is left in _R.
_S, _R, _B, _P, _BP, _C, _G, _E, _W, _CUR, _A, _BSUM, _F, _D, _FW, _WNEW, _NEW = range(17)
ARRAYS = 17


@njit(**_OPTIONS)
def fold(D, R, ends_wl, ends_bl, work, lines, lane):
    """Factor both kinds of lines for the device slopes D."""
    factor_rows(D, R[0], ends_wl, lines)
    factor(D, R[1], ends_bl, work[_S, : len(D)], lane)


@njit(**_OPTIONS)
def correct(D, F_wl, F_bl, R, ends_bl, work, lines, lane, tol2, limit):
    """Solve W a + D b = F_wl, D a + B b = F_bl.

    Leaves a in work[_G], b in work[_B] and what remains of F_bl in work[_R]; returns the
    iterations and the square of that remainder.
    """
    rows = len(D)
    r, b, g = work[_R, :rows], work[_B, :rows], work[_G, :rows]
    eliminate(D, F_wl, F_bl, R[0], lines, r)
    used, square = pcg(
        D, R[0], R[1], ends_bl, work[_S, :rows], lines, lane, r, b, work[_P, :rows],
        work[_BP, :rows], work[_C, :rows], g, tol2, limit,
    )  # fmt: skip
    recover(D, F_wl, b, R[0], lines, g)
    return used, square


@njit(**_OPTIONS)
def true_residual(R, ends_wl, ends_bl, current, a, b, e, F_wl, F_bl, most, stiffest, rounding):
    """Relative Kirchhoff residual of the state; the sums are left in F_wl and F_bl (A)."""
    worst = network_residual_rows(current, a, R[0], ends_wl, F_wl)
    worst = max(worst, network_residual(current, b, R[1], ends_bl, F_bl))
    if not math.isfinite(most) or not math.isfinite(worst):
        return math.inf
    if worst <= RESIDUAL_MET * most:
        return worst / most if most > 0.0 else 0.0
    wire = max(stiff_current(a, R[0], ends_wl), stiff_current(b, R[1], ends_bl))
    scale = max(most, rounding * max(wire, stiffest * largest(e)))
    return worst / scale if scale > 0.0 else worst


@njit(**_OPTIONS)
def _store(n, work, V_in, V_out, share_wl, share_bl, inner):
    """Node voltages and device currents of solve n, if room for them was given."""
    if n >= inner.shape[1]:
        return
    rows, cols = inner.shape[2:]
    for i in range(rows):
        for j in range(cols):
            u0 = V_in[n, i] * (share_wl[0, i] + share_wl[1, i] * j)
            v0 = V_out[n, j] * (share_bl[0, j] + share_bl[1, j] * i)
            inner[0, n, i, j] = u0 - work[_A, i, j]
            inner[1, n, i, j] = v0 + work[_BSUM, i, j]
            inner[2, n, i, j] = work[_CUR, i, j]
            inner[3, n, i, j] = work[_W, i, j]
            inner[4, n, i, j] = work[_A, i, j]
            inner[5, n, i, j] = work[_BSUM, i, j]


@njit(**_OPTIONS)
def _linear_one(G, R, ends_wl, ends_bl, aims, work, lines, lane, I_out, I_in, report):
    """One linear solve from the open-circuit device voltages in work[_E]."""
    rows = len(G)
    e, w, cur, a, b, r, F = (
        work[_E, :rows], work[_W, :rows], work[_CUR, :rows], work[_A, :rows], work[_BSUM, :rows],
        work[_R, :rows], work[_FW, :rows],
    )  # fmt: skip
    more_a, more_b = work[_G, :rows], work[_B, :rows]
    ohmic(G, e, cur)
    most, stiffest = currents(cur, I_in, I_out), largest(G)
    residual = math.inf if most > 0.0 else 0.0
    iterations = 0
    if residual == 0.0:
        w[:] = e
        a[:] = 0.0
        b[:] = 0.0
    for correction in range(MAX_CORRECTIONS):
        if residual <= aims[0]:
            break
        F_wl, F_bl = (cur, cur) if correction == 0 else (F, r)
        tol2 = (aims[1] * most) ** 2
        used, square = correct(G, F_wl, F_bl, R, ends_bl, work, lines, lane, tol2, int(aims[3]))
        iterations += used
        if not square <= tol2:
            residual = UNFINISHED
            break
        if correction == 0:
            a[:] = more_a
            b[:] = more_b
        else:
            a += more_a
            b += more_b
        remaining(e, a, b, w)
        ohmic(G, w, cur)
        most = currents(cur, I_in, I_out)
        residual = true_residual(R, ends_wl, ends_bl, cur, a, b, e, F, r, most, stiffest, aims[2])
    report[0] = iterations
    report[1] = 0.0
    report[2] = residual


@njit(**_OPTIONS)
def linear(
    start, stop, index, G, V_in, V_out, share_wl, share_bl, R, ends_wl, ends_bl, aims,
    work, lines, lane, folded, I_out, I_in, inner, report,
):  # fmt: skip
    """Solves start..stop of a batch on linear arrays; `index` says which array of G each uses.

    `folded` is the array whose factors are in the scratch memory (-1: none). `aims` holds the
    stated residual, the share at which the gradients stop, the allowance for rounding and the
    limit of iterations. `inner` is (6, N or 0, rows, cols): V_wl, V_bl, I_device, device voltage,
    drops a and b. `report` is (N, 3): iterations, Newton steps, residual. Returns the new `folded`.
    """
    rows = G.shape[1]
    for n in range(start, stop):
        k = index[n]
        if k != folded:
            fold(G[k], R, ends_wl, ends_bl, work, lines, lane)
            folded = k
        open_circuit(V_in[n], V_out[n], share_wl, share_bl, work[_E, :rows])
        _linear_one(
            G[k], R, ends_wl, ends_bl, aims, work, lines, lane, I_out[n], I_in[n], report[n]
        )
        _store(n, work, V_in, V_out, share_wl, share_bl, inner)
    return folded


@njit(inline="always", **OPTIONS)
def _sinh_small(x):
    """sinh(x) and cosh(x) - 1 for |x| <= 4: Taylor series at x / 8 and three doublings."""
    one, two, y = fill(x, 1.0), fill(x, 2.0), mul(x, fill(x, 0.125))
    q = mul(y, y)
    t = fma(q, fill(x, 1.0 / 156.0), one)
    t = fma(mul(q, fill(x, 1.0 / 110.0)), t, one)
    t = fma(mul(q, fill(x, 1.0 / 72.0)), t, one)
    t = fma(mul(q, fill(x, 1.0 / 42.0)), t, one)
    t = fma(mul(q, fill(x, 1.0 / 20.0)), t, one)
    s = fma(mul(y, mul(q, fill(x, 1.0 / 6.0))), t, y)
    t = fma(q, fill(x, 1.0 / 182.0), one)
    t = fma(mul(q, fill(x, 1.0 / 132.0)), t, one)
    t = fma(mul(q, fill(x, 1.0 / 90.0)), t, one)
    t = fma(mul(q, fill(x, 1.0 / 56.0)), t, one)
    t = fma(mul(q, fill(x, 1.0 / 30.0)), t, one)
    d = mul(mul(q, fill(x, 0.5)), fma(mul(q, fill(x, 1.0 / 12.0)), t, one))
    s, d = mul(two, mul(s, add(one, d))), mul(two, mul(s, s))
    s, d = mul(two, mul(s, add(one, d))), mul(two, mul(s, s))
    return mul(two, mul(s, add(one, d))), mul(two, mul(s, s))


@njit(**_OPTIONS)
def _sinh(x):
    """sinh(x) and cosh(x) - 1 without loss of digits at any x."""
    t = math.expm1(abs(x))
    half = 0.5 * t / (t + 1.0) if t < 1e300 else 0.5
    return math.copysign(half + 0.5 * t, x), half * t if t < 1e300 else 0.5 * t


@njit(**_OPTIONS)
def _evaluate(kind, P, Q, w, current, slope):
    """Device currents and slopes at the device voltages w; 0 for devices with P = 0."""
    rows, cols = P.shape
    zero = fill(P, 0.0)
    if kind == CUBIC:
        three = fill(P, 3.0)
        for i in range(rows):
            for j in range(0, cols, LANES):
                n = cols - j
                x, p = take(w, i, j, n), take(P, i, j, n)
                q = mul(take(Q, i, j, n), mul(x, x))
                put(current, i, j, n, mul(add(p, q), x))
                put(slope, i, j, n, fma(three, q, p))
        return
    b = Q[0, 0]
    if b * largest(w) <= 4.0:
        scale, one = fill(P, b), fill(P, 1.0)
        for i in range(rows):
            for j in range(0, cols, LANES):
                n = cols - j
                p = take(P, i, j, n)
                s, d = _sinh_small(mul(scale, take(w, i, j, n)))
                put(current, i, j, n, mul(p, s))
                put(slope, i, j, n, mul(mul(p, scale), add(one, d)))
        return
    for i in range(rows):
        for j in range(cols):
            if P[i, j] > 0.0:
                s, d = _sinh(b * w[i, j])
                current[i, j] = P[i, j] * s
                slope[i, j] = P[i, j] * b * (1.0 + d)
            else:
                current[i, j] = slope[i, j] = 0.0


@njit(**_OPTIONS)
def _try_step(t, work, F_wl, F_bl, cur, D, new):
    """The Kirchhoff sums after a Newton step of length t, into work[_P] and work[_BP].

    On entry work[_G], work[_B] are the corrections and work[_R] what the inner solve left for
    t = 1; `new` are the currents at the new voltages.
    """
    rows, cols = D.shape
    length, rest = fill(D, t), fill(D, 1.0 - t)
    for i in range(rows):
        for j in range(0, cols, LANES):
            n = cols - j
            dw = add(take(work[_G, :rows], i, j, n), take(work[_B, :rows], i, j, n))
            change = sub(take(new, i, j, n), take(cur, i, j, n))
            mismatch = fma(mul(length, take(D, i, j, n)), dw, change)
            left = fma(length, take(work[_R, :rows], i, j, n), mismatch)
            put(work[_P, :rows], i, j, n, fma(rest, take(F_wl, i, j, n), mismatch))
            put(work[_BP, :rows], i, j, n, fma(rest, take(F_bl, i, j, n), left))


@njit(**_OPTIONS)
def _step_voltages(t, w, a, b, out):
    """Device voltages w - t (a + b)."""
    length = fill(w, t)
    for i in range(w.shape[0]):
        for j in range(0, w.shape[1], LANES):
            n = w.shape[1] - j
            dw = add(take(a, i, j, n), take(b, i, j, n))
            put(out, i, j, n, fnma(length, dw, take(w, i, j, n)))


@njit(**_OPTIONS)
def _add_times(t, x, total):
    """Total += t x."""
    length = fill(x, t)
    for i in range(x.shape[0]):
        for j in range(0, x.shape[1], LANES):
            n = x.shape[1] - j
            put(total, i, j, n, fma(length, take(x, i, j, n), take(total, i, j, n)))


@njit(**_OPTIONS)
def _newton_one(
    kind, P, Q, stiffest, R, ends_wl, ends_bl, aims, work, lines, lane, slope, I_out, I_in,
    report, guess,
):  # fmt: skip
    """One nonlinear solve from the open-circuit device voltages in work[_E]; see `nonlinear`."""
    rows = len(P)
    F_wl, F_bl, w, cur, D = (
        work[_FW, :rows], work[_F, :rows], work[_W, :rows], work[_CUR, :rows], work[_D, :rows],
    )  # fmt: skip
    e, a, b = work[_E, :rows], work[_A, :rows], work[_BSUM, :rows]
    w_new, new, new_wl, new_bl = (
        work[_WNEW, :rows], work[_NEW, :rows], work[_P, :rows], work[_BP, :rows],
    )  # fmt: skip
    more_a, more_b = work[_G, :rows], work[_B, :rows]
    if guess.shape[0]:
        a[:] = guess[0]
        b[:] = guess[1]
        remaining(e, a, b, w)
    else:
        a[:] = 0.0
        b[:] = 0.0
        w[:] = e
    _evaluate(kind, P, Q, w, cur, D)
    if guess.shape[0]:
        network_residual_rows(cur, a, R[0], ends_wl, F_wl)
        network_residual(cur, b, R[1], ends_bl, F_bl)
    else:
        F_wl[:] = cur
        F_bl[:] = cur
    norm = math.sqrt(settle_rows(F_wl, R[0], ends_wl) + settle(F_bl, R[1], ends_bl))
    most = currents(cur, I_in, I_out)
    residual = math.inf if norm > 0.0 else 0.0
    iterations, steps = 0, 0
    while steps < MAX_STEPS and norm > 0.0:
        if norm <= aims[1] * most:
            residual = true_residual(
                R, ends_wl, ends_bl, cur, a, b, e, F_wl, F_bl, most, stiffest, aims[2]
            )
            if residual <= aims[0]:
                break
            norm = math.sqrt(settle_rows(F_wl, R[0], ends_wl) + settle(F_bl, R[1], ends_bl))
        fold(D, R, ends_wl, ends_bl, work, lines, lane)
        aim = max(0.1 * aims[1] * most, norm * min(0.1, norm / max(most, norm)))
        used, square = correct(
            D, F_wl, F_bl, R, ends_bl, work, lines, lane, aim * aim, int(aims[3])
        )
        iterations += used
        if not square <= aim * aim:
            residual = UNFINISHED
            break
        t = 1.0
        while True:
            _step_voltages(t, w, more_a, more_b, w_new)
            _evaluate(kind, P, Q, w_new, new, slope)
            _try_step(t, work, F_wl, F_bl, cur, D, new)
            new_norm = math.sqrt(settle_rows(new_wl, R[0], ends_wl) + settle(new_bl, R[1], ends_bl))
            if new_norm < norm or t < SMALLEST_STEP:
                break
            t *= 0.5
        if not new_norm < norm:
            break  # the rounding floor, or no finite current
        norm, steps = new_norm, steps + 1
        F_wl[:] = new_wl
        F_bl[:] = new_bl
        w[:] = w_new
        cur[:] = new
        D[:] = slope
        _add_times(t, more_a, a)
        _add_times(t, more_b, b)
        most = currents(cur, I_in, I_out)
    if residual != UNFINISHED and not residual <= aims[0]:
        residual = true_residual(
            R, ends_wl, ends_bl, cur, a, b, e, F_wl, F_bl, most, stiffest, aims[2]
        )
    report[0] = iterations
    report[1] = steps
    report[2] = residual


@njit(**_OPTIONS)
def newton(
    start, stop, index, kind, P, Q, stiffest, V_in, V_out, share_wl, share_bl, R, ends_wl, ends_bl,
    aims, work, lines, lane, I_out, I_in, inner, report, guess,
):  # fmt: skip
    """Solves start..stop of a batch on arrays of `kind` devices with coefficients P and Q.

    P is (arrays, rows, cols), Q the same for `CUBIC` and (arrays, 1, 1) for `SINH`; `stiffest` is
    the largest conductance at the read voltage. `guess` is (2 or 0, rows, cols): drops a and b from
    which every solve starts. The rest is as in `linear`.
    """
    slope = np.empty(P.shape[1:])
    for n in range(start, stop):
        k = index[n]
        open_circuit(V_in[n], V_out[n], share_wl, share_bl, work[_E, : len(slope)])
        _newton_one(
            kind, P[k], Q[k], stiffest, R, ends_wl, ends_bl, aims, work, lines, lane, slope,
            I_out[n], I_in[n], report[n], guess,
        )  # fmt: skip
        _store(n, work, V_in, V_out, share_wl, share_bl, inner)


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
def _adjoint_one(n, D, g_wl, g_bl, R, ends_wl, ends_bl, share_wl, share_bl, inner, work, fT, mu, dV_in, dV_out, dR, at_wl, at_bl):  # fmt: skip
    """All gradients but those of the devices from the adjoint drops in work[_G] and work[_B]."""
    rows, cols = D.shape
    h, la, lb = work[_E, :rows], work[_G, :rows], work[_B, :rows]
    f_wl, f_bl = work[_C, :rows], work[_P, :rows]
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
    F, r = work[_FW, :rows], work[_R, :rows]
    on_wl, on_bl = work[_W, :rows], work[_CUR, :rows]
    fT = np.empty((4, cols, rows))
    for n in range(start, stop):
        k = index[n]
        _adjoint_sources(n, D[k], g_out, g_in, g_dev, g_wl, g_bl, work[_E, :rows], F, r)
        if ready:
            work[_G, :rows] = mu[n, 0]
            work[_B, :rows] = mu[n, 1]
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
