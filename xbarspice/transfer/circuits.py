"""Circuits as studies take them: with errors to draw, at a level, with errors in one place."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import nn

from xbarspice import engines
from xbarspice.core.errors import broken_rule
from xbarspice.core.seeds import child_seed
from xbarspice.core.wires import IDEAL
from xbarspice.nn import copy_circuit
from xbarspice.nn.layers import matrices_of
from xbarspice.variability import Variation

__all__ = [
    "LEVELS",
    "at_level",
    "check_errors",
    "only_on",
    "refuse_programmed",
    "with_seed",
    "with_variation",
]

LEVELS = ("ideal", "matrix")
"""Coarser than any engine: without wires and device curves, and without device curves."""


def check_errors(circuit: nn.Module, engine: str) -> None:
    """Raise unless a circuit has errors to draw, on what its weights ask for.

    Raises:
        InputError: no matrix has a variation, arrays hold programmed or measured devices, or there
            is no such engine.
    """
    matrices = list(matrices_of(circuit))
    if engine not in LEVELS:
        engines.get(engine)
    if not any(m.config.variation is not None for m in matrices):
        raise broken_rule(
            "a transfer study needs errors to draw",
            f"{len(matrices)} matrices on arrays, none with a variation",
            "Set ArrayConfig(variation=...), or use transfer.with_variation(circuit, variation).",
        )
    refuse_programmed(circuit)


def refuse_programmed(circuit: nn.Module) -> None:
    """Raise if arrays hold devices as programmed or measured, or sums are corrected for them.

    Raises:
        InputError: they do.
    """
    if any(m.correction is not None for m in matrices_of(circuit)):
        raise broken_rule(
            "gains and offsets of sums belong to the devices that they were fitted for",
            "a circuit with corrections, whose transfers are new devices",
            "Take them away with xb.nn.put_corrections(circuit, None), and fit them in every "
            'transfer with the remedy "sum_gains".',
        )
    if any(m.conductances is not None for m in matrices_of(circuit)):
        raise broken_rule(
            "transfers are drawn onto what the weights ask for",
            "arrays that hold devices as programmed or measured",
            "Take them away with xb.nn.put_conductances(circuit, None), or pass the deployment "
            "they were made from.",
        )


def with_seed(circuit: nn.Module, seed: int | None) -> Any:
    """A copy in evaluation whose errors are those of a seed; None keeps the circuit's own."""
    out = copy_circuit(circuit).eval()
    if seed is not None:
        for matrix in matrices_of(out):
            matrix.seed = child_seed(seed, matrix.name)
    return out


def with_variation(circuit: nn.Module, variation: Variation | None) -> Any:
    """A copy of a converted model with this variation on all its arrays."""
    return _change(circuit, variation=variation)


def at_level(circuit: nn.Module, level: str) -> Any:
    """A copy of a converted model as one of `LEVELS` takes it."""
    return _change(circuit, device="ohmic", **(IDEAL if level == "ideal" else {}))


def only_on(circuit: nn.Module, name: str) -> Any:
    """A copy of a converted model with errors on the arrays of one matrix alone."""
    out = copy_circuit(circuit)
    for matrix in matrices_of(out):
        if matrix.name != name:
            matrix.config = dataclasses.replace(matrix.config, variation=None)
    return out


def _change(circuit: nn.Module, **changes: Any) -> Any:
    out = copy_circuit(circuit)
    for matrix in matrices_of(out):
        matrix.change(**changes)
    return out
