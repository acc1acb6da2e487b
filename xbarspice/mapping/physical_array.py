"""One physical array of a model: its devices as programmed, and the reads that share it."""

from __future__ import annotations

from dataclasses import dataclass

from xbarspice.core.array import Crossbar
from xbarspice.core.types import Indices
from xbarspice.mapping.reads import like_lines
from xbarspice.mapping.tile import Tile

__all__ = ["PhysicalArray"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PhysicalArray:
    """One array of a converted model.

    Attributes:
        name: in the model, such as ``"fc1[0,0,1]"``.
        crossbar: as programmed, with the line ends of its first read.
        tiles: its reads; of a folded array the one from word to bit lines comes first.
    """

    name: str
    crossbar: Crossbar
    tiles: tuple[Tile, ...]

    @property
    def V_read(self) -> float:
        """Largest voltage of its inputs within their range, V."""
        return max(tile.config.V_read for tile in self.tiles)

    @property
    def bit_lines_in_pairs(self) -> bool:
        """Whether the two devices of a pair stand in neighbouring bit lines, + before -."""
        return any(t.read.lines_out.shape[1] == 2 and not t.read.reverse for t in self.tiles)

    @property
    def like_lines(self) -> tuple[list[Indices], list[Indices]]:
        """Groups of word lines, and of bit lines, that may take each other's place."""
        return like_lines([tile.read for tile in self.tiles], self.crossbar.G.shape)
