"""The worst input, found by search: furthest from exact products, or where engines differ.

Two things are maximised over a box of inputs of any shape:

*ideal*: ``f(x) = max_k |z_k(x) - z0_k(x)| / Z`` with the outputs ``z`` of the model through the
circuit, ``z0`` with exact products and ``Z`` the largest ``|z0|`` over the starting points.
Projected gradient ascent: torch gives the gradient of ``sum_k (z_k - z0_k)^2`` through the
surrogate, and every step goes ``x <- clip(x + s (high - low) sign(g))`` with ``s`` falling from
0.2 to 0.005, from several random starting points and corners of the box.

*engines*: ``max |I - I_reference| / I_max`` over the output currents of all arrays, each engine
with the drive that its own earlier layers give; `I_max` (A) is the largest of each matrix over the
first round's inputs, so that all rounds have one scale. Exact engines differ by rounding, which has
no gradient, so this is a seeded local search: each round keeps the best three inputs and moves,
flips or redraws some of their elements. The value of the winner is that of the input alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from xbarspice.core.errors import InputError, broken_rule, first_line
from xbarspice.nn import exact_products, through
from xbarspice.nn.arguments import tensors_in
from xbarspice.verification.inputs import Box
from xbarspice.verification.results import SearchRecord

__all__ = ["Search", "candidates", "worst_between_engines", "worst_of_ideal"]

KEPT, CHILDREN = 3, 4
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Search:
    """How the worst inputs are looked for.

    Attributes:
        starts: starting points.
        steps: projected gradient steps from each.
        rounds: rounds of the search between engines.
        low, high: bounds of all elements of an input; None: those of the known inputs.
    """

    starts: int = 8
    steps: int = 30
    rounds: int = 3
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        for name in ("starts", "steps", "rounds"):
            if getattr(self, name) < 1:
                raise broken_rule(f"`{name}` must be >= 1", getattr(self, name), "Raise it.")


def candidates(search: Search) -> int:
    """Inputs that the search between engines solves at most, without those it is given."""
    return search.starts + search.rounds * KEPT * CHILDREN


def _starts(box: Box, count: int, rng: np.random.Generator) -> Tensor:
    """Half of them anywhere in the box, half on its corners; the first corner is its upper one."""
    low, high = box
    inside = rng.random((count - count // 2, *low.shape))
    corners = rng.integers(0, 2, (count // 2, *low.shape)).astype(float)
    corners[:1] = 1.0
    unit = torch.from_numpy(np.concatenate([inside, corners])).to(low)
    return low + (high - low) * unit


def _outputs(circuit: nn.Module, x: Tensor) -> Tensor:
    """All floating-point outputs of every point, (points, values)."""
    try:
        value = circuit(x)
    except (RuntimeError, AssertionError) as error:  # torch's own, of another number of points
        raise InputError(
            f"the search needs a model that takes any number of points; with {len(x)} it fails: "
            f"{first_line(error)}. Verify it without the search."
        ) from error
    tensors = [t for t in tensors_in(value) if t.is_floating_point()]
    if not tensors or any(not t.ndim or len(t) != len(x) for t in tensors):
        raise broken_rule(
            "the search needs outputs with one row a point",
            [tuple(t.shape) for t in tensors],
            "Verify this model without the search.",
        )
    return torch.cat([t.reshape(len(x), -1) for t in tensors], dim=1)


def worst_of_ideal(
    circuit: nn.Module,
    box: Box,
    rng: np.random.Generator,
    search: Search,
    progress: Progress = lambda count, total: None,
) -> SearchRecord:
    """The input at which the circuit is furthest from exact products; see the module text.

    Args:
        circuit: a converted model in evaluation, of one input tensor.
        box: smallest and largest input, of the shape of one point.
        rng: generator of the starting points.
        search: starting points and steps.
        progress: called with (steps done, steps in all).

    Raises:
        InputError: the outputs are not one row a point. EngineError: as `xb.solve`.
    """
    low, high = box
    x = _starts(box, search.starts, rng)
    with torch.no_grad(), exact_products():
        Z = float(_outputs(circuit, x).abs().max()) or 1.0
    best, best_value = x.clone(), torch.full((len(x),), -torch.inf, dtype=x.dtype)
    first = 0.0
    for step in range(search.steps + 1):
        value, gradient = _distance(circuit, x)
        better = value > best_value
        best[better], best_value[better] = x[better], value[better]
        if step == 0:
            first = float(value.max())
        size = 0.2 * (0.005 / 0.2) ** (step / max(search.steps - 1, 1))
        x = torch.minimum(torch.maximum(x + size * (high - low) * gradient.sign(), low), high)
        progress(step, search.steps)
    k = int(best_value.argmax())
    return SearchRecord(
        target="ideal",
        value=float(best_value[k]) / Z,
        start=first / Z,
        evaluations=search.starts * (search.steps + 1),
        x=best[k].tolist(),
    )


def _distance(circuit: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """max_k |z_k - z0_k| of every point, and the gradient of the sum of its squares."""
    with torch.enable_grad():
        points = x.detach().requires_grad_()
        with exact_products():
            exact = _outputs(circuit, points)
        difference = _outputs(circuit, points) - exact
        scale = float(difference.detach().abs().max()) or 1.0  # squares of rounding vanish
        (gradient,) = torch.autograd.grad(((difference / scale) ** 2).sum(), points)
    return difference.detach().abs().amax(dim=1).to(x.dtype), gradient


def worst_between_engines(
    circuit: nn.Module,
    box: Box,
    rng: np.random.Generator,
    search: Search,
    *,
    engines: Sequence[str],
    reference: str,
    also: Sequence[Tensor] = (),
    progress: Progress = lambda count, total: None,
) -> SearchRecord:
    """The input at which engines differ most in an output current; see the module text.

    Args:
        circuit, box, rng, search: as `worst_of_ideal`.
        engines, reference: their names.
        also: more candidates for the first round, each of the shape of one point.
        progress: called with (rounds done, rounds in all).

    Raises:
        EngineError: an engine failed.
    """
    low, high = box
    x = torch.cat([_starts(box, search.starts, rng), *(a[None].to(low) for a in also)])
    duel = _Duel(circuit, tuple(engines), reference)
    value = duel.errors(x)
    first, count = float(value[: search.starts].max()), len(x)
    progress(0, search.rounds)
    for k in range(search.rounds):
        best = np.argsort(-value, kind="stable")[:KEPT]
        x, value = x[best], value[best]
        children = _children(x, low, high, rng)
        x = torch.cat([x, children])
        value = np.concatenate([value, duel.errors(children)])
        count += len(children)
        progress(k + 1, search.rounds)
    winner = x[int(np.argmax(value))]
    return SearchRecord(
        target="engines",
        value=float(duel.errors(winner[None])[0]),
        start=first,
        evaluations=count,
        x=winner.tolist(),
    )


def _children(x: Tensor, low: Tensor, high: Tensor, rng: np.random.Generator) -> Tensor:
    """Inputs with some elements moved, flipped to the other side of the box, or drawn anew."""
    parents = x.repeat_interleave(CHILDREN, dim=0)
    shape = tuple(parents.shape)

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(parents)

    draws = low + (high - low) * tensor(rng.random(shape))
    moved = parents + 0.1 * (high - low) * tensor(rng.standard_normal(shape))
    kind = rng.choice(4, size=(shape[0], int(np.prod(shape[1:]))), p=[0.5, 0.2, 0.2, 0.1])
    kind[np.arange(len(kind)), rng.integers(0, kind.shape[1], len(kind))] = 1  # none stays as it is
    which = torch.from_numpy(kind.reshape(shape))
    out = torch.where(which == 1, moved, parents)
    out = torch.where(which == 2, low + high - parents, out)
    out = torch.where(which == 3, draws, out)
    return torch.minimum(torch.maximum(out, low), high)


class _Duel:
    """Engines against the reference, array by array, each with its own chain of layers."""

    def __init__(self, circuit: nn.Module, engines: tuple[str, ...], reference: str) -> None:
        self.circuit, self.engines, self.reference = circuit, engines, reference
        self.I_max: dict[str, float] = {}

    def errors(self, x: Tensor) -> np.ndarray:
        """Largest error of an output current of each point over all arrays and engines."""
        golden = self._currents(self.reference, x)
        if not self.I_max:
            for name, target in golden:
                self.I_max[name] = max(self.I_max.get(name, 0.0), float(target.abs().max()))
        worst = np.zeros(len(x))
        for engine in self.engines:
            for (name, I_out), (_, target) in zip(self._currents(engine, x), golden, strict=True):
                gap = (I_out - target).abs() / (self.I_max.get(name) or 1.0)
                worst = np.maximum(worst, _by_point(gap, len(x)))
        return worst

    def _currents(self, engine: str, x: Tensor) -> list[tuple[str, Tensor]]:
        """Matrix and currents (vectors, values), A, of every call of a matrix."""
        with torch.no_grad(), through(engine, keep=True) as run:
            self.circuit(x)
        return [
            (answer.matrix, torch.cat([t.reshape(len(t), -1) for t in answer.I_out or ()], dim=1))
            for answer in run.answers
        ]


def _by_point(gap: Tensor, points: int) -> np.ndarray:
    """The largest of each point, whose vectors follow each other; where that cannot be, of all."""
    if len(gap) % points:
        return np.full(points, float(gap.max()))
    return gap.reshape(points, -1).amax(dim=1).double().numpy()
