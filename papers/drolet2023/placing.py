"""Around stuck devices: the partner takes over, or the lines are placed elsewhere."""

from __future__ import annotations

import numpy as np

from papers.drolet2023.batched import Placement, gather
from papers.drolet2023.chain import Chain
from papers.drolet2023.tester import Tester
from papers.drolet2023.writing import Work
from xbarspice.calibration import lines
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.mapping.reads import Read, like_lines

__all__ = ["alike", "compensate", "remap"]


def compensate(chain: Chain, k: int, target: Array, stuck: Flags, value: Array) -> Array:
    """Targets with the partners of stuck devices moved, so that the pairs' differences are kept."""
    limits = (chain.config.G_min, chain.config.G_max)
    return lines.compensate(_reads(chain, k), target, stuck, value, limits)


def remap(tester: Tester, works: list[Work]) -> None:
    """Choose, for arrays with stuck devices, the placement with the best computed answers."""
    for k, work in enumerate(works):
        count, rows, cols = work.G.shape
        place = Placement(
            rows=np.tile(np.arange(rows), (count, 1)), cols=np.tile(np.arange(cols), (count, 1))
        )
        hit = np.flatnonzero(work.stuck.any(axis=(1, 2)))
        if hit.size:
            best = _best_placement(tester, k, work, hit)
            place.rows[hit], place.cols[hit] = best.rows, best.cols
        work.place = place
        work.stuck, work.value = gather(work.stuck, place), gather(work.value, place)


def _best_placement(tester: Tester, k: int, work: Work, hit: Indices) -> Placement:
    """The best of some random placements of array `k` for the transfers `hit`."""
    chain, rng = tester.chain, work.rng("remap")
    _, rows, cols = work.G.shape
    same = Placement(
        rows=np.tile(np.arange(rows), (hit.size, 1)), cols=np.tile(np.arange(cols), (hit.size, 1))
    )
    best, score_of_best = same, np.full(hit.size, -np.inf)
    for trial in range(tester.procedure.remap + 1):
        place = _shuffle(chain, k, same, rng) if trial else same
        stuck, value = gather(work.stuck[hit], place), gather(work.value[hit], place)
        target = work.wanted[hit]
        if tester.procedure.compensate:
            target = compensate(chain, k, target, stuck, value)
        G = [np.broadcast_to(g, (hit.size, *g.shape)) for g in chain.wanted]
        G[k] = np.where(stuck, value, target)
        m = tester.margins(tester.logits(G))
        score = np.tanh(m / max(float(np.median(np.abs(m))), 1e-12)).mean(axis=1)
        better = (score > score_of_best)[:, None]
        best = Placement(
            rows=np.where(better, place.rows, best.rows),
            cols=np.where(better, place.cols, best.cols),
        )
        score_of_best = np.maximum(score, score_of_best)
    return best


def alike(chain: Chain, k: int) -> tuple[list[Indices], list[Indices]]:
    """Groups of word lines, and of bit lines, of array `k` that may take each other's place."""
    return like_lines(_reads(chain, k), chain.wanted[k].shape)


def _reads(chain: Chain, k: int) -> list[Read]:
    return [part.tile.read for part in chain.passes_of(k)]


def _shuffle(chain: Chain, k: int, place: Placement, rng: np.random.Generator) -> Placement:
    """Random permutations among lines that may take each other's place."""
    out = []
    for lines_of_array, groups in zip((place.rows, place.cols), alike(chain, k), strict=True):
        new = lines_of_array.copy()
        for members in groups:
            shuffle = rng.random((len(lines_of_array), members.size)).argsort(axis=1)
            new[:, members] = members[shuffle]
        out.append(new)
    return Placement(rows=out[0], cols=out[1])
