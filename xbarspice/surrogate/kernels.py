"""Compiled kernels: exact ladder solves of all lines at once and conjugate gradients between them.

A line is a ladder of cells joined by wire segments of `R` ohm; `d` is the admittance of each
node to ground. Folding the ladder from its first node on gives the driving-point admittance Y and
the division factor s,

    Y_0 = d_0 + g_first,   s_k = 1 / (1 + R Y_k),   Y_(k+1) = d_(k+1) + Y_k s_k,

in which no number is ever subtracted (the idea of Grassmann, Taksar and Heyman 1985,
doi:10.1287/opre.33.5.1107), and the response x to injected currents f follows from

    c_0 = f_0,   c_(k+1) = f_(k+1) + s_k c_k,
    x_last = c_last / Y_last,   x_k = s_k (R c_k + x_(k+1)).

R = 0 is exact. An ideal end (a source without resistance) holds its node: s = 0 behind a first
node, 1/Y = 0 at a last one. Arrays are (cells, lines): the inner loop runs across the lines.

Bit lines are chains along axis 0 of (rows, cols) arrays; word lines are chains along axis 0 of the
transposed (cols, rows) arrays, whose names end in T. D is the device slope, a the drop along the
word lines, b the rise along the bit lines. Eliminating the word lines leaves
(B - D W^-1 D) b = f with the ladders B, W of the lines including D; B preconditions it.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils, errors

from xbarspice.surrogate.simd import intrinsic

__all__ = [
    "currents",
    "factor",
    "ladder",
    "largest",
    "network_residual",
    "network_residual_rows",
    "open_circuit",
    "pcg",
    "settle",
    "settle_rows",
    "stiff_current",
    "transpose",
]

_OPTIONS = {"cache": True, "nogil": True, "fastmath": {"contract", "reassoc", "nsz"}}
# Ends of all lines of one kind, float64 (5, lines).
_G_FIRST, _KEEP_FIRST, _T_FIRST, _G_LAST, _KEEP_LAST = range(5)


@intrinsic
def _transpose_tile(typingctx: Any, x: Any, i: Any, j: Any, y: Any) -> Any:
    """``y[j:j+8, i:i+8] = x[i:i+8, j:j+8].T`` of C-ordered arrays, in vector registers.

    The compiler does not find these shuffles in a loop; written out they are five times faster.
    """
    if not x.layout == y.layout == "C":
        raise errors.TypingError("`transpose` takes C-ordered arrays")

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = ir.IntType(32)
        vector = ir.VectorType(ir.DoubleType(), 8)

        def row(kind: Any, array: Any, first: Any, column: Any, k: int) -> Any:
            view = cgutils.create_struct_proxy(kind)(context, builder, array)
            width = cgutils.unpack_tuple(builder, view.shape, 2)[1]
            line = builder.add(first, ir.Constant(first.type, k))
            at = builder.gep(view.data, [builder.add(builder.mul(line, width), column)])
            return builder.bitcast(at, vector.as_pointer())

        kinds, (x_, i_, j_, y_) = signature.args, args
        rows = [builder.load(row(kinds[0], x_, i_, j_, k), align=8) for k in range(8)]
        for step in (4, 2, 1):  # exchange blocks of 4, of 2, of 1 numbers between rows
            low = [(k ^ step) + 8 if k & step else k for k in range(8)]
            high = [k + 8 if k & step else k ^ step for k in range(8)]
            masks = [ir.Constant(ir.VectorType(number, 8), chosen) for chosen in (low, high)]
            for k in range(8):
                if not k & step:
                    pair = rows[k], rows[k + step]
                    rows[k] = builder.shuffle_vector(*pair, masks[0])
                    rows[k + step] = builder.shuffle_vector(*pair, masks[1])
        for k in range(8):
            builder.store(rows[k], row(kinds[3], y_, j_, i_, k), align=8)
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, y), emit


@njit(**_OPTIONS)
def transpose(x, y):
    """Y = x transposed; both are C-ordered float64."""
    rows, cols = x.shape
    whole_rows, whole_cols = rows - rows % 8, cols - cols % 8
    for i in range(0, whole_rows, 8):
        for j in range(0, whole_cols, 8):
            _transpose_tile(x, i, j, y)
        for j in range(whole_cols, cols):
            for k in range(i, i + 8):
                y[j, k] = x[k, j]
    for i in range(whole_rows, rows):
        for j in range(cols):
            y[j, i] = x[i, j]


@njit(**_OPTIONS)
def factor(D, R, ends, s, inv):
    """Fold all ladders: division factors `s` (cells, lines) and 1/Y of the last nodes `inv`."""
    cells, lines = D.shape
    for line in range(lines):
        inv[line] = D[0, line] + ends[_G_FIRST, line]
    for k in range(cells - 1):
        for line in range(lines):
            y = inv[line]
            sk = 1.0 / (1.0 + R * y)
            s[k, line] = sk
            inv[line] = D[k + 1, line] + y * sk
        if k == 0:
            for line in range(lines):
                if ends[_KEEP_FIRST, line] == 0.0:
                    s[0, line] = 0.0
                    inv[line] = D[1, line] + ends[_T_FIRST, line]
    for line in range(lines):
        y = inv[line] + ends[_G_LAST, line]
        keep = ends[_KEEP_LAST, line]
        if cells == 1 or R == 0.0:
            keep *= ends[_KEEP_FIRST, line]
        inv[line] = keep / y if y > 0.0 else 0.0
        s[cells - 1, line] = 0.0


@njit(**_OPTIONS)
def _forward(f, R, s, inv, c):
    """Currents c transmitted along the ladders; returns the energy of f, f B^-1 f."""
    cells, lines = f.shape
    energy = 0.0
    for line in range(lines):
        c[0, line] = f[0, line]
    for k in range(1, cells):
        for line in range(lines):
            before = c[k - 1, line]
            through = s[k - 1, line] * before
            energy += R * through * before
            c[k, line] = f[k, line] + through
    for line in range(lines):
        energy += inv[line] * c[cells - 1, line] * c[cells - 1, line]
    return energy


@njit(**_OPTIONS)
def _backward(c, R, s, inv, x):
    cells, lines = c.shape
    for line in range(lines):
        x[cells - 1, line] = inv[line] * c[cells - 1, line]
    for k in range(cells - 2, -1, -1):
        for line in range(lines):
            x[k, line] = s[k, line] * (R * c[k, line] + x[k + 1, line])


@njit(**_OPTIONS)
def ladder(f, R, s, inv, c, x):
    """X = response of the ladders to the currents f; c is scratch (it may be x)."""
    _forward(f, R, s, inv, c)
    _backward(c, R, s, inv, x)


@njit(**_OPTIONS)
def settle(r, R, ends):
    """Drop what ideal ends absorb; lines without wire resistance keep one total. Returns |r|^2."""
    cells, lines = r.shape
    if R == 0.0 or cells == 1:
        for k in range(1, cells):
            for line in range(lines):
                r[0, line] += r[k, line]
                r[k, line] = 0.0
        for line in range(lines):
            r[0, line] *= ends[_KEEP_FIRST, line] * ends[_KEEP_LAST, line]
    else:
        for line in range(lines):
            r[0, line] *= ends[_KEEP_FIRST, line]
            r[cells - 1, line] *= ends[_KEEP_LAST, line]
    square = 0.0
    for k in range(cells):
        for line in range(lines):
            square += r[k, line] * r[k, line]
    return square


@njit(**_OPTIONS)
def _search_direction(r, R, s, inv, c, D, beta, z, p, Bp, g):
    """P = z + beta p with z = B^-1 r (c from `_forward`), Bp likewise, g = D p; returns p.Bp."""
    cells, lines = r.shape
    total = 0.0
    for k in range(cells - 1, -1, -1):
        if k == cells - 1:
            for line in range(lines):
                z[line] = inv[line] * c[k, line]
        else:
            for line in range(lines):
                z[line] = s[k, line] * (R * c[k, line] + z[line])
        for line in range(lines):
            pk = z[line] + beta * p[k, line]
            q = r[k, line] + beta * Bp[k, line]
            p[k, line] = pk
            Bp[k, line] = q
            total += pk * q
            g[k, line] = D[k, line] * pk
    return total


@njit(**_OPTIONS)
def pcg(D, R_bl, ends, s, inv, R_wl, sT, invT, r, b, p, Bp, c, g, gT, z, tol2, limit):
    """Solve (B - D W^-1 D) b = r until |r|^2 <= tol2; r is overwritten by what remains.

    All arrays are (rows, cols) or, with T, (cols, rows); z is (cols,). Returns the number of
    iterations and the |r|^2 reached.
    """
    rows, cols = D.shape
    b[:, :] = 0.0
    p[:, :] = 0.0
    Bp[:, :] = 0.0
    square = settle(r, R_bl, ends)
    before = 1.0
    plain = R_bl > 0.0  # then settling changes nothing, unless an end is ideal
    for line in range(cols):
        plain &= ends[_KEEP_FIRST, line] * ends[_KEEP_LAST, line] == 1.0
    for iteration in range(limit):
        if square <= tol2:
            return iteration, square
        energy = _forward(r, R_bl, s, inv, c)
        beta = 0.0 if iteration == 0 else energy / before
        before = energy
        curvature = _search_direction(r, R_bl, s, inv, c, D, beta, z, p, Bp, g)
        transpose(g, gT)
        curvature -= _forward(gT, R_wl, sT, invT, gT)
        if not curvature > 0.0:
            return iteration, square
        _backward(gT, R_wl, sT, invT, gT)
        transpose(gT, g)
        alpha = energy / curvature
        square = 0.0
        for k in range(rows):
            for line in range(cols):
                b[k, line] += alpha * p[k, line]
                left = r[k, line] - alpha * (Bp[k, line] - D[k, line] * g[k, line])
                r[k, line] = left
                square += left * left
        if not plain:
            square = settle(r, R_bl, ends)
    return limit, square


@njit(**_OPTIONS)
def open_circuit(V_in, V_out, share_wl, share_bl, e):
    """Device voltages of the array without devices: V_in and V_out times the share at each cell.

    A share is linear along its line: share[0] + share[1] * cell.
    """
    rows, cols = e.shape
    for i in range(rows):
        u0, u1 = V_in[i] * share_wl[0, i], V_in[i] * share_wl[1, i]
        for j in range(cols):
            v0 = V_out[j] * (share_bl[0, j] + share_bl[1, j] * i)
            e[i, j] = u0 + u1 * j - v0


@njit(**_OPTIONS)
def currents(current, I_in, I_out):
    """Line totals of the device currents; returns the largest line total or device current, A.

    A sum that is not finite makes the return value not finite.
    """
    rows, cols = current.shape
    I_out[:] = 0.0
    most = 0.0
    for i in range(rows):
        total = 0.0
        for j in range(cols):
            total += current[i, j]
            I_out[j] += current[i, j]
        I_in[i] = total
        most = max(most, abs(total))
    everything = 0.0
    for j in range(cols):
        everything += abs(I_out[j])
        most = max(most, abs(I_out[j]))
    return max(most, largest(current)) if math.isfinite(everything) else math.inf


@njit(**_OPTIONS)
def settle_rows(F, R, ends):
    """`settle` for lines that run along the rows of F, as word lines do in (rows, cols) arrays."""
    lines, cells = F.shape
    square = 0.0
    for line in range(lines):
        if R == 0.0 or cells == 1:
            total = 0.0
            for k in range(cells):
                total += F[line, k]
                F[line, k] = 0.0
            F[line, 0] = total * ends[_KEEP_FIRST, line] * ends[_KEEP_LAST, line]
        else:
            F[line, 0] *= ends[_KEEP_FIRST, line]
            F[line, cells - 1] *= ends[_KEEP_LAST, line]
        for k in range(cells):
            square += F[line, k] * F[line, k]
    return square


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "nnan"})
def largest(x):
    """Largest magnitude; NaN is not looked for (a sum of squares finds it)."""
    worst = 0.0
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            worst = max(worst, abs(x[i, j]))
    return worst


@njit(**_OPTIONS)
def stiff_current(x, R, ends):
    """Current in A that the largest drop would drive through the stiffest wire or end."""
    stiffest = 1.0 / R if R > 0.0 else 0.0
    for line in range(ends.shape[1]):
        stiffest = max(stiffest, ends[_G_FIRST, line], ends[_G_LAST, line])
    return stiffest * largest(x)


@njit(**_OPTIONS)
def network_residual(current, x, R, ends, F):
    """F = current - (what the bit lines carry away at the drops x), summed from branch currents.

    Returns max |F| in A, infinity if a sum is not finite.
    """
    cells, lines = x.shape
    g = 1.0 / R if R > 0.0 else 0.0
    for line in range(lines):
        F[0, line] = current[0, line] - ends[_G_FIRST, line] * x[0, line]
    for k in range(cells - 1):
        for line in range(lines):
            wire = (x[k, line] - x[k + 1, line]) * g
            F[k, line] -= wire
            F[k + 1, line] = current[k + 1, line] + wire
    for line in range(lines):
        F[cells - 1, line] -= ends[_G_LAST, line] * x[cells - 1, line]
    square = settle(F, R, ends)
    return largest(F) if math.isfinite(square) else math.inf


@njit(**_OPTIONS)
def network_residual_rows(current, x, R, ends, F):
    """`network_residual` for the word lines, along the rows of (rows, cols) arrays."""
    lines, cells = x.shape
    g = 1.0 / R if R > 0.0 else 0.0
    for line in range(lines):
        F[line, 0] = current[line, 0]
        if cells > 1:
            F[line, 0] -= (x[line, 0] - x[line, 1]) * g
        for k in range(1, cells - 1):
            back = (x[line, k] - x[line, k - 1]) * g
            F[line, k] = current[line, k] - back - (x[line, k] - x[line, k + 1]) * g
        last = cells - 1
        if cells > 1:
            F[line, last] = current[line, last] - (x[line, last] - x[line, last - 1]) * g
        F[line, 0] -= ends[_G_FIRST, line] * x[line, 0]
        F[line, last] -= ends[_G_LAST, line] * x[line, last]
    square = settle_rows(F, R, ends)
    return largest(F) if math.isfinite(square) else math.inf
