"""Stuck-device dropout: which devices are stuck in which draw, and at what conductance.

Three ways: by chance, in strata that cover every device once a cycle, and one draw for every
device. Stuck devices are few, so only they are listed and drawn. A stuck device takes its failure
value and passes no gradient (hardware-aware dropout: Drolet et al. 2023, arXiv:2305.18495); the
strata and the draw for every device are this package's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from xbarspice.core.seeds import child_seed
from xbarspice.variability import StuckDevices

__all__ = ["Strata", "StuckMode", "by_chance", "cycle_length", "forced", "put_stuck"]

StuckMode = Literal["by_chance", "stratified", "every_device"]


def by_chance(rate: float, count: int, generator: torch.Generator) -> Tensor:
    """Numbers of `count` devices that are stuck, each with probability `rate` by itself.

    The gaps between them are geometric, so that only stuck devices cost a random number.
    """
    if rate <= 0 or count == 0:
        return torch.empty(0, dtype=torch.int64)
    if rate >= 1:
        return torch.arange(count)
    some = int(count * rate + 6 * math.sqrt(count * rate) + 8)
    numbers = torch.empty(0, dtype=torch.int64)
    last = -1
    while last < count:
        gaps = torch.empty(some, dtype=torch.float64).geometric_(rate, generator=generator)
        more = last + gaps.clamp(max=float(count) + 1).long().cumsum(0)
        numbers, last = torch.cat([numbers, more]), int(more[-1])
    return numbers[numbers < count]


def cycle_length(rate: float) -> int:
    """Draws in which strata cover every device once, so that each is stuck at about `rate`."""
    return max(1, round(1 / rate))


@dataclass(eq=False)
class Strata:
    """Devices in random order, dealt out to the draws of a cycle: each is stuck in one of them.

    Attributes:
        seed: of the orders, one a cycle.
    """

    seed: int
    _kept: tuple[int, int, int, Tensor, Tensor] | None = None

    def stuck(self, draw: int, count: int, length: int) -> Tensor:
        """Numbers of the devices that are stuck in a draw.

        Args:
            draw: number of the draw since the beginning.
            count: of devices.
            length: draws in a cycle; see `cycle_length`.
        """
        cycle, slot = divmod(draw, length)
        order, slots = self._orders(cycle, count, length)
        place = int(slots[slot])
        return order[-(-place * count // length) : -(-(place + 1) * count // length)]

    def _orders(self, cycle: int, count: int, length: int) -> tuple[Tensor, Tensor]:
        if self._kept is None or self._kept[:3] != (cycle, count, length):
            generator = torch.Generator().manual_seed(child_seed(self.seed, f"cycle {cycle}"))
            order = torch.randperm(count, generator=generator)
            slots = torch.randperm(length, generator=generator)
            self._kept = cycle, count, length, order, slots
        return self._kept[3], self._kept[4]


def forced(
    draws: int, first: int, count: int, rate: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draws and numbers of stuck devices, where every device has a draw of its own.

    The first draws, up to `first`, have none; draw ``first + k`` has device k and others by chance.

    Args:
        draws: all of them, of this array and of others.
        first: draw that belongs to device 0 of this array.
        count: devices of this array.
        rate: probability that a device is stuck by chance.
        generator: random numbers.
    """
    chance = by_chance(rate, draws * count, generator)
    own = (first + torch.arange(count)) * count + torch.arange(count)
    both = torch.unique(torch.cat([chance, own]))
    return both // count, both % count


def put_stuck(
    G: Tensor,
    draw: Tensor,
    device: Tensor,
    term: StuckDevices,
    generator: torch.Generator,
) -> Tensor:
    """Conductances with some devices at their failure value, through which no gradient passes.

    Args:
        G: S, (draws, ...).
        draw, device: which devices, (stuck,) each; devices are counted behind the axis of draws.
        term: the law of failure values.
        generator: random numbers.
    """
    if not len(draw):
        return G
    count = G[0].numel()
    values = _values(len(draw), term, generator).to(G)
    place = (draw * count + device).to(G.device)
    flat = G.reshape(-1)
    values = torch.where(flat.detach()[place] > 0, values, torch.zeros_like(values))
    return flat.index_put((place,), values).reshape(G.shape)


def _values(count: int, term: StuckDevices, generator: torch.Generator) -> Tensor:
    """Conductances of stuck devices, S, (count,)."""
    total = term.rate_lrs + term.rate_hrs
    low_resistive = torch.rand(count, generator=generator) * total < term.rate_lrs
    lrs = term.lrs_mean + term.lrs_std * torch.randn(count, generator=generator)
    hrs = term.hrs_min + (term.hrs_max - term.hrs_min) * torch.rand(count, generator=generator)
    return torch.where(low_resistive, lrs.clamp(min=0.0), hrs)
