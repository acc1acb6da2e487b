"""Equal arrays while they are written, in many transfers at once.

The terms of a `Variation` are drawn as they act on a die: tuning errors and all other terms anew
whenever a device is written, the drift by later writes (`bse`) for every device by those that are
written after it in the same pass, and stuck devices (`saf`) once for the life of the array. The
first pass draws the random numbers of a plain transfer: written once in the stated order, arrays
come out the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xbarspice.calibration.lines import compensate
from xbarspice.core.errors import broken_rule
from xbarspice.core.seeds import child_seed
from xbarspice.mapping.reads import Read
from xbarspice.nn.layers import crossbar_layers
from xbarspice.nn.line_orders import LineOrders
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.nn.pairs import place
from xbarspice.training.draws import terms_of
from xbarspice.variability import BiasingSchemeEffect, StuckDevices

__all__ = ["Stack", "Writing", "by_generator", "lines_by_name", "stacks_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """Equal arrays of a converted model.

    Attributes:
        name: of the arrays of the matrix, or of the array that two share.
        number: of this stack among those of the name.
        matrix: that stands on them; of two, the one that is read first.
        wanted: what the weights ask for, S, (..., rows, cols).
        reads: all read passes of an array.
        places: which tile (group, row, col) each array is.
    """

    name: str
    number: int
    matrix: ArrayMatrix
    wanted: Tensor
    reads: tuple[Read, ...]
    places: list[tuple[int, int, int]]


def stacks_of(model: nn.Module) -> list[Stack]:
    """All arrays of a converted model as its weights ask for them, in the model's order."""
    out: dict[str, list[Stack]] = {}
    with torch.no_grad():
        for layer in crossbar_layers(model).values():
            for key, weight, bias in layer.weight_matrices():
                matrix = layer.matrices[key]
                layout = matrix.layout
                name = layout.name_of(matrix)
                if matrix.folded is not None and matrix.folded.number:
                    continue
                placed = place(weight, matrix.line(bias), matrix.config)
                wanted = layout.physical(matrix, placed)
                places = layout.places_of(matrix, placed)
                out[name] = [
                    Stack(
                        name=name,
                        number=number,
                        matrix=matrix,
                        wanted=G,
                        reads=layout.reads_of(tuple(G.shape[-2:])),
                        places=of_stack,
                    )
                    for number, (G, of_stack) in enumerate(zip(wanted, places, strict=True))
                ]
    return [stack for stacks in out.values() for stack in stacks]


def lines_by_name(
    stacks: Sequence[Stack], lines: Sequence[LineOrders | None]
) -> dict[str, tuple[LineOrders, ...]]:
    """Orders of the lines of stacks, where they were placed, as `Slices.lines` has them."""
    out: dict[str, tuple[LineOrders, ...]] = {}
    for stack, orders in zip(stacks, lines, strict=True):
        if orders is not None:
            out[stack.name] = (*out.get(stack.name, ()), orders)
    return out


def by_generator(
    generators: Sequence[torch.Generator], draw: Callable[..., Any], *values: Tensor
) -> Any:
    """Draw for some transfers with the generator of each, or for all with one.

    Args:
        generators: one a transfer, or one.
        draw: from parts of the values and a generator to a tensor or several.
        values: (transfers, ...).
    """
    size = len(values[0]) // len(generators)
    parts = zip(*(v.split(size) for v in values), generators, strict=True)
    drawn = [draw(*part) for part in parts]
    if isinstance(drawn[0], Tensor):
        return torch.cat(drawn)
    return tuple(torch.cat(each) for each in zip(*drawn, strict=True))


class Writing:
    """A stack of arrays in all transfers, while it is written; by the lines of what is placed.

    Args:
        stack: the arrays.
        count: transfers.
        generators: random numbers, one a transfer or one for all, which are advanced.

    Attributes:
        target: what is to be written, S, (transfers, ..., rows, cols).
        G: present conductances, S.
        stuck, value: stuck devices, and their conductances, S.
        rank: place of each device in the write order of the first pass, (..., rows, cols).
        lines: where the lines were placed, transfer by transfer, or None.

    Raises:
        InputError: the errors have several drifts by later writes, which one order cannot serve.
    """

    def __init__(self, stack: Stack, count: int, generators: Sequence[torch.Generator]) -> None:
        self.stack = stack
        self.terms = terms_of(stack.matrix.config.variation)
        self.seeds = [generator.initial_seed() for generator in generators]
        self.target = self.G = stack.wanted.expand(count, *stack.wanted.shape)
        self.stuck = torch.zeros_like(self.target, dtype=torch.bool)
        self.value = torch.zeros_like(self.target)
        self.lines: LineOrders | None = None
        self._states: list[list[Tensor]] = []
        self._stuck_by: dict[int, tuple[Tensor, Tensor]] = {}
        G = self.target
        for k, term in enumerate(self.terms):
            self._states.append([generator.get_state() for generator in generators])
            if isinstance(term, StuckDevices):
                self._stuck_by[k] = by_generator(self._generators(0, k), term.draw, G)
            G = by_generator(generators, term.apply, G)
        for stuck, value in self._stuck_by.values():
            stuck = stuck & (self.target > 0)
            self.stuck, self.value = self.stuck | stuck, torch.where(stuck, value, self.value)
        self.drift = self._one_drift()
        self.rank = self.rank_of(None)

    def _one_drift(self) -> BiasingSchemeEffect | None:
        drifts = [term for term in self.terms if isinstance(term, BiasingSchemeEffect)]
        if len(drifts) > 1:
            raise broken_rule(
                "a tester writes in one order, for one drift by later writes (`bse`)",
                f"{len(drifts)} of them",
                "Merge them.",
            )
        return drifts[0] if drifts else None

    def generators(self, label: str) -> list[torch.Generator]:
        """Random numbers by name, beside those of a plain transfer."""
        return [
            torch.Generator().manual_seed(child_seed(seed, f"stack {self.stack.number} {label}"))
            for seed in self.seeds
        ]

    def _generators(self, number: int, term: int) -> list[torch.Generator]:
        """Random numbers of a term in a pass."""
        if number:
            return self.generators(f"pass {number} term {term}")
        out = [torch.Generator() for _ in self.seeds]
        for generator, state in zip(out, self._states[term], strict=True):
            generator.set_state(state)
        return out

    def rank_of(self, order: str | None) -> Tensor:
        """Place of every physical device in a write order, (rows, cols).

        Args:
            order: of `variability.bse.ORDERS`; None as the errors say, else row by row.
        """
        rows, cols = self.target.shape[-2:]
        stated = self.drift or BiasingSchemeEffect()
        term = stated if order is None else BiasingSchemeEffect(order=order)
        later = torch.as_tensor(term.later(rows, cols), device=self.target.device)
        return later.max() - later

    def place_rank(self, order: str | None) -> Tensor:
        """Place in a write order of what stands on each physical device."""
        rank = self.rank_of(order)
        return rank if self.lines is None else self.lines.by_line(rank.expand(self.target.shape))

    def place(self, lines: LineOrders) -> None:
        """Put what is written on other lines of the arrays, before anything is written."""
        self.lines = lines
        self.stuck, self.value = lines.by_line(self.stuck), lines.by_line(self.value)
        for k, (stuck, value) in self._stuck_by.items():
            self._stuck_by[k] = lines.by_line(stuck), lines.by_line(value)

    def compensate(self) -> None:
        """Let the partners of stuck devices restore the differences of their pairs."""
        self.target = compensated(self.stack, self.target, self.stuck, self.value)

    def write(self, written: Tensor | None, number: int) -> None:
        """Write devices in the order of their ranks; all others drift.

        Args:
            written: which, (transfers, ..., rows, cols); None: all.
            number: of the pass, from 0.
        """
        G = self.target if written is None else torch.where(written, self.target, self.G)
        for k, term in enumerate(self.terms):
            present, generators = G > 0, self._generators(number, k)
            if isinstance(term, StuckDevices):
                stuck, value = self._stuck_by[k]
                changed = torch.where(stuck, self.G if number else value, G)
            elif isinstance(term, BiasingSchemeEffect):
                changed = by_generator(generators, self._drift(term), G, self._later(written))
            else:
                changed = by_generator(generators, term.apply, G)
                if written is not None:
                    changed = torch.where(written, changed, G)
            G = changed.clamp(min=0.0) * present
        self.G = G

    def _drift(self, term: BiasingSchemeEffect) -> Callable[..., Tensor]:
        def drift(G: Tensor, later: Tensor, generator: torch.Generator) -> Tensor:
            return G + term.drift(G, later.cpu().numpy() + term.later_writes, generator)

        return drift

    def _later(self, written: Tensor | None) -> Tensor:
        """Devices that are written after each one in a pass, (transfers, ..., rows, cols)."""
        shape = self.target.shape
        rank = self.rank.expand(shape).flatten(-2)
        if written is None:
            return (rank.shape[-1] - 1 - rank).reshape(shape)
        flat, order = written.flatten(-2).long(), rank.argsort(dim=-1)
        in_order = flat.gather(-1, order)
        after = in_order.flip(-1).cumsum(-1).flip(-1) - in_order
        later = torch.empty_like(after).scatter_(-1, order, after)
        return torch.where(flat.bool(), later, flat.sum(dim=-1, keepdim=True)).reshape(shape)


def compensated(stack: Stack, target: Tensor, stuck: Tensor, value: Tensor) -> Tensor:
    """Targets, S, whose partners of stuck devices restore the pairs, with their gradient."""
    config = stack.matrix.config
    return compensate(stack.reads, target, stuck, value, (config.G_min, config.G_max))
