"""Inference of many transfers of one chain at once: arrays differ, places may differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import xbarspice as xb
from papers.drolet2023.chain import Chain, Pass, Stage
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Indices
from xbarspice.engines import Engine, get

__all__ = ["Batch", "Placement", "circuit_offsets", "gather", "logits", "permute"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """Which physical line each wanted line stands on, one permutation a transfer.

    Attributes:
        rows: (transfers, rows); `rows[t, i]` is the physical row of the mapped row i.
        cols: (transfers, cols), likewise.
    """

    rows: Indices
    cols: Indices


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Transfers of a chain.

    Attributes:
        G: physical conductances, S, one (transfers, rows, cols) an array.
        digital: added to the logits after reading, (transfers, outputs), or None.
        places: one `Placement` an array, or None where the circuit's own lines are kept.
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
    chain: Chain,
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
        chain: the model on its arrays (wires and device come from here).
        x: inputs, (points, inputs).
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
            "read noise needs an engine that takes one array a point",
            repr(engine),
            'Use "ideal" or "surrogate".',
        )
    h = z = chain.points(x)[None]
    for k, stage in enumerate(chain.stages):
        z = np.tile(stage.digital, (batch.transfers, h.shape[1], 1))
        for part in stage.passes:
            G = batch.G[part.array][:, None]
            if read is not None:
                G = read.apply(np.repeat(G, h.shape[1], axis=1), rng)
            z[..., part.outputs] += _partial(stage, part, h, G, batch, back_end)
        if offsets is not None:
            z += offsets[k]
        h = stage.activate(z)
    return h if batch.digital is None else h + batch.digital[:, None]


def circuit_offsets(chain: Chain, x: npt.ArrayLike) -> tuple[Array, ...]:
    """What wires and devices add to every layer's weighted sums at the wanted conductances.

    As `offsets` of ideal `logits` this is the circuit to first order in the errors of a transfer:
    what a tester computes who has read the conductances and knows wires and device.

    Returns:
        One (points, outputs) a layer.
    """
    points, out = chain.points(x), []
    sums = layer_sums(chain, points)
    h, batch = points, Batch(G=tuple(g[None] for g in chain.wanted))
    for stage, real in zip(chain.stages, sums, strict=True):
        z = np.tile(stage.digital, (1, len(h), 1))
        for part in stage.passes:
            G = batch.G[part.array][:, None]
            z[..., part.outputs] += _partial(stage, part, h[None], G, batch, "ideal")
        out.append(real - z[0])
        h = stage.activate(real)
    return tuple(out)


def layer_sums(chain: Chain, x: Array) -> list[Array]:
    """Weighted sums of every layer, (points, outputs), as the circuit itself computes them."""
    sums: list[Array] = []
    layers = [c for c in chain.circuit if isinstance(c, xb.nn.CrossbarLayer)]
    hooks = [
        layer.register_forward_hook(lambda _layer, _x, z: sums.append(z.numpy().copy()))
        for layer in layers
    ]
    try:
        with torch.no_grad():
            chain.circuit(torch.from_numpy(x))
    finally:
        for hook in hooks:
            hook.remove()
    return sums


def _partial(
    stage: Stage, part: Pass, h: Array, G: Array, batch: Batch, engine: str | Engine
) -> Array:
    """Weighted sums of one pass, (transfers, points, outputs); G (transfers, 1 or points, ...)."""
    tile = part.tile
    volts = stage.volts(h)[..., slice(*tile.lines)]
    place = None if batch.places is None else batch.places[part.array]
    if isinstance(engine, str):
        M = G if engine == "ideal" else _effective(tile, G)
        pairs = tile.read.take(M if place is None else gather(M, place))
        return stage.sum_scale * _times(volts, pairs[..., 0::2] - pairs[..., 1::2])
    crossbar = tile.crossbar.replace(G=G)
    lead = volts.shape[:-1]
    V_in, V_out = tile.read.drive(
        volts, np.zeros((*lead, crossbar.rows)), np.zeros((*lead, crossbar.cols))
    )
    if place is not None:
        V_in, V_out = _scatter(V_in, place.rows), _scatter(V_out, place.cols)
    solution = xb.solve(crossbar, V_in, V_out, engine=engine, outside="ignore")
    I_in, I_out = solution.I_in, solution.I_out
    if place is not None:
        I_in = np.take_along_axis(I_in, place.rows[:, None], axis=-1)
        I_out = np.take_along_axis(I_out, place.cols[:, None], axis=-1)
    current = tile.read.currents(I_in, I_out)
    return stage.sum_scale * (
        current[..., 0] - current[..., 1] if current.shape[-1] == 2 else current[..., 0]
    )


def _scatter(volts: Array, lines: Indices) -> Array:
    """Voltages of mapped lines, put onto their physical lines."""
    where = np.argsort(lines, axis=-1)[:, None]
    full = np.broadcast_to(volts, (len(lines), *volts.shape[1:]))
    return np.take_along_axis(full, where, axis=-1)


def gather(values: np.ndarray, place: Placement) -> np.ndarray:
    """Physical values (transfers, ..., rows, cols), seen at the mapped lines."""
    between = tuple(range(1, values.ndim - 2))
    rows = np.expand_dims(place.rows[:, :, None], between)
    cols = np.expand_dims(place.cols[:, None, :], between)
    return np.take_along_axis(np.take_along_axis(values, rows, axis=-2), cols, axis=-1)


def _times(V: Array, M: Array) -> Array:
    """V (transfers or 1, points, n) times M (transfers, 1 or points, n, m)."""
    if M.shape[1] == 1:
        return V @ M[:, 0]
    return (V[..., None, :] @ M)[..., 0, :]


def _effective(tile: xb.nn.Tile, G: Array) -> Array:
    """Effective matrices in the place of `G`, S.

    A passive network is reciprocal: the matrix from word lines to bit lines is also that from bit
    lines to word lines, which a reverse pass reads.
    """
    whole = xb.Crossbar(G, **tile.read.wires(tile.crossbar.wires), device=tile.config.model)
    return np.asarray(xb.effective_matrix(whole), np.float64)


def permute(G: Sequence[Array], places: Sequence[Placement | None] | None) -> tuple[Array, ...]:
    """Conductances of mapped lines, put onto their physical lines, (transfers, rows, cols)."""
    if places is None:
        return tuple(G)
    out = []
    for g, place in zip(G, places, strict=True):
        if place is None:
            out.append(g)
            continue
        back = Placement(rows=np.argsort(place.rows, axis=-1), cols=np.argsort(place.cols, axis=-1))
        out.append(gather(np.broadcast_to(g, (len(back.rows), *g.shape[-2:])), back))
    return tuple(out)
