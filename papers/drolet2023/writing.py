"""Writing the devices of an array: tuning errors, drift by later writes, stuck devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from papers.drolet2023.batched import Batch, Placement, gather
from xbarspice.core.errors import broken_rule
from xbarspice.core.seeds import child_rng
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.variability import (
    BiasingSchemeEffect,
    Compose,
    StuckDevices,
    Variation,
    bse_table,
)
from xbarspice.variability.base import Draws

__all__ = ["Terms", "Work", "at_mapped_lines", "start", "write"]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """A variation taken apart: what is drawn once, at every write, and by later writes."""

    write: tuple[Variation, ...]
    bse: Any
    stuck: Any

    @classmethod
    def of(cls, variation: Variation) -> Terms:
        parts = variation.parts if isinstance(variation, Compose) else (variation,)
        bse = [p for p in parts if isinstance(p, BiasingSchemeEffect)]
        stuck = [p for p in parts if isinstance(p, StuckDevices)]
        if len(bse) > 1 or len(stuck) > 1:
            raise broken_rule(
                "a programming procedure takes at most one `bse` and one `saf` term",
                f"{len(bse)} and {len(stuck)}",
                "Merge them.",
            )
        write = tuple(p for p in parts if not isinstance(p, (BiasingSchemeEffect, StuckDevices)))
        return cls(write=write, bse=bse[0] if bse else None, stuck=stuck[0] if stuck else None)


@dataclass(kw_only=True, eq=False)
class Work:
    """One array of all transfers in a chunk while it is being programmed, in mapped lines.

    Attributes:
        wanted, G: targets and present conductances, S, (count, rows, cols).
        stuck, value: stuck devices and their conductances.
        rank: place of each device in the write order, (count, rows, cols).
        name: prefix of the generators.
    """

    wanted: Array
    G: Array
    stuck: Flags
    value: Array
    rank: Indices
    name: str
    seed: int
    place: Placement | None = None

    def rng(self, what: str) -> np.random.Generator:
        return child_rng(self.seed, f"{self.name} {what}")


def start(target: Array, terms: Terms, count: int, seed: int, name: str) -> Work:
    """An array of `count` transfers before it is written, its stuck devices drawn."""
    G = np.repeat(target[None], count, axis=0)
    work = Work(
        wanted=G,
        G=G.copy(),
        stuck=np.zeros(G.shape, bool),
        value=np.zeros(G.shape),
        rank=np.zeros(G.shape, np.intp),
        name=name,
        seed=seed,
    )
    if terms.stuck is not None:
        stuck, work.value = terms.stuck.draw(G, work.rng("saf"))
        work.stuck = stuck & (G > 0)
    return work


def write(work: Work, terms: Terms, written: Flags, number: int) -> None:
    """Write the chosen devices in the order of their ranks; the others drift."""
    new = work.wanted
    for part in terms.write:
        new = part.apply(new, work.rng(f"{part.name} {number}"))
    G = np.where(written, new, work.G)
    if terms.bse is not None:
        G = G + _drift(work, terms.bse, written, number) * (G > 0)
    G = np.where(work.stuck, work.value, G)
    work.G = np.clip(G, 0.0, None)


def _drift(work: Work, bse: Any, written: Flags, number: int) -> Array:
    """Drift of every device by the chosen devices that are written after it, S."""
    table = bse_table(bse.tail)
    count = len(work.G)
    flat, rank = written.reshape(count, -1), work.rank.reshape(count, -1)
    order = np.argsort(rank, axis=1)
    # how many chosen devices come after each place in the order
    in_order = np.take_along_axis(flat, order, axis=1)
    after = in_order[:, ::-1].cumsum(axis=1)[:, ::-1] - in_order
    rank_after = np.empty_like(after)
    np.put_along_axis(rank_after, order, after, axis=1)
    later = np.where(flat, rank_after, flat.sum(axis=1, keepdims=True)).reshape(work.G.shape)
    later = later + bse.later_writes
    row = np.clip(later, 1, len(table.mean)) - 1
    rng = work.rng(f"bse {number}")
    u = rng.random(work.G.shape)
    drift = Draws(rng, work.G).lookup(table.levels, table.quantiles, row, u)
    if bse.beyond_4_sigma is not None:
        drift = np.where(np.abs(drift) > 4.0 * table.std[row], bse.beyond_4_sigma, drift)
    return bse.scale * drift * (later > 0)


def at_mapped_lines(batch: Batch) -> tuple[Array, ...]:
    """Conductances at the mapped lines, S, one (transfers, rows, cols) an array."""
    places = batch.places or (None,) * len(batch.G)
    return tuple(
        g if place is None else gather(g, place) for g, place in zip(batch.G, places, strict=True)
    )
