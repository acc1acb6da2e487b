"""What is suspicious about a model on arrays: evidence is shown to all detectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from xbarspice import engines
from xbarspice.nn import Tile, crossbar_layers
from xbarspice.verification.detectors import find
from xbarspice.verification.evidence import (
    EXPLAINED,
    ArrayEvidence,
    CircuitEvidence,
    CurrentEvidence,
    MagnitudeEvidence,
    MatrixEvidence,
)
from xbarspice.verification.finding import Finding, join_places
from xbarspice.verification.results import TileCheck
from xbarspice.verification.tiles import Drives

__all__ = ["circuit_findings", "circuit_mistakes"]


def circuit_findings(
    circuit: nn.Module,
    tiles: Sequence[Tile],
    drives: Drives,
    labels: np.ndarray | None,
    decisions: np.ndarray | None,
) -> list[Finding]:
    """Suspicious things about a model that need no reference.

    Args:
        circuit: a converted model after a forward.
        tiles: its arrays.
        drives: what the forward gave them.
        labels: classes, (points,); -1 where unknown.
        decisions: with exact products, (points,); None of a model that does not classify.
    """
    out: list[Finding] = []
    for layer in crossbar_layers(circuit).values():
        for name, weight, bias in layer.weight_matrices():
            out += find(MatrixEvidence(matrix=layer.matrices[name], weight=weight, bias=bias))
    out += join_places(f for e in _magnitudes(tiles) for f in find(e))
    out += join_places(f for e in _largest_drives(tiles, drives) for f in find(e))
    return out + find(CircuitEvidence(circuit=circuit, labels=labels, decisions=decisions))


def _magnitudes(tiles: Sequence[Tile]) -> Iterator[MagnitudeEvidence]:
    """The first array of every matrix: all its arrays have its wires."""
    first: dict[str, Tile] = {}
    for tile in tiles:
        first.setdefault(tile.matrix, tile)
    for tile in first.values():
        yield MagnitudeEvidence(
            crossbar=tile.crossbar, V=tile.config.V_read, pairs=True, where=tile.matrix
        )


def _largest_drives(tiles: Sequence[Tile], drives: Drives) -> Iterator[ArrayEvidence]:
    """Every array with the largest voltage of every line; 0 V where the model did not drive it."""
    for tile in tiles:
        largest = drives.largest.get(tile.matrix)
        volts = np.zeros(tile.size) if largest is None else largest[tile.group, slice(*tile.lines)]
        V_in, V_out = tile.drive(volts[None])
        yield ArrayEvidence(
            crossbar=tile.crossbar, V_in=V_in, V_out=V_out, largest=True, where=tile.matrix
        )


def circuit_mistakes(
    arrays: Mapping[str, tuple[Tile, Mapping[str, Any]]],
    checks: Mapping[str, Sequence[TileCheck]],
    limit: float,
) -> list[Finding]:
    """Common mistakes that explain the currents of an engine beyond the limit, at its worst array.

    Args:
        arrays: by name with their work items, which hold the voltages that were solved.
        checks: of every engine.
        limit: of a current's error.
    """
    out: list[Finding] = []
    for engine, of_engine in checks.items():
        worst = max(of_engine, key=lambda c: np.nan_to_num(c.beyond, nan=np.inf))
        if worst.beyond <= limit:
            continue
        tile, item = arrays[worst.name]
        V_in, V_out = (item[name][:EXPLAINED] for name in ("V_in", "V_out"))
        wrong = engines.solve(tile.crossbar, V_in, V_out, engine=engine, outside="ignore")
        out += find(
            CurrentEvidence(
                crossbar=tile.crossbar,
                V_in=V_in,
                V_out=V_out,
                I_out=wrong.I_out,
                tolerance=min(limit, 1e-3),
                where=f"the currents of {engine} in {worst.name}",
            )
        )
    return out
