"""Ranges of every layer from data: input scales and converter ranges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from xbarspice.core.errors import broken_rule
from xbarspice.nn.layers import crossbar_layers
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.nn.origin import outputs_of
from xbarspice.nn.through import observe, observe_differences

__all__ = ["calibrate", "calibrate_converters", "set_range"]

SAMPLE = 1 << 20
"""Input values of a matrix that a quantile is taken of."""


def calibrate(model: nn.Module, inputs: tuple[Any, ...], quantile: float = 1.0) -> None:
    """Set the input range of every matrix on arrays, and the range of its converters, from data.

    The model runs on ideal products, so that no layer's range depends on another layer's errors.

    Args:
        model: a converted model.
        inputs: its arguments.
        quantile: share of the input values that `x_scale` covers, 0.5 to 1; 1 is the largest.

    Raises:
        InputError: `quantile` is out of its range, or an input is not finite.
    """
    if not 0.5 <= quantile <= 1:
        raise broken_rule("`quantile` must lie between 0.5 and 1", quantile, "1 is the largest.")
    matrices = {id(matrix): matrix for matrix in _matrices(model)}
    largest: dict[int, float] = {}

    def see(matrix: ArrayMatrix, x: Tensor) -> None:
        size = x.detach().abs().flatten()
        if not size.numel():
            return
        value = float(size.amax() if quantile == 1 else _quantile(size, quantile))
        if not value < float("inf"):
            raise broken_rule(
                "calibration inputs must give finite layer inputs",
                f"`{matrix.name}` is given {value}",
                "Check the data and the weights.",
            )
        largest[id(matrix)] = max(largest.get(id(matrix), 0.0), value)

    with observe(see):
        outputs_of(model, inputs)
    for key, value in largest.items():
        set_range(matrices[key], value or 1.0)
    calibrate_converters(model, inputs)


def _matrices(model: nn.Module) -> list[ArrayMatrix]:
    layers = crossbar_layers(model).values()
    return [matrix for layer in layers for matrix in layer.matrices.values()]


def calibrate_converters(model: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Set every converter's range to the largest current difference that the data give."""
    matrices = _matrices(model)
    bits = {id(m): m.config.adc_bits for m in matrices if m.config.adc_bits is not None}
    if not bits:
        return
    largest: dict[int, float] = {}

    def see(matrix: ArrayMatrix, difference: Tensor) -> None:
        value = float(difference.detach().abs().amax()) if difference.numel() else 0.0
        largest[id(matrix)] = max(largest.get(id(matrix), 0.0), value)

    for m in matrices:
        m.config = replace(m.config, adc_bits=None)
    try:
        with observe_differences(see):
            outputs_of(model, inputs)
    finally:
        for m in matrices:
            if id(m) in bits:
                full_scale = largest.get(id(m)) or None
                m.config = replace(m.config, adc_bits=bits[id(m)], adc_range=full_scale)
            m.ranges.reset()


def _quantile(size: Tensor, share: float) -> Tensor:
    step = max(size.numel() // SAMPLE, 1)
    sample = size[::step]
    return sample.kthvalue(max(round(share * sample.numel()), 1)).values


def set_range(matrix: ArrayMatrix, x_scale: float) -> None:
    """Give a matrix its input range."""
    matrix.config = replace(matrix.config, x_scale=x_scale)
    matrix.ranges.reset()
