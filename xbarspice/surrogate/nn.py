"""Crossbars for torch, offered as ``xbarspice.nn``: solves, matrices and layers with gradients."""

from __future__ import annotations

from xbarspice.surrogate.convert import convert, to_torch
from xbarspice.surrogate.layers import (
    CrossbarConfig,
    CrossbarConv2d,
    CrossbarLinear,
    quantise,
)
from xbarspice.surrogate.torch_matrix import effective_matrix
from xbarspice.surrogate.torch_solve import TensorSolution, solve

__all__ = [
    "CrossbarConfig",
    "CrossbarConv2d",
    "CrossbarLinear",
    "TensorSolution",
    "convert",
    "effective_matrix",
    "quantise",
    "solve",
    "to_torch",
]
