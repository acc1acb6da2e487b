"""A trained model with one array on a measured die: which lines serve it, and how well.

The die may have more lines than the array needs. Rows and columns stand on any lines of it; on a
side without spare ones, on lines that do the same in every read. What a placement costs is, to
second order, the sum over the stuck devices of ``(sensitivity (G_stuck - G_wanted))^2``, which
`assignment.best_lines` makes least. Beside that, random placements are tried and the best of them
is bettered line by line, by the accuracy of the model on one half of the tuning points.

The other half of these points, by which nothing was picked, decides between the lines as they come,
the assigned and the searched ones, each with and without partners of stuck devices tuned: the first
are kept unless another is better by more than its interval (`recommendation`). The test points
judge the choice once, and take it back if it does worse there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from xbarspice.calibration.assignment import best_lines, move_line, shuffle_lines
from xbarspice.calibration.bench import Bench, Lines, Points, typical_score
from xbarspice.calibration.measured import (
    MeasuredArray,
    drawn_errors,
    with_partners,
    without_stuck,
)
from xbarspice.calibration.recommendation import Interval, choose, gain, share
from xbarspice.core.errors import broken_rule
from xbarspice.core.seeds import child_rng
from xbarspice.core.types import Array
from xbarspice.core.values import labels_of
from xbarspice.nn import exact_products
from xbarspice.variability import Compose, Variation

__all__ = ["Candidate", "Points", "Served", "serve"]

MOST_WAYS = 8
"""Placements that are judged at most, six by tuning and two by test points."""
FEWEST = 4
"""Tuning points: two that search, two that judge."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to put the array on the die, judged by tuning points that picked nothing.

    Attributes:
        name: what it is.
        rows, cols: word line of each row and bit line of each column.
        partners: whether the partners of stuck devices are tuned.
        exact: accuracy if healthy devices meet their targets.
        accuracy: with drawn tuning errors; without draws that of `exact`.
        gain: of this accuracy over the first candidate; all gains hold together.
    """

    name: str
    rows: tuple[int, ...]
    cols: tuple[int, ...]
    partners: bool
    exact: float
    accuracy: Interval
    gain: Interval


@dataclass(frozen=True, kw_only=True)
class Served:
    """How a model fares with one of its arrays on a die.

    Attributes:
        array: its name.
        shape: of the array; unused: what spare lines of the die are, None without any.
        exact_products: accuracy on the test points with exact products instead of arrays.
        on_target: with arrays that hold what the weights ask for.
        as_measured: with every conductance of the die as it was measured, lines as they come.
        candidates: the lines as they come first.
        recommended: number of the one to take.
        reason: why, in words.
        accuracy: of the recommended one on the test points, with drawn tuning errors.
        first_accuracy: of the lines as they come, likewise.
        test_gain: of the candidate that the tuning points chose, over the lines as they come.
        draws: of the tuning errors.
        circuit: the model as recommended, with stuck devices as measured, all others on target.
    """

    array: str
    shape: tuple[int, int]
    unused: Literal["driven", "floating"] | None
    exact_products: float
    on_target: float
    as_measured: float
    candidates: tuple[Candidate, ...]
    recommended: int
    reason: str
    accuracy: Interval
    first_accuracy: Interval
    test_gain: Interval
    draws: int
    circuit: Any = field(repr=False)

    @property
    def choice(self) -> Candidate:
        """The candidate to take."""
        return self.candidates[self.recommended]


def serve(
    circuit: nn.Module,
    measured: MeasuredArray,
    tuning: Points,
    test: Points,
    *,
    errors: Variation,
    transfers: int = 100,
    trials: int = 200,
    unused: Literal["driven", "floating"] = "driven",
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda count, total: None,
) -> Served:
    """Find the lines of a die to put an array on, and how well the model fares there.

    Args:
        circuit: a converted model that classifies.
        measured: one of its arrays, and the die, of its size or with more lines.
        tuning: points by which placements are searched and chosen, 4 or more.
        test: points by which the choice is judged once; no tuning points.
        errors: tuning errors of healthy devices; stuck ones are those of the die.
        transfers: draws of these errors.
        trials: placements that are tried beside the assigned one, half at random, half from the
            best of them line by line.
        unused: what lines of the die are that carry nothing: held at 0 V ("driven") or open.
        seed: of trials and draws.
        progress: called with (forward passes done, in all).

    Raises:
        InputError: the model does not classify, or there are too few points.
    """
    bench = Bench.of(circuit, measured, unused)
    for name, points in (("tuning", tuning), ("test", test)):
        labels_of(f"{name}.y", points.y, len(points.y))
        bench.scores(points)
    if len(tuning.y) < FEWEST:
        raise broken_rule(
            f"lines are chosen by at least {FEWEST} tuning points",
            len(tuning.y),
            "Give more points.",
        )
    order = child_rng(seed, "die: judges of the lines").permutation(len(tuning.y))
    searching, judging = (tuning.take(part) for part in np.array_split(order, 2))
    total, count = trials + MOST_WAYS * (1 + transfers), itertools.count(1)

    def step() -> None:
        progress(next(count), total)

    judge = _Judge(bench, without_stuck(errors), transfers, seed, step)
    placements = _search(bench, searching, trials, seed, step)
    ways = list(itertools.product(placements, (False, True)))
    if not bench.measured.kept[bench.measured.used].any():
        ways = ways[:1]
    right = [judge.right(lines, partners, judging) for (_, lines), partners in ways]
    choice, gains = choose([draws for _, draws in right])
    candidates = tuple(
        Candidate(
            name=f"{name}, partners tuned" if partners else name,
            rows=tuple(lines[0].tolist()),
            cols=tuple(lines[1].tolist()),
            partners=partners,
            exact=float(exact.mean()),
            accuracy=share(draws),
            gain=over_first,
        )
        for ((name, lines), partners), (exact, draws), over_first in zip(
            ways, right, gains, strict=True
        )
    )
    out = _judge_once(bench, judge, candidates, choice, test)
    progress(total, total)
    return out


@dataclass(frozen=True)
class _Judge:
    """How placements are judged: with the same draws of the tuning errors for all.

    Attributes:
        bench: the model.
        errors: of healthy devices.
        transfers: draws of them.
        seed: of the draws.
        step: called after every forward pass.
    """

    bench: Bench
    errors: Compose
    transfers: int
    seed: int
    step: Callable[[], None]

    def right(self, lines: Lines, partners: bool, points: Points) -> tuple[Array, Array]:
        """Points that are right on target, (points,), and with drawn errors, (draws, points)."""
        placed = self.bench.place(lines)
        target = with_partners(placed) if partners else _on_target(placed)
        exact = self.bench.draws(lines, [target], points, self.step)
        name = self.bench.name
        drawn = (
            drawn_errors([placed], {name: target}, self.errors, self.seed, k)[name]
            for k in range(self.transfers)
        )
        if not self.transfers:
            return exact[0], exact
        return exact[0], self.bench.draws(lines, drawn, points, self.step)


def _judge_once(
    bench: Bench,
    judge: _Judge,
    candidates: tuple[Candidate, ...],
    first_choice: int,
    test: Points,
) -> Served:
    """The choice on points that had no part in it; it is taken back if it does worse there."""
    with exact_products():
        software = float(bench.right(test).mean())
    first_lines, die = bench.first_lines, bench.measured.die.G
    bench.place(first_lines)
    on_target = float(bench.right(test).mean())
    bench.put(first_lines, die)
    as_measured = float(bench.right(test).mean())
    _, first = judge.right(first_lines, False, test)
    best, right = candidates[first_choice], first
    if first_choice:
        _, right = judge.right((np.array(best.rows), np.array(best.cols)), best.partners, test)
    over_first = gain(right, first)
    recommended = first_choice if over_first.value >= 0 else 0
    choice = candidates[recommended]
    lines = (np.array(choice.rows), np.array(choice.cols))
    placed = bench.place(lines)
    target = with_partners(placed) if choice.partners else _on_target(placed)
    if not np.array_equal(target, placed.array.crossbar.G):
        bench.put(lines, target)
    return Served(
        array=bench.name,
        shape=bench.plain.crossbar.G.shape,
        unused=None if bench.plain.crossbar.G.shape == die.shape else bench.unused,
        exact_products=software,
        on_target=on_target,
        as_measured=as_measured,
        candidates=candidates,
        recommended=recommended,
        reason=_reason(candidates, first_choice, recommended, over_first),
        accuracy=share(right if recommended else first),
        first_accuracy=share(first),
        test_gain=over_first,
        draws=judge.transfers,
        circuit=bench.circuit,
    )


def _reason(
    candidates: tuple[Candidate, ...], choice: int, recommended: int, test_gain: Interval
) -> str:
    if len(candidates) == 1:
        return "no device that the array needs is stuck: the lines are kept as they come"
    alternatives = len(candidates) - 1
    if not choice:
        return (
            f"none of {alternatives} other ways is better on the tuning points by more than its "
            "interval: the lines are kept as they come"
        )
    best = candidates[choice]
    text = (
        f"better than the lines as they come by {100 * best.gain.value:.1f} points of "
        f"accuracy (95 % interval {100 * best.gain.low:.1f} to {100 * best.gain.high:.1f}, "
        f"{alternatives} comparisons) on tuning points that picked nothing"
    )
    if recommended:
        return text
    return (
        f"{best.name} are {text}, but worse by {-100 * test_gain.value:.1f} on the test points: "
        "the lines are kept as they come"
    )


def _on_target(measured: MeasuredArray) -> Array:
    """Stuck devices as measured, all others as wanted, S."""
    return np.where(measured.kept, measured.die.G, measured.array.crossbar.G)


def _search(
    bench: Bench, points: Points, trials: int, seed: int, step: Callable[[], None]
) -> list[tuple[str, Lines]]:
    """The lines as they come, the assigned ones and the best of a search, by name."""
    out = [("lines as they come", bench.first_lines)]
    stuck = bench.measured.die.stuck(bench.measured.limits) != 0
    if not bench.measured.kept[bench.measured.used].any():
        return out
    rows, cols = bench.plain.crossbar.G.shape
    target = bench.measured.array.crossbar.G[:rows, :cols]
    weight = bench.sensitivity(points)
    assigned_rows, assigned_cols, exact = best_lines(
        bench.in_units(weight),
        bench.in_units(target),
        bench.in_units(stuck),
        bench.in_units(bench.measured.die.G),
        *bench.sides,
    )
    best = (assigned_rows, assigned_cols)
    how = "least error" if exact else "least error found"
    out.append((f"assigned lines ({how})", (best[0], bench.bit_lines(best[1]))))
    if trials:
        best = _try_lines(bench, points, best, trials, seed, step)
        out.append((f"searched lines ({trials} trials)", (best[0], bench.bit_lines(best[1]))))
    return out


def _try_lines(
    bench: Bench, points: Points, start: Lines, trials: int, seed: int, step: Callable[[], None]
) -> Lines:
    """The best of random lines, bettered one by one; bit lines in units.

    By the accuracy on target; of equal ones by the mean squashed score.
    """
    rng, sides = child_rng(seed, "die: random lines"), bench.sides

    def scores(order: Lines) -> Tensor:
        lines = (order[0], bench.bit_lines(order[1]))
        bench.put(lines, _on_target(bench.place(lines)))
        return bench.scores(points)

    def rank(of_points: Tensor) -> tuple[float, float]:
        right = float((of_points > 0).double().mean())
        return right, float(torch.tanh(of_points / typical).mean())

    of_start = scores(start)
    typical = typical_score(of_start)
    best, best_score = start, rank(of_start)
    for k in range(trials):
        order = shuffle_lines(sides, rng) if 2 * k < trials else move_line(best, sides, rng)
        score = rank(scores(order))
        if score > best_score:
            best, best_score = order, score
        step()
    return best
