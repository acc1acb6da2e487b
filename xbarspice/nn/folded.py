"""The folded layout: two Linear layers on one array that is read in two read passes."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from xbarspice import engines
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.wires import Resistance
from xbarspice.engines import Engine
from xbarspice.mapping import ArrayConfig
from xbarspice.mapping.reads import (
    LineOrder,
    Read,
    differences,
    first_folded_read,
    second_folded_read,
)
from xbarspice.mapping.tile import Tile
from xbarspice.nn.affine_cache import Identity
from xbarspice.nn.effective_matrices import effective_matrix
from xbarspice.nn.layout import Layout
from xbarspice.nn.line_orders import from_lines, to_lines
from xbarspice.nn.pairs import PairConductances, place
from xbarspice.nn.solver import solve

if TYPE_CHECKING:
    from xbarspice.nn.layers import CrossbarLayer
    from xbarspice.nn.matrix import ArrayMatrix

__all__ = ["Folded"]

KEY = "weight"
"""Name of the one matrix of a Linear layer."""


@dataclass(eq=False, kw_only=True)
class Folded(Layout):
    """How one of two matrices is programmed, solved and described on the array that both share.

    It holds the layers, not their weights: those stay ordinary parameters.

    Attributes:
        layers: whose weights stand on the array, in the order of its two reads.
        number: which of them is read, 0 or 1.
    """

    layers: tuple[CrossbarLayer, CrossbarLayer]
    number: int

    @classmethod
    def of(cls, matrix: ArrayMatrix) -> Folded:
        """The array that a matrix shares with another one.

        Raises:
            InputError: it shares none.
        """
        if matrix.folded is None:
            raise broken_rule(
                "a folded array needs both of its layers",
                f"`{matrix.name}` alone",
                "Put the whole model on arrays with xb.nn.convert.",
            )
        return matrix.folded

    @classmethod
    def arrange(cls, layers: Sequence[CrossbarLayer]) -> None:
        """Put two layers on one folded array.

        Args:
            layers: the two in the order of their reads, or in the other if only that fits; or none.

        Raises:
            InputError: they are not two Linear layers of which one feeds the other, stand
                differently on arrays, or do not fit one array.
        """
        if not layers:
            return
        first, second = _order_chain(layers)
        matrices = [layer.matrices[KEY] for layer in (first, second)]
        config = replace(matrices[0].config, x_scale=1.0, adc_range=None)
        if config != replace(matrices[1].config, x_scale=1.0, adc_range=None):
            raise broken_rule(
                "both layers on a folded array must have one configuration",
                f"{_describe(first)} and {_describe(second)} with different ones",
                "Give both the same ArrayConfig.",
            )
        matrices[0].bias_line = first.parameter("bias") is not None and config.bias == "array"
        matrices[1].bias_line = False
        for number, matrix in enumerate(matrices):
            matrix.folded = cls(layers=(first, second), number=number)
        cls(layers=(first, second), number=0)._refuse_too_large(config)

    @property
    def name(self) -> str:
        """Name of the array: those of both matrices."""
        return "+".join(layer.matrices[KEY].name for layer in self.layers)

    @property
    def reads(self) -> tuple[Read, Read]:
        """Both reads: of the first matrix, and in reverse of the second."""
        (hidden, inputs), (outputs, _) = (layer.parameter(KEY).shape for layer in self.layers)
        lines = inputs + self.layers[0].matrices[KEY].bias_line
        first = first_folded_read(lines, hidden).on_lines(self.order)
        return first, second_folded_read(2 * lines, hidden, outputs).on_lines(self.order)

    @property
    def order(self) -> LineOrder | None:
        """The order of the lines of the array; None where no line was placed."""
        return self.layers[0].matrices[KEY].orders.get((0, 0, 0))

    def _wires(self, config: ArrayConfig) -> dict[str, Any]:
        """Resistances of the array in read mode, ohm: its own, or those of the configuration."""
        return config.wires | dict(self._own_wires)

    @property
    def _own_wires(self) -> Mapping[str, Resistance]:
        return self.layers[0].matrices[KEY].wires.get((0, 0, 0), {})

    @property
    def read(self) -> Read:
        """This read."""
        return self.reads[self.number]

    def sources(self) -> tuple[Tensor | None, ...]:
        """Parameters of the other layer."""
        partner = self.layers[1 - self.number]
        return partner.parameter(KEY), partner.parameter("bias")

    def state(self) -> tuple[Hashable, ...]:
        """What else the array depends on: the other matrix, the order of the lines, own wires."""
        partner = self.layers[1 - self.number].matrices[KEY]
        wires = Identity(self.layers[0].matrices[KEY].wires) if self._own_wires else None
        return partner.config, Identity(partner.conductances), self.order, wires

    def program(
        self, matrix: ArrayMatrix, placed: PairConductances, *, training: bool
    ) -> PairConductances:
        """The array with both matrices on it, with errors where there are any."""
        held = [layer.matrices[KEY].conductances for layer in self.layers]
        measured = not training and any(h is not None for h in held)
        G = self._join(placed, [None, None] if training else held)
        generator = None if measured else self._generator(matrix, training)
        if generator is not None:
            G = matrix.config.variation.apply(G, generator)
        return self.logical(matrix, placed, [G])

    def _join(self, placed: PairConductances, held: Sequence[Tensor | None]) -> Tensor:
        """The array, S, (rows, cols), of both matrices, or of what they hold instead."""
        parts = [placed.G, _pairs_of(self.layers[1 - self.number])]
        if self.number:
            parts.reverse()
        parts = [p if h is None else h.to(p) for p, h in zip(parts, held, strict=True)]
        G = _join_pairs(parts[0][0], parts[1][0])
        return G if self.order is None or self._on_larger else self.order.on_array(G)

    @property
    def _on_larger(self) -> bool:
        """Whether it stands on an array with more lines; that is joined in `logical`."""
        return self.order is not None and self.order.array is not None

    def name_of(self, matrix: ArrayMatrix) -> str:
        """Name of the array: those of both matrices."""
        return self.name

    def physical(self, matrix: ArrayMatrix, placed: PairConductances) -> list[Tensor]:
        """The array without errors, S: one stack (rows, cols)."""
        return [self._join(placed, [None, None])]

    def logical(
        self, matrix: ArrayMatrix, placed: PairConductances, stacks: Sequence[Tensor]
    ) -> PairConductances:
        """The matrix on a changed array, which may have leading axes."""
        (G,) = stacks
        if self.order is not None and self._on_larger:
            G = self.order.on_array(G)
        return replace(placed, G=self.read.take(G)[..., None, :, :], array=G)

    def reads_of(self, shape: tuple[int, ...]) -> tuple[Read, ...]:
        """Both read passes of the array."""
        return self.reads

    def places_of(
        self, matrix: ArrayMatrix, placed: PairConductances
    ) -> list[list[tuple[int, int, int]]]:
        """The one array."""
        return [[(0, 0, 0)]]

    def columns(self, state: PairConductances, config: ArrayConfig) -> Tensor:
        """Effective matrix of a linear array by line and column, S, (1, lines, columns)."""
        if state.array is None:
            raise AssertionError("a folded matrix is programmed with its array")
        return self.read.take(self._effective(state.array, config))[None]

    def _effective(self, G: Tensor, config: ArrayConfig) -> Tensor:
        """Effective matrix of the array, S, (..., rows, cols), from word to bit lines."""
        return effective_matrix(G, **self._wires(config), ends=self.reads[0].ends)

    def _generator(self, matrix: ArrayMatrix, training: bool) -> torch.Generator | None:
        """Both reads of a transfer see the same errors: those of the array."""
        matrices = [layer.matrices[KEY] for layer in self.layers]
        if not training and matrices[0].transfer != matrices[1].transfer:
            raise broken_rule(
                "both matrices of a folded array must hold one transfer",
                [m.transfer for m in matrices],
                "Set it with xb.nn.program(circuit, transfer).",
            )
        return matrix.generator(training=training, name=self.name, seed=matrices[0].seed)

    def pairs(self, state: PairConductances, config: ArrayConfig) -> Tensor:
        """Differences of a linear array for 1 V in each state, S, (states, 1, lines, sums).

        A passive network is reciprocal: the current into a word line for 1 V on a bit line is that
        into the bit line for 1 V on the word line. So one effective matrix serves both reads.
        """
        if state.array is None:
            raise AssertionError("a folded matrix is programmed with its array")
        G = state.array
        if state.lines is None:
            effective = self._effective(G, config)
        else:
            (orders,) = state.lines
            effective = orders.by_line(self._effective(orders.on_arrays(G), config))
        pairs = self.read.take(effective)
        return (pairs[..., 0::2] - pairs[..., 1::2])[:, None]

    def currents(
        self,
        programmed: PairConductances,
        volts: Tensor,
        config: ArrayConfig,
        engine: Engine | None,
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Solve the array.

        Yields:
            Once: 0; currents into the sense nodes, A, (vectors, 1, 1, 1, columns of `Tile`); and
            the differences, (vectors, 1, 1, 1, sums).
        """
        G, read = programmed.array, self.read
        if G is None:
            raise AssertionError("a folded matrix is programmed with its array")
        count = len(volts)
        zero_in, zero_out = volts.new_zeros(count, G.shape[0]), volts.new_zeros(count, G.shape[1])
        V = read.drive(volts[:, 0], zero_in, zero_out)
        if programmed.lines is not None:
            (orders,) = programmed.lines
            G = orders.on_arrays(G)
            V = to_lines(V[0], orders.rows), to_lines(V[1], orders.cols)
        wires = read.wires(self._wires(config))
        currents = _line_currents(G, *V, read, wires, config, engine)
        if programmed.lines is not None:
            (orders,) = programmed.lines
            I_in, I_out = currents
            currents = from_lines(I_in, orders.rows), from_lines(I_out, orders.cols)
        current = read.currents(*currents)
        yield 0, current.flatten(-2)[:, None, None, None], differences(current)[:, None, None, None]

    def bands(self, values: Tensor, config: ArrayConfig) -> list[Tensor]:
        """Values (groups, lines, pairs) cut into the lines that one array sums: all."""
        return [values]

    def size(self, matrix: ArrayMatrix, lines: int, columns: int) -> tuple[int, int]:
        """Arrays and devices; the array counts with the matrix that is read first."""
        return 1 - self.number, lines * columns

    def tiles(self, matrix: ArrayMatrix, programmed: PairConductances) -> Iterator[Tile]:
        """The array in this read."""
        if programmed.array is None:
            raise AssertionError("a folded matrix is programmed with its array")
        G = programmed.array.cpu().numpy()
        yield Tile(
            matrix=matrix.name,
            group=0,
            row=0,
            col=0,
            lines=(0, programmed.G.shape[-2]),
            columns=(0, programmed.G.shape[-1]),
            config=matrix.config,
            crossbar=Crossbar(
                G,
                **self.read.wires(self._wires(matrix.config)),
                device=matrix.config.model,
                ends=self.read.ends,
            ),
            read=self.read,
            array=self.name,
        )

    def _refuse_too_large(self, config: ArrayConfig) -> None:
        first, second = self.reads
        rows, cols = int(second.lines_out.max()) + 1, len(first.lines_out)
        if rows > config.tile_rows or cols > config.tile_cols:
            raise broken_rule(
                "a folded array needs room for two word lines an input, bias line and output, "
                "and one bit line a hidden neuron",
                f"{rows} x {cols} devices on tiles of {config.tile_rows} x {config.tile_cols}",
                'Raise tile_rows and tile_cols, or use layout="tiled".',
            )


def _pairs_of(layer: CrossbarLayer) -> Tensor:
    """Pairs of a layer's matrix without errors, S, (1, lines, 2 * outputs)."""
    matrix, bias = layer.matrices[KEY], layer.parameter("bias")
    line = None if bias is None else matrix.line(bias[None])
    return place(layer.parameter(KEY)[None], line, matrix.config).G


def _join_pairs(first: Tensor, second: Tensor) -> Tensor:
    """All devices, S, (rows, cols), of pairs (lines, 2 * hidden) and (hidden, 2 * outputs)."""
    upper = first.unflatten(-1, (-1, 2)).transpose(1, 2).flatten(0, 1)
    return torch.cat([upper, second.mT])


def _line_currents(
    G: Tensor,
    V_in: Tensor,
    V_out: Tensor,
    read: Read,
    wires: dict[str, Any],
    config: ArrayConfig,
    engine: Engine | None,
) -> tuple[Tensor, Tensor]:
    """Currents I_in and I_out, A, (vectors, rows) and (vectors, cols)."""
    setting = {"device": config.model, "ends": read.ends, **wires}
    if engine is None:
        answer = solve(G, V_in, V_out, **setting)
        return answer.I_in, answer.I_out
    volts = [v.detach().cpu().numpy() for v in (V_in, V_out)]
    crossbar = Crossbar(G.detach().cpu().numpy(), **setting)
    solution = engines.solve(crossbar, *volts, engine=engine, outside="ignore")
    I_in, I_out = (
        torch.tensor(current, device=G.device, dtype=V_in.dtype)
        for current in (solution.I_in, solution.I_out)
    )
    return I_in, I_out


def _order_chain(layers: Sequence[CrossbarLayer]) -> Sequence[CrossbarLayer]:
    """Two layers, the outputs of the first being the inputs of the second."""
    chains = [pair for pair in (layers, layers[::-1]) if _is_chain(pair)]
    if not chains:
        raise broken_rule(
            "a folded array takes exactly two Linear layers, the outputs of one being the inputs "
            "of the other",
            "; ".join(_describe(layer) for layer in layers),
            'Use layout="tiled", or name two layers in `config`.',
        )
    return chains[0]


def _is_chain(layers: Sequence[CrossbarLayer]) -> bool:
    if len(layers) != 2 or any(layer.torch_type is not nn.Linear for layer in layers):
        return False
    return layers[0].parameter(KEY).shape[0] == layers[1].parameter(KEY).shape[1]


def _describe(layer: CrossbarLayer) -> str:
    name = next(iter(layer.matrices.values())).name
    sizes = "x".join(str(n) for n in layer.parameter(layer.weight_names[0]).shape)
    return f"`{name}` ({layer.torch_type.__name__} {sizes})"
