"""Compiled ladders: exact solves of all lines at once, and conjugate gradients between them.

A line is a ladder of cells joined by wire segments of `R` ohm; `d` is the admittance of each
node to ground. Folding the ladder from its first node on gives the driving-point admittance Y and
the division factor s,

    Y_0 = d_0 + g_first,   s_k = 1 / (1 + R Y_k),   Y_(k+1) = d_(k+1) + Y_k s_k,

in which no number is ever subtracted (the idea of Grassmann, Taksar and Heyman 1985,
doi:10.1287/opre.33.5.1107), and the response x to injected currents f follows from

    c_0 = f_0,   c_(k+1) = f_(k+1) + s_k c_k,   t_k = R s_k c_k,   t_last = c_last / Y_last,
    x_last = t_last,   x_k = t_k + s_k x_(k+1);   the energy f.x is the sum of t_k c_k.

R = 0 is exact. An ideal end (a source without resistance) holds its node: s = 0 behind a first
node, 1/Y = 0 at a last one.

All arrays of cells are (rows, cols), and `LANES` lines are solved side by side. Bit lines lie so in
memory. Word lines are turned in registers, square by square; their factors are kept in the order of
use, with dangling cells (d = 0) up to whole squares, which change nothing.

D is the device slope, a the drop along the word lines, b the rise along the bit lines. Eliminating
the word lines leaves (B - D W^-1 D) b = f with the ladders B, W of the lines including D;
B preconditions it.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from xbarspice.surrogate.ladders.simd import (
    LANES,
    add,
    div,
    fill,
    fma,
    fnma,
    load,
    mul,
    put,
    store,
    take,
    total,
    transposed,
)

__all__ = [
    "G_FIRST",
    "G_LAST",
    "KEEP_FIRST",
    "KEEP_LAST",
    "backward",
    "eliminate",
    "factor",
    "factor_rows",
    "forward",
    "pcg",
    "recover",
    "row_scratch",
    "settle",
]

OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy", "boundscheck": False}
# Ends of all lines of one kind, float64 (5, lines).
G_FIRST, KEEP_FIRST, T_FIRST, G_LAST, KEEP_LAST = range(5)
# Rows of the scratch memory `lane`, float64 (2, cols): 1/Y of the last nodes, carry of a sweep.
_INV, _CARRY = range(2)


# --- bit lines: along the columns ---------------------------------------------------------------


@njit(**OPTIONS)
def factor(D: Any, R: float, ends: Any, s: Any, lane: Any) -> None:
    """Fold all bit lines: division factors `s` (rows, cols) and 1/Y of the last nodes."""
    cells, lines = D.shape
    one, r = fill(D, 1.0), fill(D, R)
    for j in range(0, lines, LANES):
        n = lines - j
        put(lane, _INV, j, n, add(take(D, 0, j, n), take(ends, G_FIRST, j, n)))
    for k in range(cells - 1):
        for j in range(0, lines, LANES):
            n = lines - j
            y = take(lane, _INV, j, n)
            sk = div(one, fma(r, y, one))
            put(s, k, j, n, sk)
            put(lane, _INV, j, n, fma(y, sk, take(D, k + 1, j, n)))
        if k == 0:
            for line in range(lines):
                if ends[KEEP_FIRST, line] == 0.0:
                    s[0, line] = 0.0
                    lane[_INV, line] = D[1, line] + ends[T_FIRST, line]
    for line in range(lines):
        y = lane[_INV, line] + ends[G_LAST, line]
        keep = ends[KEEP_LAST, line]
        if cells == 1 or R == 0.0:
            keep *= ends[KEEP_FIRST, line]
        lane[_INV, line] = keep / y if y > 0.0 else 0.0
        s[cells - 1, line] = 0.0


@njit(**OPTIONS)
def forward(f: Any, R: float, s: Any, lane: Any, t: Any) -> float:
    """Sweep currents f to the last nodes: t (it may be f); returns the energy f B^-1 f."""
    cells, lines = f.shape
    energy, zero, r = fill(f, 0.0), fill(f, 0.0), fill(f, R)
    for j in range(0, lines, LANES):
        put(lane, _CARRY, j, lines - j, zero)
    for k in range(cells - 1):
        for j in range(0, lines, LANES):
            n = lines - j
            c = add(take(f, k, j, n), take(lane, _CARRY, j, n))
            passed = mul(take(s, k, j, n), c)
            tk = mul(r, passed)
            energy = fma(tk, c, energy)
            put(lane, _CARRY, j, n, passed)
            put(t, k, j, n, tk)
    for j in range(0, lines, LANES):
        n = lines - j
        c = add(take(f, cells - 1, j, n), take(lane, _CARRY, j, n))
        tk = mul(take(lane, _INV, j, n), c)
        energy = fma(tk, c, energy)
        put(t, cells - 1, j, n, tk)
    return total(energy)


@njit(**OPTIONS)
def backward(t: Any, s: Any, lane: Any, x: Any) -> None:
    """Voltages x from t of `forward` (it may be x)."""
    cells, lines = t.shape
    for j in range(0, lines, LANES):
        put(lane, _CARRY, j, lines - j, fill(t, 0.0))
    for k in range(cells - 1, -1, -1):
        for j in range(0, lines, LANES):
            n = lines - j
            z = fma(take(s, k, j, n), take(lane, _CARRY, j, n), take(t, k, j, n))
            put(lane, _CARRY, j, n, z)
            put(x, k, j, n, z)


@njit(**OPTIONS)
def _direction(r: Any, s: Any, lane: Any, t: Any, beta: float, p: Any, Bp: Any) -> float:
    """P = z + beta p with z = B^-1 r (t from `forward`), Bp likewise; returns p.Bp.

    With beta = 0 what stands in p and Bp is not read.
    """
    cells, lines = r.shape
    dot, b = fill(r, 0.0), fill(r, beta)
    for j in range(0, lines, LANES):
        put(lane, _CARRY, j, lines - j, dot)
    for k in range(cells - 1, -1, -1):
        for j in range(0, lines, LANES):
            n = lines - j
            z = fma(take(s, k, j, n), take(lane, _CARRY, j, n), take(t, k, j, n))
            put(lane, _CARRY, j, n, z)
            left = take(r, k, j, n)
            if beta != 0.0:
                z = fma(b, take(p, k, j, n), z)
                left = fma(b, take(Bp, k, j, n), left)
            put(p, k, j, n, z)
            put(Bp, k, j, n, left)
            dot = fma(z, left, dot)
    return total(dot)


@njit(**OPTIONS)
def _advance(alpha: float, p: Any, q: Any, first: bool, b: Any, r: Any) -> float:
    """B += alpha p (b = alpha p at `first`), r -= alpha q; returns |r|^2."""
    cells, lines = r.shape
    square, a = fill(r, 0.0), fill(r, alpha)
    for k in range(cells):
        for j in range(0, lines, LANES):
            n = lines - j
            step = mul(a, take(p, k, j, n))
            put(b, k, j, n, step if first else add(take(b, k, j, n), step))
            left = fnma(a, take(q, k, j, n), take(r, k, j, n))
            put(r, k, j, n, left)
            square = fma(left, left, square)
    return total(square)


@njit(**OPTIONS)
def settle(r: Any, R: float, ends: Any) -> float:
    """Drop what ideal ends absorb; lines without wire resistance keep one total. Returns |r|^2."""
    cells, lines = r.shape
    if R == 0.0 or cells == 1:
        for k in range(1, cells):
            for line in range(lines):
                r[0, line] += r[k, line]
                r[k, line] = 0.0
        for line in range(lines):
            r[0, line] *= ends[KEEP_FIRST, line] * ends[KEEP_LAST, line]
    else:
        for line in range(lines):
            r[0, line] *= ends[KEEP_FIRST, line]
            r[cells - 1, line] *= ends[KEEP_LAST, line]
    square = fill(r, 0.0)
    for k in range(cells):
        for j in range(0, lines, LANES):
            x = take(r, k, j, lines - j)
            square = fma(x, x, square)
    return total(square)


# --- word lines: along the rows ------------------------------------------------------------------


@njit(inline="always", **OPTIONS)
def _across(cols: int) -> int:
    """Cells of a word line in whole squares."""
    return (cols + LANES - 1) // LANES * LANES


@njit(**OPTIONS)
def row_scratch(rows: int, cols: int) -> int:
    """Numbers in the scratch memory `lines` of the word lines."""
    blocks = (rows + LANES - 1) // LANES
    return (blocks * (_across(cols) + 1) + _across(cols)) * LANES


@njit(inline="always", **OPTIONS)
def _square(A: Any, i: int, j: int) -> Any:
    """Rows i to i + 7 of columns j to j + 7; 0 beyond the array."""
    rows, n = A.shape[0] - i, A.shape[1] - j
    return (
        take(A, i, j, n),
        take(A, i + 1, j, n if rows > 1 else 0),
        take(A, i + 2, j, n if rows > 2 else 0),
        take(A, i + 3, j, n if rows > 3 else 0),
        take(A, i + 4, j, n if rows > 4 else 0),
        take(A, i + 5, j, n if rows > 5 else 0),
        take(A, i + 6, j, n if rows > 6 else 0),
        take(A, i + 7, j, n if rows > 7 else 0),
    )


@njit(inline="always", **OPTIONS)
def _put_square(A: Any, i: int, j: int, x: Any) -> None:
    rows, n = A.shape[0] - i, A.shape[1] - j
    put(A, i, j, n, x[0])
    put(A, i + 1, j, n if rows > 1 else 0, x[1])
    put(A, i + 2, j, n if rows > 2 else 0, x[2])
    put(A, i + 3, j, n if rows > 3 else 0, x[3])
    put(A, i + 4, j, n if rows > 4 else 0, x[4])
    put(A, i + 5, j, n if rows > 5 else 0, x[5])
    put(A, i + 6, j, n if rows > 6 else 0, x[6])
    put(A, i + 7, j, n if rows > 7 else 0, x[7])


@njit(inline="always", **OPTIONS)
def _products(a: Any, b: Any) -> Any:
    return (
        mul(a[0], b[0]),
        mul(a[1], b[1]),
        mul(a[2], b[2]),
        mul(a[3], b[3]),
        mul(a[4], b[4]),
        mul(a[5], b[5]),
        mul(a[6], b[6]),
        mul(a[7], b[7]),
    )


@njit(inline="always", **OPTIONS)
def _remainders(a: Any, b: Any, c: Any) -> Any:
    """C - a b."""
    return (
        fnma(a[0], b[0], c[0]),
        fnma(a[1], b[1], c[1]),
        fnma(a[2], b[2], c[2]),
        fnma(a[3], b[3], c[3]),
        fnma(a[4], b[4], c[4]),
        fnma(a[5], b[5], c[5]),
        fnma(a[6], b[6], c[6]),
        fnma(a[7], b[7], c[7]),
    )


@njit(**OPTIONS)
def factor_rows(D: Any, R: float, ends: Any, lines: Any) -> None:
    """Fold all word lines: their division factors and 1/Y of the last nodes, in `lines`."""
    rows, cols = D.shape
    across, blocks = _across(cols), (rows + LANES - 1) // LANES
    one, r = fill(D, 1.0), fill(D, R)
    inv = blocks * across
    for block in range(blocks):
        for j in range(0, across, LANES):
            d = transposed(_square(D, block * LANES, j))
            at = block * across + j
            store(lines, at, d[0])
            store(lines, at + 1, d[1])
            store(lines, at + 2, d[2])
            store(lines, at + 3, d[3])
            store(lines, at + 4, d[4])
            store(lines, at + 5, d[5])
            store(lines, at + 6, d[6])
            store(lines, at + 7, d[7])
        i = block * LANES
        store(
            lines, inv + block, add(load(lines, block * across), take(ends, G_FIRST, i, rows - i))
        )
    for k in range(across):
        if k == cols - 1:
            for block in range(blocks):
                i = block * LANES
                y = add(load(lines, inv + block), take(ends, G_LAST, i, rows - i))
                store(lines, inv + block, y)
        if k == across - 1:
            break
        for block in range(blocks):
            y = load(lines, inv + block)
            sk = div(one, fma(r, y, one))
            at = block * across + k
            store(lines, at, sk)
            store(lines, inv + block, fma(y, sk, load(lines, at + 1)))
        for end, cell in ((KEEP_FIRST, 0), (KEEP_LAST, cols - 1)):
            if k == cell:
                _hold(D, k, ends, end, across, lines)
    for line in range(rows):
        block, lane = line // LANES, line % LANES
        y = lines[(inv + block) * LANES + lane]
        keep = ends[KEEP_LAST, line] if cols == across else 1.0
        if cols == 1 or R == 0.0:
            keep = ends[KEEP_FIRST, line] * ends[KEEP_LAST, line]
        lines[(inv + block) * LANES + lane] = keep / y if y > 0.0 else 0.0
        lines[(block * across + across - 1) * LANES + lane] = 0.0
    for line in range(rows, blocks * LANES):
        lines[(inv + blocks - 1) * LANES + line % LANES] = 0.0
        lines[(blocks * across - 1) * LANES + line % LANES] = 0.0


@njit(**OPTIONS)
def _hold(D: Any, k: int, ends: Any, end: int, across: int, lines: Any) -> None:
    """Hold node k of the word lines that have an ideal end there: nothing passes it."""
    rows, cols = D.shape
    inv = (rows + LANES - 1) // LANES * across
    for line in range(rows):
        if ends[end, line] == 0.0:
            block, lane = line // LANES, line % LANES
            lines[(block * across + k) * LANES + lane] = 0.0
            on = D[line, k + 1] if k + 1 < cols else 0.0
            through = ends[T_FIRST, line] if end == KEEP_FIRST and k + 1 < cols else 0.0
            lines[(inv + block) * LANES + lane] = on + through


@njit(inline="always", **OPTIONS)
def _ahead(lines: Any, at: int, scratch: int, R: Any, f: Any, passed: Any, energy: Any) -> Any:
    """One step of the sweep to the last nodes; returns c, s c and the energy so far."""
    c = add(f, passed)
    passed = mul(load(lines, at), c)
    t = mul(R, passed)
    store(lines, scratch, t)
    return c, passed, fma(t, c, energy)


@njit(inline="always", **OPTIONS)
def _ahead_square(
    lines: Any, at: int, scratch: int, R: Any, rows: Any, passed: Any, energy: Any
) -> Any:
    f = transposed(rows)
    _, passed, energy = _ahead(lines, at, scratch, R, f[0], passed, energy)
    _, passed, energy = _ahead(lines, at + 1, scratch + 1, R, f[1], passed, energy)
    _, passed, energy = _ahead(lines, at + 2, scratch + 2, R, f[2], passed, energy)
    _, passed, energy = _ahead(lines, at + 3, scratch + 3, R, f[3], passed, energy)
    _, passed, energy = _ahead(lines, at + 4, scratch + 4, R, f[4], passed, energy)
    _, passed, energy = _ahead(lines, at + 5, scratch + 5, R, f[5], passed, energy)
    _, passed, energy = _ahead(lines, at + 6, scratch + 6, R, f[6], passed, energy)
    return _ahead(lines, at + 7, scratch + 7, R, f[7], passed, energy)


@njit(inline="always", **OPTIONS)
def _last(lines: Any, inv: int, scratch: int, c: Any, energy: Any) -> Any:
    """The last node of the sweep; returns the energy."""
    t = mul(load(lines, inv), c)
    store(lines, scratch, t)
    return fma(t, c, energy)


@njit(inline="always", **OPTIONS)
def _back_square(lines: Any, at: int, scratch: int, x: Any) -> Any:
    """Voltages of a square as rows, and those of its first cells."""
    x7 = fma(load(lines, at + 7), x, load(lines, scratch + 7))
    x6 = fma(load(lines, at + 6), x7, load(lines, scratch + 6))
    x5 = fma(load(lines, at + 5), x6, load(lines, scratch + 5))
    x4 = fma(load(lines, at + 4), x5, load(lines, scratch + 4))
    x3 = fma(load(lines, at + 3), x4, load(lines, scratch + 3))
    x2 = fma(load(lines, at + 2), x3, load(lines, scratch + 2))
    x1 = fma(load(lines, at + 1), x2, load(lines, scratch + 1))
    x0 = fma(load(lines, at), x1, load(lines, scratch))
    return transposed((x0, x1, x2, x3, x4, x5, x6, x7)), x0


_SCHUR, _ELIMINATE, _RECOVER = range(3)


@njit(inline="always", **OPTIONS)
def _injected(kind: int, D: Any, F: Any, x: Any, i: int, j: int) -> Any:
    if kind == _SCHUR:
        return _products(_square(D, i, j), _square(x, i, j))
    if kind == _ELIMINATE:
        return _square(F, i, j)
    return _remainders(_square(D, i, j), _square(x, i, j), _square(F, i, j))


@njit(**OPTIONS)
def _through_rows(
    kind: int, D: Any, F: Any, x: Any, base: Any, R: float, lines: Any, out: Any
) -> float:
    """See `_schur`, `eliminate`, `recover`; returns f W^-1 f for the injected currents f."""
    rows, cols = D.shape
    across, blocks = _across(cols), (rows + LANES - 1) // LANES
    scratch, r, energy = blocks * (across + 1), fill(D, R), fill(D, 0.0)
    for block in range(blocks):
        i, first = block * LANES, block * across
        c = passed = fill(D, 0.0)
        for j in range(0, across, LANES):
            f = _injected(kind, D, F, x, i, j)
            c, passed, energy = _ahead_square(lines, first + j, scratch + j, r, f, passed, energy)
        energy = _last(lines, blocks * across + block, scratch + across - 1, c, energy)
        carried = fill(D, 0.0)
        for j in range(across - LANES, -1, -LANES):
            drops, carried = _back_square(lines, first + j, scratch + j, carried)
            if kind == _RECOVER:
                _put_square(out, i, j, drops)
            else:
                left = _remainders(_square(D, i, j), drops, _square(base, i, j))
                _put_square(out, i, j, left)
    return total(energy)


@njit(**OPTIONS)
def _schur(D: Any, p: Any, Bp: Any, R: float, lines: Any, q: Any) -> float:
    """Q = Bp - D W^-1 D p; returns (D p) W^-1 (D p)."""
    return _through_rows(_SCHUR, D, p, p, Bp, R, lines, q)


@njit(**OPTIONS)
def eliminate(D: Any, F_wl: Any, F_bl: Any, R: float, lines: Any, r: Any) -> None:
    """R = F_bl - D W^-1 F_wl; r may be F_bl."""
    _through_rows(_ELIMINATE, D, F_wl, F_wl, F_bl, R, lines, r)


@njit(**OPTIONS)
def recover(D: Any, F_wl: Any, b: Any, R: float, lines: Any, a: Any) -> None:
    """A = W^-1 (F_wl - D b)."""
    _through_rows(_RECOVER, D, F_wl, b, F_wl, R, lines, a)


# --- between them --------------------------------------------------------------------------------


@njit(**OPTIONS)
def pcg(
    D: Any,
    R_wl: float,
    R_bl: float,
    ends: Any,
    s: Any,
    lines: Any,
    lane: Any,
    r: Any,
    b: Any,
    p: Any,
    Bp: Any,
    q: Any,
    tol2: float,
    limit: int,
) -> Any:
    """Solve (B - D W^-1 D) b = r until |r|^2 <= tol2; r is overwritten by what remains.

    `ends` are those of the bit lines; p, Bp and q are scratch. Returns the number of iterations and
    the |r|^2 reached.
    """
    cols = D.shape[1]
    square = settle(r, R_bl, ends)
    before = 1.0
    plain = R_bl > 0.0 and D.shape[0] > 1  # then settling changes nothing, unless an end is ideal
    for line in range(cols):
        plain &= ends[KEEP_FIRST, line] * ends[KEEP_LAST, line] == 1.0
    for iteration in range(limit):
        if square <= tol2:
            if iteration == 0:
                b[:, :] = 0.0
            return iteration, square
        energy = forward(r, R_bl, s, lane, q)
        beta = 0.0 if iteration == 0 else energy / before
        before = energy
        curvature = _direction(r, s, lane, q, beta, p, Bp) - _schur(D, p, Bp, R_wl, lines, q)
        if not curvature > 0.0:
            if iteration == 0:
                b[:, :] = 0.0
            return iteration, square
        square = _advance(energy / curvature, p, q, iteration == 0, b, r)
        if not plain:
            square = settle(r, R_bl, ends)
    return limit, square
