"""A trained network on a measured die: its accuracy, and the lines that serve it best.

Rows and columns of the network may stand on any physical lines whose ends are alike in every
reading pass. What a placement costs is, to second order, the sum over the stuck devices of
``(sensitivity (G_stuck - G_wanted))^2``. For given rows this is a linear assignment of the columns
(Kuhn 1955, doi:10.1002/nav.3800020109), solved exactly; all arrangements of the side with fewer are
gone through where they are at most `EXACT`, which makes the minimum exact. Random placements are
judged beside it by the computed answers for tuning points, as in `studies.remedies`. One half of
these points picks the best random placement; the other half, which nothing was picked by, decides
between it, the assigned lines and the lines as they stand. Test points play no part.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from xbarspice.config import child_rng
from xbarspice.errors import broken_rule
from xbarspice.mapping import MappedNetwork
from xbarspice.studies import batched
from xbarspice.studies.batched import Batch, Placement
from xbarspice.studies.calibrate.die import Die, Thresholds
from xbarspice.studies.placing import alike
from xbarspice.studies.remedies import Procedure, Tester, program
from xbarspice.values import labels_of
from xbarspice.variability import Compose, StuckDevices, Variation
from xbarspice.variability.base import Draws

__all__ = ["Served", "best_lines", "serve"]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

EXACT = 50_000
"""Arrangements of one side that are gone through."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _KnownStuck(StuckDevices):
    """The stuck devices of one measured die: nothing is drawn."""

    stuck: Any
    value: Any

    def _draw(self, draws: Draws) -> tuple[Any, Any]:
        return np.broadcast_to(self.stuck, draws.shape), np.broadcast_to(self.value, draws.shape)


@dataclass(frozen=True, kw_only=True)
class Served:
    """How a network fares on a die.

    Attributes:
        software: accuracy of the network itself on the test points.
        as_measured: accuracy with every conductance as it was measured (a die that holds it).
        exact: accuracies of the die if healthy devices meet their targets: "as it stands",
            "best lines", "best lines and partners".
        mean: their means over drawn tuning errors.
        rows, cols: `rows[i]` is the physical word line of the network's row i; likewise `cols`.
        method: how the lines were found.
    """

    software: float
    as_measured: float
    exact: dict[str, float]
    mean: dict[str, float]
    rows: tuple[int, ...]
    cols: tuple[int, ...]
    method: str


def serve(
    mapped: MappedNetwork,
    die: Die,
    thresholds: Thresholds,
    tuning: tuple[npt.ArrayLike, npt.ArrayLike],
    test: tuple[npt.ArrayLike, npt.ArrayLike],
    *,
    errors: Variation,
    transfers: int = 100,
    trials: int = 200,
    seed: int = 0,
) -> Served:
    """Find the lines on which a network fares best, and how it fares with and without.

    Args:
        mapped: the network on one array of the die's size.
        die: the measured die.
        thresholds: what counts as stuck.
        tuning: points and classes by which placements are chosen, 2 or more.
        test: points and classes by which they are judged; no tuning points.
        errors: tuning errors of healthy devices; their stuck devices are replaced by the die's.
        transfers: draws of these errors.
        trials: random placements beside the assigned one.
        seed: of trials and draws.

    Raises:
        InputError: the network does not stand on one array of that size.
    """
    shapes = [a.G.shape for a in mapped.arrays]
    if shapes != [die.G.shape]:
        raise broken_rule(
            f"the network must stand on one array of the die's size {die.G.shape}", shapes,
            "Set mapping.tile_rows, mapping.tile_cols and mapping.layout.",
        )  # fmt: skip
    x = mapped.network.inputs(test[0])
    y = labels_of("test[1]", test[1], len(x))
    stuck = die.stuck(thresholds) != 0
    tester = Tester.of(mapped, Procedure(remap=1), tuning, circuit=True)
    best, method = _choose(tester, stuck, die.G, trials, seed)
    plain = Placement(rows=np.arange(len(die.G))[None], cols=np.arange(die.G.shape[1])[None])
    exact, mean = {}, {}
    cases = (
        ("as it stands", plain, False), ("best lines", best, False),
        ("best lines and partners", best, True),
    )  # fmt: skip
    for name, place, partners in cases:
        case = replace(tester, procedure=Procedure(compensate=partners))
        for out, variation, count in ((exact, Compose([]), 1), (mean, errors, transfers)):
            batch = _programmed(case, variation, stuck, die.G, place, count, seed)
            out[name] = _accuracy(mapped, x, y, batch)
    held = Batch(G=(die.G[None],))
    return Served(
        software=float(np.mean(mapped.network.predict(mapped.network.forward(x)[-1]) == y)),
        as_measured=_accuracy(mapped, x, y, held), exact=exact, mean=mean,
        rows=tuple(best.rows[0].tolist()), cols=tuple(best.cols[0].tolist()), method=method,
    )  # fmt: skip


def _accuracy(mapped: MappedNetwork, x: Array, y: Index, batch: Batch) -> float:
    """Mean accuracy over the transfers of a batch, every point through the surrogate."""
    right = []
    for k in range(0, batch.transfers, 10):
        logits = batched.logits(mapped, x, batch.part(k, min(k + 10, batch.transfers)), "surrogate")
        right += [np.mean(mapped.network.predict(z) == y) for z in logits]
    return float(np.mean(right))


def _programmed(
    tester: Tester, errors: Variation, stuck: Any, value: Array, place: Placement, count: int,
    seed: int,
) -> Batch:  # fmt: skip
    """The die, programmed on these lines with these errors; `place` of 1 or `count` transfers."""
    seen = [v[place.rows[:, :, None], place.cols[:, None]] for v in (stuck, value)]
    known = _KnownStuck(stuck=seen[0], value=seen[1])
    parts = errors.parts if isinstance(errors, Compose) else (errors,)
    terms = [p for p in parts if not isinstance(p, StuckDevices)]
    done = program(tester, Compose([*terms, known]), count=count, seed=seed, chunk=0)
    many = Placement(
        rows=np.broadcast_to(place.rows, (count, place.rows.shape[1])),
        cols=np.broadcast_to(place.cols, (count, place.cols.shape[1])),
    )
    return Batch(G=batched.moved(done.G, (many,)), places=(many,))


def _choose(
    tester: Tester, stuck: Any, value: Array, trials: int, seed: int
) -> tuple[Placement, str]:
    """The best of the assigned, the random and the plain placement, by the tuning points."""
    mapped = tester.mapped
    rows, cols = value.shape
    plain = (np.arange(rows), np.arange(cols))
    if not stuck.any():
        return Placement(rows=plain[0][None], cols=plain[1][None]), "no stuck device: lines kept"
    sensitivity = None if tester.sensitivity is None else tester.sensitivity[0]
    weight = np.ones(value.shape) if sensitivity is None else sensitivity
    sides = alike(mapped, 0)
    *assigned, exact = best_lines(weight, mapped.arrays[0].G, stuck, value, *sides)
    rng = child_rng(seed, "die: random lines")
    found = [plain, tuple(assigned), *(_shuffled(plain, sides, rng) for _ in range(trials))]
    places = Placement(rows=np.array([f[0] for f in found]), cols=np.array([f[1] for f in found]))
    case = replace(tester, procedure=Procedure())
    batch = _programmed(case, Compose([]), stuck, value, places, len(found), seed)
    seen = [
        np.take_along_axis(
            np.take_along_axis(batch.G[0], places.rows[:, :, None], 1), places.cols[:, None], 2
        )
    ]
    margins = tester.margins(tester.logits(seen))
    score = np.tanh(margins / max(float(np.median(np.abs(margins))), 1e-12))
    k = _fair_choice(score, child_rng(seed, "die: judges of the lines"))
    words = ("the lines as they stand", f"linear assignment ({'exact' if exact else 'local'})")
    method = words[k] if k < 2 else f"best of {trials} random placements"
    return Placement(rows=places.rows[k : k + 1], cols=places.cols[k : k + 1]), method


def _fair_choice(score: Array, rng: np.random.Generator) -> int:
    """Index of the placement to keep: 0 as it stands, 1 assigned, 2 and on random.

    The best of many random placements on some points is better there than elsewhere, so other
    points must decide between it and the two that were not picked by answers.

    Args:
        score: of every placement and tuning point, (placements, points).
        rng: deals the points out.
    """
    if score.shape[1] < 2:
        raise broken_rule(
            "lines are chosen by at least 2 tuning points", score.shape[1], "Give more points."
        )
    order = rng.permutation(score.shape[1])
    half = len(order) // 2
    picked, judged = (score[:, part].mean(axis=1) for part in (order[:half], order[half:]))
    finalists = [0, 1, *([2 + int(np.argmax(picked[2:]))] if len(score) > 2 else [])]
    return finalists[int(np.argmax(judged[finalists]))]


def _shuffled(plain: Any, sides: Any, rng: np.random.Generator) -> tuple[Index, Index]:
    out = []
    for lines, groups in zip(plain, sides, strict=True):
        new = lines.copy()
        for group in groups:
            new[group] = rng.permutation(group)
        out.append(new)
    return out[0], out[1]


def best_lines(
    weight: Array, wanted: Array, stuck: Any, value: Array, row_groups: list[Index],
    col_groups: list[Index],
) -> tuple[Index, Index, bool]:  # fmt: skip
    """Lines of least weighted squared error at the stuck devices.

    Args:
        weight, wanted: of the network's devices, (rows, cols).
        stuck, value: of the die's devices, (rows, cols).
        row_groups, col_groups: lines that may take each other's place.

    Returns:
        Physical row of each network row, physical column of each, and whether no other placement
        is better (otherwise it is the best of an alternating search from 50 starts).
    """
    counts = [math.prod(math.factorial(len(g)) for g in gs) for gs in (row_groups, col_groups)]
    if counts[1] < counts[0]:
        cols, rows, exact = best_lines(weight.T, wanted.T, stuck.T, value.T, col_groups, row_groups)
        return rows, cols, exact
    places = np.argwhere(stuck)

    def cols_for(rows: Index) -> tuple[float, Index]:
        network_row = np.argsort(rows)
        cost = np.zeros((wanted.shape[1], wanted.shape[1]))  # (network column, physical column)
        for r, c in places:
            i = network_row[r]
            cost[:, c] += (weight[i] * (value[r, c] - wanted[i])) ** 2
        return _assign(cost, col_groups)

    if counts[0] <= EXACT:
        arrangements = itertools.product(*(itertools.permutations(g) for g in row_groups))
        best: tuple[float, Index, Index] = (math.inf, np.empty(0, int), np.empty(0, int))
        for arrangement in arrangements:
            rows = np.empty(len(wanted), dtype=np.intp)
            for group, members in zip(row_groups, arrangement, strict=True):
                rows[group] = members
            cost, cols = cols_for(rows)
            if cost < best[0] * (1 - 1e-12):
                best = (cost, rows, cols)
        return best[1], best[2], True
    return (*_alternate(weight, wanted, stuck, value, row_groups, col_groups), False)


def _assign(cost: Array, groups: list[Index]) -> tuple[float, Index]:
    """Physical line of each network line, of least cost, within groups."""
    out, total = np.arange(len(cost)), 0.0
    for group in groups:
        part = cost[np.ix_(group, group)]
        i, j = linear_sum_assignment(part)
        out[group[i]] = group[j]
        total += float(part[i, j].sum())
    return total, out


def _alternate(
    weight: Array, wanted: Array, stuck: Any, value: Array, row_groups: list[Index],
    col_groups: list[Index],
) -> tuple[Index, Index]:  # fmt: skip
    """Assign rows for columns and columns for rows, in turn, from 50 starts."""
    rng = child_rng(0, "die: starts of the assignment")
    plain = (np.arange(wanted.shape[0]), np.arange(wanted.shape[1]))
    best = (math.inf, *plain)
    hit = stuck.astype(float)
    for start in range(50):
        groups = (row_groups, col_groups)
        rows, cols = plain if start == 0 else _shuffled(plain, groups, rng)
        last = math.inf
        while True:
            s, v = hit[:, cols], value[:, cols]
            cost = np.einsum("ij,pj,ipj->ip", weight**2, s, (v[None] - wanted[:, None]) ** 2)
            _, rows = _assign(cost, row_groups)
            s, v = hit[rows], value[rows]
            square = (v[:, None] - wanted[:, :, None]) ** 2
            cost = np.einsum("ij,ip,ijp->jp", weight**2, s, square)
            total, cols = _assign(cost, col_groups)
            if total >= last * (1 - 1e-12):
                break
            last = total
        if last < best[0]:
            best = (last, rows, cols)
    return best[1], best[2]
