"""Compiled steps between the weights of a layer and the conductances of its pairs."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.surrogate.native.library import F32, F64, INT, NUMBER, Record, function

__all__ = ["place_low", "place_low_back"]

Array = npt.NDArray[np.floating]


class _Kernels:
    """The kernels for numbers of one dtype, and the record of weights that they take."""

    def __init__(self, suffix: str, numbers: Any) -> None:
        self.Weights: type[Record] = type(
            "Weights",
            (Record,),
            {
                "_fields_": (
                    ("groups", INT),
                    ("outputs", INT),
                    ("inputs", INT),
                    ("lines", INT),
                    ("weight", numbers),
                    ("scale", numbers),
                    ("line", numbers),
                    ("span", NUMBER),
                )
            },
        )
        weights = ctypes.POINTER(self.Weights)
        self.place = function(f"place_low_{suffix}", weights, NUMBER, numbers)
        self.place_back = function(
            f"place_low_back_{suffix}", weights, numbers, numbers, F64, numbers
        )

    def weights(self, weight: Array, scale: Array, line: Array, span: float) -> Any:
        groups, outputs, inputs = weight.shape
        return ctypes.byref(
            self.Weights(
                groups=groups,
                outputs=outputs,
                inputs=inputs,
                lines=line.shape[1],
                weight=weight,
                scale=scale,
                line=line,
                span=span,
            )
        )


_KERNELS = {
    np.dtype(np.float64): _Kernels("f64", F64),
    np.dtype(np.float32): _Kernels("f32", F32),
}


def place_low(
    weight: Array, scale: Array, line: Array, span: float, G_min: float, out: Array
) -> None:
    """Conductances of pairs whose smaller device stands at `G_min`: even columns +, odd -.

    Args:
        weight: (groups, outputs, inputs); all arrays are float64, or all float32.
        scale: weight of the full range, (groups, outputs), positive.
        line: values of the bias line, (groups, 1, outputs), or (groups, 0, outputs) for none.
        span: conductance of a value of 1, S.
        G_min: smallest conductance, S.
        out: (groups, inputs + lines of the bias, 2 * outputs), S.
    """
    kernels = _KERNELS[weight.dtype]
    kernels.place(kernels.weights(weight, scale, line, span), G_min, out)


def place_low_back(
    weight: Array,
    scale: Array,
    line: Array,
    span: float,
    by_pair: Array,
    by_weight: Array,
    by_scale: npt.NDArray[np.float64],
    by_line: Array,
) -> None:
    """Gradients of `place_low`; both devices count where a value is 0.

    Args:
        weight, scale, line, span: as for `place_low`.
        by_pair: gradient by its `out`.
        by_weight, by_line: receive the gradients by `weight` and `line`.
        by_scale: receives that by `scale`; float64, zeros before.
    """
    kernels = _KERNELS[weight.dtype]
    weights = kernels.weights(weight, scale, line, span)
    kernels.place_back(weights, by_pair, by_weight, by_scale, by_line)
