"""Drift of finished devices by later writes: a programming run beside the measured table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xbarspice.core.types import Array
from xbarspice.core.values import whole_numbers_of
from xbarspice.programming.write_verify import Programmed
from xbarspice.variability import (
    BiasingSchemeEffect,
    Compose,
    DriftTable,
    Variation,
    bse_table,
)

__all__ = ["beside_measured", "measured_drift", "table_of"]


def measured_drift(
    later_writes: npt.ArrayLike, levels: int = 400, measured: DriftTable | None = None
) -> Array:
    """Drifts in S that a drift table has for devices with so many later writes.

    Args:
        later_writes: number of devices written after each; 0 gives no drift. Beyond the last row of
            the table that row is used.
        levels: equally likely drifts taken from the quantiles of each row.
        measured: a table of one's own; None: that of Drolet et al. 2023, arXiv:2305.18495, of 53
            rows (see `bse_table`).

    Returns:
        (devices, levels), S.
    """
    table = bse_table(measured=measured)
    later = whole_numbers_of("later_writes", later_writes, low=0).ravel()
    row = later.clip(1, len(table.mean)) - 1
    u = (np.arange(levels) + 0.5) / levels
    drifts = np.array([np.interp(u, table.levels, table.quantiles[k]) for k in row])
    return drifts.reshape(later.size, levels) * (later > 0)[:, None]


def table_of(variation: Variation) -> DriftTable | None:
    """The drift table of one's own that errors draw from; None: the built-in one, or no drift."""
    if isinstance(variation, BiasingSchemeEffect):
        return variation.table
    parts = variation.parts if isinstance(variation, Compose) else ()
    return next((table for table in map(table_of, parts) if table is not None), None)


def beside_measured(
    run: Programmed, measured: DriftTable | None = None
) -> dict[str, dict[str, float]]:
    """Moments of the simulated drift, and of the measured one for the same numbers of later writes.

    Args:
        run: what was programmed.
        measured: a drift table of one's own; None: the built-in one.

    Returns:
        "model" and "measured": mean, standard deviation and median size, S.
    """
    cells = run.wanted
    drifts = {
        "model": run.disturb[cells],
        "measured": measured_drift(run.later_writes[cells], measured=measured),
    }
    return {
        name: {
            "mean_S": float(d.mean()),
            "std_S": float(d.std()),
            "median_size_S": float(np.median(abs(d))),
        }
        for name, d in drifts.items()
    }
