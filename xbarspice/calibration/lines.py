"""Partners of stuck devices: the other ones of their pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xbarspice.core.types import Array, Flags
from xbarspice.mapping.reads import Read

__all__ = ["compensate"]


def compensate(
    reads: Sequence[Read], target: Array, stuck: Flags, value: Array, limits: tuple[float, float]
) -> Array:
    """Targets with the partners of stuck devices moved, so that the pairs' differences are kept.

    Args:
        reads: all read passes of the array.
        target: conductances, S, (..., rows, cols).
        stuck, value: stuck devices and their conductances, (..., rows, cols).
        limits: smallest and largest conductance of a target, S.
    """
    out = target.copy()
    for read in reads:
        pairs_out = read.lines_out.shape[1] == 2
        lines = read.lines_out if pairs_out else read.lines_in
        on_rows = read.reverse if pairs_out else not read.reverse
        for a, b in ((0, 1), (1, 0)):
            cells, partners = (
                (..., lines[:, k], slice(None)) if on_rows else (..., lines[:, k]) for k in (a, b)
            )
            new = np.clip(value[cells] - (target[cells] - target[partners]), *limits)
            out[partners] = np.where(stuck[cells] & ~stuck[partners], new, out[partners])
    return out
