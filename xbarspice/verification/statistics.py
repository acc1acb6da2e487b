"""How many tiles a sample must hold, and what a count of agreements says."""

from __future__ import annotations

import math

from xbarspice.core.errors import broken_rule
from xbarspice.core.shares import share_interval

__all__ = ["agreement_interval", "sample_size"]


def sample_size(tiles: int, confidence: float, bad_tiles: float) -> int:
    """Tiles to draw so that a share of bad ones would be met with a given confidence.

    The smallest n for which a sample without replacement of n out of `tiles`, of which
    ``ceil(bad_tiles * tiles)`` are bad, holds none of them with a probability of at most
    ``1 - confidence`` (hypergeometric; for many tiles ``ln(1 - confidence) / ln(1 - bad_tiles)``).

    Args:
        tiles: how many there are.
        confidence: between 0 and 1.
        bad_tiles: share of bad tiles, between 0 and 1.

    Raises:
        InputError: an argument is out of its range.
    """
    for name, value in (("confidence", confidence), ("bad_tiles", bad_tiles)):
        if not 0 < value < 1:
            raise broken_rule(f"`{name}` must lie between 0 and 1", value, "For example 0.99.")
    from scipy.stats import hypergeom

    bad = max(math.ceil(bad_tiles * tiles), 1)
    low, high = 1, tiles
    while low < high:
        middle = (low + high) // 2
        if hypergeom.pmf(0, tiles, bad, middle) <= 1 - confidence:
            high = middle
        else:
            low = middle + 1
    return low


def agreement_interval(equal: int, points: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share that was counted, for points drawn independently; see `share_interval`.

    Args:
        equal: how many of the points agreed.
        points: how many there were.
        confidence: of the two-sided interval.
    """
    return share_interval(equal / max(points, 1), points, confidence)
