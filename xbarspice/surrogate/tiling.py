"""How a matrix is cut into tiles: stacks of equal tiles, and the matrix joined again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Tiling"]


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """Tiles of at most `rows` x `cols`; the last ones of an axis may be smaller.

    Equal tiles form a stack, so a matrix has at most four stacks: inner tiles, the right edge, the
    bottom edge and the corner. All functions take NumPy arrays and tensors.
    """

    rows: int
    cols: int

    def regions(self, shape: tuple[int, ...]) -> Iterator[tuple[int, int, int, int, int, int]]:
        """Stacks of a matrix: (first row, first column, a, b, rows, cols) for a x b tiles."""
        for top, a, rows in _runs(shape[0], self.rows):
            for left, b, cols in _runs(shape[1], self.cols):
                yield top, left, a, b, rows, cols

    def stacks(self, whole: Any) -> list[Any]:
        """The tiles of a matrix, one array (a, b, rows, cols) a stack."""
        return [
            whole[top : top + a * rows, left : left + b * cols]
            .reshape(a, rows, b, cols)
            .swapaxes(1, 2)
            for top, left, a, b, rows, cols in self.regions(whole.shape)
        ]

    def join(self, stacks: list[Any], out: Any) -> Any:
        """Write stacks of tiles into the matrix `out`, which is returned: undoes `stacks`."""
        for stack, (top, left, a, b, rows, cols) in zip(
            stacks, self.regions(out.shape), strict=True
        ):
            tiles = stack.reshape(a, b, rows, cols).swapaxes(1, 2)
            out[top : top + a * rows, left : left + b * cols] = tiles.reshape(a * rows, b * cols)
        return out


def _runs(size: int, tile: int) -> list[tuple[int, int, int]]:
    """Runs of equal tiles along one axis: (first line, tiles, lines a tile)."""
    whole, rest = divmod(size, tile)
    out = [(0, whole, tile)] if whole else []
    return [*out, (whole * tile, 1, rest)] if rest else out
