"""Lines of arrays placed elsewhere, around their stuck devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from xbarspice.mapping.reads import like_lines
from xbarspice.nn.line_orders import LineOrders
from xbarspice.training.writing import Stack, Writing, by_generator, compensated

__all__ = ["choose_lines"]

Score = Callable[[list[Tensor], list[LineOrders]], Tensor]
"""From conductances by row and column, S, (transfers, ..., rows, cols), and orders of the lines,
stack by stack, to how good the answers are, (transfers,)."""


def choose_lines(
    writings: Sequence[Writing], score: Score, trials: int, *, compensate: bool
) -> None:
    """Place the lines of arrays with stuck devices where the answers are best.

    Every trial shuffles the lines of one array of each transfer, of all that have stuck devices in
    turn, and is kept if it is better.

    Args:
        writings: all arrays, before they are written.
        score: of conductances and orders of lines.
        trials: random orders of lines, beside those as they come.
        compensate: whether partners of stuck devices will be written to restore their pairs.
    """
    arrays_hit = torch.cat([_of_arrays(w.stuck.any(dim=-1).any(dim=-1)) for w in writings], dim=1)
    hit = arrays_hit.any(dim=1).nonzero()[:, 0]
    best = [LineOrders.as_they_come(w.target.shape, w.target.device) for w in writings]
    if len(hit):
        most = score(*_held(writings, best, hit, compensate))
        for trial in range(trials):
            chosen = _one_in_turn(arrays_hit[hit], trial)
            lines = _try(writings, best, hit, chosen, f"lines {trial}")
            now = score(*_held(writings, lines, hit, compensate))
            best = _take(best, lines, hit, now > most)
            most = torch.maximum(most, now)
    for writing, lines in zip(writings, best, strict=True):
        writing.place(lines)


def _of_arrays(values: Tensor) -> Tensor:
    """Values of single arrays, (transfers, ...), as (transfers, arrays)."""
    return values.reshape(len(values), -1)


def _held(
    writings: Sequence[Writing], lines: Sequence[LineOrders], hit: Tensor, compensate: bool
) -> tuple[list[Tensor], list[LineOrders]]:
    """What arrays of some transfers hold, S, with healthy devices on target, and their lines."""
    out, of_hit = [], [orders[hit] for orders in lines]
    for writing, orders in zip(writings, of_hit, strict=True):
        stuck, value = orders.by_line(writing.stuck[hit]), orders.by_line(writing.value[hit])
        target = writing.target[hit]
        if compensate:
            target = compensated(writing.stack, target, stuck, value)
        out.append(torch.where(stuck, value, target))
    return out, of_hit


def _one_in_turn(hit: Tensor, trial: int) -> Tensor:
    """One of the arrays with stuck devices in each transfer, (transfers, arrays)."""
    turn = trial % hit.sum(dim=1, keepdim=True)
    return hit & (hit.long().cumsum(dim=1) - 1 == turn)


def _try(
    writings: Sequence[Writing],
    best: Sequence[LineOrders],
    hit: Tensor,
    chosen: Tensor,
    label: str,
) -> list[LineOrders]:
    """The best lines with those of the chosen array of each transfer shuffled."""
    out, first = [], 0
    for writing, orders in zip(writings, best, strict=True):
        lead = orders.rows.shape[1:-1]
        count = lead.numel()
        here = torch.zeros(len(orders), *lead, 1, dtype=torch.bool, device=orders.rows.device)
        here[hit] = chosen[:, first : first + count].reshape(-1, *lead, 1)
        out.append(orders.where(here, _shuffle(writing.stack, orders, writing.generators(label))))
        first += count
    return out


def _take(
    best: Sequence[LineOrders], lines: Sequence[LineOrders], hit: Tensor, better: Tensor
) -> list[LineOrders]:
    """Lines that are better, in transfers where they are."""
    where = torch.zeros(len(best[0]), dtype=torch.bool, device=hit.device)
    where[hit] = better
    return [
        old.where(where.reshape(-1, *[1] * (old.rows.ndim - 1)), new)
        for old, new in zip(best, lines, strict=True)
    ]


def _shuffle(stack: Stack, lines: LineOrders, generators: list[torch.Generator]) -> LineOrders:
    """Random orders among lines that may take each other's place; pairs of bit lines stay so."""
    groups_of_sides = like_lines(stack.reads, tuple(stack.wanted.shape[-2:]))
    in_pairs = any(r.lines_out.shape[1] == 2 and not r.reverse for r in stack.reads)
    out = []
    sides = lines.rows, lines.cols
    for side, groups, width in zip(sides, groups_of_sides, (1, 1 + in_pairs), strict=True):
        new = torch.empty_like(side)
        for group in groups:
            members = torch.as_tensor(group, device=side.device).reshape(-1, width)
            shape = (*side.shape[1:-1], len(members))

            def draw(
                part: Tensor, generator: torch.Generator, shape: tuple[int, ...] = shape
            ) -> Tensor:
                return torch.rand((len(part), *shape), generator=generator).argsort(dim=-1)

            order = by_generator(generators, draw, side).to(side.device)
            new[..., members.flatten()] = members[order].flatten(-2)
        out.append(new)
    return LineOrders(rows=out[0], cols=out[1])
