"""Inference of many transfers of one mapped network at once: arrays differ, places may differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.array import Crossbar, LineEnds
from xbarspice.engines import Engine, get
from xbarspice.errors import broken_rule
from xbarspice.mapping import Block, MappedNetwork
from xbarspice.studies.inference import infer

__all__ = ["Batch", "Placement", "circuit_offsets", "logits", "moved"]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """Which physical line each wanted line stands on, one permutation a transfer.

    Attributes:
        rows: (transfers, rows); `rows[t, i]` is the physical row of the mapped row i.
        cols: (transfers, cols), likewise.
    """

    rows: Index
    cols: Index


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Transfers of a mapped network.

    Attributes:
        G: physical conductances, S, one (transfers, rows, cols) an array.
        digital: added to the logits after reading, (transfers, outputs), or None.
        places: one `Placement` an array, or None where the mapped network's own lines are kept.
    """

    G: tuple[Array, ...]
    digital: Array | None = None
    places: tuple[Placement | None, ...] | None = None

    @property
    def transfers(self) -> int:
        """Number of transfers."""
        return len(self.G[0])

    def part(self, start: int, stop: int) -> Batch:
        """Transfers `start` up to `stop`."""
        cut = slice(start, stop)
        places = None
        if self.places is not None:
            places = tuple(p and Placement(rows=p.rows[cut], cols=p.cols[cut]) for p in self.places)
        return Batch(
            G=tuple(g[cut] for g in self.G),
            digital=None if self.digital is None else self.digital[cut],
            places=places,
        )


def logits(
    mapped: MappedNetwork,
    x: npt.ArrayLike,
    batch: Batch,
    engine: str | Engine = "ideal",
    *,
    read: Any | None = None,
    rng: np.random.Generator | None = None,
    offsets: Sequence[Array] | None = None,
) -> Array:
    """Logits of every transfer, (transfers, points, outputs).

    Args:
        mapped: the network on its arrays (wires and device come from here).
        x: network inputs, (points, inputs).
        batch: the transfers.
        engine: "ideal" multiplies by the conductances, without wires and with linear devices;
            "matrix" does the same with the effective matrices of linear devices; any other name
            or engine solves every vector.
        read: noise of every single read, a `Variation`; not with "matrix" or ngspice, whose cost
            it would multiply by the number of points.
        rng: its generator.
        offsets: added to the weighted sums of every layer, each (points, outputs).

    Raises:
        InputError: read noise with an engine that cannot have it, or as `xb.solve`.
        EngineError: as `xb.solve`.
    """
    back_end: str | Engine = engine if engine in ("ideal", "matrix") else get(engine)
    if read is not None and (back_end == "matrix" or getattr(back_end, "name", "") == "ngspice"):
        raise broken_rule(
            "read noise needs an engine that takes one array a point", repr(engine),
            'Use "ideal" or "surrogate".',
        )  # fmt: skip
    h = z = mapped.network.inputs(x)[None]
    for k, layer in enumerate(mapped.layers):
        z = np.tile(layer.digital_bias, (batch.transfers, h.shape[1], 1))
        for block in mapped.blocks_of(k):
            G = batch.G[block.array][:, None]
            if read is not None:
                G = read.apply(np.repeat(G, h.shape[1], axis=1), rng)
            z[..., block.outputs] += _partial(mapped, block, h, G, batch, back_end)
        if offsets is not None:
            z += offsets[k]
        if k + 1 < len(mapped.layers):
            h = mapped.network.activate(z)
    return z if batch.digital is None else z + batch.digital[:, None]


def circuit_offsets(mapped: MappedNetwork, x: npt.ArrayLike) -> tuple[Array, ...]:
    """What wires and devices add to every layer's weighted sums at the wanted conductances.

    As `offsets` of ideal `logits` this is the circuit to first order in the errors of a transfer:
    what a tester computes who has read the conductances and knows wires and device.

    Returns:
        One (points, outputs) a layer.
    """
    found = infer(mapped, x, "surrogate").sums
    h, out = mapped.network.inputs(x), []
    batch = Batch(G=tuple(a.G[None] for a in mapped.arrays))
    for k, layer in enumerate(mapped.layers):
        z = np.tile(layer.digital_bias, (1, len(h), 1))
        for block in mapped.blocks_of(k):
            G = batch.G[block.array][:, None]
            z[..., block.outputs] += _partial(mapped, block, h[None], G, batch, "ideal")
        out.append(found[k] - z[0])
        h = mapped.network.activate(found[k])
    return tuple(out)


def _partial(
    mapped: MappedNetwork, block: Block, h: Array, G: Array, batch: Batch, engine: str | Engine
) -> Array:
    """Weighted sums of one block, (transfers, points, outputs); G (transfers, 1 or points, ...)."""
    lead = h.shape[:-1]
    V_in, V_out = (v.reshape(*lead, -1) for v in mapped.voltages(block, h.reshape(-1, h.shape[-1])))
    place = None if batch.places is None else batch.places[block.array]
    if place is not None:
        V_in = _scatter(V_in, place.rows)
        V_out = _scatter(V_out, place.cols)
    I_in, I_out = _currents(mapped, block, G, V_in, V_out, engine)
    if place is not None:
        I_in = np.take_along_axis(I_in, place.rows[:, None], axis=-1)
        I_out = np.take_along_axis(I_out, place.cols[:, None], axis=-1)
    lead = np.broadcast_shapes(I_in.shape[:-1], I_out.shape[:-1])
    flat = [
        np.broadcast_to(i, (*lead, i.shape[-1])).reshape(-1, i.shape[-1]) for i in (I_in, I_out)
    ]
    sums = mapped.partial_sums(block, mapped.currents(block, *flat))
    return sums.reshape(*lead, -1)


def _scatter(volts: Array, lines: Index) -> Array:
    """Voltages of mapped lines, put onto their physical lines."""
    where = np.argsort(lines, axis=-1)[:, None]
    full = np.broadcast_to(volts, (len(lines), *volts.shape[1:]))
    return np.take_along_axis(full, where, axis=-1)


def _currents(
    mapped: MappedNetwork, block: Block, G: Array, V_in: Array, V_out: Array, engine: str | Engine
) -> tuple[Array, Array]:
    """I_in (transfers, points, rows) and I_out (transfers, points, cols) of a reading pass."""
    if isinstance(engine, str):
        M = G if engine == "ideal" else _effective(mapped.crossbar(block), G, block.reverse)
        rows, cols = M.shape[-2:]
        if block.reverse:
            return -_times(V_out, M.swapaxes(-1, -2)), np.zeros((1, 1, cols))
        return np.zeros((1, 1, rows)), _times(V_in, M)
    crossbar = mapped.crossbar(block).replace(G=G)
    solution = engine.solve(engine.prepare(crossbar), crossbar, V_in, V_out)
    return solution.I_in, solution.I_out


def _times(V: Array, M: Array) -> Array:
    """V (transfers or 1, points, n) times M (transfers, 1 or points, n, m)."""
    if M.shape[1] == 1:
        return V @ M[:, 0]
    return (V[..., None, :] @ M)[..., 0, :]


def _effective(crossbar: Crossbar, G: Array, reverse: bool) -> Array:
    """Effective matrices in the place of `G`, S; of bit lines to word lines if `reverse`."""
    from xbarspice.surrogate.dissection import effective_matrix

    if not reverse:
        return effective_matrix(crossbar.replace(G=G))  # type: ignore[return-value]
    wl, bl = ([[*side] for side in ends.T] for ends in (crossbar.wl_ends, crossbar.bl_ends))
    turned = crossbar.replace(
        G=G.swapaxes(-1, -2), R_wl=crossbar.R_bl, R_bl=crossbar.R_wl,
        ends=LineEnds(wl_left=bl[0], wl_right=bl[1], bl_top=wl[0], bl_bottom=wl[1]),
    )  # fmt: skip
    return effective_matrix(turned).swapaxes(-1, -2)  # type: ignore[return-value]


def moved(G: Sequence[Array], places: Sequence[Placement | None] | None) -> tuple[Array, ...]:
    """Conductances of mapped lines, put onto their physical lines, (transfers, rows, cols)."""
    if places is None:
        return tuple(G)
    out = []
    for g, place in zip(G, places, strict=True):
        if place is None:
            out.append(g)
            continue
        rows, cols = np.argsort(place.rows, axis=-1), np.argsort(place.cols, axis=-1)
        g = np.broadcast_to(g, (len(rows), *g.shape[-2:]))
        g = np.take_along_axis(g, rows[:, :, None], axis=1)
        out.append(np.take_along_axis(g, cols[:, None], axis=2))
    return tuple(out)
