"""Torch models on passive crossbars: any trained model, its matrix layers on arrays."""

from xbarspice.mapping import ArrayConfig
from xbarspice.mapping.physical_array import PhysicalArray
from xbarspice.mapping.tile import Tile
from xbarspice.nn.arrays import (
    arrays,
    place_lines,
    put_conductances,
    put_wires,
    tiles,
)
from xbarspice.nn.attention import CrossbarMultiheadAttention
from xbarspice.nn.convert import convert, copy_circuit, program, to_torch
from xbarspice.nn.converters import RangeRecord, quantise
from xbarspice.nn.convolution import (
    CrossbarConv1d,
    CrossbarConv2d,
    CrossbarConv3d,
    CrossbarConvTranspose1d,
    CrossbarConvTranspose2d,
    CrossbarConvTranspose3d,
)
from xbarspice.nn.corrections import Correction
from xbarspice.nn.coverage import Coverage, coverage
from xbarspice.nn.effective_matrices import effective_matrix
from xbarspice.nn.graph import operators, register_operator
from xbarspice.nn.layers import CrossbarLayer, crossbar_layers
from xbarspice.nn.layout import Layout, layouts
from xbarspice.nn.linear import CrossbarLinear
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.nn.recurrent import (
    CrossbarGRU,
    CrossbarGRUCell,
    CrossbarLSTM,
    CrossbarLSTMCell,
    CrossbarRNN,
    CrossbarRNNCell,
)
from xbarspice.nn.registration import layer_types, register, registry
from xbarspice.nn.solver import TensorSolution, solve
from xbarspice.nn.sums import put_corrections
from xbarspice.nn.through import Answer, Run, exact_products, through
from xbarspice.nn.transfers import program_each

CrossbarConfig = ArrayConfig

__all__ = [
    "Answer",
    "ArrayConfig",
    "ArrayMatrix",
    "Correction",
    "Coverage",
    "CrossbarConfig",
    "CrossbarConv1d",
    "CrossbarConv2d",
    "CrossbarConv3d",
    "CrossbarConvTranspose1d",
    "CrossbarConvTranspose2d",
    "CrossbarConvTranspose3d",
    "CrossbarGRU",
    "CrossbarGRUCell",
    "CrossbarLSTM",
    "CrossbarLSTMCell",
    "CrossbarLayer",
    "CrossbarLinear",
    "CrossbarMultiheadAttention",
    "CrossbarRNN",
    "CrossbarRNNCell",
    "Layout",
    "PhysicalArray",
    "RangeRecord",
    "Run",
    "TensorSolution",
    "Tile",
    "arrays",
    "convert",
    "copy_circuit",
    "coverage",
    "crossbar_layers",
    "effective_matrix",
    "exact_products",
    "layer_types",
    "layouts",
    "operators",
    "place_lines",
    "program",
    "program_each",
    "put_conductances",
    "put_corrections",
    "put_wires",
    "quantise",
    "register",
    "register_operator",
    "registry",
    "solve",
    "through",
    "tiles",
    "to_torch",
]
