"""The worst input, found by search: furthest from the ideal product, or where engines differ.

Two things are maximised over a box of inputs, one after the other:

*ideal*: ``f(x) = max_k |z_k(x) - z0_k(x)| / Z`` with the weighted sums (for a single array: output
currents, A) ``z`` of the last layer through the circuit, ``z0`` of the ideal products and ``Z``
the largest ``|z0|`` over the starting points. Projected gradient ascent: the surrogate gives the
gradient of ``sum_k (z_k - z0_k)^2``, and every step goes ``x <- clip(x + s (high - low) sign(g))``
with ``s`` falling from 0.2 to 0.005, from several random starting points and corners of the box.

*engines*: ``max over layers and lines of |I - I_reference| / I_max`` between the engines
themselves, with `I_max` (A) of the first round's inputs, so that all rounds have one scale. Exact
engines differ by rounding, which has no gradient, so this is a seeded local search that solves
every candidate with every engine: each round keeps the best three and moves, flips or redraws some
of their inputs. It takes the input of the first search as a candidate too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice import activations
from xbarspice.engines import Engine
from xbarspice.mapping import MappedNetwork
from xbarspice.studies.inference import infer
from xbarspice.studies.verify.judge import point_errors, scales

__all__ = ["WorstInput", "worst_between_engines", "worst_of_ideal"]

Array = npt.NDArray[np.float64]
Box = tuple[Array, Array]

KEPT, CHILDREN = 3, 4


@dataclass(frozen=True, kw_only=True, eq=False)
class WorstInput:
    """An input found by search.

    Attributes:
        target: "ideal" or "engines": what was maximised (see the module text).
        x: the input, (inputs,).
        value: the maximised quantity there.
        start: its largest value among the random starting points, to see what the search gained.
        solves: inputs that were evaluated.
    """

    target: str
    x: Array
    value: float
    start: float
    solves: int

    def record(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {**self.__dict__, "x": self.x.tolist()}


def _starts(box: Box, count: int, rng: np.random.Generator) -> Array:
    """Half of them anywhere in the box, half on its corners; the first corner is full scale."""
    low, high = box
    inside = rng.random((count - count // 2, low.size))
    corners = rng.integers(0, 2, (count // 2, low.size)).astype(float)
    corners[:1] = 1.0
    return low + (high - low) * np.concatenate([inside, corners])


def worst_of_ideal(
    mapped: MappedNetwork,
    box: Box,
    rng: np.random.Generator,
    *,
    starts: int = 8,
    steps: int = 30,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> WorstInput:
    """The input at which the circuit is furthest from the ideal product; see the module text.

    Args:
        mapped: the network on its arrays, or a `SingleArray`.
        box: smallest and largest input, each (inputs,).
        rng: generator of the starting points.
        starts, steps: starting points, and gradient steps from each.
        progress: called with (steps done, steps in all).

    Raises:
        InputError: a device cannot be differentiated by torch. EngineError: as `xb.solve`.
    """
    low, high = box
    x = _starts(box, starts, rng)
    Z = float(np.max(np.abs(mapped.network.forward(x)[-1]))) or 1.0
    best, best_value = x.copy(), np.full(starts, -np.inf)
    first = 0.0
    for step in range(steps + 1):
        value, gradient = _distance(mapped, x)
        better = value > best_value
        best[better], best_value[better] = x[better], value[better]
        if step == 0:
            first = float(value.max())
        size = 0.2 * (0.005 / 0.2) ** (step / max(steps - 1, 1))
        x = np.clip(x + size * (high - low) * np.sign(gradient), low, high)
        progress(step, steps)
    k = int(np.argmax(best_value))
    return WorstInput(
        target="ideal", x=best[k], value=float(best_value[k]) / Z, start=first / Z,
        solves=starts * (steps + 1),
    )  # fmt: skip


def _distance(mapped: MappedNetwork, x: Array) -> tuple[Array, Array]:
    """max_k |z_k - z0_k| of every point, (points,), and the gradient of sum_k (z_k - z0_k)^2."""
    import torch

    points = torch.tensor(x, requires_grad=True)
    difference = _forward(mapped, points) - _ideal(mapped, points)
    scale = float(difference.detach().abs().max()) or 1.0  # squares of nA vanish
    (gradient,) = torch.autograd.grad(((difference / scale) ** 2).sum(), points)
    return difference.detach().abs().amax(dim=1).numpy(), gradient.numpy()


def _ideal(mapped: MappedNetwork, x: Any) -> Any:
    """Weighted sums of the last layer without a circuit, (points, outputs), as a tensor."""
    import torch

    act, h = activations.get(mapped.network.activation).module(), x
    for k, (W, b) in enumerate(zip(mapped.network.W, mapped.network.b, strict=True)):
        z = h @ torch.tensor(W) + torch.tensor(b)
        h = act(z) if k + 1 < len(mapped.layers) else z
    return h


def _forward(mapped: MappedNetwork, x: Any) -> Any:
    """Weighted sums of the last layer through the surrogate, (points, outputs), as a tensor."""
    import torch

    from xbarspice.surrogate.torch_solve import solve

    act, h = activations.get(mapped.network.activation).module(), x
    for k, layer in enumerate(mapped.layers):
        z = torch.tensor(layer.digital_bias).expand(len(h), -1)
        for block in mapped.blocks_of(k):
            crossbar = mapped.crossbar(block)
            V_in, V_out = _voltages(mapped, block, h)
            found = solve(
                torch.tensor(crossbar.G), V_in, V_out, R_wl=crossbar.R_wl, R_bl=crossbar.R_bl,
                R_driver=crossbar.R_driver, R_sense=crossbar.R_sense, device=crossbar.device,
                ends=crossbar.ends,
            )  # fmt: skip
            I_in, I_out = found.I_in, found.I_out
            lines = torch.tensor(block.lines_out)
            currents = -I_in[:, lines] if block.reverse else I_out[:, lines]
            outputs = torch.tensor(block.outputs)
            z = z.index_add(1, outputs, mapped.partial_sums(block, currents))  # type: ignore[arg-type]
        h = act(z) if k + 1 < len(mapped.layers) else z
    return h


def _voltages(mapped: MappedNetwork, block: Any, h: Any) -> tuple[Any, Any]:
    """Line voltages as tensors: `MappedNetwork.voltages` is affine, so its matrix is read off."""
    import torch

    width = h.shape[1]
    zero = mapped.voltages(block, np.zeros((1, width)))
    unit = mapped.voltages(block, np.eye(width))
    return tuple(h @ torch.tensor(u - z) + torch.tensor(z) for u, z in zip(unit, zero, strict=True))  # type: ignore[return-value]


def worst_between_engines(
    mapped: MappedNetwork,
    box: Box,
    rng: np.random.Generator,
    *,
    engines: Sequence[str | Engine],
    reference: str | Engine,
    starts: int = 8,
    rounds: int = 3,
    also: Sequence[Array] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> WorstInput:
    """The input at which the engines differ most in an output current; see the module text.

    Args:
        mapped, box, rng, starts: as `worst_of_ideal`.
        engines, reference: as `crosscheck`.
        rounds: rounds of the local search.
        also: more candidates for the first round, each (inputs,).
        progress: called with (rounds done, rounds in all).

    Raises:
        EngineError: an engine failed.
    """
    low, high = box
    more = [np.atleast_2d(a) for a in also]
    x = np.concatenate([_starts(box, starts, rng), *more])
    I_max = scales(infer(mapped, x, reference), len(mapped.layers))
    value = _disagreement(mapped, x, engines, reference, I_max)
    first, solves = float(value[:starts].max()), len(x)
    progress(0, rounds)
    for k in range(rounds):
        best = np.argsort(-value, kind="stable")[:KEPT]
        x, value = x[best], value[best]
        children = np.repeat(x, CHILDREN, axis=0)
        draws = low + (high - low) * rng.random(children.shape)
        moved = children + 0.1 * (high - low) * rng.standard_normal(children.shape)
        flipped = low + high - children
        kind = rng.choice(4, size=children.shape, p=[0.5, 0.2, 0.2, 0.1])
        kind[np.arange(len(kind)), rng.integers(0, low.size, len(kind))] = 1  # none stays as it is
        children = np.clip(np.choose(kind, [children, moved, flipped, draws]), low, high)
        children = np.unique(children, axis=0)
        x = np.concatenate([x, children])
        value = np.concatenate([value, _disagreement(mapped, children, engines, reference, I_max)])
        solves += len(children)
        progress(k + 1, rounds)
    k = int(np.argmax(value))
    return WorstInput(target="engines", x=x[k], value=float(value[k]), start=first, solves=solves)


def _disagreement(
    mapped: MappedNetwork,
    x: Array,
    engines: Sequence[str | Engine],
    reference: str | Engine,
    I_max: Sequence[float],
) -> Array:
    """Largest output-current error of every point over the engines, (points,)."""
    golden = infer(mapped, x, reference)
    return np.max([point_errors(infer(mapped, x, e), golden, I_max) for e in engines], axis=0)
