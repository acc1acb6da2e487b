"""Programming as a tester does it: write order, further tuning passes, stuck devices, bias.

A `Procedure` says what the tester does; each step uses only what a tester knows: the wanted
conductances, the conductances read back (with read noise), the answers of the array computed from
them for calibration points, and which devices did not move when they were written (stuck).

Errors are drawn by the terms of a `Variation`: tuning errors anew whenever a device is written,
the drift of the biasing scheme for every device by the number of devices written after it in the
same pass, and stuck devices once for the whole life of the array. Each has its own generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from xbarspice.config import child_rng
from xbarspice.errors import broken_rule
from xbarspice.mapping import MappedNetwork
from xbarspice.studies import batched
from xbarspice.studies.batched import Batch, Placement
from xbarspice.variability import (
    BiasingSchemeEffect,
    Compose,
    ReadNoise,
    StuckDevices,
    Variation,
    bse_table,
)
from xbarspice.variability.base import Draws

__all__ = ["Procedure", "Tester", "program", "redundant"]

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """What the tester does. The default writes every device once, row by row.

    Attributes:
        order: "rows", or "sensitivity": devices that change the answers most are written last,
            so that fewer later writes disturb them.
        passes: most tuning passes; every pass after the first rewrites the `rewrite` devices
            whose read-back error weighs most, and ends early when the answers are good enough.
        rewrite: devices rewritten in each further pass.
        enough: share of the calibration points that must be right for no further pass, as a
            share of the number that the wanted conductances get right.
        compensate: the partner of a stuck device is tuned to restore the pair's difference.
        remap: random placements of the lines that are tried for arrays with stuck devices.
        bias: the digital output bias is corrected after programming.
    """

    order: Literal["rows", "sensitivity"] = "rows"
    passes: int = 1
    rewrite: int = 12
    enough: float = 1.0
    compensate: bool = False
    remap: int = 0
    bias: bool = False

    def __post_init__(self) -> None:
        if self.passes < 1 or self.rewrite < 1 or self.remap < 0:
            raise broken_rule(
                "`passes` and `rewrite` must be >= 1 and `remap` >= 0",
                (self.passes, self.rewrite, self.remap), "passes=1 writes everything once.",
            )  # fmt: skip

    @property
    def looks(self) -> bool:
        """Whether the tester needs calibration points."""
        return self.order == "sensitivity" or self.passes > 1 or self.remap > 0 or self.bias


@dataclass(frozen=True, kw_only=True, eq=False)
class Tester:
    """A tester with one network to program.

    Attributes:
        mapped, procedure: what to program, and how.
        x, y: calibration points and classes, or None.
        offsets: what the circuit adds at the wanted conductances, or None.
        sensitivity: mean change of the calibration answers per siemens, one (rows, cols) an
            array, or None.
    """

    mapped: MappedNetwork
    procedure: Procedure
    x: Array | None = None
    y: npt.NDArray[np.intp] | None = None
    offsets: tuple[Array, ...] | None = None
    sensitivity: tuple[Array, ...] | None = None

    @classmethod
    def of(
        cls,
        mapped: MappedNetwork,
        procedure: Procedure,
        calibration: tuple[npt.ArrayLike, npt.ArrayLike] | None,
        *,
        circuit: bool,
    ) -> Tester:
        """Prepare a tester; see `transfer.transfer` for the arguments."""
        if not procedure.looks:
            return cls(mapped=mapped, procedure=procedure)
        if calibration is None:
            raise broken_rule(
                "this procedure needs `calibration` points", "None",
                "Pass training points and classes; never test points.",
            )  # fmt: skip
        x, y = mapped.network.inputs(calibration[0]), np.asarray(calibration[1], dtype=np.intp)
        offsets = batched.circuit_offsets(mapped, x) if circuit else None
        tester = cls(mapped=mapped, procedure=procedure, x=x, y=y, offsets=offsets)
        if procedure.order == "rows" and procedure.passes == 1:
            return tester
        return replace(tester, sensitivity=_sensitivity(tester))

    def logits(self, G: Sequence[Array]) -> Array:
        """Answers for the calibration points from conductances, (transfers, points, outputs)."""
        if self.x is None:
            raise AssertionError("only testers with calibration points compute answers")
        return batched.logits(self.mapped, self.x, Batch(G=tuple(G)), offsets=self.offsets)

    def margins(self, logits: Array) -> Array:
        """How far each point is on the right side, (transfers, points), in logits."""
        if self.y is None:
            raise AssertionError("only testers with calibration points compute answers")
        if logits.shape[-1] == 1:
            return logits[..., 0] * (2 * self.y - 1)
        own = np.take_along_axis(logits, self.y[None, :, None], axis=-1)[..., 0]
        others = logits.copy()
        np.put_along_axis(
            others, np.broadcast_to(self.y[None, :, None], (*own.shape, 1)), -np.inf, -1
        )
        return own - others.max(axis=-1)


def _sensitivity(tester: Tester) -> tuple[Array, ...]:
    """Mean change of the class probabilities per siemens, by differences of 5 % of the range."""
    wanted = [a.G for a in tester.mapped.arrays]
    step = 0.05 * (tester.mapped.G_max - tester.mapped.G_min)
    at_rest = tester.margins(tester.logits([g[None] for g in wanted]))
    width = max(float(np.median(np.abs(at_rest))) / 2, 1e-12)

    def squash(m: Array) -> Array:
        return np.tanh(m / width)

    out = []
    for k, g in enumerate(wanted):
        moves = np.eye(g.size).reshape(-1, *g.shape) * step
        change = np.empty(g.size)
        for start in range(0, g.size, 64):  # a bounded number of arrays at a time
            part = moves[start : start + 64]
            G = [np.broadcast_to(w, (len(part), *w.shape)) for w in wanted]
            G[k] = g + part
            moved = squash(tester.margins(tester.logits(G))) - squash(at_rest)
            change[start : start + 64] = np.abs(moved).mean(axis=1) / step
        out.append(change.reshape(g.shape))
    return tuple(out)


@dataclass(frozen=True, kw_only=True)
class _Terms:
    """A variation taken apart: what is drawn once, at every write, and by later writes."""

    write: tuple[Variation, ...]
    bse: Any
    stuck: Any

    @classmethod
    def of(cls, variation: Variation) -> _Terms:
        parts = variation.parts if isinstance(variation, Compose) else (variation,)
        bse = [p for p in parts if isinstance(p, BiasingSchemeEffect)]
        stuck = [p for p in parts if isinstance(p, StuckDevices)]
        if len(bse) > 1 or len(stuck) > 1:
            raise broken_rule(
                "a programming procedure takes at most one `bse` and one `saf` term",
                f"{len(bse)} and {len(stuck)}", "Merge them.",
            )  # fmt: skip
        write = tuple(p for p in parts if not isinstance(p, (BiasingSchemeEffect, StuckDevices)))
        return cls(write=write, bse=bse[0] if bse else None, stuck=stuck[0] if stuck else None)


@dataclass(kw_only=True, eq=False)
class _Work:
    """One array of all transfers in a chunk while it is being programmed, in mapped lines.

    Attributes:
        wanted, G: targets and present conductances, S, (count, rows, cols).
        stuck, value: stuck devices and their conductances.
        rank: place of each device in the write order, (count, rows, cols).
        name: prefix of the generators.
    """

    wanted: Array
    G: Array
    stuck: Bools
    value: Array
    rank: npt.NDArray[np.intp]
    name: str
    seed: int
    place: Placement | None = None

    def rng(self, what: str) -> np.random.Generator:
        return child_rng(self.seed, f"{self.name} {what}")


def program(tester: Tester, variation: Variation, *, count: int, seed: int, chunk: int) -> Batch:
    """Program `count` copies of the arrays, each with errors of its own.

    Args:
        tester: the network and the procedure.
        variation: the transfer errors.
        count: transfers to draw.
        seed, chunk: together they name the generators.
    """
    terms, procedure = _Terms.of(variation), tester.procedure
    works = [
        _start(a.G, terms, count, seed, f"transfers {chunk} array {k}")
        for k, a in enumerate(tester.mapped.arrays)
    ]
    if procedure.remap:
        _remap(tester, works)
    if procedure.compensate:
        for k, work in enumerate(works):
            work.wanted = _compensated(tester.mapped, k, work.wanted, work.stuck, work.value)
    for k, work in enumerate(works):
        work.rank = _ranks(tester, k, work, terms)
        _write(work, terms, np.ones_like(work.stuck), 0)
    for number in range(1, procedure.passes):
        if not _tune(tester, works, terms, number):
            break
    digital = _bias(tester, works) if procedure.bias else None
    places = tuple(w.place for w in works)
    any_place = any(p is not None for p in places)
    G = batched.moved([w.G for w in works], places) if any_place else tuple(w.G for w in works)
    return Batch(G=G, digital=digital, places=places if any_place else None)


def _start(wanted: Array, terms: _Terms, count: int, seed: int, name: str) -> _Work:
    G = np.repeat(wanted[None], count, axis=0)
    work = _Work(
        wanted=G, G=G.copy(), stuck=np.zeros(G.shape, bool), value=np.zeros(G.shape),
        rank=np.zeros(G.shape, np.intp), name=name, seed=seed,
    )  # fmt: skip
    if terms.stuck is not None:
        stuck, work.value = terms.stuck.draw(G, work.rng("saf"))
        work.stuck = stuck & (G > 0)
    return work


def _ranks(tester: Tester, k: int, work: _Work, terms: _Terms) -> npt.NDArray[np.intp]:
    """Place of every device in the write order of the first pass, (count, rows, cols)."""
    rows, cols = work.G.shape[1:]
    if tester.procedure.order == "sensitivity" and tester.sensitivity is not None:
        order = np.argsort(tester.sensitivity[k], axis=None, kind="stable")
        rank = np.empty(rows * cols, np.intp)
        rank[order] = np.arange(rows * cols)
        return np.broadcast_to(rank.reshape(rows, cols), work.G.shape)
    later = (terms.bse or BiasingSchemeEffect()).later(rows, cols)
    physical = np.broadcast_to(later.max() - later, work.G.shape)
    return physical if work.place is None else _gather(physical, work.place)


def _gather(values: np.ndarray, place: Placement) -> np.ndarray:
    """Physical values (count, rows, cols), seen at the mapped lines."""
    found = np.take_along_axis(values, place.rows[:, :, None], axis=1)
    return np.take_along_axis(found, place.cols[:, None], axis=2)


def _write(work: _Work, terms: _Terms, chosen: Bools, number: int) -> None:
    """Write the chosen devices in the order of their ranks; the others drift."""
    new = work.wanted
    for part in terms.write:
        new = part.apply(new, work.rng(f"{part.name} {number}"))
    G = np.where(chosen, new, work.G)
    if terms.bse is not None:
        G = G + _drift(work, terms.bse, chosen, number) * (G > 0)
    G = np.where(work.stuck, work.value, G)
    work.G = np.clip(G, 0.0, None)


def _drift(work: _Work, bse: Any, chosen: Bools, number: int) -> Array:
    """Drift of every device by the chosen devices that are written after it, S."""
    table = bse_table()
    count = len(work.G)
    flat, rank = chosen.reshape(count, -1), work.rank.reshape(count, -1)
    order = np.argsort(rank, axis=1)
    # how many chosen devices come after each place in the order
    in_order = np.take_along_axis(flat, order, axis=1)
    after = in_order[:, ::-1].cumsum(axis=1)[:, ::-1] - in_order
    own = np.empty_like(after)
    np.put_along_axis(own, order, after, axis=1)
    later = np.where(flat, own, flat.sum(axis=1, keepdims=True)).reshape(work.G.shape)
    later = later + bse.later_writes
    row = np.clip(later, 1, len(table.mean)) - 1
    rng = work.rng(f"bse {number}")
    u = rng.random(work.G.shape)
    drift = Draws(rng, work.G).lookup(table.levels, table.quantiles, row, u)
    if bse.beyond_4_sigma is not None:
        drift = np.where(np.abs(drift) > 4.0 * table.std[row], bse.beyond_4_sigma, drift)
    return bse.scale * drift * (later > 0)


def _tune(tester: Tester, works: list[_Work], terms: _Terms, number: int) -> bool:
    """One further pass on the arrays whose answers are not good enough; False if all are."""
    seen = [ReadNoise().apply(w.G, w.rng(f"read back {number}")) for w in works]
    open_ = _open(tester, tester.logits(seen))
    if not open_.any():
        return False
    for k, work in enumerate(works):
        weight = np.ones(work.G.shape[1:]) if tester.sensitivity is None else tester.sensitivity[k]
        error = np.abs(seen[k] - work.wanted) * weight * ~work.stuck
        few = min(tester.procedure.rewrite, error[0].size)
        limit = np.sort(error.reshape(len(error), -1), axis=1)[:, -few][:, None, None]
        chosen = (error >= limit) & (error > 0) & open_[:, None, None]
        before = work.G
        _write(work, terms, chosen, number)
        work.G = np.where(open_[:, None, None], work.G, before)
    return True


def _open(tester: Tester, logits: Array) -> Bools:
    """Transfers whose answers are not good enough yet."""
    if tester.procedure.bias:
        logits = logits + _best_shift(tester, logits)[:, None]
    wanted = tester.margins(tester.logits([a.G[None] for a in tester.mapped.arrays]))
    needed = tester.procedure.enough * np.mean(wanted > 0)
    return np.mean(tester.margins(logits) > 0, axis=1) < needed - 1e-12


def _bias(tester: Tester, works: list[_Work]) -> Array:
    """Correction of the digital output bias, (transfers, outputs)."""
    seen = [ReadNoise().apply(w.G, w.rng("read for bias")) for w in works]
    return _best_shift(tester, tester.logits(seen))


def _best_shift(tester: Tester, logits: Array) -> Array:
    """Shift of the logits that gets most calibration points right, (transfers, outputs).

    With several outputs it is the mean difference to the wanted logits that is taken off.
    """
    wanted = tester.logits([a.G[None] for a in tester.mapped.arrays])
    if logits.shape[-1] > 1:
        return -(logits - wanted).mean(axis=1)
    if tester.y is None:
        raise AssertionError("only testers with calibration points compute answers")
    width = float(np.median(np.abs(wanted)))
    shifts = np.linspace(-1.5, 1.5, 61) * width
    sign = 2 * tester.y - 1
    score = np.empty((len(shifts), len(logits)))
    for k, shift in enumerate(shifts):
        m = (logits[..., 0] + shift) * sign
        # the count, smoothed a little so that the middle of a plateau wins
        score[k] = np.tanh(m / (0.1 * width)).mean(axis=1) - 1e-4 * abs(shift) / width
    return shifts[np.argmax(score, axis=0)][:, None]


def _compensated(mapped: MappedNetwork, k: int, wanted: Array, stuck: Bools, value: Array) -> Array:
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


def _remap(tester: Tester, works: list[_Work]) -> None:
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
        work.stuck, work.value = _gather(work.stuck, place), _gather(work.value, place)


def _best_placement(tester: Tester, k: int, work: _Work, hit: npt.NDArray[np.intp]) -> Placement:
    """The best of some random placements of array `k` for the transfers `hit`."""
    mapped, rng = tester.mapped, work.rng("remap")
    _, rows, cols = work.G.shape
    same = Placement(
        rows=np.tile(np.arange(rows), (hit.size, 1)), cols=np.tile(np.arange(cols), (hit.size, 1))
    )
    best, score_of_best = same, np.full(hit.size, -np.inf)
    for trial in range(tester.procedure.remap + 1):
        place = _shuffled(mapped, k, same, rng) if trial else same
        stuck, value = _gather(work.stuck[hit], place), _gather(work.value[hit], place)
        wanted = work.wanted[hit]
        if tester.procedure.compensate:
            wanted = _compensated(mapped, k, wanted, stuck, value)
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


def _shuffled(
    mapped: MappedNetwork, k: int, place: Placement, rng: np.random.Generator
) -> Placement:
    """Random permutations among lines whose ends are alike in every reading pass."""
    blocks = [b for b in mapped.blocks if b.array == k]
    out = []
    for lines, side in ((place.rows, "wl_ends"), (place.cols, "bl_ends")):
        kinds = np.stack([getattr(mapped.crossbar(b), side) for b in blocks], axis=1)
        names = np.array(["".join(str(e) for e in kind.ravel()) for kind in kinds])
        new = lines.copy()
        for kind in np.unique(names):
            members = np.flatnonzero(names == kind)
            shuffle = rng.random((len(lines), members.size)).argsort(axis=1)
            new[:, members] = members[shuffle]
        out.append(new)
    return Placement(rows=out[0], cols=out[1])


def redundant(mapped: MappedNetwork, copies: int = 2) -> MappedNetwork:
    """The same network with every weight in several pairs, on arrays of their own.

    The currents of the copies are added, so that errors of single devices are averaged.
    """
    if copies < 1:
        raise broken_rule("`copies` must be >= 1", copies, "2 doubles every pair.")
    count = len(mapped.arrays)
    blocks = tuple(
        replace(block, array=block.array + c * count)
        for c in range(copies)
        for block in mapped.blocks
    )
    layers = tuple(replace(layer, gain=layer.gain * copies) for layer in mapped.layers)
    return MappedNetwork(
        **{
            **mapped.__dict__,
            "arrays": mapped.arrays * copies,
            "layers": layers,
            "blocks": blocks,
        }
    )
