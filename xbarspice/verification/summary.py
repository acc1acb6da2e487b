"""From the checks of single arrays to matrices, energy and gates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from xbarspice.nn import RangeRecord, Tile
from xbarspice.verification.results import Gate, Gates, MatrixCheck, TileCheck
from xbarspice.verification.tiles import Drives

if TYPE_CHECKING:
    from xbarspice.verification.circuit_records import Verification

__all__ = ["by_matrix", "energy", "find_unjudged", "judge"]


def by_matrix(
    ranges: Mapping[str, RangeRecord],
    tiles: Sequence[Tile],
    drives: Drives,
    checks: Sequence[TileCheck],
    x_scale: Mapping[str, float],
) -> tuple[MatrixCheck, ...]:
    """The checks of one engine by matrix; one without a checked array has `worst` NaN.

    `ranges` and `x_scale` are those of the model's forward, by matrix.
    """
    out = []
    for name, record in ranges.items():
        of_matrix = [c for c in checks if c.matrix == name]
        worst = max(of_matrix, key=lambda c: c.worst) if of_matrix else None
        out.append(
            MatrixCheck(
                name=name,
                tiles=sum(tile.matrix == name for tile in tiles),
                checked=len(of_matrix),
                worst=float("nan") if worst is None else worst.worst,
                worst_tile=(-1, -1, -1) if worst is None else (worst.group, worst.row, worst.col),
                vectors=drives.count.get(name, 0),
                beyond=record.beyond,
                largest_input=record.largest / x_scale[name],
                saturated=record.saturated,
            )
        )
    return tuple(out)


def energy(
    checks: Sequence[TileCheck],
    tiles: Sequence[Tile],
    drives: Drives,
    points: int,
    t_read: float,
) -> float | None:
    """Mean energy of an inference, J, from the arrays that were solved; None if none was driven.

    Mean power of an array's sources times the vectors that the model gave it times `t_read`, scaled
    from the solved to all arrays of each matrix.
    """
    total = 0.0
    for name, count in drives.count.items():
        power = [c.power for c in checks if c.matrix == name and c.drives]
        if not power:
            continue
        arrays = sum(tile.matrix == name for tile in tiles)
        total += float(np.mean(power)) * arrays * count * t_read
    return total / points if total else None


def judge(report: Verification, limits: Gates, differing: int | None) -> Iterator[Gate]:
    """Every gate that is set, each with the value that it judges."""
    yield Gate(
        name=f"import: largest difference from {report.imported.against}",
        value=report.imported.error,
        limit=report.imported.limit,
        passed=report.imported.passed,
    )
    for name, checks in report.tiles.items():
        yield from _of_engine(name, checks, report.reference, limits)
    if differing is not None and limits.decisions is not None:
        yield Gate.of(
            f"whole forward: decisions of surrogate and {report.reference} that differ",
            differing,
            limits.decisions,
            "count",
        )
    yield from _of_arrays(next(iter(report.tiles.values())), report.reference, limits)
    yield from _of_outputs(report, limits)
    for search in report.searches:
        limit = limits.output if search.target == "ideal" else limits.current
        if limit is not None:
            yield Gate.of(SEARCHED[search.target], search.value, limit)
    matrices = next(iter(report.matrices.values()))
    for name, value, limit, unit in (
        ("mean energy of an inference", report.energy, limits.energy, "J"),
        (
            "input values beyond their range",
            sum(m.beyond for m in matrices),
            limits.beyond,
            "count",
        ),
        ("findings", len(report.findings), limits.findings, "count"),
    ):
        if limit is not None and value is not None:
            yield Gate.of(name, value, limit, unit)


SEARCHED = {
    "ideal": "output error through the circuit, by search",
    "engines": "output current of engines and reference that differ, by search",
}


def _of_engine(
    name: str, checks: Sequence[TileCheck], reference: str, limits: Gates
) -> Iterator[Gate]:
    """Gates of one engine against the reference, over all its arrays."""
    between = f"{name} against {reference}"
    count = f"worst of {len(checks)} array reads"
    devices = [c.device.error for c in checks if c.device is not None]
    residuals = [c.kirchhoff for c in checks if c.kirchhoff == c.kirchhoff]
    for what, values, limit in (
        ("output current beyond both error bounds", [c.beyond for c in checks], limits.current),
        ("rms of output currents beyond both", [c.rms_beyond for c in checks], limits.rms),
        ("device current", devices, limits.device),
        ("Kirchhoff residual of either", residuals or [float("nan")], limits.kirchhoff),
    ):
        if limit is not None:
            yield Gate.of(f"{between}: {what}, {count}", _largest(values), limit)


def _of_arrays(checks: Sequence[TileCheck], reference: str, limits: Gates) -> Iterator[Gate]:
    """Gates of the arrays themselves."""
    if limits.ideal is not None:
        worst = _largest([c.ideal.worst for c in checks])
        yield Gate.of(f"{reference}: output current from the ideal product", worst, limits.ideal)
    if limits.drop is not None:
        yield Gate.of(
            "voltage lost in wires", _largest([c.drop.share for c in checks]), limits.drop
        )


def _of_outputs(report: Verification, limits: Gates) -> Iterator[Gate]:
    """Gates of the outputs, at the worst corner."""
    outcomes = [report.decisions[0], *(c.decisions for c in report.corners)]
    where = " (worst corner)" if report.corners else ""
    if limits.output is not None:
        error = _largest([d.error for d in outcomes])
        yield Gate.of(f"output error through the circuit{where}", error, limits.output)
    losses = [
        d.exact_accuracy - d.accuracy
        for d in outcomes
        if d.accuracy is not None and d.exact_accuracy is not None
    ]
    if limits.accuracy_loss is not None and losses:
        yield Gate.of(f"accuracy lost{where}", _largest(losses), limits.accuracy_loss)


def _largest(values: Sequence[float]) -> float:
    """The largest value; NaN if one is NaN, infinite of none, which no limit lets pass."""
    return float(np.max(values)) if len(values) else float("inf")


def find_unjudged(report: Verification, limits: Gates, differing: int | None) -> Iterator[str]:
    """Limits that were stated and had nothing to judge, each with the reason."""
    for name, judged, why in (
        ("accuracy_loss", report.decisions[0].accuracy is not None, "no input has a class"),
        ("decisions", differing is not None, "the whole forward was not run by the reference"),
        ("given", False, "currents come with single arrays only"),
        ("energy", report.energy is not None, "no array was driven"),
    ):
        stated = name in limits.model_fields_set and getattr(limits, name) is not None
        if stated and not judged:
            yield f"gates.{name}: {why}"
