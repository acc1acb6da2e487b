"""Corners of a process: wires, conductances and temperature at their ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from xbarspice.core.errors import broken_rule
from xbarspice.mapping import ArrayConfig
from xbarspice.nn import ArrayMatrix, copy_circuit
from xbarspice.nn.layers import matrices_of
from xbarspice.variability import Variation
from xbarspice.variability.base import Compose
from xbarspice.verification import forward
from xbarspice.verification.results import CornerRecord

__all__ = ["CORNERS", "at_corner", "outputs_at_corners", "put_at_corner"]

CORNERS: dict[str, dict[str, float]] = {
    "minimum": {"wires": 0.8, "conductance": 0.9},
    "typical": {"wires": 1.0, "conductance": 1.0},
    "maximum": {"wires": 1.2, "conductance": 1.1},
}
"""Factors on all four resistances and on the conductances; a start, not a process's own figures.

``T`` is the temperature of device models that have one, in their unit.
"""


@dataclass(frozen=True, kw_only=True)
class _Scaled(Variation):
    """All conductances times one factor."""

    name: ClassVar[str] = "scaled"
    source: ClassVar[str] = "a corner"

    factor: float

    def _apply(self, G: Any, draws: Any) -> Any:
        return G * self.factor


def put_at_corner(matrix: ArrayMatrix, changes: Mapping[str, float]) -> None:
    """Put a matrix's arrays at a corner; they are read with the scales of the typical ones.

    A transfer that the arrays hold stays; without one, nothing but the factor changes them.

    Raises:
        InputError: as `at_corner`.
    """
    if matrix.transfer is None:
        matrix.config = replace(matrix.config, variation=None)
        matrix.transfer = 0
    matrix.config = at_corner(matrix.config, changes)
    factor = changes.get("wires", 1.0)
    matrix.wires = {
        place: {name: factor * R for name, R in wires.items()}
        for place, wires in matrix.wires.items()
    }


def at_corner(config: ArrayConfig, changes: Mapping[str, float]) -> ArrayConfig:
    """The configuration of arrays at a corner.

    Raises:
        InputError: an unknown change, or a temperature for a device model without one.
    """
    unknown = sorted(set(changes) - {"wires", "conductance", "T"})
    if unknown:
        raise broken_rule("a corner changes wires, conductance or T", unknown, "Use these names.")
    factor = changes.get("wires", 1.0)
    out = replace(config, **{name: factor * R for name, R in config.wires.items()})
    if "T" in changes:
        model = config.model
        if "T" not in {f.name for f in dataclasses.fields(model)}:  # type: ignore[arg-type]
            raise broken_rule(
                "a temperature corner needs a device model with a temperature `T`",
                model.name,
                "Leave T out, or use cubic_al2o3_tio2.",
            )
        out = replace(out, device=dataclasses.replace(model, T=changes["T"]))  # type: ignore[type-var]
    scale = changes.get("conductance", 1.0)
    if scale != 1.0:
        parts = [_Scaled(factor=scale), *([config.variation] if config.variation else [])]
        out = replace(out, variation=Compose(parts))
    return out


def outputs_at_corners(
    circuit: nn.Module,
    inputs: tuple[Any, ...],
    exact: tuple[Tensor, ...],
    labels: np.ndarray | None,
    corners: bool | Mapping[str, Mapping[str, float]],
) -> tuple[CornerRecord, ...]:
    """Outputs through the surrogate at corners (True: `CORNERS`; False: none)."""
    if corners is False:
        return ()
    changes_of = CORNERS if corners is True else corners
    out = []
    for name, changes in changes_of.items():
        there = copy_circuit(circuit)
        for matrix in matrices_of(there):
            put_at_corner(matrix, changes)
        outputs = forward.outputs_through(there, inputs, "surrogate")
        record = forward.decisions("surrogate", outputs, exact, labels)
        out.append(CornerRecord(name=name, changes=dict(changes), decisions=record))
    return tuple(out)
