"""Lines of least weighted error at the stuck devices of an array.

For given rows this is a linear assignment of the columns (Kuhn 1955, doi:10.1002/nav.3800020109),
solved exactly, also where there are more lines than are needed; all arrangements of the side with
fewer are gone through where they are at most `EXACT`, which makes the minimum exact.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from xbarspice.core.seeds import child_rng
from xbarspice.core.types import Array, Indices

__all__ = ["Group", "best_lines", "move_line", "shuffle_lines"]


EXACT = 50_000
"""Arrangements of one side that are gone through."""
STARTS = 50
"""Starts of the search where there are more."""
NEAR = 1e-9
"""Share of the largest cost that lines from end to end count: of equal ones the nearest are kept,
next to the drivers."""

Group = tuple[Indices, Indices]
"""Lines of what is placed, and the lines of the array that may carry them, as many or more."""


def shuffle_lines(
    sides: tuple[list[Group], list[Group]], rng: np.random.Generator
) -> tuple[Indices, Indices]:
    """A random line of the array for each line of what is placed, within groups."""
    out = []
    for groups in sides:
        order = np.empty(sum(len(lines) for lines, _ in groups), np.intp)
        for lines, places in groups:
            order[lines] = rng.permutation(places)[: len(lines)]
        out.append(order)
    return out[0], out[1]


def move_line(
    order: tuple[Indices, Indices],
    sides: tuple[list[Group], list[Group]],
    rng: np.random.Generator,
) -> tuple[Indices, Indices]:
    """One random line moved to a spare place, or two that change places."""
    new = (order[0].copy(), order[1].copy())
    movable = [
        (k, lines, places)
        for k in (0, 1)
        for lines, places in sides[k]
        if len(lines) and len(places) > 1
    ]
    if not movable:
        return new
    side, lines, places = movable[int(rng.integers(len(movable)))]
    line = int(rng.choice(lines))
    place = int(rng.choice(places[places != new[side][line]]))
    new[side][new[side] == place] = new[side][line]
    new[side][line] = place
    return new


def best_lines(
    weight: Array,
    target: Array,
    stuck: Any,
    value: Array,
    row_groups: list[Group],
    col_groups: list[Group],
) -> tuple[Indices, Indices, bool]:
    """Lines of least weighted squared error at the stuck devices.

    Args:
        weight, target: of the devices of what is placed, (rows, cols), or (rows, cols, n) where n
            devices of a row move together.
        stuck, value: of the array's devices, likewise; it may have more lines.
        row_groups, col_groups: lines, and those that may carry them.

    Returns:
        Physical row of each row, physical column of each column, and whether no other placement
        is better (otherwise it is the best of an alternating search from `STARTS` starts).
    """
    weight, target, stuck, value = (np.atleast_3d(v) for v in (weight, target, stuck, value))
    counts = [
        math.prod(math.perm(len(places), len(lines)) for lines, places in groups)
        for groups in (row_groups, col_groups)
    ]
    if counts[1] < counts[0]:
        W, G, hit, held = (v.swapaxes(0, 1) for v in (weight, target, stuck, value))
        cols, rows, exact = best_lines(W, G, hit, held, col_groups, row_groups)
        return rows, cols, exact
    if counts[0] > EXACT:
        return (*_alternate(weight, target, stuck, value, row_groups, col_groups), False)
    places = np.argwhere(stuck.any(axis=2))

    def cols_for(rows: Indices) -> tuple[float, Indices]:
        row_on = np.full(len(stuck), -1)
        row_on[rows] = np.arange(len(rows))
        cost = np.zeros((target.shape[1], stuck.shape[1]))  # (column, physical column)
        for r, c in places:
            i = row_on[r]
            if i >= 0:
                error = weight[i] * (value[r, c] - target[i]) * stuck[r, c]
                cost[:, c] += (error**2).sum(axis=1)
        return _assign(cost, col_groups)

    arrangements = itertools.product(
        *(itertools.permutations(places, len(lines)) for lines, places in row_groups)
    )
    best: tuple[float, Indices, Indices] = (math.inf, np.empty(0, int), np.empty(0, int))
    for arrangement in arrangements:
        rows = np.empty(len(target), dtype=np.intp)
        for (lines, _), members in zip(row_groups, arrangement, strict=True):
            rows[lines] = members
        cost, cols = cols_for(rows)
        if cost < best[0] * (1 - 1e-12):
            best = (cost, rows, cols)
    return best[1], best[2], True


def _assign(cost: Array, groups: list[Group]) -> tuple[float, Indices]:
    """Physical line of each line, of least cost, within groups; of equal ones the nearest."""
    lines_in_all, lines_of_array = cost.shape
    far = (np.arange(lines_in_all)[:, None] - np.arange(lines_of_array)) / lines_of_array
    ranked = cost + NEAR * max(float(cost.max(initial=0.0)), 1e-300) * far**2
    out, total = np.arange(lines_in_all), 0.0
    for lines, places in groups:
        i, j = linear_sum_assignment(ranked[np.ix_(lines, places)])
        out[lines[i]] = places[j]
        total += float(cost[lines[i], places[j]].sum())
    return total, out


def _alternate(
    weight: Array,
    target: Array,
    stuck: Any,
    value: Array,
    row_groups: list[Group],
    col_groups: list[Group],
) -> tuple[Indices, Indices]:
    """Assign rows for columns and columns for rows, in turn, from many starts."""
    rng = child_rng(0, "die: starts of the assignment")
    plain = (np.arange(target.shape[0]), np.arange(target.shape[1]))
    best = (math.inf, *plain)
    hit = stuck.astype(float)
    for start in range(STARTS):
        rows, cols = plain if start == 0 else shuffle_lines((row_groups, col_groups), rng)
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
