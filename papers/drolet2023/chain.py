"""A circuit of linear layers as the chain of reads that many transfers at once are computed with.

A transfer of the 2-8-1 network takes 3.7 ms by `nn.put_conductances` and a forward, and 0.005 ms in
a batch of arrays (2.4 ms against 6.7 ms through wires and sinh devices; one core, 200 points, 100
transfers). The full experiment has about a million. The chain holds what the circuit says of
itself, tile by tile; the tests hold the answers of both equal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import xbarspice as xb
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array
from xbarspice.core.values import array_of
from xbarspice.importers.perceptron import Perceptron
from xbarspice.importers.perceptron_model import perceptron_module

__all__ = ["Chain", "Pass", "Stage", "circuit_of"]


def circuit_of(network: Perceptron, config: xb.ArrayConfig, x: npt.ArrayLike | None = None) -> Any:
    """A trained network on its arrays, in evaluation.

    Args:
        network: the weights.
        config: how it stands on arrays.
        x: inputs that set the input range of every layer; None leaves `config.x_scale`.
    """
    points = None if x is None else torch.tensor(np.asarray(x, dtype=float))
    return xb.nn.convert(perceptron_module(network), config, calibrate=points).eval()


@dataclass(frozen=True, kw_only=True, eq=False)
class Pass:
    """One read pass: a tile, and which of the arrays it stands on."""

    tile: xb.nn.Tile
    array: int

    @property
    def outputs(self) -> slice:
        """Outputs of the layer whose pairs stand on it."""
        return slice(self.tile.columns[0] // 2, self.tile.columns[1] // 2)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """A layer on arrays and the functions that follow it.

    Attributes:
        passes: its reads, in order.
        sum_scale: weighted sum for a current difference of 1 A.
        volts_per_unit: line voltage, V, for an input of 1.
        V_bias: voltage of the bias line, V; None without one.
        digital: added after reading, (outputs,).
        after: modules between this layer and the next.
    """

    passes: tuple[Pass, ...]
    sum_scale: float
    volts_per_unit: float
    V_bias: float | None
    digital: Array
    after: tuple[nn.Module, ...]

    def volts(self, h: Array) -> Array:
        """Voltages of its lines, V, (..., lines), for layer inputs (..., inputs)."""
        volts = h * self.volts_per_unit
        if self.V_bias is None:
            return volts
        return np.concatenate([volts, np.full((*volts.shape[:-1], 1), self.V_bias)], axis=-1)

    def activate(self, z: Array) -> Array:
        """What the next layer is given, from the weighted sums (..., outputs)."""
        h = torch.from_numpy(np.ascontiguousarray(z))
        with torch.no_grad():
            for module in self.after:
                h = module(h)
        return h.numpy()


@dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """A converted `nn.Sequential` of Linear layers and functions of one number between them.

    Attributes:
        circuit: the model on arrays.
        arrays: its physical arrays.
        stages: its layers, in order.
        inputs: how many numbers a point has.
    """

    circuit: Any
    arrays: tuple[xb.nn.PhysicalArray, ...]
    stages: tuple[Stage, ...]
    inputs: int

    @classmethod
    def of(cls, circuit: nn.Module) -> Chain:
        """The chain of a converted model.

        Raises:
            InputError: the model is no such chain.
        """
        children = list(circuit.children()) if type(circuit) is nn.Sequential else []
        first = children[0] if children else None
        if not isinstance(first, xb.nn.CrossbarLinear):
            raise broken_rule(
                "many transfers at once need an nn.Sequential that begins with a Linear layer",
                type(circuit).__name__,
                "Use xbarspice.transfer for any other model.",
            )
        arrays = tuple(xb.nn.arrays(circuit))
        stages = []
        for k, layer in enumerate(children):
            if isinstance(layer, xb.nn.CrossbarLinear):
                after = []
                for module in children[k + 1 :]:
                    if isinstance(module, xb.nn.CrossbarLayer):
                        break
                    after.append(module)
                stages.append(_stage(layer, arrays, tuple(after)))
        return cls(circuit=circuit, arrays=arrays, stages=tuple(stages), inputs=first.in_features)

    @cached_property
    def wanted(self) -> tuple[Array, ...]:
        """Conductances of the arrays as mapped, S, one (rows, cols) an array."""
        return tuple(array.crossbar.G for array in self.arrays)

    @property
    def config(self) -> xb.ArrayConfig:
        """How its first layer stands on arrays."""
        return self.stages[0].passes[0].tile.config

    def passes_of(self, array: int) -> list[Pass]:
        """All reads of an array, in order."""
        return [p for stage in self.stages for p in stage.passes if p.array == array]

    def points(self, x: npt.ArrayLike) -> Array:
        """Inputs as float64, (points, inputs).

        Raises:
            InputError: they do not fit.
        """
        out: Array = array_of("x", x, rank=2, remedy="Pass one row a point.")
        if out.shape[1] != self.inputs:
            raise broken_rule(
                f"points have {self.inputs} inputs", out.shape, "Pass one row a point."
            )
        return out

    def redundant(self, copies: int = 2) -> Chain:
        """The same chain with every array several times, the currents of the copies added.

        Errors of single devices are averaged.
        """
        if copies < 1:
            raise broken_rule("`copies` must be >= 1", copies, "2 doubles every pair.")
        count = len(self.arrays)
        stages = tuple(
            replace(
                stage,
                sum_scale=stage.sum_scale / copies,
                passes=tuple(
                    replace(part, array=part.array + c * count)
                    for c in range(copies)
                    for part in stage.passes
                ),
            )
            for stage in self.stages
        )
        return replace(self, arrays=self.arrays * copies, stages=stages)

    def changed(self, **changes: Any) -> Chain:
        """The chain of the same model with other values in the `ArrayConfig` of all its layers."""
        circuit = xb.nn.copy_circuit(self.circuit)
        for layer in xb.nn.crossbar_layers(circuit).values():
            for matrix in layer.matrices.values():
                matrix.config = replace(matrix.config, **changes)
        return Chain.of(circuit)


def _stage(
    layer: xb.nn.CrossbarLinear,
    arrays: tuple[xb.nn.PhysicalArray, ...],
    after: tuple[nn.Module, ...],
) -> Stage:
    ((name, weight, bias),) = layer.weight_matrices()
    matrix = layer.matrices[name]
    config = matrix.config
    if config.cells != 1 or config.w_scale != "matrix" or config.x_centre:
        raise broken_rule(
            "many transfers at once need one pair a weight, one scale and inputs about 0",
            f"cells={config.cells}, w_scale={config.w_scale!r}, x_centre={config.x_centre}",
            "Use xbarspice.transfer for any other configuration.",
        )
    with torch.no_grad():
        programmed = matrix.program(weight, bias, training=False)
    digital = np.zeros(layer.out_features)
    if bias is not None and not matrix.bias_line:
        digital = bias[0].detach().double().numpy()
    number = {array.name: k for k, array in enumerate(arrays)}
    tiles = [tile for array in arrays for tile in array.tiles if tile.matrix == matrix.name]
    return Stage(
        passes=tuple(Pass(tile=tile, array=number[tile.array]) for tile in tiles),
        sum_scale=float(programmed.sum_scale),
        volts_per_unit=config.V_read / config.x_scale,
        V_bias=None if programmed.V_bias is None else float(programmed.V_bias),
        digital=digital,
        after=after,
    )
