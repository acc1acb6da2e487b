"""The tiled layout: every matrix on arrays of its own, cut evenly, pairs in two bit lines."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from xbarspice.core.array import Crossbar
from xbarspice.core.line_ends import READ
from xbarspice.core.wires import WIRES, Resistance
from xbarspice.engines import Engine
from xbarspice.mapping import ArrayConfig, Tiling
from xbarspice.mapping.reads import LineOrder, Read, tiled_read
from xbarspice.mapping.tile import Tile
from xbarspice.mapping.tiling import Region, edges
from xbarspice.nn.affine_cache import Identity
from xbarspice.nn.effective_matrices import effective_matrix, pair_matrix
from xbarspice.nn.layout import Layout
from xbarspice.nn.line_orders import from_lines, to_lines
from xbarspice.nn.pairs import PairConductances
from xbarspice.nn.tile_solves import as_tensors, solve_larger, solve_stack

if TYPE_CHECKING:
    from xbarspice.nn.matrix import ArrayMatrix

__all__ = ["Tiled"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Tiled(Layout):
    """How a matrix is programmed, solved and described on tiles of its own.

    Attributes:
        orders: of the lines of the tiles by (group, row, col), where lines were placed.
            Pairs of bit lines stay together.
        wires: resistances by name, ohm, of tiles with wires of their own, likewise; see
            `ArrayMatrix`.
    """

    orders: Mapping[tuple[int, int, int], LineOrder] = field(default_factory=dict)
    wires: Mapping[tuple[int, int, int], Mapping[str, Resistance]] = field(default_factory=dict)

    @classmethod
    def of(cls, matrix: ArrayMatrix) -> Tiled:
        """The tiles of a matrix."""
        return cls(orders=matrix.orders, wires=matrix.wires)

    @property
    def _larger(self) -> dict[tuple[int, int, int], LineOrder]:
        """Orders of tiles that stand on larger arrays."""
        return {place: o for place, o in self.orders.items() if o.array is not None}

    @property
    def _permuted(self) -> dict[tuple[int, int, int], LineOrder]:
        """Orders of tiles that stand on arrays of their size."""
        return {place: o for place, o in self.orders.items() if o.array is None}

    def sources(self) -> tuple[Tensor | None, ...]:
        """Parameters of other layers that stand on the same arrays: none."""
        return ()

    def state(self) -> tuple[Hashable, ...]:
        """What else the arrays depend on: the order of their lines, and their own wires."""
        return *sorted(self.orders.items()), Identity(self.wires) if self.wires else None

    def program(
        self, matrix: ArrayMatrix, placed: PairConductances, *, training: bool
    ) -> PairConductances:
        """The matrix as it stands on its arrays, with errors where there are any."""
        if matrix.conductances is not None and not training:
            return replace(placed, G=matrix.conductances.to(placed.G))
        generator = matrix.generator(training=training)
        if generator is None:
            return placed
        stacks = self.physical(matrix, placed)
        changed = [matrix.config.variation.apply(s, generator) for s in stacks]
        return self.logical(matrix, placed, changed)

    def name_of(self, matrix: ArrayMatrix) -> str:
        """Name of the arrays: that of the matrix."""
        return matrix.name

    def physical(self, matrix: ArrayMatrix, placed: PairConductances) -> list[Tensor]:
        """The arrays without errors, S, (groups, down, across, rows, cols) a stack."""
        return _tiling(matrix.config).stacks(self._on_arrays(placed.G, matrix.config))

    def logical(
        self, matrix: ArrayMatrix, placed: PairConductances, stacks: Sequence[Tensor]
    ) -> PairConductances:
        """The matrix on changed arrays, which may have leading axes."""
        shape = (*stacks[0].shape[:-5], *placed.G.shape)
        G = _join(_tiling(matrix.config), shape, stacks)
        if self.orders:
            flat = G.reshape(-1, *placed.G.shape)
            G = torch.stack([self._by_line(one, matrix.config) for one in flat]).reshape(G.shape)
        return replace(placed, G=G)

    def reads_of(self, shape: tuple[int, ...]) -> tuple[Read, ...]:
        """The one read pass of an array."""
        return (tiled_read(*shape[-2:]),)

    def places_of(
        self, matrix: ArrayMatrix, placed: PairConductances
    ) -> list[list[tuple[int, int, int]]]:
        """Tiles of each stack."""
        shape = tuple(placed.G.shape)
        down, across = _edges(shape, matrix.config)
        return [
            [
                (group, down.index(r.top) + k, across.index(r.left) + n)
                for group in range(shape[0])
                for k in range(r.down)
                for n in range(r.across)
            ]
            for r in _tiling(matrix.config).regions(shape)
        ]

    def columns(self, state: PairConductances, config: ArrayConfig) -> Tensor:
        """Effective matrices of linear arrays, S, (groups, lines, columns)."""
        G, tiling = self._on_arrays(state.G, config), _tiling(config)
        shape = tuple(G.shape)
        stacks = [
            effective_matrix(s, **as_tensors(self._wires_of(region, shape, config)))
            for region, s in zip(tiling.regions(shape), tiling.stacks(G), strict=True)
        ]
        out = self._by_line(tiling.join(stacks, torch.empty_like(G)), config)
        for group, lines, columns, held in self._of_larger(state.G, config):
            out[group, lines, columns] = held
        return out

    def pairs(self, state: PairConductances, config: ArrayConfig) -> Tensor:
        """Differences of linear arrays for 1 V in each state, S, (states, groups, lines, pairs)."""
        states, *shape = state.G.shape
        tiling, wires, lines = _tiling(config), config.wires, state.lines
        G = state.G.flatten(0, 1)
        if self.orders:
            G = torch.cat([self._on_arrays(one, config) for one in state.G])
        elif lines is not None:
            placed = zip(lines, tiling.stacks(state.G), strict=True)
            on_arrays = [orders.on_arrays(stack) for orders, stack in placed]
            G = _join(tiling, tuple(state.G.shape), on_arrays).flatten(0, 1)
        if self.wires:
            each = [self._wires_of(r, tuple(shape), config) for r in tiling.regions(tuple(shape))]
            wires = [as_tensors(w, states) for w in each]
        whole = pair_matrix(G, tiling, wires, keep=not config.recompute)
        out = whole.unflatten(0, (states, -1))
        if lines is not None:
            of_pairs = Tiling(rows=config.tile_rows, cols=config.tile_cols // 2)
            placed = zip(lines, of_pairs.stacks(out), strict=True)
            ordered = [orders.of_pairs.by_line(stack) for orders, stack in placed]
            return _join(of_pairs, tuple(out.shape), ordered)
        if not self.orders:
            return out
        ordered = [self._by_line(one, config, pairs=True) for one in out]
        each = zip(ordered, state.G, strict=True)
        return torch.stack([self._with_larger(one, G, config) for one, G in each])

    def _of_larger(
        self, G: Tensor, config: ArrayConfig
    ) -> Iterator[tuple[int, slice, slice, Tensor]]:
        """Effective matrices of tiles on larger arrays: group, lines, columns, (lines, columns)."""
        down, across = _edges(tuple(G.shape), config)
        for (group, row, col), order in self._larger.items():
            lines, columns = slice(*down[row : row + 2]), slice(*across[col : col + 2])
            wires = config.wires | dict(self.wires.get((group, row, col), {}))
            on_array = order.on_array(G[group, lines, columns])
            held = effective_matrix(on_array, **as_tensors(wires), ends=order.ends(READ))
            yield group, lines, columns, order.by_line(held)

    def _with_larger(self, matrix: Tensor, G: Tensor, config: ArrayConfig) -> Tensor:
        """The matrix with the parts that stand on larger arrays, (groups, lines, pairs)."""
        if not self._larger:
            return matrix
        out = matrix.clone()
        for group, lines, columns, held in self._of_larger(G, config):
            pairs = slice(columns.start // 2, columns.stop // 2)
            out[group, lines, pairs] = held[:, 0::2] - held[:, 1::2]
        return out

    def currents(
        self,
        programmed: PairConductances,
        volts: Tensor,
        config: ArrayConfig,
        engine: Engine | None,
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Solve the arrays, one stack of equal tiles after the other.

        Yields:
            First line of the stack; column currents, A, (vectors, groups, down, across, columns);
            and their differences, (vectors, groups, down, across, pairs).
        """
        G, tiling = self._on_arrays(programmed.G, config), _tiling(config)
        regions, stacks = list(tiling.regions(tuple(G.shape))), tiling.stacks(G)
        lines = programmed.lines or (None,) * len(stacks)
        for region, tiles, orders in zip(regions, stacks, lines, strict=True):
            stop = region.top + region.down * region.rows
            drive = volts[..., region.top : stop].unflatten(-1, (region.down, 1, region.rows))
            if orders is not None:
                tiles = orders.on_arrays(tiles)
                drive = to_lines(drive.expand(*drive.shape[:-2], *tiles.shape[-3:-1]), orders.rows)
            ordered = _in(region, tuple(G.shape), config, self._permuted)
            placed_larger = {at: (o, self.wires.get(at, {})) for at, o in self._larger.items()}
            larger = _in(region, tuple(G.shape), config, placed_larger)
            if ordered or larger:
                drive = drive.expand(*drive.shape[:-2], *tiles.shape[-3:-1]).clone()
            for tile, order in ordered:
                drive[:, *tile] = order.voltages(drive[:, *tile])
            wires = self._wires_of(region, tuple(G.shape), config)
            current = solve_stack(tiles, drive, wires, config, engine)
            if orders is not None:
                current = from_lines(current, orders.cols)
            if ordered or larger:
                current = current.clone()
            for tile, order in ordered:
                current[:, *tile] = current[:, *tile][:, list(order.cols)]
            for tile, (order, own) in larger:
                wires = config.wires | dict(own)
                on_array = order.on_array(tiles[tile])
                held = solve_larger(
                    on_array, order.voltages(drive[:, *tile]), wires, order, config, engine
                )
                current[:, *tile] = held[:, list(order.cols)]
            yield region.top, current, current[..., 0::2] - current[..., 1::2]

    def bands(self, values: Tensor, config: ArrayConfig) -> list[Tensor]:
        """Values (groups, lines, pairs) cut into the lines that one array sums."""
        return Tiling(rows=config.tile_rows, cols=values.shape[-1]).stacks(values)

    def size(self, matrix: ArrayMatrix, lines: int, columns: int) -> tuple[int, int]:
        """Arrays and devices of one group."""
        tiles = sum(r.down * r.across for r in _tiling(matrix.config).regions((lines, columns)))
        return tiles, lines * columns

    def tiles(self, matrix: ArrayMatrix, programmed: PairConductances) -> Iterator[Tile]:
        """The arrays, group by group, by rows of tiles."""
        config, G = matrix.config, self._on_arrays(programmed.G, matrix.config).cpu().numpy()
        down, across = _edges(tuple(G.shape), config)
        for group in range(len(G)):
            for row, lines in enumerate(pairwise(down)):
                for col, columns in enumerate(pairwise(across)):
                    part = G[group, slice(*lines), slice(*columns)]
                    order = self.orders.get((group, row, col))
                    read = tiled_read(*part.shape).on_lines(order)
                    if order is not None and order.array is not None:
                        part = order.on_array(part)
                    drawn = self.wires.get((group, row, col), {})
                    wires: dict[str, Any] = config.wires | dict(drawn)
                    yield Tile(
                        matrix=matrix.name,
                        group=group,
                        row=row,
                        col=col,
                        lines=lines,
                        columns=columns,
                        config=config,
                        crossbar=Crossbar(part, **wires, device=config.model, ends=read.ends),
                        read=read,
                        array=f"{matrix.name}[{group},{row},{col}]",
                    )

    def _on_arrays(self, G: Tensor, config: ArrayConfig) -> Tensor:
        """Devices (groups, lines, columns) where they stand on the arrays of the tiles' size."""
        if not self._permuted:
            return G
        out, (down, across) = G.clone(), _edges(tuple(G.shape), config)
        for (group, row, col), order in self._permuted.items():
            part = np.s_[group, down[row] : down[row + 1], across[col] : across[col + 1]]
            out[part] = order.on_array(G[part])
        return out

    def _by_line(self, G: Tensor, config: ArrayConfig, *, pairs: bool = False) -> Tensor:
        """Devices, or values of pairs, by line and column: undoes `_on_arrays`."""
        if not self._permuted:
            return G
        lines, columns = G.shape[-2:]
        out = G.clone()
        width = 2 if pairs else 1
        down, across = _edges((lines, width * columns), config)
        for (group, row, col), order in self._permuted.items():
            first, right = across[col] // width, across[col + 1] // width
            cols = tuple(c // width for c in order.cols[::width])
            part = np.s_[group, down[row] : down[row + 1], first:right]
            out[part] = LineOrder(rows=order.rows, cols=cols).by_line(G[part])
        return out

    def _wires_of(
        self, region: Region, shape: tuple[int, ...], config: ArrayConfig
    ) -> dict[str, Any]:
        """Resistances of a stack of tiles, ohm: a number, or (groups, down, across, places) each.

        Args:
            region: the stack.
            shape: groups, lines and columns of the matrix.
            config: how it stands on arrays.
        """
        of_tiles = {place: own for place, own in self.wires.items() if place not in self._larger}
        out, each = config.wires, _in(region, shape, config, of_tiles)
        rows, cols = region.rows, region.cols
        places = ((rows, cols - 1), (rows - 1, cols), (rows,), (cols,))
        for name, of_tile in zip(WIRES, places, strict=True):
            if any(name in wires for _, wires in each):
                stack = np.full((shape[0], region.down, region.across, *of_tile), out[name])
                for tile, wires in each:
                    stack[tile] = wires.get(name, out[name])
                one = stack.size and (stack == stack.flat[0]).all()
                out[name] = float(stack.flat[0]) if one else stack
        return out


class _Join(torch.autograd.Function):
    """Inputs: tiling, shape of the whole, stacks of tiles; output: the whole.

    Writing stacks into a tensor that records gradients would copy the whole for each.
    """

    @staticmethod
    def forward(ctx: Any, tiling: Tiling, shape: tuple[int, ...], *stacks: Tensor) -> Tensor:
        ctx.tiling = tiling
        return tiling.join(list(stacks), stacks[0].new_empty(shape))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return None, None, *ctx.tiling.stacks(grads[0])


def _join(tiling: Tiling, shape: tuple[int, ...], stacks: Sequence[Tensor]) -> Tensor:
    """Stacks of tiles as one tensor of that shape."""
    return _Join.apply(tiling, shape, *stacks)  # type: ignore[no-any-return]


def _in(
    region: Region,
    shape: tuple[int, ...],
    config: ArrayConfig,
    values: Mapping[tuple[int, int, int], T],
) -> list[tuple[tuple[int, int, int], T]]:
    """What belongs to single tiles of a stack: (group, down, across) in it, and the value."""
    down, across = _edges(shape, config)
    out = []
    for (group, row, col), value in values.items():
        k = (down[row] - region.top) // region.rows
        n = (across[col] - region.left) // region.cols
        if 0 <= k < region.down and 0 <= n < region.across:
            out.append(((group, k, n), value))
    return out


def _edges(shape: tuple[int, ...], config: ArrayConfig) -> tuple[list[int], list[int]]:
    """First line and first column of every tile, and the ends, of (..., lines, columns)."""
    pairs = edges(shape[-1] // 2, config.tile_cols // 2)
    return edges(shape[-2], config.tile_rows), [2 * k for k in pairs]


def _tiling(config: ArrayConfig) -> Tiling:
    """How the matrix is cut into arrays."""
    return Tiling(rows=config.tile_rows, cols=config.tile_cols, pairs=True)
