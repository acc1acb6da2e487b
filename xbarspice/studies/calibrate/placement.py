"""A trained model on a measured die: its accuracy, and the lines that serve it best.

Rows and columns of its array may stand on any physical lines whose ends are alike in every
reading pass. What a placement costs is, to second order, the sum over the stuck devices of
``(sensitivity (G_stuck - G_wanted))^2``. For given rows this is a linear assignment of the columns
(Kuhn 1955, doi:10.1002/nav.3800020109), solved exactly; all arrangements of the side with fewer are
gone through where they are at most `EXACT`, which makes the minimum exact. Random placements are
judged beside it by the computed answers for tuning points, through wires and devices. One half of
these points picks the best random placement; the other half, which nothing was picked by, decides
between it, the assigned lines and the lines as they stand. Test points play no part.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from xbarspice.config import child_rng
from xbarspice.errors import broken_rule
from xbarspice.nn import arrays, copy_circuit, exact_products, put_conductances, through
from xbarspice.nn.origin import arguments_of, decisions_of, outputs_of
from xbarspice.studies.calibrate.die import Die, Thresholds
from xbarspice.studies.calibrate.lines import LinesMoved, alike, compensated, moved
from xbarspice.values import labels_of
from xbarspice.variability import Compose, StuckDevices, Variation

__all__ = ["Served", "best_lines", "serve"]

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]
Lines = tuple[Index, Index]
"""Physical word line of each row of the model's array, and bit line of each column."""

EXACT = 50_000
"""Arrangements of one side that are gone through."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """How a model fares on a die.

    Attributes:
        software: accuracy of the model with exact products on the test points.
        as_measured: accuracy with every conductance as it was measured (a die that holds it).
        exact: accuracies of the die if healthy devices meet their targets: "as it stands",
            "best lines", "best lines and partners".
        mean: their means over drawn tuning errors.
        rows, cols: `rows[i]` is the physical word line of the array's row i; likewise `cols`.
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
    circuit: nn.Module,
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
    """Find the lines on which a model fares best, and how it fares with and without.

    Args:
        circuit: a classifier from `nn.convert` on one array of the die's size; it is left as it is.
        die: the measured die.
        thresholds: what counts as stuck.
        tuning: points and classes by which placements are chosen, 2 or more.
        test: points and classes by which they are judged; no tuning points.
        errors: tuning errors of healthy devices; their stuck devices are replaced by the die's.
        transfers: draws of these errors.
        trials: random placements beside the assigned one.
        seed: of trials and draws.

    Raises:
        InputError: the model does not stand on one array of that size, or does not classify.
    """
    model, judge, tuner = (
        _OnDie(circuit, die),
        _Points.of(circuit, test),
        _Points.of(circuit, tuning),
    )
    stuck = die.stuck(thresholds) != 0
    best, method = _choose(model, tuner, stuck, trials, seed)
    plain = model.plain
    parts = errors.parts if isinstance(errors, Compose) else (errors,)
    drawn = Compose([p for p in parts if not isinstance(p, StuckDevices)])
    exact, mean = {}, {}
    cases = (
        ("as it stands", plain, False),
        ("best lines", best, False),
        ("best lines and partners", best, True),
    )
    for name, lines, partners in cases:
        wanted = model.targets(lines, stuck, partners)
        exact[name] = judge.accuracy(
            model.answers(judge, [model.held(wanted, lines, stuck)], lines)
        )
        rng = child_rng(seed, "die: tuning errors")  # the same for all cases
        programmed = drawn.apply(np.repeat(moved(wanted, lines)[None], transfers, axis=0), rng)
        held = [np.where(stuck, die.G, G)[np.ix_(*lines)] for G in programmed]
        mean[name] = judge.accuracy(model.answers(judge, held, lines))
    with exact_products():
        software = judge.accuracy([outputs_of(model.circuit, judge.arguments)])
    return Served(
        software=software,
        as_measured=judge.accuracy(model.answers(judge, [die.G], plain)),
        exact=exact,
        mean=mean,
        rows=tuple(best[0].tolist()),
        cols=tuple(best[1].tolist()),
        method=method,
    )


@dataclass(frozen=True, kw_only=True)
class _Points:
    """Arguments of the model with their classes."""

    arguments: tuple[Any, ...]
    y: Index

    @classmethod
    def of(cls, circuit: nn.Module, points: tuple[npt.ArrayLike, npt.ArrayLike]) -> _Points:
        arguments = arguments_of(circuit, np.asarray(points[0]))
        return cls(arguments=arguments, y=labels_of("classes", points[1], len(arguments[0])))

    def accuracy(self, answers: Sequence[tuple[torch.Tensor, ...]]) -> float:
        """Share of right decisions, mean over several answers of the model."""
        return float(np.mean([decisions_of(a, self.y) == self.y for a in answers]))

    def margins(self, answers: Sequence[tuple[torch.Tensor, ...]]) -> Array:
        """How far each point is on the right side, in logits, (answers, points)."""
        z = np.stack([a[0].double().numpy().reshape(len(self.y), -1) for a in answers])
        if z.shape[-1] == 1:
            return np.asarray(z[..., 0] * (2 * self.y - 1), np.float64)
        own = np.take_along_axis(z, self.y[None, :, None], axis=-1)
        others = np.where(np.arange(z.shape[-1]) == self.y[:, None], -np.inf, z)
        return np.asarray(own[..., 0] - others.max(axis=-1), np.float64)


class _OnDie:
    """A model whose one array is the die."""

    def __init__(self, circuit: nn.Module, die: Die) -> None:
        self.circuit = copy_circuit(circuit).eval()
        put_conductances(self.circuit, None)
        physical = arrays(self.circuit)
        shapes = [a.crossbar.G.shape for a in physical]
        if shapes != [die.G.shape]:
            raise broken_rule(
                f"the model must stand on one array of the die's size {die.G.shape}",
                shapes[:10],
                "Set mapping.tile_rows, mapping.tile_cols and mapping.layout.",
            )
        (self.array,) = physical
        self.die, self.wanted = die, self.array.crossbar.G
        self.reads = [tile.read for tile in self.array.tiles]
        self.config = self.array.tiles[0].config
        rows, cols = self.wanted.shape
        self.plain: Lines = (np.arange(rows), np.arange(cols))

    def targets(self, lines: Lines, stuck: Bools, partners: bool) -> Array:
        """Wanted conductances, S, at the model's own lines; partners make up for stuck devices."""
        if not partners:
            return self.wanted
        here = np.ix_(*lines)
        limits = (self.config.G_min, self.config.G_max)
        return compensated(self.reads, self.wanted, stuck[here], self.die.G[here], limits)

    def held(self, wanted: Array, lines: Lines, stuck: Bools) -> Array:
        """Conductances, S, at the model's own lines: as wanted but for the die's stuck devices."""
        here = np.ix_(*lines)
        return np.where(stuck[here], self.die.G[here], wanted)

    def answers(
        self, points: _Points, G: Sequence[Array], lines: Lines
    ) -> list[tuple[torch.Tensor, ...]]:
        """Outputs through the circuit for each of several conductances at the model's own lines."""
        out = []
        with through(LinesMoved(*lines)):
            for values in G:
                put_conductances(self.circuit, {self.array.name: values})
                out.append(outputs_of(self.circuit, points.arguments))
        put_conductances(self.circuit, None)
        return out

    def sensitivity(self, points: _Points) -> Array:
        """Mean change of the squashed margins per siemens, by differences of 5 % of the range."""
        step = 0.05 * (self.config.G_max - self.config.G_min)
        rest = points.margins(self.answers(points, [self.wanted], self.plain))
        width = max(float(np.median(np.abs(rest))) / 2, 1e-12)
        change = np.empty(self.wanted.size)
        for k in range(self.wanted.size):
            G = self.wanted.copy()
            G.flat[k] += step
            new = points.margins(self.answers(points, [G], self.plain))
            change[k] = np.abs(np.tanh(new / width) - np.tanh(rest / width)).mean() / step
        return change.reshape(self.wanted.shape)


def _choose(
    model: _OnDie, points: _Points, stuck: Bools, trials: int, seed: int
) -> tuple[Lines, str]:
    """The best of the assigned, the random and the plain placement, by the tuning points."""
    if not stuck.any():
        return model.plain, "no stuck device: lines kept"
    sides = alike(model.reads, model.wanted.shape)
    weight = model.sensitivity(points)
    *assigned, exact = best_lines(weight, model.wanted, stuck, model.die.G, *sides)
    rng = child_rng(seed, "die: random lines")
    found: list[Lines] = [model.plain, (assigned[0], assigned[1])]
    found += [_shuffled(model.plain, sides, rng) for _ in range(trials)]
    answers = [
        model.answers(points, [model.held(model.wanted, lines, stuck)], lines)[0] for lines in found
    ]
    margins = points.margins(answers)
    score = np.tanh(margins / max(float(np.median(np.abs(margins))), 1e-12))
    k = _fair_choice(score, child_rng(seed, "die: judges of the lines"))
    words = ("the lines as they stand", f"linear assignment ({'exact' if exact else 'local'})")
    return found[k], words[k] if k < 2 else f"best of {trials} random placements"


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
