"""Around stuck devices: the partner takes over, or the lines are placed elsewhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from papers.drolet2023.batched import Placement, gather
from papers.drolet2023.chain import Chain
from papers.drolet2023.tester import Tester
from papers.drolet2023.writing import Work

__all__ = ["alike", "compensated", "remap"]

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]


def compensated(chain: Chain, k: int, wanted: Array, stuck: Bools, value: Array) -> Array:
    """Targets with the partners of stuck devices moved, so that the pairs' differences are kept."""
    out, config = wanted.copy(), chain.config
    for read in (part.tile.read for part in chain.passes_of(k)):
        pairs_out = read.lines_out.shape[1] == 2
        lines = read.lines_out if pairs_out else read.lines_in
        on_rows = read.reverse if pairs_out else not read.reverse
        for a, b in ((0, 1), (1, 0)):
            mine, other = lines[:, a], lines[:, b]
            cut = (slice(None), mine) if on_rows else (slice(None), slice(None), mine)
            cut_other = (slice(None), other) if on_rows else (slice(None), slice(None), other)
            want = value[cut] - (wanted[cut] - wanted[cut_other])
            new = np.clip(want, config.G_min, config.G_max)
            out[cut_other] = np.where(stuck[cut] & ~stuck[cut_other], new, out[cut_other])
    return out


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


def _best_placement(tester: Tester, k: int, work: Work, hit: npt.NDArray[np.intp]) -> Placement:
    """The best of some random placements of array `k` for the transfers `hit`."""
    chain, rng = tester.chain, work.rng("remap")
    _, rows, cols = work.G.shape
    same = Placement(
        rows=np.tile(np.arange(rows), (hit.size, 1)), cols=np.tile(np.arange(cols), (hit.size, 1))
    )
    best, score_of_best = same, np.full(hit.size, -np.inf)
    for trial in range(tester.procedure.remap + 1):
        place = _shuffled(chain, k, same, rng) if trial else same
        stuck, value = gather(work.stuck[hit], place), gather(work.value[hit], place)
        wanted = work.wanted[hit]
        if tester.procedure.compensate:
            wanted = compensated(chain, k, wanted, stuck, value)
        G = [np.broadcast_to(g, (hit.size, *g.shape)) for g in chain.wanted]
        G[k] = np.where(stuck, value, wanted)
        m = tester.margins(tester.logits(G))
        score = np.tanh(m / max(float(np.median(np.abs(m))), 1e-12)).mean(axis=1)
        better = (score > score_of_best)[:, None]
        best = Placement(
            rows=np.where(better, place.rows, best.rows),
            cols=np.where(better, place.cols, best.cols),
        )
        score_of_best = np.maximum(score, score_of_best)
    return best


def alike(chain: Chain, k: int) -> tuple[list[Index], list[Index]]:
    """Groups of word lines, and of bit lines, of array `k` that may take each other's place.

    Those that are sensed in a pass in which others are only held may not change with them.
    """
    reads = [part.tile.read for part in chain.passes_of(k)]
    out = []
    for size, sensed in zip(chain.wanted[k].shape, (True, False), strict=True):
        kinds = np.array([
            np.isin(np.arange(size), read.lines_out) for read in reads if read.reverse == sensed
        ], dtype=bool).reshape(-1, size)  # fmt: skip
        names = np.array(["".join(str(int(e)) for e in kind) for kind in kinds.T])
        out.append([np.flatnonzero(names == name) for name in np.unique(names)])
    return out[0], out[1]


def _shuffled(chain: Chain, k: int, place: Placement, rng: np.random.Generator) -> Placement:
    """Random permutations among lines that may take each other's place."""
    out = []
    for lines, groups in zip((place.rows, place.cols), alike(chain, k), strict=True):
        new = lines.copy()
        for members in groups:
            shuffle = rng.random((len(lines), members.size)).argsort(axis=1)
            new[:, members] = members[shuffle]
        out.append(new)
    return Placement(rows=out[0], cols=out[1])
