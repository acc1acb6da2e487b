"""A trained model with one array on a measured die: its accuracy, and the lines that serve it best.

Rows and columns of the array may stand on any physical lines that do the same in every read. What a
placement costs is, to second order, the sum over the stuck devices of ``(sensitivity (G_stuck -
G_wanted))^2``, which `assignment.best_lines` makes least. Random placements are judged beside it by
the answers of the model for tuning points. One half of these points picks the best random
placement; the other half, which nothing was picked by, decides between it, the assigned lines and
the lines as they come. Test points play no part.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xbarspice.calibration.assignment import best_lines, shuffle_lines
from xbarspice.calibration.measured import (
    MeasuredArray,
    drawn_errors,
    with_partners,
    without_stuck,
)
from xbarspice.core.errors import broken_rule
from xbarspice.core.seeds import child_rng
from xbarspice.core.types import Array, Indices
from xbarspice.core.values import labels_of
from xbarspice.nn import (
    arrays,
    copy_circuit,
    crossbar_layers,
    exact_products,
    place_lines,
    program,
    put_conductances,
)
from xbarspice.nn.origin import decisions_of, outputs_of
from xbarspice.variability import Variation

__all__ = ["CASES", "Points", "Served", "serve"]

Lines = tuple[Indices, Indices]

CASES = ("as it stands", "best lines", "best lines and partners")
MOST = 64
"""Tuning points by which the sensitivity of the devices is found."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Inputs of a model and their classes.

    Attributes:
        arguments: of the model.
        y: classes, (points,).
    """

    arguments: tuple[Any, ...]
    y: Indices


@dataclass(frozen=True, kw_only=True)
class Served:
    """How a model fares with one of its arrays on a die.

    Attributes:
        array: its name.
        exact_products: accuracy on the test points with exact products instead of arrays.
        wanted: with arrays that hold what the weights ask for.
        as_measured: with every conductance of the die as it was measured.
        exact: by `CASES`, if healthy devices meet their targets.
        mean: their means over drawn tuning errors; empty without draws.
        rows, cols: best lines, as `nn.place_lines` takes them.
        method: how these were chosen.
        circuit: the model on them, with stuck devices as measured and all others on target,
            partners of stuck ones tuned.
    """

    array: str
    exact_products: float
    wanted: float
    as_measured: float
    exact: dict[str, float]
    mean: dict[str, float]
    rows: tuple[int, ...]
    cols: tuple[int, ...]
    method: str
    circuit: Any = field(repr=False)


def serve(
    circuit: nn.Module,
    measured: MeasuredArray,
    tuning: Points,
    test: Points,
    *,
    errors: Variation,
    transfers: int = 100,
    trials: int = 200,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda count, total: None,
) -> Served:
    """Find the lines on which a model fares best, and how it fares with and without.

    Args:
        circuit: a converted model that classifies.
        measured: one of its arrays, and the die.
        tuning: points by which placements are chosen, 2 or more.
        test: points by which they are judged; no tuning points.
        errors: tuning errors of healthy devices; stuck ones are those of the die.
        transfers: draws of these errors.
        trials: random placements beside the assigned one.
        seed: of trials and draws.
        progress: called with (forward passes done, in all).

    Raises:
        InputError: the model does not classify, or there are too few points.
    """
    bench = _Bench.of(circuit, measured)
    for name, points in (("tuning", tuning), ("test", test)):
        labels_of(f"{name}.y", points.y, len(points.y))
        bench.scores(points)
    total, counted = trials + 3 + len(CASES) * (1 + transfers), itertools.count(1)

    def step() -> None:
        progress(next(counted), total)

    lines, method = _choose(bench, tuning, trials, seed, step)
    exact, mean = {}, {}
    with exact_products():
        software = bench.accuracy(test)
    reference = bench.accuracy(test)
    bench.put(bench.plain, measured.die.G)
    as_measured = bench.accuracy(test)
    step()
    terms = without_stuck(errors)
    for name, order in zip(CASES, (bench.plain, lines, lines), strict=True):
        placed = bench.place(order)
        target = with_partners(placed) if name == CASES[2] else _on_target(placed)
        bench.put(order, target)
        exact[name] = bench.accuracy(test)
        step()
        draws = (
            drawn_errors([placed], {bench.name: target}, terms, seed, k) for k in range(transfers)
        )
        accuracies = bench.accuracies(order, (G[bench.name] for G in draws), test, step)
        if accuracies:
            mean[name] = float(np.mean(accuracies))
    bench.put(lines, with_partners(bench.place(lines)))
    return Served(
        array=bench.name,
        exact_products=software,
        wanted=reference,
        as_measured=as_measured,
        exact=exact,
        mean=mean,
        rows=tuple(lines[0].tolist()),
        cols=tuple(lines[1].tolist()),
        method=method,
        circuit=bench.circuit,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Bench:
    """A copy of a model whose one array takes devices and lines.

    Attributes:
        circuit: the copy.
        measured: the array with its lines as they come, and the die.
        held: devices that were put on the other arrays, S.
    """

    circuit: Any
    measured: MeasuredArray
    held: dict[str, Array]

    @classmethod
    def of(cls, circuit: nn.Module, measured: MeasuredArray) -> _Bench:
        name, copied = measured.array.name, copy_circuit(circuit)
        layers = crossbar_layers(copied).values()
        put = any(m.conductances is not None for k in layers for m in k.matrices.values())
        conductances = {a.name: a.crossbar.G for a in arrays(copied) if put and a.name != name}
        program(copied, None)
        out = cls(circuit=copied, measured=measured, held=conductances)
        return replace(out, measured=out.place(out.plain))

    @property
    def name(self) -> str:
        """Of the array."""
        return self.measured.array.name

    @property
    def plain(self) -> Lines:
        """Lines as they come."""
        rows, cols = self.measured.array.crossbar.G.shape
        return np.arange(rows), np.arange(cols)

    @property
    def width(self) -> int:
        """Neighbouring bit lines that move together."""
        return 2 if self.measured.array.bit_lines_in_pairs else 1

    @property
    def sides(self) -> tuple[list[Indices], list[Indices]]:
        """Groups of word lines, and of bit lines or pairs of them, that may change places."""
        words, bits = self.measured.array.like_lines
        return words, [group[:: self.width] // self.width for group in bits]

    def place(self, lines: Lines) -> MeasuredArray:
        """The array as the weights ask for it, on these lines, and the die."""
        put_conductances(self.circuit, None)
        place_lines(self.circuit, {self.name: lines})
        put_conductances(self.circuit, self.held)
        array = next(a for a in arrays(self.circuit) if a.name == self.name)
        return replace(self.measured, array=array)

    def accuracies(
        self, lines: Lines, draws: Iterable[Array], points: Points, step: Callable[[], None]
    ) -> list[float]:
        """Accuracy with each of the conductances, S, (rows, cols), on these lines."""
        out = []
        for G in draws:
            self.put(lines, G)
            out.append(self.accuracy(points))
            step()
        return out

    def put(self, lines: Lines, G: Array) -> None:
        """Devices of the die, S, (rows, cols), on these lines."""
        place_lines(self.circuit, {self.name: lines})
        put_conductances(self.circuit, {self.name: G})

    def accuracy(self, points: Points) -> float:
        """Share of the points that are classified right."""
        decided = decisions_of(outputs_of(self.circuit, points.arguments), points.y)
        return float(np.mean(decided == points.y))

    def scores(self, points: Points, *, gradients: bool = False) -> Tensor:
        """How far each point is on the right side, (points,), in units of the outputs.

        Raises:
            InputError: the model gives no classes.
        """
        outputs = outputs_of(self.circuit, points.arguments, gradients=gradients)
        if decisions_of(outputs, points.y) is None:
            raise broken_rule(
                "a model on a die is judged by the classes of its points",
                f"outputs of shape {tuple(outputs[0].shape)}",
                "Give a model that classifies, and the class of every point as y.",
            )
        z = next(t for t in outputs if t.is_floating_point())
        y = torch.as_tensor(points.y, device=z.device).long()
        if z.ndim == 1 or z.shape[1] == 1:
            return z.reshape(-1) * (2 * y - 1)
        of_label = z.gather(1, y[:, None])[:, 0]
        of_other_classes = z.scatter(1, y[:, None], -math.inf)
        return of_label - of_other_classes.max(dim=1).values


def _on_target(measured: MeasuredArray) -> Array:
    """Stuck devices as measured, all others as wanted, S."""
    return np.where(measured.stuck, measured.die.G, measured.array.crossbar.G)


def _width(scores: Tensor) -> float:
    """How far a point is on its side, as a rule."""
    return max(float(scores.detach().abs().median()), 1e-12)


def _sensitivity(bench: _Bench, points: Points) -> Array:
    """Mean change of the squashed scores by a device, 1/S, (rows, cols), where it is wanted."""
    measured = bench.place(bench.plain)
    bench.put(bench.plain, measured.array.crossbar.G)
    few = Points(arguments=tuple(a[:MOST] for a in points.arguments), y=points.y[:MOST])
    layers = crossbar_layers(bench.circuit).values()
    matrices = {m.name: m for layer in layers for m in layer.matrices.values()}
    held = {}
    for tile in measured.array.tiles:
        conductances = matrices[tile.matrix].conductances
        if conductances is None:
            raise AssertionError("they have just been put")
        held[tile.matrix] = conductances.requires_grad_()
    scores = bench.scores(few, gradients=True)
    scores = torch.tanh(scores / _width(scores))
    out = np.zeros(measured.array.crossbar.G.shape)
    total = {name: torch.zeros_like(leaf) for name, leaf in held.items()}
    for score in scores:
        slopes = torch.autograd.grad(
            score, list(held.values()), retain_graph=True, allow_unused=True
        )
        for name, slope in zip(held, slopes, strict=True):
            if slope is not None:
                total[name] += slope.abs() / len(scores)
    for tile in measured.array.tiles:
        part = total[tile.matrix][tile.group, slice(*tile.lines), slice(*tile.columns)]
        out = tile.read.put(part.numpy(), out)
    for matrix in matrices.values():
        if matrix.conductances is not None:
            matrix.conductances = matrix.conductances.detach()
    return out


def _choose(
    bench: _Bench, tuning: Points, trials: int, seed: int, step: Callable[[], None]
) -> tuple[Lines, str]:
    """The best of the assigned, the random and the plain placement, by the tuning points."""
    measured, plain = bench.measured, bench.plain
    if not measured.stuck.any():
        return plain, "no stuck device: lines kept"
    if len(tuning.y) < 2:
        raise broken_rule(
            "lines are chosen by at least 2 tuning points", len(tuning.y), "Give more points."
        )
    fixed = measured.die.stuck(measured.limits) != 0
    target, weight = measured.array.crossbar.G, _sensitivity(bench, tuning)
    shape = (len(target), -1, bench.width)
    weight, target, fixed, value = (
        v.reshape(shape) for v in (weight, target, fixed, measured.die.G)
    )
    *assigned, exact = best_lines(weight, target, fixed, value, *bench.sides)
    rng = child_rng(seed, "die: random lines")
    units = (plain[0], np.arange(weight.shape[1]))
    candidates = [
        units,
        tuple(assigned),
        *(shuffle_lines(units, bench.sides, rng) for _ in range(trials)),
    ]
    lines = [(rows, _bit_lines(of, bench.width)) for rows, of in candidates]
    margins = []
    for order in lines:
        bench.put(order, _on_target(bench.place(order)))
        margins.append(bench.scores(tuning).double().cpu().numpy())
        step()
    score = np.tanh(np.array(margins) / max(float(np.median(np.abs(margins))), 1e-12))
    k = _fair_choice(score, child_rng(seed, "die: judges of the lines"))
    words = ("the lines as they stand", f"linear assignment ({'exact' if exact else 'local'})")
    return lines[k], words[k] if k < 2 else f"best of {trials} random placements"


def _bit_lines(units: Indices, width: int) -> Indices:
    """Bit lines of units of neighbouring ones."""
    return (width * units[:, None] + np.arange(width)).reshape(-1)


def _fair_choice(score: Array, rng: np.random.Generator) -> int:
    """Index of the placement to keep: 0 as it stands, 1 assigned, 2 and on random.

    The best of many random placements on some points is better there than elsewhere, so other
    points must decide between it and the two that were not picked by answers.

    Args:
        score: of every placement and tuning point, (placements, points).
        rng: deals the points out.
    """
    order = rng.permutation(score.shape[1])
    half = len(order) // 2
    picked, judged = (score[:, part].mean(axis=1) for part in (order[:half], order[half:]))
    finalists = [0, 1, *([2 + int(np.argmax(picked[2:]))] if len(score) > 2 else [])]
    return finalists[int(np.argmax(judged[finalists]))]
