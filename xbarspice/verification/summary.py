"""From the checks of single arrays to matrices, energy and gates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from xbarspice.nn import RangeRecord, Tile
from xbarspice.verification.records import Gate, Gates, MatrixCheck, TileCheck
from xbarspice.verification.tiles import Drives

if TYPE_CHECKING:
    from xbarspice.verification.library import Verification

__all__ = ["by_matrix", "energy", "judge"]


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
    for name, seen in ranges.items():
        own = [c for c in checks if c.matrix == name]
        worst = max(own, key=lambda c: c.worst) if own else None
        out.append(
            MatrixCheck(
                name=name,
                tiles=sum(tile.matrix == name for tile in tiles),
                checked=len(own),
                worst=float("nan") if worst is None else worst.worst,
                worst_tile=(-1, -1, -1) if worst is None else (worst.group, worst.row, worst.col),
                vectors=drives.count.get(name, 0),
                beyond=seen.beyond,
                largest_input=seen.largest / x_scale[name],
                saturated=seen.saturated,
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
        beyond = [c.worst - (c.bound or 0.0) for c in checks]
        worst = float(np.max(beyond)) if beyond else float("inf")  # NaN stays one
        yield _gate(
            f"{name} against {report.reference}: column current beyond both error bounds, worst "
            f"of {len(checks)} arrays",
            max(worst, 0.0) if worst == worst else worst,
            limits.current,
        )
    if differing is not None and limits.decisions is not None:
        yield _gate(
            f"whole forward: decisions of surrogate and {report.reference} that differ",
            differing,
            limits.decisions,
        )
    outcomes = [report.decisions[0], *(c.decisions for c in report.corners)]
    where = " (worst corner)" if report.corners else ""
    if limits.output is not None:
        value = float(np.max([d.error for d in outcomes]))
        yield _gate(f"output error through the circuit{where}", value, limits.output)
    losses = [
        d.exact_accuracy - d.accuracy
        for d in outcomes
        if d.accuracy is not None and d.exact_accuracy is not None
    ]
    if limits.accuracy_loss is not None and losses:
        yield _gate(f"accuracy lost{where}", float(np.max(losses)), limits.accuracy_loss)
    matrices = next(iter(report.matrices.values()))
    if limits.beyond is not None:
        yield _gate(
            "input values beyond their range", sum(m.beyond for m in matrices), limits.beyond
        )
    if limits.findings is not None:
        yield _gate("findings", len(report.findings), limits.findings)


def _gate(name: str, value: float, limit: float) -> Gate:
    return Gate(name=name, value=value, limit=limit, passed=bool(value <= limit))
