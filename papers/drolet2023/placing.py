"""Around stuck devices: the partner takes over, or the lines are placed elsewhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xbarspice.mapping import MappedNetwork
from xbarspice.studies.batched import Placement
from xbarspice.studies.tester import Tester
from xbarspice.studies.writing import Work, gather

__all__ = ["alike", "compensated", "remap"]

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]


def compensated(mapped: MappedNetwork, k: int, wanted: Array, stuck: Bools, value: Array) -> Array:
    """Targets with the partners of stuck devices moved, so that the pairs' differences are kept."""
    out = wanted.copy()
    for block in (b for b in mapped.blocks if b.array == k):
        pairs_in, pairs_out = block.lines_in.shape[1] == 2, block.lines_out.shape[1] == 2
        lines = block.lines_out if pairs_out else block.lines_in
        if not (pairs_out or pairs_in):
            continue
        on_rows = pairs_in != block.reverse if not pairs_out else block.reverse
        for a, b in ((0, 1), (1, 0)):
            mine, other = lines[:, a], lines[:, b]
            cut = (slice(None), mine) if on_rows else (slice(None), slice(None), mine)
            cut_other = (slice(None), other) if on_rows else (slice(None), slice(None), other)
            want = value[cut] - (wanted[cut] - wanted[cut_other])
            new = np.clip(want, mapped.G_min, mapped.G_max)
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
    mapped, rng = tester.mapped, work.rng("remap")
    _, rows, cols = work.G.shape
    same = Placement(
        rows=np.tile(np.arange(rows), (hit.size, 1)), cols=np.tile(np.arange(cols), (hit.size, 1))
    )
    best, score_of_best = same, np.full(hit.size, -np.inf)
    for trial in range(tester.procedure.remap + 1):
        place = _shuffled(mapped, k, same, rng) if trial else same
        stuck, value = gather(work.stuck[hit], place), gather(work.value[hit], place)
        wanted = work.wanted[hit]
        if tester.procedure.compensate:
            wanted = compensated(mapped, k, wanted, stuck, value)
        G = [np.broadcast_to(a.G, (hit.size, *a.G.shape)) for a in mapped.arrays]
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


def alike(mapped: MappedNetwork, k: int) -> tuple[list[Index], list[Index]]:
    """Groups of word lines, and of bit lines, of array `k` whose ends do the same in every pass.

    What an end does is what its block says, whatever the leads: `MappedNetwork.crossbar` may call a
    line that is held at 0 V sensed so as to give it the right lead, which does not make a tester's
    input line one of its outputs.
    """
    rows, cols = mapped.arrays[k].G.shape
    blocks = [b for b in mapped.blocks if b.array == k]
    out = []
    for ends in (
        [b.ends.word_lines(rows) for b in blocks],
        [b.ends.bit_lines(cols) for b in blocks],
    ):
        kinds = np.stack(ends, axis=1)
        names = np.array(["".join(str(e) for e in kind.ravel()) for kind in kinds])
        out.append([np.flatnonzero(names == name) for name in np.unique(names)])
    return out[0], out[1]


def _shuffled(
    mapped: MappedNetwork, k: int, place: Placement, rng: np.random.Generator
) -> Placement:
    """Random permutations among lines whose ends are alike in every reading pass."""
    out = []
    for lines, groups in zip((place.rows, place.cols), alike(mapped, k), strict=True):
        new = lines.copy()
        for members in groups:
            shuffle = rng.random((len(lines), members.size)).argsort(axis=1)
            new[:, members] = members[shuffle]
        out.append(new)
    return Placement(rows=out[0], cols=out[1])
