"""Gains and offsets of the sums of a converted model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from xbarspice.core.errors import broken_rule
from xbarspice.nn.corrections import Correction
from xbarspice.nn.layers import crossbar_layers

__all__ = ["put_corrections"]


def put_corrections(circuit: nn.Module, corrections: Mapping[str, Correction] | None) -> None:
    """Correct the sums that arrays give by a gain and an offset each, after reading.

    They are digital: no device holds them, and exact products have none. `training.correct_sums`
    fits them. Matrices that are not named keep what they have.

    Args:
        circuit: a converted model.
        corrections: by name of the matrix, gains and offsets of shape (groups, outputs); None: no
            sum is corrected.

    Raises:
        InputError: no matrix has that name, or a shape or value does not fit.
    """
    layers = crossbar_layers(circuit).values()
    shapes = {
        layer.matrices[key].name: weight.shape[:2]
        for layer in layers
        for key, weight, _ in layer.weight_matrices()
    }
    checked = {
        name: _check_correction(name, value, shapes) for name, value in (corrections or {}).items()
    }
    for matrix in (m for layer in layers for m in layer.matrices.values()):
        current = None if corrections is None else matrix.correction
        matrix.correction = checked.get(matrix.name, current)


def _check_correction(
    name: str, value: Correction, shapes: Mapping[str, tuple[int, ...]]
) -> Correction:
    if name not in shapes:
        raise broken_rule(
            "a correction belongs to a matrix of the model", name, f"It has {list(shapes)[:10]}."
        )
    gain, offset = (torch.as_tensor(v).detach().clone() for v in (value.gain, value.offset))
    for part in (gain, offset):
        if part.shape != shapes[name] or not bool(torch.isfinite(part).all()):
            raise broken_rule(
                "gains and offsets must be finite, one for every sum of the matrix",
                f"{tuple(part.shape)} for `{name}`, which has {tuple(shapes[name])} sums",
                "Pass (groups, outputs).",
            )
    return Correction(gain=gain, offset=offset)
