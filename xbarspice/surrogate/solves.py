"""Compiled whole solves: ranges of a batch, each solve from its voltages to its line currents.

The scratch memory is `work` (17, rows, cols), `workT` (2, cols, rows) and `lane` (cols,); line
constants come as (R_wl, R_bl), ends and shares (see `linear.Lines`). A solve whose conjugate
gradients need too many iterations is left with the residual `UNFINISHED` for the direct method.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from xbarspice.surrogate.kernels import (
    currents,
    factor,
    ladder,
    largest,
    network_residual,
    network_residual_rows,
    open_circuit,
    pcg,
    settle,
    settle_rows,
    stiff_current,
    transpose,
)

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

# scratch arrays (rows, cols) ...
_S, _R, _B, _P, _BP, _C, _G, _E, _W, _CUR, _A, _BSUM, _F, _D, _FW, _WNEW, _NEW = range(17)
ARRAYS = 17
# ... and (cols, rows)
_ST, _XT = range(2)


@njit(**_OPTIONS)
def fold(D, R, ends_wl, ends_bl, work, workT, inv, invT):
    """Factor both kinds of lines for the device slopes D."""
    transpose(D, workT[_XT])
    factor(workT[_XT], R[0], ends_wl, workT[_ST], invT)
    factor(D, R[1], ends_bl, work[_S], inv)


@njit(**_OPTIONS)
def correct(D, F_wl, R, ends_bl, work, workT, inv, invT, lane, tol2, limit):
    """Solve W a + D b = F_wl, D a + B b = F_bl; F_bl is given in work[_R].

    Leaves a in work[_G], b in work[_B] and what remains of F_bl in work[_R]; returns the
    iterations and the square of that remainder.
    """
    rows, cols = D.shape
    r, b, g, xT = work[_R], work[_B], work[_G], workT[_XT]
    transpose(F_wl, xT)
    ladder(xT, R[0], workT[_ST], invT, xT, xT)
    transpose(xT, g)
    for i in range(rows):
        for j in range(cols):
            r[i, j] -= D[i, j] * g[i, j]
    used, square = pcg(
        D, R[1], ends_bl, work[_S], inv, R[0], workT[_ST], invT,
        r, b, work[_P], work[_BP], work[_C], g, xT, lane, tol2, limit,
    )  # fmt: skip
    for i in range(rows):
        for j in range(cols):
            g[i, j] = F_wl[i, j] - D[i, j] * b[i, j]
    transpose(g, xT)
    ladder(xT, R[0], workT[_ST], invT, xT, xT)
    transpose(xT, g)
    return used, square


@njit(**_OPTIONS)
def true_residual(R, ends_wl, ends_bl, work, F_wl, F_bl, most, stiffest, rounding):
    """Relative Kirchhoff residual of the state; the sums are left in F_wl and F_bl (A)."""
    worst = network_residual_rows(work[_CUR], work[_A], R[0], ends_wl, F_wl)
    worst = max(worst, network_residual(work[_CUR], work[_BSUM], R[1], ends_bl, F_bl))
    if not math.isfinite(most) or not math.isfinite(worst):
        return math.inf
    if worst <= RESIDUAL_MET * most:
        return worst / most if most > 0.0 else 0.0
    wire = max(stiff_current(work[_A], R[0], ends_wl), stiff_current(work[_BSUM], R[1], ends_bl))
    scale = max(most, rounding * max(wire, stiffest * largest(work[_E])))
    return worst / scale if scale > 0.0 else worst


@njit(**_OPTIONS)
def _store(n, work, V_in, V_out, share_wl, share_bl, inner):
    """Node voltages and device currents of solve n, if room for them was given."""
    if n >= inner.shape[1]:
        return
    rows, cols = work.shape[1:]
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
def _linear_one(G, R, ends_wl, ends_bl, aims, work, workT, inv, invT, lane, I_out, I_in, report):
    """One linear solve from the open-circuit device voltages in work[_E]."""
    rows, cols = G.shape
    e, w, cur, a, b, r, F = (
        work[_E], work[_W], work[_CUR], work[_A], work[_BSUM], work[_R], work[_FW],
    )  # fmt: skip
    stiffest = 0.0
    for i in range(rows):
        for j in range(cols):
            stiffest = max(stiffest, G[i, j])
            x = G[i, j] * e[i, j]
            cur[i, j] = x
            r[i, j] = x
            F[i, j] = x
            w[i, j] = e[i, j]
            a[i, j] = 0.0
            b[i, j] = 0.0
    most = currents(cur, I_in, I_out)
    residual = math.inf if most > 0.0 else 0.0
    iterations = 0
    for _ in range(MAX_CORRECTIONS):
        if residual <= aims[0]:
            break
        used, square = correct(
            G, F, R, ends_bl, work, workT, inv, invT, lane, (aims[1] * most) ** 2, int(aims[3])
        )
        iterations += used
        if not square <= (aims[1] * most) ** 2:
            residual = UNFINISHED
            break
        for i in range(rows):
            for j in range(cols):
                a[i, j] += work[_G, i, j]
                b[i, j] += work[_B, i, j]
                w[i, j] = e[i, j] - a[i, j] - b[i, j]
                cur[i, j] = G[i, j] * w[i, j]
        most = currents(cur, I_in, I_out)
        residual = true_residual(R, ends_wl, ends_bl, work, F, r, most, stiffest, aims[2])
    report[0] = iterations
    report[1] = 0.0
    report[2] = residual


@njit(**_OPTIONS)
def linear(
    start, stop, index, G, V_in, V_out, share_wl, share_bl, R, ends_wl, ends_bl, aims,
    work, workT, inv, invT, lane, folded, I_out, I_in, inner, report,
):  # fmt: skip
    """Solves start..stop of a batch on linear arrays; `index` says which array of G each uses.

    `folded` is the array whose factors are in the scratch memory (-1: none). `aims` holds the
    stated residual, the share at which the gradients stop, the allowance for rounding and the
    limit of iterations. `inner` is (6, N or 0, rows, cols): V_wl, V_bl, I_device, device voltage,
    drops a and b. `report` is (N, 3): iterations, Newton steps, residual. Returns the new `folded`.
    """
    for n in range(start, stop):
        k = index[n]
        if k != folded:
            fold(G[k], R, ends_wl, ends_bl, work, workT, inv, invT)
            folded = k
        open_circuit(V_in[n], V_out[n], share_wl, share_bl, work[_E])
        _linear_one(
            G[k], R, ends_wl, ends_bl, aims, work, workT, inv, invT, lane,
            I_out[n], I_in[n], report[n],
        )  # fmt: skip
        _store(n, work, V_in, V_out, share_wl, share_bl, inner)
    return folded


@njit(**_OPTIONS)
def _sinh(x, s, d):
    """S = sinh(x), d = cosh(x) - 1 for one row: series at x / 8 and three doublings, or exp."""
    count = x.size
    most = 0.0
    for j in range(count):
        most = max(most, abs(x[j]))
    if most <= 4.0:
        for j in range(count):
            y = x[j] * 0.125
            q = y * y
            t = 1.0 + q / 156.0
            t = 1.0 + q / 110.0 * t
            t = 1.0 + q / 72.0 * t
            t = 1.0 + q / 42.0 * t
            t = 1.0 + q / 20.0 * t
            sy = y + y * (q / 6.0 * t)
            t = 1.0 + q / 182.0
            t = 1.0 + q / 132.0 * t
            t = 1.0 + q / 90.0 * t
            t = 1.0 + q / 56.0 * t
            t = 1.0 + q / 30.0 * t
            dy = 0.5 * q * (1.0 + q / 12.0 * t)
            s2 = 2.0 * sy * (1.0 + dy)
            d2 = 2.0 * sy * sy
            s4 = 2.0 * s2 * (1.0 + d2)
            d4 = 2.0 * s2 * s2
            s[j] = 2.0 * s4 * (1.0 + d4)
            d[j] = 2.0 * s4 * s4
        return
    for j in range(count):
        t = math.expm1(abs(x[j]))
        half = 0.5 * t / (t + 1.0) if t < 1e300 else 0.5
        s[j] = math.copysign(half + 0.5 * t, x[j])
        d[j] = half * t if t < 1e300 else 0.5 * t


@njit(**_OPTIONS)
def _evaluate(kind, P, Q, w, current, slope, x, s):
    """Device currents and slopes at the device voltages w; x and s are (cols,) scratch."""
    rows, cols = w.shape
    for i in range(rows):
        if kind == CUBIC:
            for j in range(cols):
                q = Q[i, j] * w[i, j] * w[i, j]
                current[i, j] = (P[i, j] + q) * w[i, j]
                slope[i, j] = P[i, j] + 3.0 * q
        else:
            b = Q[0, 0]
            for j in range(cols):
                x[j] = b * w[i, j]
            _sinh(x, s, slope[i])
            for j in range(cols):
                current[i, j] = P[i, j] * s[j] if P[i, j] > 0.0 else 0.0
                slope[i, j] = P[i, j] * b * (1.0 + slope[i, j]) if P[i, j] > 0.0 else 0.0


@njit(**_OPTIONS)
def _try_step(t, R, ends_wl, ends_bl, work, F_wl, F_bl):
    """Mismatch after a Newton step of length t: into work[_FW] and work[_R]; returns its norm.

    On entry work[_G], work[_B] are the corrections, work[_R] what the inner solve left for t = 1,
    work[_NEW] the currents at work[_WNEW].
    """
    rows, cols = F_bl.shape
    for i in range(rows):
        for j in range(cols):
            dw = work[_G, i, j] + work[_B, i, j]
            mismatch = work[_NEW, i, j] - work[_CUR, i, j] + t * work[_D, i, j] * dw
            work[_P, i, j] = (1.0 - t) * F_wl[i, j] + mismatch
            work[_BP, i, j] = (1.0 - t) * F_bl[i, j] + t * work[_R, i, j] + mismatch
    square = settle_rows(work[_P], R[0], ends_wl)
    return math.sqrt(square + settle(work[_BP], R[1], ends_bl))


@njit(**_OPTIONS)
def _newton_one(
    kind, P, Q, stiffest, R, ends_wl, ends_bl, aims, work, workT, inv, invT, lane, slope, xs,
    I_out, I_in, report, guess,
):  # fmt: skip
    """One nonlinear solve from the open-circuit device voltages in work[_E]; see `nonlinear`."""
    rows, cols = P.shape
    F_wl, F_bl, w, cur, D = work[_FW], work[_F], work[_W], work[_CUR], work[_D]
    if guess.shape[0]:
        work[_A] = guess[0]
        work[_BSUM] = guess[1]
        w[:, :] = work[_E] - guess[0] - guess[1]
    else:
        work[_A] = 0.0
        work[_BSUM] = 0.0
        w[:, :] = work[_E]
    _evaluate(kind, P, Q, w, cur, D, xs[0], xs[1])
    if guess.shape[0]:
        network_residual_rows(cur, work[_A], R[0], ends_wl, F_wl)
        network_residual(cur, work[_BSUM], R[1], ends_bl, F_bl)
    else:
        F_wl[:, :] = cur
        F_bl[:, :] = cur
    norm = math.sqrt(settle_rows(F_wl, R[0], ends_wl) + settle(F_bl, R[1], ends_bl))
    most = currents(cur, I_in, I_out)
    residual = math.inf if norm > 0.0 else 0.0
    iterations, steps = 0, 0
    while steps < MAX_STEPS and norm > 0.0:
        if norm <= aims[1] * most:
            residual = true_residual(R, ends_wl, ends_bl, work, F_wl, F_bl, most, stiffest, aims[2])
            if residual <= aims[0]:
                break
            norm = math.sqrt(settle_rows(F_wl, R[0], ends_wl) + settle(F_bl, R[1], ends_bl))
        fold(D, R, ends_wl, ends_bl, work, workT, inv, invT)
        work[_R] = F_bl
        aim = max(0.1 * aims[1] * most, norm * min(0.1, norm / max(most, norm)))
        used, square = correct(
            D, F_wl, R, ends_bl, work, workT, inv, invT, lane, aim * aim, int(aims[3])
        )
        iterations += used
        if not square <= aim * aim:
            residual = UNFINISHED
            break
        t = 1.0
        while True:
            for i in range(rows):
                for j in range(cols):
                    work[_WNEW, i, j] = w[i, j] - t * (work[_G, i, j] + work[_B, i, j])
            _evaluate(kind, P, Q, work[_WNEW], work[_NEW], slope, xs[0], xs[1])
            new_norm = _try_step(t, R, ends_wl, ends_bl, work, F_wl, F_bl)
            if new_norm < norm or t < SMALLEST_STEP:
                break
            t *= 0.5
        if not new_norm < norm:
            break  # the rounding floor, or no finite current
        norm, steps = new_norm, steps + 1
        F_wl[:, :] = work[_P]
        F_bl[:, :] = work[_BP]
        w[:, :] = work[_WNEW]
        cur[:, :] = work[_NEW]
        D[:, :] = slope
        for i in range(rows):
            for j in range(cols):
                work[_A, i, j] += t * work[_G, i, j]
                work[_BSUM, i, j] += t * work[_B, i, j]
        most = currents(cur, I_in, I_out)
    if residual != UNFINISHED and not residual <= aims[0]:
        residual = true_residual(R, ends_wl, ends_bl, work, F_wl, F_bl, most, stiffest, aims[2])
    report[0] = iterations
    report[1] = steps
    report[2] = residual


@njit(**_OPTIONS)
def newton(
    start, stop, index, kind, P, Q, stiffest, V_in, V_out, share_wl, share_bl, R, ends_wl, ends_bl,
    aims, work, workT, inv, invT, lane, I_out, I_in, inner, report, guess,
):  # fmt: skip
    """Solves start..stop of a batch on arrays of `kind` devices with coefficients P and Q.

    P is (arrays, rows, cols), Q the same for `CUBIC` and (arrays, 1, 1) for `SINH`; `stiffest` is
    the largest conductance at the read voltage. `guess` is (2 or 0, rows, cols): drops a and b from
    which every solve starts. The rest is as in `linear`.
    """
    slope = np.empty(P.shape[1:])
    xs = np.empty((2, P.shape[2]))
    for n in range(start, stop):
        k = index[n]
        open_circuit(V_in[n], V_out[n], share_wl, share_bl, work[_E])
        _newton_one(
            kind, P[k], Q[k], stiffest, R, ends_wl, ends_bl, aims, work, workT, inv, invT, lane,
            slope, xs, I_out[n], I_in[n], report[n], guess,
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
def _adjoint_one(n, D, g_wl, g_bl, R, ends_wl, ends_bl, share_wl, share_bl, inner, work, workT,
                 fT, mu, dV_in, dV_out, dR, at_wl, at_bl):  # fmt: skip
    """All gradients but those of the devices from the adjoint drops in work[_G] and work[_B]."""
    rows, cols = D.shape
    h, la, lb, f_wl, f_bl = work[_E], work[_G], work[_B], work[_C], work[_P]
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
    aims, inner, work, workT, inv, invT, lane, folded, ready, mu, dV_in, dV_out, dR, at_wl, at_bl,
    report,
):  # fmt: skip
    """Adjoint solves: W la + D lb = -D h - g_wl, D la + B lb = -D h + g_bl; see `adjoint.py`.

    `index` says which slopes of D each solve uses; g_dev, g_wl, g_bl are (N or 0, rows, cols).
    mu is (N, 1, rows, cols); with `ready` it is (N, 2, rows, cols) and holds the adjoint drops on
    entry (direct method). Returns the new `folded`.
    """
    rows, cols = D.shape[1:]
    F, r = work[_FW], work[_R]
    fT = np.empty((4, cols, rows))
    for n in range(start, stop):
        k = index[n]
        _adjoint_sources(n, D[k], g_out, g_in, g_dev, g_wl, g_bl, work[_E], F, r)
        if ready:
            work[_G] = mu[n, 0]
            work[_B] = mu[n, 1]
        else:
            if k != folded:
                fold(D[k], R, ends_wl, ends_bl, work, workT, inv, invT)
                folded = k
            work[_W] = F
            work[_CUR] = r
            scale = settle_rows(work[_W], R[0], ends_wl) + settle(work[_CUR], R[1], ends_bl)
            aim2 = aims[1] * aims[1] * scale
            used, square = correct(
                D[k], F, R, ends_bl, work, workT, inv, invT, lane, aim2, int(aims[3])
            )
            report[n, 0] = used
            report[n, 2] = math.sqrt(square / scale) if scale > 0.0 else 0.0
            if not square <= aim2:
                report[n, 2] = UNFINISHED
                continue
        _adjoint_one(
            n, D[k], g_wl, g_bl, R, ends_wl, ends_bl, share_wl, share_bl, inner, work, workT, fT,
            mu[n, 0], dV_in[n], dV_out[n], dR[n], at_wl[n], at_bl[n],
        )  # fmt: skip
    return folded
