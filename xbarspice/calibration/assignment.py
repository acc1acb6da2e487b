"""Lines of least weighted error at the stuck devices of an array.

For given rows this is a linear assignment of the columns (Kuhn 1955, doi:10.1002/nav.3800020109),
solved exactly; all arrangements of the side with fewer are gone through where they are at most
`EXACT`, which makes the minimum exact.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from xbarspice.core.seeds import child_rng
from xbarspice.core.types import Array, Indices

__all__ = ["best_lines", "shuffle_lines"]


EXACT = 50_000
"""Arrangements of one side that are gone through."""


def shuffle_lines(
    plain: tuple[Indices, Indices],
    sides: tuple[list[Indices], list[Indices]],
    rng: np.random.Generator,
) -> tuple[Indices, Indices]:
    """Random permutations among lines that may change places."""
    out = []
    for lines, groups in zip(plain, sides, strict=True):
        new = lines.copy()
        for group in groups:
            new[group] = rng.permutation(group)
        out.append(new)
    return out[0], out[1]


def best_lines(
    weight: Array,
    target: Array,
    stuck: Any,
    value: Array,
    row_groups: list[Indices],
    col_groups: list[Indices],
) -> tuple[Indices, Indices, bool]:
    """Lines of least weighted squared error at the stuck devices.

    Args:
        weight, target: of the devices of what stands on the array, (rows, cols), or (rows, cols, n)
            where n devices of a row move together.
        stuck, value: of the die's devices, of the same shape.
        row_groups, col_groups: lines that may take each other's place.

    Returns:
        Physical row of each row, physical column of each column, and whether no other placement
        is better (otherwise it is the best of an alternating search from 50 starts).
    """
    weight, target, stuck, value = (np.atleast_3d(v) for v in (weight, target, stuck, value))
    counts = [math.prod(math.factorial(len(g)) for g in gs) for gs in (row_groups, col_groups)]
    if counts[1] < counts[0]:
        W, G, hit, held = (v.swapaxes(0, 1) for v in (weight, target, stuck, value))
        cols, rows, exact = best_lines(W, G, hit, held, col_groups, row_groups)
        return rows, cols, exact
    places = np.argwhere(stuck.any(axis=2))

    def cols_for(rows: Indices) -> tuple[float, Indices]:
        row_on = np.argsort(rows)
        cost = np.zeros((target.shape[1], target.shape[1]))  # (column, physical column)
        for r, c in places:
            i = row_on[r]
            error = weight[i] * (value[r, c] - target[i]) * stuck[r, c]
            cost[:, c] += (error**2).sum(axis=1)
        return _assign(cost, col_groups)

    if counts[0] <= EXACT:
        arrangements = itertools.product(*(itertools.permutations(g) for g in row_groups))
        best: tuple[float, Indices, Indices] = (math.inf, np.empty(0, int), np.empty(0, int))
        for arrangement in arrangements:
            rows = np.empty(len(target), dtype=np.intp)
            for group, members in zip(row_groups, arrangement, strict=True):
                rows[group] = members
            cost, cols = cols_for(rows)
            if cost < best[0] * (1 - 1e-12):
                best = (cost, rows, cols)
        return best[1], best[2], True
    return (*_alternate(weight, target, stuck, value, row_groups, col_groups), False)


def _assign(cost: Array, groups: list[Indices]) -> tuple[float, Indices]:
    """Physical line of each network line, of least cost, within groups."""
    out, total = np.arange(len(cost)), 0.0
    for group in groups:
        part = cost[np.ix_(group, group)]
        i, j = linear_sum_assignment(part)
        out[group[i]] = group[j]
        total += float(part[i, j].sum())
    return total, out


def _alternate(
    weight: Array,
    target: Array,
    stuck: Any,
    value: Array,
    row_groups: list[Indices],
    col_groups: list[Indices],
) -> tuple[Indices, Indices]:
    """Assign rows for columns and columns for rows, in turn, from 50 starts."""
    rng = child_rng(0, "die: starts of the assignment")
    plain = (np.arange(target.shape[0]), np.arange(target.shape[1]))
    best = (math.inf, *plain)
    hit = stuck.astype(float)
    for start in range(50):
        groups = (row_groups, col_groups)
        rows, cols = plain if start == 0 else shuffle_lines(plain, groups, rng)
        last = math.inf
        while True:
            s, v = hit[:, cols], value[:, cols]
            cost = np.einsum("ijn,pjn,ipjn->ip", weight**2, s, (v[None] - target[:, None]) ** 2)
            _, rows = _assign(cost, row_groups)
            s, v = hit[rows], value[rows]
            square = (v[:, None] - target[:, :, None]) ** 2
            cost = np.einsum("ijn,ipn,ijpn->jp", weight**2, s, square)
            total, cols = _assign(cost, col_groups)
            if total >= last * (1 - 1e-12):
                break
            last = total
        if last < best[0]:
            best = (last, rows, cols)
    return best[1], best[2]
