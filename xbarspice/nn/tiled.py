"""The tiled layout: every matrix on arrays of its own, cut evenly, pairs in two bit lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xbarspice import engines
from xbarspice.array import Crossbar
from xbarspice.engines import Engine
from xbarspice.mapping import ArrayConfig, Tiling
from xbarspice.mapping.reads import tiled_read
from xbarspice.mapping.tiling import edges
from xbarspice.nn.pairs import Programmed
from xbarspice.nn.tile import Tile
from xbarspice.surrogate.torch_matrix import effective_matrix, pair_matrix
from xbarspice.surrogate.torch_solve import solve

if TYPE_CHECKING:
    from xbarspice.nn.matrix import ArrayMatrix

__all__ = ["Tiled"]


class Tiled:
    """How a matrix is programmed, solved and described on tiles of its own."""

    def sources(self) -> tuple[Tensor | None, ...]:
        """Parameters of other layers that stand on the same arrays: none."""
        return ()

    def state(self) -> tuple[Any, ...]:
        """What else of other matrices the arrays depend on: nothing."""
        return ()

    def program(self, matrix: ArrayMatrix, placed: Programmed, *, training: bool) -> Programmed:
        """The matrix as it stands on its arrays, with errors where there are any."""
        if matrix.conductances is not None and not training:
            return replace(placed, G=matrix.conductances.to(placed.G))
        generator = matrix.generator(training=training)
        if generator is None:
            return placed
        tiling = _tiling(matrix.config)
        changed = [matrix.config.variation.apply(s, generator) for s in tiling.stacks(placed.G)]
        return replace(placed, G=tiling.join(changed, torch.empty_like(placed.G)))

    def matrices(self, states: Sequence[Programmed], config: ArrayConfig) -> Sequence[Tensor]:
        """Differences of linear arrays for 1 V in each state, S, (groups, lines, pairs)."""
        G = states[0].G if len(states) == 1 else torch.cat([state.G for state in states])
        whole = pair_matrix(G, _tiling(config), config.wires, keep=not config.recompute)
        return whole.unflatten(0, (len(states), -1)).unbind()

    def currents(
        self, programmed: Programmed, volts: Tensor, config: ArrayConfig, engine: Engine | None
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Solve the arrays, one stack of equal tiles after the other.

        Yields:
            First line of the stack; column currents, A, (vectors, groups, down, across, columns);
            and their differences, (vectors, groups, down, across, pairs).
        """
        G, tiling = programmed.G, _tiling(config)
        regions = tiling.regions(tuple(G.shape))
        for region, tiles in zip(regions, tiling.stacks(G), strict=True):
            stop = region.top + region.down * region.rows
            drive = volts[..., region.top : stop].unflatten(-1, (region.down, 1, region.rows))
            current = _solve(tiles, drive, config, engine)
            yield region.top, current, current[..., 0::2] - current[..., 1::2]

    def bands(self, values: Tensor, config: ArrayConfig) -> list[Tensor]:
        """Values (groups, lines, pairs) cut into the lines that one array sums."""
        return Tiling(rows=config.tile_rows, cols=values.shape[-1]).stacks(values)

    def size(self, matrix: ArrayMatrix, lines: int, columns: int) -> tuple[int, int]:
        """Arrays and devices of one group."""
        tiles = sum(r.down * r.across for r in _tiling(matrix.config).regions((lines, columns)))
        return tiles, lines * columns

    def tiles(self, matrix: ArrayMatrix, programmed: Programmed) -> Iterator[Tile]:
        """The arrays, group by group, by rows of tiles."""
        config, G = matrix.config, programmed.G.cpu().numpy()
        down = edges(G.shape[-2], config.tile_rows)
        across = [2 * k for k in edges(G.shape[-1] // 2, config.tile_cols // 2)]
        for group in range(len(G)):
            for row, lines in enumerate(pairwise(down)):
                for col, columns in enumerate(pairwise(across)):
                    part = G[group, slice(*lines), slice(*columns)]
                    yield Tile(
                        matrix=matrix.name,
                        group=group,
                        row=row,
                        col=col,
                        lines=lines,
                        columns=columns,
                        config=config,
                        crossbar=Crossbar(part, **config.wires, device=config.model),
                        read=tiled_read(*part.shape),
                        array=f"{matrix.name}[{group},{row},{col}]",
                    )


def _tiling(config: ArrayConfig) -> Tiling:
    """How the matrix is cut into arrays."""
    return Tiling(rows=config.tile_rows, cols=config.tile_cols, pairs=True)


def _solve(tiles: Tensor, drive: Tensor, config: ArrayConfig, engine: Engine | None) -> Tensor:
    """Column currents, A, (vectors, groups, down, across, cols), of a stack of tiles."""
    if engine is not None:
        crossbar = Crossbar(tiles.detach().cpu().numpy(), **config.wires, device=config.model)
        V_in = np.broadcast_to(
            drive.detach().cpu().numpy(), (*drive.shape[:-2], *tiles.shape[-3:-1])
        )
        I_out = engines.solve(crossbar, V_in, engine=engine, outside="ignore").I_out
        return torch.from_numpy(np.ascontiguousarray(I_out)).to(tiles.device, drive.dtype)
    if config.model.linear:
        matrix = effective_matrix(tiles, **config.wires)
        return torch.einsum("ngakr,gabrc->ngabc", drive, matrix)
    own = drive.expand(*drive.shape[:-2], *tiles.shape[-3:-1])
    return solve(tiles, own, device=config.model, **config.wires).I_out
