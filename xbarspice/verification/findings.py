"""What is suspicious about a model on arrays or one array: evidence is shown to all detectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from xbarspice import engines
from xbarspice.core.array import Crossbar
from xbarspice.core.types import Array
from xbarspice.nn import Tile, crossbar_layers
from xbarspice.verification.array_records import ArrayVerification, beyond
from xbarspice.verification.detectors import find
from xbarspice.verification.evidence import (
    ArrayEvidence,
    CircuitEvidence,
    CurrentEvidence,
    MagnitudeEvidence,
    MatrixEvidence,
)
from xbarspice.verification.finding import Finding, join_places
from xbarspice.verification.results import Gates, TileCheck
from xbarspice.verification.tiles import Drives

__all__ = ["array_findings", "array_mistakes", "circuit_findings", "circuit_mistakes"]

EXPLAINED = 20
"""Vectors of an array whose currents are explained: enough to tell one mistake from another."""
MEASURED = 1e-3
"""Error of given currents from which they are explained where no gate is set."""


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


def array_findings(crossbar: Crossbar, V_in: Array, V_out: Array) -> list[Finding]:
    """Suspicious things about one array that can be seen before anything is solved.

    Args:
        crossbar: one array.
        V_in, V_out: line voltages, V, (vectors, rows) and (vectors, cols).
    """
    where, V = "the array", max(float(np.abs(v).max(initial=0.0)) for v in (V_in, V_out))
    magnitudes = MagnitudeEvidence(crossbar=crossbar, V=V, pairs=False, where=where)
    array = ArrayEvidence(crossbar=crossbar, V_in=V_in, V_out=V_out, largest=False, where=where)
    return [*find(magnitudes), *find(array)]


def array_mistakes(
    report: ArrayVerification, limits: Gates, currents: Array | None
) -> list[Finding]:
    """Common mistakes that explain currents that disagree: the given ones, then each engine's.

    Args:
        report: of the array.
        limits: of the currents.
        currents: those that came with the array, A, (vectors, cols); None without any.
    """
    tolerance = min(limits.given or MEASURED, MEASURED)
    cases = []
    if currents is not None and report.given is not None and report.given.worst > tolerance:
        cases.append((currents, "the given currents"))
    for check in report.engines:
        if not beyond(check.worst, check, report) <= limits.current:
            cases.append((report.answers[check.engine].I_out, f"the currents of {check.engine}"))
    out: list[Finding] = []
    for I_out, where in cases:
        part = slice(0, min(len(I_out), EXPLAINED))
        out += find(
            CurrentEvidence(
                crossbar=report.crossbar,
                V_in=report.V_in[part],
                V_out=report.V_out[part],
                I_out=I_out[part],
                tolerance=tolerance,
                where=where,
            )
        )
    return out
