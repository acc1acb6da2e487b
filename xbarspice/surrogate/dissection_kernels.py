"""Compiled elimination of batches of arrays: star-mesh forward, and its reverse mode.

Eliminating a node with conductances c_k to its neighbours adds c_k c_l / d between every two of
them, where d is the sum of all c_k (star-mesh transformation, Rosen 1924). Conductances stay
positive and d is summed afresh at every elimination, so nothing is ever subtracted. With
v_k = c_k / sqrt(d) the update is v_k v_l, and a front's update is one symmetric rank-E product.

Reverse mode carries H_ab = dL/dc_ab of every pair of nodes of a front. If F holds the voltages of
the eliminated nodes for 1 V on each kept node, then for an eliminated node e and a kept node k

    H_ek = (F H)_ek - q_e,   H_ee' = (F H F^T)_ee' - q_e - q_e',   q_e = (F H F^T)_ee / 2.

All kernels work on vectors of `LANES` arrays; positions and sizes count vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from xbarspice.surrogate.dissection_plan import (
    F_CHILD_A,
    F_E,
    F_ELEMENT,
    F_ELEMENTS,
    F_K,
    F_MAP,
    F_PAD,
    F_PANEL,
    F_PARENT,
    F_REVERSE,
    F_SINK,
    F_SOURCE,
    F_STACK,
    TILE,
)  # fmt: skip
from xbarspice.surrogate.dissection_simd import (
    LANES,
    add,
    div,
    fill,
    fma,
    load,
    maximum,
    mul,
    sqrt,
    store,
    sub,
)  # fmt: skip

__all__ = ["forward", "reverse"]

OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy", "boundscheck": False}
TINY = 1e-30
"""Stands for the conductance sum of a node without any conductance (S)."""


@njit(inline="always", **OPTIONS)
def _product(A: Any, a: int, a_step: int, B: Any, b: int, b_step: int, count: int, out: Any, o: int,
             o_step: int) -> None:  # fmt: skip
    """out[o + i o_step + j] += sum_k A[a + k a_step + i] B[b + k b_step + j] for a 4x4 tile."""
    z = fill(A, 0.0)
    s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = z
    s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = z
    for k in range(count):
        p, q = a + k * a_step, b + k * b_step
        x0, x1, x2, x3 = load(A, p), load(A, p + 1), load(A, p + 2), load(A, p + 3)
        y = load(B, q)
        s00, s10, s20, s30 = fma(x0, y, s00), fma(x1, y, s10), fma(x2, y, s20), fma(x3, y, s30)
        y = load(B, q + 1)
        s01, s11, s21, s31 = fma(x0, y, s01), fma(x1, y, s11), fma(x2, y, s21), fma(x3, y, s31)
        y = load(B, q + 2)
        s02, s12, s22, s32 = fma(x0, y, s02), fma(x1, y, s12), fma(x2, y, s22), fma(x3, y, s32)
        y = load(B, q + 3)
        s03, s13, s23, s33 = fma(x0, y, s03), fma(x1, y, s13), fma(x2, y, s23), fma(x3, y, s33)
    _add_row(out, o, s00, s01, s02, s03)
    _add_row(out, o + o_step, s10, s11, s12, s13)
    _add_row(out, o + 2 * o_step, s20, s21, s22, s23)
    _add_row(out, o + 3 * o_step, s30, s31, s32, s33)


@njit(inline="always", **OPTIONS)
def _add_row(out: Any, o: int, s0: Any, s1: Any, s2: Any, s3: Any) -> None:
    store(out, o, add(load(out, o), s0))
    store(out, o + 1, add(load(out, o + 1), s1))
    store(out, o + 2, add(load(out, o + 2), s2))
    store(out, o + 3, add(load(out, o + 3), s3))


@njit(**OPTIONS)
def _gather(G: Any, wires: Any, group: int, values: Any) -> None:
    """Fill `values` with the conductances of the group's arrays, then the shared ones."""
    arrays, cells = G.shape
    for lane in range(LANES):
        source = min(group * LANES + lane, arrays - 1)  # idle lanes repeat the last array
        for k in range(cells):
            values[k * LANES + lane] = G[source, k]
        for k in range(wires.size):
            values[(cells + k) * LANES + lane] = wires[k]


@njit(**OPTIONS)
def _clear(out: Any, first: int, count: int) -> None:
    zero = fill(out, 0.0)
    for p in range(first, first + count):
        store(out, p, zero)


@njit(**OPTIONS)
def _assemble(plan: Any, f: int, values: Any, panels: Any, at: int, stack: Any) -> None:
    """Sum the front's elements and its children into its panel (at `at`) and its kept matrix."""
    front = plan.front[f]
    E, pad, S = front[F_E], front[F_PAD], front[F_STACK]
    width = E + pad
    for e in range(E):
        _clear(panels, at + e * width + e, width - e)
    for i in range(0, front[F_SINK], TILE):  # the tiles that `_eliminate` updates
        first = i if i < front[F_SOURCE] else front[F_SINK] // TILE * TILE
        for row in range(i, i + TILE):
            _clear(stack, S + row * pad + first, pad - first)
    for n in range(front[F_ELEMENT], front[F_ELEMENT] + front[F_ELEMENTS]):
        a, b, value = plan.element[n]
        x = load(values, value)
        if a < E:
            p = at + a * width + b
            store(panels, p, add(load(panels, p), x))
        else:
            p = S + (a - E) * pad + b - E
            store(stack, p, add(load(stack, p), x))
    for side in range(2):
        c = front[F_CHILD_A + side]
        if c >= 0:
            _add_child(plan.child_map, plan.front[c], E, panels, at, width, stack, S, pad)


@njit(**OPTIONS)
def _add_child(where: Any, child: Any, E: int, panels: Any, at: int, width: int, stack: Any,
               S: int, pad: int) -> None:  # fmt: skip
    first, K, own, row = child[F_MAP], child[F_K], child[F_PAD], child[F_STACK]
    for i in range(child[F_SINK]):  # no conductance between sinks is ever needed
        start = i + 1 if i < child[F_SOURCE] else child[F_SINK]
        a = where[first + i]
        if a < E:
            base = at + a * width
            for j in range(start, K):
                p = base + where[first + j]
                store(panels, p, add(load(panels, p), load(stack, row + j)))
        else:
            base = S + (a - E) * pad - E
            for j in range(start, K):
                p = base + where[first + j]
                store(stack, p, add(load(stack, p), load(stack, row + j)))
        row += own


@njit(**OPTIONS)
def _eliminate(front: Any, panels: Any, at: int, stack: Any) -> None:
    """Eliminate the front's first E nodes: scale its panel rows, then update its kept matrix.

    Afterwards row e holds c_ej / sqrt(d_e) and, behind the rows, 1 / sqrt(d_e).
    """
    E, K, pad, S = front[F_E], front[F_K], front[F_PAD], front[F_STACK]
    width = E + pad
    one, tiny = fill(panels, 1.0), fill(panels, TINY)
    for e in range(E):
        row = at + e * width
        total = fill(panels, 0.0)
        j = e + 1
        while j + 3 < E + K and e > 0:
            p = row + j
            s0, s1, s2, s3 = (
                load(panels, p), load(panels, p + 1), load(panels, p + 2), load(panels, p + 3),
            )  # fmt: skip
            q = at + j
            x = at + e
            for _k in range(e):
                v = load(panels, x)
                s0, s1 = fma(v, load(panels, q), s0), fma(v, load(panels, q + 1), s1)
                s2, s3 = fma(v, load(panels, q + 2), s2), fma(v, load(panels, q + 3), s3)
                q += width
                x += width
            store(panels, p, s0)
            store(panels, p + 1, s1)
            store(panels, p + 2, s2)
            store(panels, p + 3, s3)
            total = add(total, add(add(s0, s1), add(s2, s3)))
            j += 4
        while j < E + K:
            s = load(panels, row + j)
            for k in range(e):
                s = fma(load(panels, at + k * width + e), load(panels, at + k * width + j), s)
            store(panels, row + j, s)
            total = add(total, s)
            j += 1
        scale = div(one, sqrt(maximum(total, tiny)))
        store(panels, at + E * width + e, scale)
        for p in range(row + e + 1, row + E + K):
            store(panels, p, mul(load(panels, p), scale))
    for i in range(0, front[F_SINK], TILE):
        first = i if i < front[F_SOURCE] else front[F_SINK] // TILE * TILE
        for j in range(first, pad, TILE):
            _product(panels, at + E + i, width, panels, at + E + j, width, E, stack,
                     S + i * pad + j, pad)  # fmt: skip


@njit(**OPTIONS)
def _eliminate_all(
    G: Any, wires: Any, plan: Any, group: int, work: Any, panels: Any, base: int, keep: bool
) -> None:
    """Run one group of arrays up the tree; `keep` leaves every front its own panel after `base`."""
    values, stack = work
    _gather(G, wires, group, values)
    for f in range(plan.front.shape[0]):
        at = base + plan.front[f, F_PANEL] if keep else base
        _assemble(plan, f, values, panels, at, stack)
        _eliminate(plan.front[f], panels, at, stack)


@njit(**OPTIONS)
def _workspace(G: Any, wires: Any, plan: Any) -> tuple[Any, Any]:
    """Values of one group of arrays, and the stack of kept matrices."""
    values = np.empty((G.shape[1] + wires.size) * LANES, G.dtype)
    return values, np.empty(plan.stack * LANES, G.dtype)


@njit(**OPTIONS)
def forward(
    G: Any, wires: Any, plan: Any, worker: int, workers: int, panels: Any, out: Any
) -> None:
    """Add G_eff to `out` for every `workers`-th group of arrays, beginning with group `worker`.

    Args:
        G: conductances, S, (arrays, rows * cols), contiguous float32 or float64.
        wires: conductances of the segments and ends (`WIRES`), S, (4,), same dtype; 0 where merged.
        plan: the elimination tree.
        worker, workers: which groups to do.
        panels: receives the panels of all groups for `reverse`; if empty, they are not kept.
        out: (arrays, rows, cols), S, zeros before.
    """
    keep = panels.size > 0
    own = panels if keep else np.empty(plan.widest * LANES, G.dtype)
    work = _workspace(G, wires, plan)
    stack = work[1]
    root = plan.front[plan.front.shape[0] - 1]
    sources, pad = root[F_SINK], root[F_PAD]
    for group in range(worker, (G.shape[0] + LANES - 1) // LANES, workers):
        _eliminate_all(G, wires, plan, group, work, own, group * plan.panels * keep, keep)
        for lane in range(min(LANES, G.shape[0] - group * LANES)):
            for i in range(sources):
                for j in range(root[F_K] - sources):
                    col = plan.sink_col[j]
                    if col >= 0:  # a bit line may end in a driven and in a sensed terminal
                        p = root[F_STACK] + i * pad + sources + j
                        x = stack[p * LANES + lane]
                        out[group * LANES + lane, plan.source_row[i], col] += x


@njit(**OPTIONS)
def _voltages(front: Any, panels: Any, at: int, F: Any, tall: int) -> None:
    """F (pad, tall): voltage of eliminated node e (second axis) for 1 V on kept node k (first)."""
    E, pad = front[F_E], front[F_PAD]
    width = E + pad
    _clear(F, 0, pad * tall)
    for e in range(E - 1, -1, -1):
        scale = load(panels, at + E * width + e)
        row = at + e * width
        for j in range(0, pad, 4):
            p, q = row + E + j, j * tall
            s0, s1, s2, s3 = (
                load(panels, p), load(panels, p + 1), load(panels, p + 2), load(panels, p + 3),
            )  # fmt: skip
            for k in range(e + 1, E):
                v = load(panels, row + k)
                s0, s1 = fma(v, load(F, q + k), s0), fma(v, load(F, q + tall + k), s1)
                s2 = fma(v, load(F, q + 2 * tall + k), s2)
                s3 = fma(v, load(F, q + 3 * tall + k), s3)
            store(F, q + e, mul(s0, scale))
            store(F, q + tall + e, mul(s1, scale))
            store(F, q + 2 * tall + e, mul(s2, scale))
            store(F, q + 3 * tall + e, mul(s3, scale))


@njit(**OPTIONS)
def _extend(front: Any, F: Any, tall: int, X: Any, Y: Any, H: Any) -> None:
    """Fill the rows and columns of H that belong to the front's eliminated nodes.

    F (pad, tall) holds the voltages; X (pad, tall) = H F and Y (tall, tall) = X^T F are scratch.
    """
    E, K, pad, h = front[F_E], front[F_K], front[F_PAD], front[F_REVERSE]
    source, sink = front[F_SOURCE], front[F_SINK]
    width = E + pad
    kept = h + E * width + E
    _clear(X, 0, pad * tall)
    _clear(Y, 0, tall * tall)
    for i in range(0, pad, TILE):
        first, last = source, K  # pairs of two sources or of two sinks carry no gradient
        if i >= sink:
            last = sink
        elif i >= source and i + TILE <= sink:
            first = sink
        for j in range(0, tall, TILE):
            o = i * tall + j
            _product(H, kept + i, width, F, j, tall, source, X, o, tall)
            _product(H, kept + first * width + i, width, F, first * tall + j, tall, last - first,
                     X, o, tall)  # fmt: skip
    for i in range(0, tall, TILE):
        for j in range(i, tall, TILE):
            _product(X, i, tall, F, j, tall, K, Y, i * tall + j, tall)
    half = fill(F, 0.5)
    for e in range(E):
        q = mul(half, load(Y, e * tall + e))
        for other in range(e + 1, E):
            x = sub(load(Y, e * tall + other), q)
            x = sub(x, mul(half, load(Y, other * tall + other)))
            store(H, h + e * width + other, x)
            store(H, h + other * width + e, x)
        store(H, h + e * width + e, fill(F, 0.0))
        for k in range(K):
            x = sub(load(X, k * tall + e), q)
            store(H, h + e * width + E + k, x)
            store(H, h + (E + k) * width + e, x)


@njit(**OPTIONS)
def _inherit(plan: Any, front: Any, H: Any) -> None:
    """Copy the H of the front's kept nodes from its parent."""
    parent = plan.front[front[F_PARENT]]
    E, K, own = front[F_E], front[F_K], front[F_E] + front[F_PAD]
    above, first = parent[F_E] + parent[F_PAD], front[F_MAP]
    for i in range(K):
        to = front[F_REVERSE] + (E + i) * own + E
        base = parent[F_REVERSE] + plan.child_map[first + i] * above
        for j in range(K):
            store(H, to + j, load(H, base + plan.child_map[first + j]))
        _clear(H, to + K, front[F_PAD] - K)


@njit(**OPTIONS)
def _seed(M: Any, plan: Any, group: int, H: Any) -> None:
    """Fill the H of the root's kept nodes with dL/dG_eff."""
    root = plan.front[plan.front.shape[0] - 1]
    E, K, width = root[F_E], root[F_K], root[F_E] + root[F_PAD]
    sources = root[F_SINK]
    for i in range(K):
        _clear(H, (E + i) * width + E, root[F_PAD])
    for lane in range(min(LANES, M.shape[0] - group * LANES)):
        for i in range(sources):
            for j in range(K - sources):
                if plan.sink_col[j] >= 0:
                    x = M[group * LANES + lane, plan.source_row[i], plan.sink_col[j]]
                    a, b = E + i, E + sources + j
                    H[(a * width + b) * LANES + lane] = x
                    H[(b * width + a) * LANES + lane] = x


@njit(**OPTIONS)
def reverse(
    G: Any, wires: Any, M: Any, plan: Any, worker: int, workers: int, panels: Any, out: Any
) -> None:
    """Write dL/dG and the gradients of the shared conductances of every array.

    Args:
        G, wires, plan, worker, workers: as for `forward`.
        M: dL/dG_eff, (arrays, rows, cols), same dtype.
        panels: what `forward` kept; if empty, the elimination is repeated.
        out: (arrays, rows * cols + 4): dL/dG by rows, then dL/d(conductance) of `WIRES`.
    """
    kept = panels.size > 0
    own = panels if kept else np.empty(plan.panels * LANES, M.dtype)
    H = np.empty(plan.reverse_stack * LANES, M.dtype)
    F = np.empty(plan.broadest * plan.tallest * LANES, M.dtype)
    X = np.empty(plan.broadest * plan.tallest * LANES, M.dtype)
    Y = np.empty(plan.tallest * plan.tallest * LANES, M.dtype)
    work = _workspace(G, wires, plan)
    values = work[0]
    for group in range(worker, (M.shape[0] + LANES - 1) // LANES, workers):
        base = group * plan.panels * kept
        if not kept:
            _eliminate_all(G, wires, plan, group, work, own, 0, True)
        values[:] = 0
        for f in range(plan.front.shape[0] - 1, -1, -1):
            front = plan.front[f]
            if front[F_PARENT] < 0:
                _seed(M, plan, group, H)
            else:
                _inherit(plan, front, H)
            tall = (front[F_E] + TILE - 1) // TILE * TILE
            _voltages(front, own, base + front[F_PANEL], F, tall)
            _extend(front, F, tall, X, Y, H)
            width = front[F_E] + front[F_PAD]
            for n in range(front[F_ELEMENT], front[F_ELEMENT] + front[F_ELEMENTS]):
                a, b, value = plan.element[n]
                x = load(H, front[F_REVERSE] + a * width + b)
                store(values, value, add(load(values, value), x))
        for lane in range(min(LANES, M.shape[0] - group * LANES)):
            for k in range(out.shape[1]):
                out[group * LANES + lane, k] = values[k * LANES + lane]
