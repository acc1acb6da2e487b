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

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from xbarspice.surrogate.dissection.plan import (
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
    Plan,
)  # fmt: skip
from xbarspice.surrogate.ladders.simd import (
    LANES,
    add,
    div,
    fill,
    fma,
    load,
    maximum,
    mul,
    prefetch,
    sqrt,
    store,
    sub,
)  # fmt: skip

__all__ = ["Places", "forward", "reverse", "workspace"]

OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy", "boundscheck": False}
TINY = 1e-30
"""Stands for the conductance sum of a node without any conductance (S)."""
FETCHED = 1 << 14
"""Bytes of the next panel that `reverse` asks for ahead: half of a core's nearest cache."""
LINE = 64
"""Bytes in a line of the caches."""


class Places(NamedTuple):
    """Where arrays of one shape stand in flat memory.

    Attributes:
        first: position of the first cell of every array.
        row: distance of the rows.
    """

    first: npt.NDArray[np.int64]
    row: int


@njit(inline="always", **OPTIONS)
def _product(A: Any, a: int, a_step: int, B: Any, b: int, b_step: int, count: int, out: Any, o: int,
             o_step: int, a_across: int = 1, b_across: int = 1) -> None:  # fmt: skip
    """Add to a 4x4 tile a sum over `count` k.

    out[o + i o_step + j] += sum_k A[a + k a_step + i a_across] B[b + k b_step + j b_across].
    """
    z = fill(A, 0.0)
    s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = z
    s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = z
    for k in range(count):
        p, q = a + k * a_step, b + k * b_step
        x0, x1 = load(A, p), load(A, p + a_across)
        x2, x3 = load(A, p + 2 * a_across), load(A, p + 3 * a_across)
        y = load(B, q)
        s00, s10, s20, s30 = fma(x0, y, s00), fma(x1, y, s10), fma(x2, y, s20), fma(x3, y, s30)
        y = load(B, q + b_across)
        s01, s11, s21, s31 = fma(x0, y, s01), fma(x1, y, s11), fma(x2, y, s21), fma(x3, y, s31)
        y = load(B, q + 2 * b_across)
        s02, s12, s22, s32 = fma(x0, y, s02), fma(x1, y, s12), fma(x2, y, s22), fma(x3, y, s32)
        y = load(B, q + 3 * b_across)
        s03, s13, s23, s33 = fma(x0, y, s03), fma(x1, y, s13), fma(x2, y, s23), fma(x3, y, s33)
    _add_row(out, o, s00, s01, s02, s03)
    _add_row(out, o + o_step, s10, s11, s12, s13)
    _add_row(out, o + 2 * o_step, s20, s21, s22, s23)
    _add_row(out, o + 3 * o_step, s30, s31, s32, s33)


@njit(inline="always", **OPTIONS)
def wide(count: int) -> int:
    """A number of nodes, padded to whole tiles (as `dissection_plan.wide`)."""
    return (count + TILE - 1) // TILE * TILE


@njit(inline="always", **OPTIONS)
def stride(across: int) -> int:
    """Distance of the rows of a matrix that is `across` wide (as `dissection_plan.stride`)."""
    return across + TILE if across >= 32 and across % (2 * TILE) == 0 else across


@njit(inline="always", **OPTIONS)
def _set_row(out: Any, o: int, s0: Any, s1: Any, s2: Any, s3: Any) -> None:
    store(out, o, s0)
    store(out, o + 1, s1)
    store(out, o + 2, s2)
    store(out, o + 3, s3)


@njit(inline="always", **OPTIONS)
def _add_row(out: Any, o: int, s0: Any, s1: Any, s2: Any, s3: Any) -> None:
    store(out, o, add(load(out, o), s0))
    store(out, o + 1, add(load(out, o + 1), s1))
    store(out, o + 2, add(load(out, o + 2), s2))
    store(out, o + 3, add(load(out, o + 3), s3))


@njit(**OPTIONS)
def _gather(G: Any, where: Any, wires: Any, plan: Any, group: int, values: Any) -> None:
    """Fill `values` with the conductances of the group's arrays, then the shared ones."""
    for lane in range(LANES):
        # idle lanes repeat the last array
        first = where.first[min(group * LANES + lane, where.first.size - 1)]
        k = lane
        for i in range(plan.rows):
            row = first + i * where.row
            for j in range(plan.cols):
                values[k] = G[row + j]
                k += LANES
        for wire in wires:
            values[k] = wire
            k += LANES


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
    first_kept, row_length = wide(E), stride(pad)
    across = first_kept + pad
    width = stride(across)
    for e in range(E):
        _clear(panels, at + e * width + e, across - e)
    for i in range(0, front[F_SINK], TILE):  # the tiles that `_eliminate` updates
        first = i if i < front[F_SOURCE] else front[F_SINK] // TILE * TILE
        for row in range(i, i + TILE):
            _clear(stack, S + row * row_length + first, pad - first)
    for n in range(front[F_ELEMENT], front[F_ELEMENT] + front[F_ELEMENTS]):
        a, b, value = plan.element[n, 0], plan.element[n, 1], plan.element[n, 2]
        x = load(values, value)
        if a < E:
            p = at + a * width + b
            store(panels, p, add(load(panels, p), x))
        else:
            p = S + (a - first_kept) * row_length + b - first_kept
            store(stack, p, add(load(stack, p), x))
    for side in range(2):
        c = front[F_CHILD_A + side]
        if c >= 0:
            _add_child(plan.child_map, plan.front[c], first_kept, panels, at, width, stack, S,
                       row_length)  # fmt: skip


@njit(**OPTIONS)
def _add_child(where: Any, child: Any, first_kept: int, panels: Any, at: int, width: int,
               stack: Any, S: int, row_length: int) -> None:  # fmt: skip
    first, K, own, row = child[F_MAP], child[F_K], stride(child[F_PAD]), child[F_STACK]
    for i in range(child[F_SINK]):  # no conductance between sinks is ever needed
        start = i + 1 if i < child[F_SOURCE] else child[F_SINK]
        a = where[first + i]
        if a < first_kept:
            base = at + a * width
            for j in range(start, K):
                p = base + where[first + j]
                store(panels, p, add(load(panels, p), load(stack, row + j)))
        else:
            base = S + (a - first_kept) * row_length - first_kept
            for j in range(start, K):
                p = base + where[first + j]
                store(stack, p, add(load(stack, p), load(stack, row + j)))
        row += own


@njit(**OPTIONS)
def _eliminate_row(front: Any, panels: Any, at: int, first: int, e: int) -> None:
    """Add the share of rows `first` to e - 1 to row e of a panel and scale it."""
    E, across = front[F_E], wide(front[F_E]) + front[F_PAD]
    width = stride(across)
    row, whole = at + e * width, wide(e + 1)
    total = fill(panels, 0.0)
    for j in range(e + 1, whole):
        s = load(panels, row + j)
        for k in range(first, e):
            s = fma(load(panels, at + k * width + e), load(panels, at + k * width + j), s)
        store(panels, row + j, s)
        total = add(total, s)
    for j in range(whole, across, TILE):
        p = row + j
        s0, s1, s2, s3 = (
            load(panels, p), load(panels, p + 1), load(panels, p + 2), load(panels, p + 3),
        )  # fmt: skip
        for k in range(first, e):
            v, q = load(panels, at + k * width + e), at + k * width + j
            s0, s1 = fma(v, load(panels, q), s0), fma(v, load(panels, q + 1), s1)
            s2, s3 = fma(v, load(panels, q + 2), s2), fma(v, load(panels, q + 3), s3)
        _set_row(panels, p, s0, s1, s2, s3)
        total = add(total, add(add(s0, s1), add(s2, s3)))
    scale = div(fill(panels, 1.0), sqrt(maximum(total, fill(panels, TINY))))
    store(panels, at + E * width + e, scale)
    for p in range(row + e + 1, row + across):
        store(panels, p, mul(load(panels, p), scale))


@njit(**OPTIONS)
def _eliminate(front: Any, panels: Any, at: int, stack: Any) -> None:
    """Eliminate the front's first E nodes: scale its panel rows, then update its kept matrix.

    Afterwards row e holds c_ej / sqrt(d_e) and, behind the rows, 1 / sqrt(d_e). Rows go in blocks
    of `TILE`: each takes the share of all blocks before it at once.
    """
    E, pad, S = front[F_E], front[F_PAD], front[F_STACK]
    across = wide(E) + pad
    width, row_length = stride(across), stride(pad)
    for top in range(0, E, TILE):
        rows = min(TILE, E - top)
        first = top if rows == TILE else 0
        if rows == TILE and top > 0:
            for j in range(top, across, TILE):
                _product(panels, at + top, width, panels, at + j, width, top, panels,
                         at + top * width + j, width)  # fmt: skip
        for e in range(top, top + rows):
            _eliminate_row(front, panels, at, first, e)
    right = at + wide(E)
    for i in range(0, front[F_SINK], TILE):
        first = i if i < front[F_SOURCE] else front[F_SINK] // TILE * TILE
        for j in range(first, pad, TILE):
            _product(panels, right + i, width, panels, right + j, width, E, stack,
                     S + i * row_length + j, row_length)  # fmt: skip


@njit(**OPTIONS)
def _eliminate_all(
    G: Any, where: Any, wires: Any, plan: Any, group: int, values: Any, stack: Any, panels: Any,
    base: int, keep: bool,
) -> None:  # fmt: skip
    """Run one group of arrays up the tree; `keep` leaves every front its own panel after `base`."""
    _gather(G, where, wires, plan, group, values)
    for f in range(plan.front.shape[0]):
        at = base + plan.front[f, F_PANEL] if keep else base
        _assemble(plan, f, values, panels, at, stack)
        _eliminate(plan.front[f], panels, at, stack)


def workspace(plan: Plan, *, reverse: bool, kept: bool) -> int:
    """Numbers that a worker of `forward` or `reverse` needs as scratch memory, `work`."""
    vectors = plan.values + plan.stack
    if reverse:
        high, tall = plan.broadest, stride(plan.tallest)
        vectors += plan.reverse_stack + 2 * high * tall + plan.tallest * tall
    if not kept:
        vectors += plan.panels if reverse else plan.widest
    return vectors * LANES


@njit(inline="always", **OPTIONS)
def _cut(work: Any, first: int, vectors: int) -> tuple[Any, int]:
    """The next part of the scratch memory, and where the one after it begins."""
    last = first + vectors * LANES
    return work[first:last], last


@njit(**OPTIONS)
def forward(
    G: Any, where: Any, wires: Any, plan: Any, worker: int, workers: int, panels: Any, work: Any,
    out: Any,
) -> None:  # fmt: skip
    """Add G_eff to `out` for every `workers`-th group of arrays, beginning with group `worker`.

    Args:
        G: conductances, S, float32 or float64, flat.
        where: `Places` of the arrays in `G`.
        wires: conductances of the segments and ends (`WIRES`), S, (4,), same dtype; 0 where merged.
        plan: the elimination tree.
        worker, workers: which groups to do.
        panels: receives the panels of all groups for `reverse`; if empty, they are not kept.
        work: scratch memory of this worker, at least `workspace` numbers.
        out: G_eff in S, zeros before: as `G`, or with pairs of columns the differences, half as
            many numbers.
    """
    keep, arrays = panels.size > 0, where.first.size
    pairs = out.size < G.size
    values, at = _cut(work, 0, plan.values)
    stack, at = _cut(work, at, plan.stack)
    own = panels if keep else work[at:]
    root = plan.front[plan.front.shape[0] - 1]
    sources, row_length = root[F_SINK], stride(root[F_PAD])
    for group in range(worker, (arrays + LANES - 1) // LANES, workers):
        base = group * plan.panels * keep
        _eliminate_all(G, where, wires, plan, group, values, stack, own, base, keep)
        for i in range(sources):
            for j in range(root[F_K] - sources):
                col = plan.sink_col[j]
                if col >= 0:  # a bit line may end in a driven and in a sensed terminal
                    p = (root[F_STACK] + i * row_length + sources + j) * LANES
                    cell = plan.source_row[i] * where.row + col
                    for lane in range(min(LANES, arrays - group * LANES)):
                        q = where.first[group * LANES + lane] + cell
                        if not pairs:
                            out[q] += stack[p + lane]
                        elif q % 2:
                            out[q // 2] -= stack[p + lane]
                        else:
                            out[q // 2] += stack[p + lane]


@njit(**OPTIONS)
def _voltages(front: Any, panels: Any, at: int, F: Any) -> None:
    """F (pad, tall): voltage of eliminated node e (second axis) for 1 V on kept node k (first)."""
    E, pad, tall = front[F_E], front[F_PAD], wide(front[F_E])
    width, step = stride(tall + pad), stride(tall)
    for top in range(tall - TILE, -1, -TILE):
        last = min(top + TILE, E)
        for j in range(0, pad, TILE):
            for e in range(top, last):
                p, q = at + e * width + tall + j, j * step + e
                store(F, q, load(panels, p))
                store(F, q + step, load(panels, p + 1))
                store(F, q + 2 * step, load(panels, p + 2))
                store(F, q + 3 * step, load(panels, p + 3))
            if last < E:
                _product(F, j * step + last, 1, panels, at + top * width + last, 1, E - last, F,
                         j * step + top, step, step, width)  # fmt: skip
            for e in range(last - 1, top - 1, -1):
                scale, q = load(panels, at + E * width + e), j * step
                s0, s1 = load(F, q + e), load(F, q + step + e)
                s2, s3 = load(F, q + 2 * step + e), load(F, q + 3 * step + e)
                for k in range(e + 1, last):
                    v = load(panels, at + e * width + k)
                    s0, s1 = fma(v, load(F, q + k), s0), fma(v, load(F, q + step + k), s1)
                    s2 = fma(v, load(F, q + 2 * step + k), s2)
                    s3 = fma(v, load(F, q + 3 * step + k), s3)
                store(F, q + e, mul(s0, scale))
                store(F, q + step + e, mul(s1, scale))
                store(F, q + 2 * step + e, mul(s2, scale))
                store(F, q + 3 * step + e, mul(s3, scale))
    for k in range(pad):
        _clear(F, k * step + E, tall - E)


@njit(**OPTIONS)
def _extend(front: Any, F: Any, X: Any, Y: Any, H: Any) -> None:
    """Fill the rows and columns of H that belong to the front's eliminated nodes.

    F (pad, tall) holds the voltages; X (pad, tall) = H F and Y (tall, tall) = X^T F are scratch.
    """
    E, K, pad, h = front[F_E], front[F_K], front[F_PAD], front[F_REVERSE]
    source, sink = front[F_SOURCE], front[F_SINK]
    tall = wide(E)
    width, step = stride(tall + pad), stride(tall)
    kept = h + tall * width + tall
    _clear(X, 0, pad * step)
    _clear(Y, 0, tall * step)
    for i in range(0, pad, TILE):
        first, last = source, K  # pairs of two sources or of two sinks carry no gradient
        if i >= sink:
            last = sink
        elif i >= source and i + TILE <= sink:
            first = sink
        for j in range(0, tall, TILE):
            o = i * step + j
            _product(H, kept + i, width, F, j, step, source, X, o, step)
            _product(H, kept + first * width + i, width, F, first * step + j, step, last - first,
                     X, o, step)  # fmt: skip
    for i in range(0, tall, TILE):
        for j in range(i, tall, TILE):
            _product(X, i, step, F, j, step, K, Y, i * step + j, step)
    half = fill(F, 0.5)
    for e in range(E):
        q = mul(half, load(Y, e * step + e))
        for other in range(e + 1, E):
            x = sub(load(Y, e * step + other), q)
            x = sub(x, mul(half, load(Y, other * step + other)))
            store(H, h + e * width + other, x)
            store(H, h + other * width + e, x)
        store(H, h + e * width + e, fill(F, 0.0))
        for k in range(K):
            x = sub(load(X, k * step + e), q)
            store(H, h + e * width + tall + k, x)
            store(H, h + (tall + k) * width + e, x)


@njit(**OPTIONS)
def _inherit(plan: Any, front: Any, H: Any) -> None:
    """Copy the H of the front's kept nodes from its parent."""
    parent = plan.front[front[F_PARENT]]
    K, tall, first = front[F_K], wide(front[F_E]), front[F_MAP]
    own = stride(tall + front[F_PAD])
    above = stride(wide(parent[F_E]) + parent[F_PAD])
    for i in range(K):
        to = front[F_REVERSE] + (tall + i) * own + tall
        base = parent[F_REVERSE] + plan.child_map[first + i] * above
        for j in range(K):
            store(H, to + j, load(H, base + plan.child_map[first + j]))
        _clear(H, to + K, front[F_PAD] - K)


@njit(**OPTIONS)
def _seed(M: Any, where: Any, pairs: bool, plan: Any, group: int, H: Any) -> None:
    """Fill the H of the root's kept nodes with dL/dG_eff."""
    root = plan.front[plan.front.shape[0] - 1]
    K, tall, sources = root[F_K], wide(root[F_E]), root[F_SINK]
    width = stride(tall + root[F_PAD])
    for i in range(K):
        _clear(H, (tall + i) * width + tall, root[F_PAD])
    for i in range(sources):
        for j in range(K - sources):
            if plan.sink_col[j] >= 0:
                a, b = tall + i, tall + sources + j
                cell = plan.source_row[i] * where.row + plan.sink_col[j]
                for lane in range(min(LANES, where.first.size - group * LANES)):
                    q = where.first[group * LANES + lane] + cell
                    x = M[q // 2] if pairs else M[q]
                    if pairs and q % 2:
                        x = -x
                    H[(a * width + b) * LANES + lane] = x
                    H[(b * width + a) * LANES + lane] = x


@njit(**OPTIONS)
def _fetch(plan: Any, f: int, panels: Any, base: int) -> None:
    """Ask for the end of a front's panel, where `_voltages` begins: it was written long ago."""
    bytes_each = LANES * panels.itemsize
    end = base + plan.front[f + 1, F_PANEL]
    first = max(base + plan.front[f, F_PANEL], end - FETCHED // bytes_each)
    for p in range(first, end, max(LINE // bytes_each, 1)):
        prefetch(panels, p)


@njit(**OPTIONS)
def reverse(
    G: Any, where: Any, wires: Any, M: Any, plan: Any, worker: int, workers: int, panels: Any,
    work: Any, out: Any, by_wires: Any,
) -> None:  # fmt: skip
    """Write dL/dG and the gradients of the shared conductances of every array.

    Args:
        G, where, wires, plan, worker, workers: as for `forward`.
        M: gradient by what `forward` wrote, as large as that, same dtype.
        panels: what `forward` kept; if empty, the elimination is repeated.
        work: scratch memory of this worker, at least `workspace` numbers.
        out: dL/dG, as `G`.
        by_wires: (arrays, 4): dL/d(conductance) of `WIRES`.
    """
    kept, arrays = panels.size > 0, where.first.size
    pairs = M.size < G.size
    tall = stride(plan.tallest)
    values, at = _cut(work, 0, plan.values)
    stack, at = _cut(work, at, plan.stack)
    H, at = _cut(work, at, plan.reverse_stack)
    F, at = _cut(work, at, plan.broadest * tall)
    X, at = _cut(work, at, plan.broadest * tall)
    Y, at = _cut(work, at, plan.tallest * tall)
    own = panels if kept else work[at:]
    for group in range(worker, (arrays + LANES - 1) // LANES, workers):
        base = group * plan.panels * kept
        if not kept:
            _eliminate_all(G, where, wires, plan, group, values, stack, own, 0, True)
        values[:] = 0
        for f in range(plan.front.shape[0] - 1, -1, -1):
            front = plan.front[f]
            if f > 0:
                _fetch(plan, f - 1, own, base)
            if front[F_PARENT] < 0:
                _seed(M, where, pairs, plan, group, H)
            else:
                _inherit(plan, front, H)
            _voltages(front, own, base + front[F_PANEL], F)
            _extend(front, F, X, Y, H)
            width = stride(wide(front[F_E]) + front[F_PAD])
            for n in range(front[F_ELEMENT], front[F_ELEMENT] + front[F_ELEMENTS]):
                a, b, value = plan.element[n, 0], plan.element[n, 1], plan.element[n, 2]
                x = load(H, front[F_REVERSE] + a * width + b)
                store(values, value, add(load(values, value), x))
        for lane in range(min(LANES, arrays - group * LANES)):
            array, k = group * LANES + lane, lane
            for i in range(plan.rows):
                row = where.first[array] + i * where.row
                for j in range(plan.cols):
                    out[row + j] = values[k]
                    k += LANES
            for wire in range(wires.size):
                by_wires[array, wire] = values[k]
                k += LANES
