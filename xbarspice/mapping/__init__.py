"""Weights on passive arrays: the one configuration, tiles, and which lines carry a matrix."""

from xbarspice.mapping.config import ArrayConfig
from xbarspice.mapping.tiling import Tiling

__all__ = ["ArrayConfig", "Tiling"]
