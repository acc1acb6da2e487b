"""Arrays one by one: the model's drive and dense probes, solved by the reference and an engine.

An input of the model leaves lines undriven and so hides faults; a dense probe drives every line
with a voltage drawn continuously and uniformly from [-V_read, V_read]. Two linear arrays that
differ anywhere in their effective matrix differ for such a probe with probability one, and for both
only as far as the limit allows; nonlinear arrays are looked at at the probed amplitudes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from xbarspice.core.seeds import child_rng
from xbarspice.core.types import Array
from xbarspice.nn import ArrayMatrix, Tile
from xbarspice.nn.origin import outputs_of
from xbarspice.nn.through import observe_drives
from xbarspice.verification.results import (
    DeviceRecord,
    DropRecord,
    IdealRecord,
    SampleRecord,
    TileCheck,
    part_of,
)
from xbarspice.verification.statistics import sample_size

__all__ = ["Drives", "draw_sample", "record_drives", "tile_item"]


@dataclass(eq=False)
class Drives:
    """Some of the drives that a model gives its matrices: a uniform sample of all.

    Attributes:
        limit: drives kept a matrix.
        rng: draws which.
        count: drives seen, by matrix.
        largest: largest |V| of every line over all drives, V, (groups, lines), by matrix.
    """

    limit: int
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.count: dict[str, int] = {}
        self.largest: dict[str, Array] = {}
        self._kept: dict[str, tuple[Array, Array]] = {}

    def __call__(self, matrix: ArrayMatrix, volts: Tensor) -> None:
        """Take the line voltages (vectors, groups, lines) of one call."""
        values = volts.cpu().numpy().astype(np.float64)
        self.count[matrix.name] = self.count.get(matrix.name, 0) + len(values)
        size = np.abs(values).max(axis=0, initial=0.0)
        self.largest[matrix.name] = np.maximum(size, self.largest.get(matrix.name, 0.0))
        lot = self.rng.random(len(values))
        if matrix.name in self._kept:
            old, old_lot = self._kept[matrix.name]
            values, lot = np.concatenate([old, values]), np.concatenate([old_lot, lot])
        first = np.argsort(lot, kind="stable")[: self.limit]
        self._kept[matrix.name] = values[first], lot[first]

    def of(self, tile: Tile) -> Array:
        """The kept drives of one array, V, (drives, lines)."""
        drives = self._kept.get(tile.matrix)
        if drives is None:
            return np.empty((0, tile.size))
        return drives[0][:, tile.group, slice(*tile.lines)]


def record_drives(
    circuit: nn.Module, inputs: tuple[Any, ...], limit: int, seed: int
) -> tuple[Drives, tuple[Tensor, ...]]:
    """Run the model through the surrogate; its drives, and its outputs."""
    drives = Drives(limit, child_rng(seed, "drives"))
    with observe_drives(drives):
        outputs = outputs_of(circuit, inputs)
    return drives, outputs


def draw_sample(
    tiles: Sequence[Tile], confidence: float | None, bad_tiles: float, seed: int
) -> tuple[list[int], SampleRecord]:
    """Numbers of the arrays to solve by the reference, and the record of the draw."""
    count = len(tiles)
    size = count if confidence is None else sample_size(count, confidence, bad_tiles)
    numbers = list(range(count))
    if size < count:
        numbers = sorted(child_rng(seed, "sample of arrays").permutation(count)[:size].tolist())
    names = "\n".join(tiles[k].name for k in numbers)
    return numbers, SampleRecord(
        tiles=count,
        checked=len(numbers),
        confidence=confidence if size < count else None,
        bad_tiles=bad_tiles if size < count else None,
        seed=seed,
        sha256=hashlib.sha256(names.encode()).hexdigest(),
    )


def dense_probes(tile: Tile, V_read: float, count: int, seed: int) -> Array:
    """Line voltages drawn uniformly from [-V_read, V_read], V, (count, lines)."""
    rng = child_rng(seed, f"probe of {tile.name}")
    return rng.uniform(-V_read, V_read, size=(count, tile.size))


def unit_vectors(tile: Tile, V_read: float) -> Array:
    """One vector a line, V."""
    return V_read * np.eye(tile.size)


def tile_item(
    tile: Tile,
    drives: Array,
    probes: Array,
    reference: str,
    judged: Sequence[str],
    *,
    devices: bool = False,
    nodes: bool = False,
) -> dict[str, Any]:
    """The work item of one array for `campaign.run` with `compare.compare_item`.

    `drives` and `probes` are voltages of the tile's lines, V, (vectors, lines).
    """
    V_in, V_out = tile.drive(np.concatenate([drives, probes]))
    return {
        "label": tile.name,
        "crossbar": tile.crossbar,
        "read": tile.read,
        "V_in": V_in,
        "V_out": V_out,
        "drives": len(drives),
        "reference": reference,
        "engines": list(judged),
        "devices": devices,
        "nodes": nodes,
    }


def tile_check(
    tile: Tile, result: Mapping[str, Any], engine: str, vectors: tuple[int, int], limit: float
) -> TileCheck:
    """The record of one engine on one array."""
    bound = float(result[f"{engine}/bound"]) + float(result["bound"])
    least = float(result["least_voltage"])
    residuals = [float(result["kirchhoff"]), float(result[f"{engine}/kirchhoff"])]
    return TileCheck(
        matrix=tile.matrix,
        group=tile.group,
        row=tile.row,
        col=tile.col,
        drives=vectors[0],
        probes=vectors[1],
        I_max=float(result["I_max"]),
        worst=float(result[f"{engine}/worst"]),
        rms=float(result[f"{engine}/rms"]),
        bound=bound if np.isfinite(bound) else None,
        line=str(result[f"{engine}/line"]),
        vector=int(result[f"{engine}/vector"]),
        kirchhoff=max((r for r in residuals if r == r), default=float("nan")),
        smallest_change=limit * float(result["I_max"]) / least if least else float("inf"),
        seconds=float(result["seconds"]),
        power=float(result["power"]),
        ideal=part_of(result, "ideal/", IdealRecord),
        drop=part_of(result, "drop/", DropRecord),
        device=part_of(result, f"{engine}/device/", DeviceRecord),
    )
