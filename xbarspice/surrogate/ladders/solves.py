"""Compiled whole solves: ranges of a batch, each solve from its voltages to its line currents.

The scratch memory is `work` (ARRAYS, at least rows, cols), `lines` and `lane` (see `ladders`); line
constants come as (R_wl, R_bl), ends and shares (see `linear.Lines`). A solve whose conjugate
gradients need too many iterations is left with the residual `UNFINISHED` for the direct method.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from xbarspice.surrogate.ladders.kernels import (
    add_times,
    copy,
    currents,
    largest,
    network_residual,
    network_residual_rows,
    ohmic,
    open_circuit,
    remaining,
    settle_rows,
    share,
    stiff_current,
    uncertainty,
)
from xbarspice.surrogate.ladders.simd import LANES, add, fill, fma, fnma, mul, put, sub, take
from xbarspice.surrogate.ladders.sweeps import (
    OPTIONS,
    eliminate,
    factor,
    factor_rows,
    pcg,
    recover,
    settle,
)

__all__ = [
    "ARRAYS",
    "CUBIC",
    "DROP",
    "LEFT",
    "RISE",
    "SINH",
    "SPARE",
    "UNFINISHED",
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
DEVICE_ROUNDING = 32 * 2.0**-52
"""Share of |I| + |w dI/dw| by which a nonlinear device is rounded (`Device.increasing`)."""
RESIDUAL_MET = 1e-13
"""Relative residual below which the allowance for rounding need not be found."""
MAX_CORRECTIONS = 4
MAX_STEPS = 100
SMALLEST_STEP = 1e-9

# Scratch arrays of cells: those of `fold` and `correct` first, then those of the solves.
_S, LEFT, RISE, _P, _BP, DROP = range(6)
SPARE = 6
"""The first scratch array that `fold` and `correct` leave alone."""
_E, _W, _CUR, _A, _BSUM, _F, _D, _FW, _WNEW, _NEW = range(SPARE, SPARE + 10)
ARRAYS = SPARE + 10


@njit(**_OPTIONS)
def fold(D, R, ends_wl, ends_bl, work, lines, lane):
    """Factor both kinds of lines for the device slopes D."""
    factor_rows(D, R[0], ends_wl, lines)
    factor(D, R[1], ends_bl, work[_S, : len(D)], lane)


@njit(**_OPTIONS)
def correct(D, F_wl, F_bl, R, ends_bl, work, lines, lane, tol2, limit):
    """Solve W a + D b = F_wl, D a + B b = F_bl.

    Leaves a in work[DROP], b in work[RISE] and what remains of F_bl in work[LEFT]; returns the
    iterations and the square of that remainder.
    """
    rows = len(D)
    r, b, g = work[LEFT, :rows], work[RISE, :rows], work[DROP, :rows]
    eliminate(D, F_wl, F_bl, R[0], lines, r)
    used, square = pcg(
        D,
        R[0],
        R[1],
        ends_bl,
        work[_S, :rows],
        lines,
        lane,
        r,
        b,
        work[_P, :rows],
        work[_BP, :rows],
        g,
        tol2,
        limit,
    )
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
        work[_E, :rows],
        work[_W, :rows],
        work[_CUR, :rows],
        work[_A, :rows],
        work[_BSUM, :rows],
        work[LEFT, :rows],
        work[_FW, :rows],
    )
    more_a, more_b = work[DROP, :rows], work[RISE, :rows]
    ohmic(G, e, cur)
    most, stiffest = currents(cur, I_in, I_out), largest(G)
    residual = 0.0 if most == 0.0 else math.inf
    iterations = 0
    if residual == 0.0:
        copy(e, w)
        a[:] = 0.0
        b[:] = 0.0
        F[:] = 0.0
        r[:] = 0.0
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
            copy(more_a, a)
            copy(more_b, b)
        else:
            add_times(1.0, more_a, a)
            add_times(1.0, more_b, b)
        remaining(e, a, b, w)
        ohmic(G, w, cur)
        most = currents(cur, I_in, I_out)
        residual = true_residual(R, ends_wl, ends_bl, cur, a, b, e, F, r, most, stiffest, aims[2])
    report[0] = iterations
    report[1] = 0.0
    report[2] = residual
    report[3] = share(uncertainty(G, e, a, b, cur, F, r, R, 0.0, 0.0), I_out)


@njit(**_OPTIONS)
def linear(
    start,
    stop,
    index,
    G,
    V_in,
    V_out,
    share_wl,
    share_bl,
    R,
    ends_wl,
    ends_bl,
    aims,
    work,
    lines,
    lane,
    folded,
    I_out,
    I_in,
    inner,
    report,
):
    """Solves start..stop of a batch on linear arrays; `index` says which array of G each uses.

    `folded` is the array whose factors are in the scratch memory (-1: none). `aims` holds the
    stated residual, the share at which the gradients stop, the allowance for rounding and the
    limit of iterations. `inner` is (6, N or 0, rows, cols): V_wl, V_bl, I_device, device voltage,
    drops a and b. `report` is (N, 4): iterations, Newton steps, residual, and what the
    currents may be wrong by as a share of the largest output. Returns the new `folded`.
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

    On entry work[DROP], work[RISE] are the corrections and work[LEFT] what the inner solve left for
    t = 1; `new` are the currents at the new voltages.
    """
    rows, cols = D.shape
    length, rest = fill(D, t), fill(D, 1.0 - t)
    for i in range(rows):
        for j in range(0, cols, LANES):
            n = cols - j
            dw = add(take(work[DROP, :rows], i, j, n), take(work[RISE, :rows], i, j, n))
            change = sub(take(new, i, j, n), take(cur, i, j, n))
            mismatch = fma(mul(length, take(D, i, j, n)), dw, change)
            left = fma(length, take(work[LEFT, :rows], i, j, n), mismatch)
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
def _newton_one(
    kind,
    P,
    Q,
    stiffest,
    R,
    ends_wl,
    ends_bl,
    aims,
    work,
    lines,
    lane,
    slope,
    I_out,
    I_in,
    report,
    guess,
):
    """One nonlinear solve from the open-circuit device voltages in work[_E]; see `nonlinear`."""
    rows = len(P)
    F_wl, F_bl, w, cur, D = (
        work[_FW, :rows],
        work[_F, :rows],
        work[_W, :rows],
        work[_CUR, :rows],
        work[_D, :rows],
    )
    e, a, b = work[_E, :rows], work[_A, :rows], work[_BSUM, :rows]
    w_new, new, new_wl, new_bl = (
        work[_WNEW, :rows],
        work[_NEW, :rows],
        work[_P, :rows],
        work[_BP, :rows],
    )
    more_a, more_b = work[DROP, :rows], work[RISE, :rows]
    if guess.shape[0]:
        copy(guess[0], a)
        copy(guess[1], b)
        remaining(e, a, b, w)
    else:
        a[:] = 0.0
        b[:] = 0.0
        copy(e, w)
    _evaluate(kind, P, Q, w, cur, D)
    if guess.shape[0]:
        network_residual_rows(cur, a, R[0], ends_wl, F_wl)
        network_residual(cur, b, R[1], ends_bl, F_bl)
    else:
        copy(cur, F_wl)
        copy(cur, F_bl)
    norm = math.sqrt(settle_rows(F_wl, R[0], ends_wl) + settle(F_bl, R[1], ends_bl))
    most = currents(cur, I_in, I_out)
    residual = 0.0 if norm == 0.0 else math.inf  # a norm may be NaN
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
        copy(new_wl, F_wl)
        copy(new_bl, F_bl)
        copy(w_new, w)
        copy(new, cur)
        copy(slope, D)
        add_times(t, more_a, a)
        add_times(t, more_b, b)
        most = currents(cur, I_in, I_out)
    if residual != UNFINISHED and not residual <= aims[0]:
        residual = true_residual(
            R, ends_wl, ends_bl, cur, a, b, e, F_wl, F_bl, most, stiffest, aims[2]
        )
    report[0] = iterations
    report[1] = steps
    report[2] = residual
    report[3] = share(
        uncertainty(D, e, a, b, cur, F_wl, F_bl, R, float(steps), DEVICE_ROUNDING), I_out
    )


@njit(**_OPTIONS)
def newton(
    start,
    stop,
    index,
    kind,
    P,
    Q,
    stiffest,
    V_in,
    V_out,
    share_wl,
    share_bl,
    R,
    ends_wl,
    ends_bl,
    aims,
    work,
    lines,
    lane,
    I_out,
    I_in,
    inner,
    report,
    guess,
):
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
            kind,
            P[k],
            Q[k],
            stiffest,
            R,
            ends_wl,
            ends_bl,
            aims,
            work,
            lines,
            lane,
            slope,
            I_out[n],
            I_in[n],
            report[n],
            guess,
        )
        _store(n, work, V_in, V_out, share_wl, share_bl, inner)
