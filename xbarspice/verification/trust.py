"""What the trust map says of the surrogate's levels for the arrays that were verified."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.surrogate.trust import LEVELS, equivalent_wire, packaged
from xbarspice.verification.results import TrustRecord

__all__ = ["trust_of"]


def trust_of(arrays: Iterable[tuple[Crossbar, float]], limit: float) -> TrustRecord:
    """The largest error that was measured on such arrays, level by level.

    Args:
        arrays: each with the largest voltage of its lines, V.
        limit: error up to which a level counts as trusted.
    """
    alike: dict[tuple[object, ...], tuple[Crossbar, float]] = {}
    for crossbar, V in arrays:  # the map knows size, wires, device, largest conductance and voltage
        place = (crossbar.rows, crossbar.cols, equivalent_wire(crossbar), repr(crossbar.device))
        alike.setdefault((*place, float(crossbar.G.max()), V), (crossbar, V))
    trust_map = packaged()
    errors: dict[str, float | None] = {}
    for level in LEVELS:
        worst = np.max([trust_map.error(level, crossbar, V) for crossbar, V in alike.values()])
        errors[level] = float(worst) if np.isfinite(worst) else None
    largest = max(V for _, V in alike.values())
    reference = str(trust_map.source.get("reference", ""))
    return TrustRecord(errors=errors, limit=limit, V=largest, reference=reference)
