"""Programming as a tester does it: write order, further tuning passes, stuck devices, bias.

A `Procedure` says what the tester does; each step uses only what a tester knows: the wanted
conductances, the conductances read back (with read noise), the answers of the array computed from
them for calibration points, and which devices did not move when they were written (stuck).

Errors are drawn by the terms of a `Variation`: tuning errors anew whenever a device is written,
the drift of the biasing scheme for every device by the number of devices written after it in the
same pass, and stuck devices once for the whole life of the array. Each has its own generator.
"""

from __future__ import annotations

import numpy as np

from papers.drolet2023 import batched
from papers.drolet2023.batched import Batch, gather
from papers.drolet2023.placing import compensate, remap
from papers.drolet2023.tester import Procedure, Tester
from papers.drolet2023.writing import Terms, Work, start, write
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.variability import BiasingSchemeEffect, ReadNoise, Variation

__all__ = ["Procedure", "Tester", "program"]


def program(tester: Tester, variation: Variation, *, count: int, seed: int, chunk: int) -> Batch:
    """Program `count` copies of the arrays, each with errors of its own.

    Args:
        tester: the model and the procedure.
        variation: the transfer errors.
        count: transfers to draw.
        seed, chunk: together they name the generators.
    """
    terms, procedure = Terms.of(variation), tester.procedure
    works = [
        start(G, terms, count, seed, f"transfers {chunk} array {k}")
        for k, G in enumerate(tester.chain.wanted)
    ]
    if procedure.remap:
        remap(tester, works)
    if procedure.compensate:
        for k, work in enumerate(works):
            work.wanted = compensate(tester.chain, k, work.wanted, work.stuck, work.value)
    for k, work in enumerate(works):
        work.rank = _ranks(tester, k, work, terms)
        write(work, terms, np.ones_like(work.stuck), 0)
    for number in range(1, procedure.passes):
        if not _tune(tester, works, terms, number):
            break
    digital = _bias(tester, works) if procedure.bias else None
    places = tuple(w.place for w in works)
    any_place = any(p is not None for p in places)
    G = batched.permute([w.G for w in works], places) if any_place else tuple(w.G for w in works)
    return Batch(G=G, digital=digital, places=places if any_place else None)


def _ranks(tester: Tester, k: int, work: Work, terms: Terms) -> Indices:
    """Place of every device in the write order of the first pass, (count, rows, cols)."""
    rows, cols = work.G.shape[1:]
    if tester.procedure.order == "sensitivity" and tester.sensitivity is not None:
        order = np.argsort(tester.sensitivity[k], axis=None, kind="stable")
        rank = np.empty(rows * cols, np.intp)
        rank[order] = np.arange(rows * cols)
        return np.broadcast_to(rank.reshape(rows, cols), work.G.shape)
    later = (terms.bse or BiasingSchemeEffect()).later(rows, cols)
    physical = np.broadcast_to(later.max() - later, work.G.shape)
    return physical if work.place is None else gather(physical, work.place)


def _tune(tester: Tester, works: list[Work], terms: Terms, number: int) -> bool:
    """One further pass on the arrays whose answers are not good enough; False if all are."""
    read_back = [ReadNoise().apply(w.G, w.rng(f"read back {number}")) for w in works]
    open_ = _open(tester, tester.logits(read_back))
    if not open_.any():
        return False
    for k, work in enumerate(works):
        weight = np.ones(work.G.shape[1:]) if tester.sensitivity is None else tester.sensitivity[k]
        error = np.abs(read_back[k] - work.wanted) * weight * ~work.stuck
        few = min(tester.procedure.rewrite, error[0].size)
        limit = np.sort(error.reshape(len(error), -1), axis=1)[:, -few][:, None, None]
        rewritten = (error >= limit) & (error > 0) & open_[:, None, None]
        before = work.G
        write(work, terms, rewritten, number)
        work.G = np.where(open_[:, None, None], work.G, before)
    return True


def _open(tester: Tester, logits: Array) -> Flags:
    """Transfers whose answers are not good enough yet."""
    if tester.procedure.bias:
        logits = logits + _best_shift(tester, logits)[:, None]
    margins = tester.margins(tester.logits([G[None] for G in tester.chain.wanted]))
    enough = tester.procedure.enough * np.mean(margins > 0)
    return np.mean(tester.margins(logits) > 0, axis=1) < enough - 1e-12


def _bias(tester: Tester, works: list[Work]) -> Array:
    """Correction of the digital output bias, (transfers, outputs)."""
    read_back = [ReadNoise().apply(w.G, w.rng("read for bias")) for w in works]
    return _best_shift(tester, tester.logits(read_back))


def _best_shift(tester: Tester, logits: Array) -> Array:
    """Shift of the logits that gets most calibration points right, (transfers, outputs).

    With several outputs it is the mean difference to the wanted logits that is taken off.
    """
    target_logits = tester.logits([G[None] for G in tester.chain.wanted])
    if logits.shape[-1] > 1:
        return -(logits - target_logits).mean(axis=1)
    if tester.y is None:
        raise AssertionError("only testers with calibration points compute answers")
    width = float(np.median(np.abs(target_logits)))
    shifts = np.linspace(-1.5, 1.5, 61) * width
    sign = 2 * tester.y - 1
    score = np.empty((len(shifts), len(logits)))
    for k, shift in enumerate(shifts):
        m = (logits[..., 0] + shift) * sign
        # the count, smoothed a little so that the middle of a plateau wins
        score[k] = np.tanh(m / (0.1 * width)).mean(axis=1) - 1e-4 * abs(shift) / width
    return shifts[np.argmax(score, axis=0)][:, None]
