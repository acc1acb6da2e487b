"""What is suspicious about a model on arrays: weights, ranges, units, labels, wrong currents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xbarspice import engines
from xbarspice.engines.overdrive import overdrive
from xbarspice.nn import ArrayMatrix, Tile, coverage, crossbar_layers
from xbarspice.nn.pairs import place
from xbarspice.verification.current_detectors import CurrentEvidence, current_findings
from xbarspice.verification.finding import Finding
from xbarspice.verification.results import TileCheck
from xbarspice.verification.tiles import Drives
from xbarspice.verification.weight_detectors import (
    WeightEvidence,
    chance_labels,
    saturated_range,
    unlikely_units,
    weight_findings,
)

__all__ = ["current_mistakes", "findings"]

OUTLIER = 10.0
"""Times the 99th percentile of |w| from which the largest weight is called an outlier."""
UNUSED = 0.5
"""Share of a matrix's pairs that hold no weight from which it is called unused."""
EXPLAINED = 20
"""Vectors of an array whose currents are explained: enough to tell one mistake from another."""


def findings(
    circuit: nn.Module,
    tiles: Sequence[Tile],
    drives: Drives,
    labels: np.ndarray | None,
    decisions: np.ndarray | None,
) -> list[Finding]:
    """Suspicious things that need no reference.

    Args:
        circuit: a converted model after a forward.
        tiles: its arrays.
        drives: what the forward gave them.
        labels: classes, (points,); -1 where unknown.
        decisions: with exact products, (points,); None of a model that does not classify.
    """
    out: list[Finding] = []
    for layer in crossbar_layers(circuit).values():
        for name, weight, bias in layer.weight_blocks():
            matrix = layer.matrices[name]
            out += _of_ranges(matrix)
            out += _of_weights(matrix, weight.detach().abs().cpu().numpy().ravel())
            out += _of_conductances(matrix, weight, bias)
    out += _joined(_units(tiles))
    out += _joined(_overdrives(tiles, drives))
    out += [
        Finding(
            kind="silent layer",
            where=name,
            text="It is on arrays, and this forward neither called it nor read its weights.",
            remedy="Its arrays were solved with dense probes alone.",
        )
        for name in coverage(circuit).silent
    ]
    chance = None if labels is None or decisions is None else chance_labels(decisions, labels)
    return [*out, *([chance] if chance is not None else [])]


def _of_ranges(matrix: ArrayMatrix) -> Iterator[Finding]:
    """Inputs and current differences beyond their ranges."""
    ranges, x_scale = matrix.ranges, matrix.config.x_scale
    if ranges.beyond:
        yield Finding(
            kind="input beyond its range",
            where=matrix.name,
            text=f"{ranges.beyond} of {ranges.values} input values exceed x_scale = "
            f"{x_scale:.4g}; input {ranges.position} is the largest, {ranges.largest:.4g} "
            f"({ranges.largest / x_scale * matrix.config.V_read:.3g} V).",
            remedy="Convert with calibrate=inputs that cover the data.",
            evidence={"beyond": ranges.beyond, "largest": ranges.largest, "x_scale": x_scale},
        )
    if ranges.saturated:
        yield Finding(
            kind="saturated converters",
            where=matrix.name,
            text=f"{ranges.saturated} current differences exceed the range of the converters.",
            remedy="Convert with calibrate=inputs that cover the data, or set adc_range.",
            evidence={"saturated": ranges.saturated},
        )


def _of_weights(matrix: ArrayMatrix, values: np.ndarray) -> Iterator[Finding]:
    """Outliers and zeros among the sizes of a matrix's weights."""
    largest = float(values.max(initial=0.0))
    most = float(np.percentile(values, 99)) if values.size else 0.0
    if matrix.config.clip is None and values.size >= 100 and largest > OUTLIER * most > 0:
        yield Finding(
            kind="outliers among the weights",
            where=matrix.name,
            text=f"The largest weight is {largest / most:.3g} times the 99th percentile, so "
            "most weights use a small part of the conductance range.",
            remedy="Try clip=99.9 or w_scale='output'.",
            evidence={"ratio": largest / most},
        )
    zero = float(np.mean(values == 0)) if values.size else 0.0
    if zero > UNUSED:
        yield Finding(
            kind="unused devices",
            where=matrix.name,
            text=f"{100 * zero:.3g} % of its weights are 0; their pairs only load the wires.",
            remedy="Remove the pruned rows and columns before the conversion.",
            evidence={"zero": zero},
        )


def _of_conductances(matrix: ArrayMatrix, weight: Tensor, bias: Tensor | None) -> list[Finding]:
    """Conductances that were put on the arrays beside those of the weights; a clipped range."""
    config = matrix.config
    with torch.no_grad():
        stands = matrix.programmed(weight, bias, training=False).G.double().cpu().numpy()
        wanted = place(weight, matrix.line(bias), config).G.double().cpu().numpy()
    out: list[Finding] = []
    if not np.array_equal(stands, wanted):
        for group in range(len(stands)):
            where = matrix.name if len(stands) == 1 else f"{matrix.name}, group {group}"
            pairs = [G[group, :, 0::2] - G[group, :, 1::2] for G in (wanted, stands)]
            out += weight_findings(WeightEvidence(wanted=pairs[0], found=pairs[1], where=where))
    if config.placement == "low" and config.clip is None and config.cell_code == "average":
        scales = weight.shape[0] * (weight.shape[1] if config.w_scale == "output" else 1)
        full = saturated_range(
            stands, config.G_min, config.G_max, pairs=True, where=matrix.name,
            usual=scales * config.cells,
        )  # fmt: skip
        out += [] if full is None else [full]
    return out


def _units(tiles: Sequence[Tile]) -> Iterator[Finding]:
    """Magnitudes that no array has; one array a matrix is looked at, all have its wires."""
    seen = set()
    for tile in tiles:
        if tile.matrix not in seen:
            seen.add(tile.matrix)
            found = unlikely_units(tile.crossbar, tile.config.V_read, tile.matrix)
            if found is not None:
                yield found


def _overdrives(tiles: Sequence[Tile], drives: Drives) -> Iterator[Finding]:
    """Sources beyond the range of the device model: the largest voltage of every line together."""
    for tile in tiles:
        largest = drives.largest.get(tile.matrix)
        if largest is None or not tile.crossbar.device.V_max < np.inf:
            continue
        volts = largest[tile.group, slice(*tile.lines)][None]
        found = overdrive(tile.crossbar, tile.crossbar.drive(*tile.drive(volts)))
        if found is None:
            continue
        yield Finding(
            kind="beyond the device's range",
            where=tile.matrix,
            text=f"Sources put up to {found.V:.4g} V across devices; the source of "
            f"{found.device!r} vouches for {found.limit:g} V.",
            remedy="Lower V_read, calibrate on inputs that cover the data, or use a device model "
            "that is valid there.",
            evidence={"value": found.V, "limit": found.limit},
        )


def _joined(found: Iterable[Finding]) -> list[Finding]:
    """Findings of one kind and text said once, with all places."""
    places: dict[tuple[str, str], list[Finding]] = {}
    for f in found:
        places.setdefault((f.kind, f.text), []).append(f)
    out = []
    for group in places.values():
        names = list(dict.fromkeys(f.where for f in group))
        rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
        out.append(replace(group[0], where=", ".join(names[:3]) + rest))
    return out


def current_mistakes(
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
    for engine, own in checks.items():
        worst = max(own, key=lambda c: np.nan_to_num(c.beyond, nan=np.inf))
        if worst.beyond <= limit:
            continue
        tile, item = arrays[worst.name]
        crossbar = tile.crossbar
        V_in, V_out = (item[name][:EXPLAINED] for name in ("V_in", "V_out"))
        wrong = engines.solve(crossbar, V_in, V_out, engine=engine, outside="ignore")
        out += current_findings(
            CurrentEvidence(
                crossbar=crossbar,
                V_in=V_in,
                V_out=V_out,
                I_out=wrong.I_out,
                tolerance=min(limit, 1e-3),
                where=f"the currents of {engine} in {worst.name}",
            )
        )
    return out
