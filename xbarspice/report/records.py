"""Stored records of a run, and what can be read off them without solving anything again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.errors import StoreError, broken_rule
from xbarspice.store import read_tree

__all__ = ["CellMap", "Currents", "Run", "load"]

Array = npt.NDArray[np.float64]
Tree = dict[str, Any]

_DEAD_LINE = 1e-9  # a line whose currents cancel this well carries none: it floats


@dataclass(frozen=True, kw_only=True, eq=False)
class CellMap:
    """One number a cell of one array; NaN where there is none.

    Attributes:
        array: index of the array.
        values: (rows, cols).
        engine: the engine that they belong to.
        layer, point: the layer and the network input behind the worst value; -1 if several.
    """

    array: int
    values: Array
    engine: str
    layer: int = -1
    point: int = -1

    @property
    def worst(self) -> float:
        """The largest value, 0 if there is none."""
        return float(np.nanmax(self.values, initial=0.0)) if np.isfinite(self.values).any() else 0.0

    @property
    def place(self) -> tuple[int, int]:
        """Row and column of the largest value."""
        row, col = np.unravel_index(np.nanargmax(self.values), self.values.shape)
        return int(row), int(col)


@dataclass(frozen=True, kw_only=True, eq=False)
class Currents:
    """Output currents of one engine in one layer next to the reference's, A; flat and parallel."""

    engine: str
    layer: int
    reference: Array
    values: Array
    I_max: float

    @property
    def errors(self) -> Array:
        """|difference| relative to the layer's largest reference current."""
        return np.abs(self.values - self.reference) / (self.I_max or 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A run folder in memory: `record` from report.json, `tree` from results.h5 ({} if absent)."""

    record: Tree
    tree: Tree

    @property
    def reference(self) -> str:
        """The engine that the others are judged against."""
        return self.record.get("reference") or self.tree.get("reference") or ""

    @property
    def judged(self) -> list[str]:
        """The other engines, as far as results are stored, in the order of the record."""
        stored = self.tree.get("engines") or {}
        order = [e["engine"] for e in self.record.get("engines") or []]
        rest = [name for name in stored if name not in order]
        return [n for n in [*order, *rest] if n in stored and n != self.reference]

    @property
    def inputs(self) -> Tree:
        """Network inputs x, (points, inputs), and perhaps classes y."""
        return self.tree.get("inputs") or {}

    def input_errors(self) -> tuple[Array, list[str]]:
        """Worst current error of every input over the judged engines, (points,), and its origin."""
        engines = [e for e in self.record.get("engines") or [] if e.get("errors")]
        judged = [np.array(e["errors"], float) for e in engines if e["engine"] != self.reference]
        errors = np.max(judged, axis=0) if judged else np.empty(0)
        return errors, list(self.record.get("origins") or ["given"] * len(errors))

    @property
    def limit(self) -> float | None:
        """The tightest current gate; None without one."""
        limits = [g["limit"] for g in self.record.get("gates") or [] if "current" in g["name"]]
        return min((v for v in limits if v > 0), default=None)

    def blocks(self, engine: str) -> list[Tree]:
        """Stored blocks of one engine, in order."""
        group = (self.tree.get("engines") or {}).get(engine) or {}
        keys = [k for k in group if k.startswith("block") and k[5:].isdigit()]
        return [group[k] for k in sorted(keys, key=lambda k: int(k[5:]))]

    def currents(self) -> list[Currents]:
        """Output currents of every judged engine, layer by layer."""
        golden = [b for b in self.blocks(self.reference) if "currents" in b]
        layers = sorted({int(b["layer"]) for b in golden})
        out = []
        for engine in self.judged:
            pairs = list(zip(self.blocks(engine), golden, strict=False))
            for layer in layers:
                mine = [(b, g) for b, g in pairs if int(g["layer"]) == layer and "currents" in b]
                if not mine:
                    continue
                values, reference = (
                    np.concatenate([np.ravel(pair[k]["currents"]) for pair in mine]) for k in (0, 1)
                )
                I_max = float(np.max(np.abs(reference), initial=0.0))
                out.append(
                    Currents(
                        engine=engine, layer=layer, reference=reference, values=values, I_max=I_max
                    )
                )
        return out

    def conductances(self) -> list[CellMap]:
        """Conductance of every device, S, one map an array; absent devices are NaN."""
        maps: dict[int, CellMap] = {}
        for block in self.blocks(self.reference):
            array = int(block["array"])
            if array not in maps and "G" in block:
                G = np.array(block["G"], float)
                maps[array] = CellMap(
                    array=array, values=np.where(G > 0, G, np.nan), engine=self.reference
                )
        return [maps[k] for k in sorted(maps)]

    def error_maps(self) -> list[CellMap]:
        """Worst device-current error of each cell over all inputs, one map an array and engine.

        Relative to the layer's largest device current, as the record's worst cell. An array that
        is read in several passes shows the worst of them.
        """
        golden = self.blocks(self.reference)
        scales: dict[int, float] = {}
        for g in golden:
            if "I_device" in g:
                largest = float(np.max(np.abs(g["I_device"]), initial=0.0))
                layer = int(g["layer"])
                scales[layer] = max(scales.get(layer, 0.0), largest)
        out = []
        for engine in self.judged:
            maps: dict[int, Array] = {}
            for b, g in zip(self.blocks(engine), golden, strict=False):
                if "I_device" not in b or "I_device" not in g:
                    continue
                scale = scales[int(g["layer"])] or 1.0
                error = _over_points(np.abs(b["I_device"] - g["I_device"])).max(axis=0) / scale
                error = np.where(np.asarray(g["G"]) > 0, error, np.nan)
                array = int(g["array"])
                maps[array] = np.fmax(maps[array], error) if array in maps else error
            out += [CellMap(array=k, values=maps[k], engine=engine) for k in sorted(maps)]
        return out

    def drop_maps(self) -> list[CellMap]:
        """Voltage lost in the wires, V: |drive - device voltage| at each block's worst input.

        The drive of a cell is the voltage of its word line less that of its bit line, as the
        sources set them. Lines whose currents cancel have no drive: they float, and are NaN, as are
        absent devices.
        """
        out = []
        for block in self.blocks(self.reference):
            if any(k not in block for k in ("V_wl", "V_bl", "V_in", "V_out", "I_device")):
                continue
            V_in, V_out = (np.atleast_2d(block[k]) for k in ("V_in", "V_out"))
            device = _over_points(block["V_wl"] - block["V_bl"])
            drop = np.abs(V_in[:, :, None] - V_out[:, None, :] - device)
            drop[:, _floating(block["I_device"])] = np.nan
            if "G" in block:
                drop[:, np.asarray(block["G"]) <= 0] = np.nan
            if not np.isfinite(drop).any():
                continue
            point = int(np.unravel_index(np.nanargmax(drop), drop.shape)[0])
            out.append(
                CellMap(
                    array=int(block["array"]), layer=int(block["layer"]), point=point,
                    values=drop[point], engine=self.reference,
                )
            )  # fmt: skip
        return out


def _over_points(values: npt.ArrayLike) -> Array:
    """(points, rows, cols), also where a single drive vector was stored without its axis."""
    values = np.asarray(values, float)
    return values.reshape(-1, *values.shape[-2:])


def _floating(I_device: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Cells on a line whose device currents cancel for every input, (rows, cols)."""
    currents = _over_points(I_device)
    floating = np.zeros(currents.shape[1:], bool)
    for axis in (2, 1):
        total = np.abs(currents.sum(axis=axis)).max(axis=0)
        flow = np.abs(currents).sum(axis=axis).max(axis=0)
        # Lines without any current are not floating for that: they may sit at their source's 0 V.
        dead = (total <= _DEAD_LINE * flow) & (flow > _DEAD_LINE * flow.max(initial=0.0))
        floating |= dead[:, None] if axis == 2 else dead[None, :]
    return floating


def load(folder: Path) -> Run:
    """Read a run folder.

    Args:
        folder: holds `report.json`, and `results.h5` unless only the tables are wanted.

    Raises:
        InputError: `report.json` is not there. StoreError: a file is damaged or of another kind.
    """
    source = folder / "report.json"
    if not source.is_file():
        raise broken_rule(
            "a run folder must hold `report.json`",
            str(folder),
            "Pass the folder of a finished run.",
        )
    try:
        record = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"`report.json` must be JSON; {error}. Run the cross-check again."
        ) from error
    if not isinstance(record, dict):
        raise StoreError("`report.json` must hold one object. Run the cross-check again.")
    results = folder / "results.h5"
    return Run(record=record, tree=read_tree(results, "cross-check") if results.exists() else {})
