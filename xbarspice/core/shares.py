"""Intervals of shares that were counted."""

from __future__ import annotations

import math

__all__ = ["share_interval"]


def share_interval(share: float, count: float, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share (Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404).

    Args:
        share: that was counted, 0..1.
        count: of independent cases; none give (0, 1), infinitely many the share itself. It need not
            be whole (Korn and Graubard 1998, Survey Methodology 24, 193: an effective number).
        confidence: of the two-sided interval.
    """
    if count == 0:
        return 0.0, 1.0
    if math.isinf(count):
        return share, share
    from scipy.stats import beta

    half, hits, misses = (1 - confidence) / 2, share * count, (1 - share) * count
    low = 0.0 if hits <= 0 else float(beta.ppf(half, hits, misses + 1))
    high = 1.0 if misses <= 0 else float(beta.ppf(1 - half, hits + 1, misses))
    return min(max(low, 0.0), share), max(min(high, 1.0), share)
