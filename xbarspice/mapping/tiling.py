"""How a matrix is cut into tiles: stacks of equal tiles, and the matrix joined again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["Region", "Tiling", "edges", "runs"]


class Region(NamedTuple):
    """A stack of equal tiles: `down` x `across` of them, each (rows, cols), from (top, left) on."""

    top: int
    left: int
    down: int
    across: int
    rows: int
    cols: int


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """Tiles of at most `rows` x `cols` that cut a matrix evenly.

    The tiles of an axis differ by at most one line (with `pairs`, by one pair of columns). Equal
    tiles form a stack, so a matrix has at most four stacks. All functions take NumPy arrays and
    tensors of the shape (..., matrix rows, matrix columns).

    Attributes:
        rows, cols: the largest tile.
        pairs: columns stay together in pairs, even +, odd -.
    """

    rows: int
    cols: int
    pairs: bool = False

    def regions(self, shape: tuple[int, ...]) -> Iterator[Region]:
        """The stacks of a matrix of that shape."""
        width = 2 if self.pairs else 1
        for top, down, rows in runs(shape[-2], self.rows):
            for left, across, cols in runs(shape[-1] // width, self.cols // width):
                yield Region(top, width * left, down, across, rows, width * cols)

    def stacks(self, whole: Any) -> list[Any]:
        """The tiles of a matrix, one array (..., down, across, rows, cols) a stack."""
        lead = whole.shape[:-2]
        return [
            whole[..., r.top : r.top + r.down * r.rows, r.left : r.left + r.across * r.cols]
            .reshape(*lead, r.down, r.rows, r.across, r.cols)
            .swapaxes(-3, -2)
            for r in self.regions(whole.shape)
        ]

    def join(self, stacks: list[Any], out: Any) -> Any:
        """Write stacks of tiles into the matrix `out`, which is returned: undoes `stacks`."""
        lead = out.shape[:-2]
        for stack, r in zip(stacks, self.regions(out.shape), strict=True):
            tiles = stack.reshape(*lead, r.down, r.across, r.rows, r.cols).swapaxes(-3, -2)
            height, width = r.down * r.rows, r.across * r.cols
            out[..., r.top : r.top + height, r.left : r.left + width] = tiles.reshape(
                *lead, height, width
            )
        return out


def runs(size: int, limit: int) -> list[tuple[int, int, int]]:
    """Runs of equal tiles along one axis, cut evenly: (first line, tiles, lines a tile)."""
    tiles = max(math.ceil(size / limit), 1)
    short, longer = divmod(size, tiles)
    out = [(0, longer, short + 1)] if longer else []
    if tiles > longer and short:
        out.append((longer * (short + 1), tiles - longer, short))
    return out


def edges(size: int, limit: int) -> list[int]:
    """Where an axis is cut: the first line of every tile, and the end."""
    first = [top + k * lines for top, tiles, lines in runs(size, limit) for k in range(tiles)]
    return [*first, size]
