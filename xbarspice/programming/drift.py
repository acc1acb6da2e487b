"""Drift of finished devices by later writes: a programming run beside the measured table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xbarspice.core.types import Array
from xbarspice.core.values import whole_numbers_of
from xbarspice.programming.write_verify import Programmed
from xbarspice.variability.bse import bse_table

__all__ = ["beside_measured", "measured_drift"]


def measured_drift(later_writes: npt.ArrayLike, levels: int = 400) -> Array:
    """Drifts in S that the measured table has for devices with so many later writes.

    Args:
        later_writes: number of devices written after each; 0 gives no drift. Beyond the last row of
            the table (53) that row is used.
        levels: equally likely drifts taken from the quantiles of each row.

    Returns:
        (devices, levels), S. Source: Drolet et al. 2023, arXiv:2305.18495 (see `bse_table`).
    """
    table = bse_table()
    later = whole_numbers_of("later_writes", later_writes, low=0).ravel()
    row = later.clip(1, len(table.mean)) - 1
    u = (np.arange(levels) + 0.5) / levels
    drifts = np.array([np.interp(u, table.levels, table.quantiles[k]) for k in row])
    return drifts.reshape(later.size, levels) * (later > 0)[:, None]


def beside_measured(run: Programmed) -> dict[str, dict[str, float]]:
    """Moments of the simulated drift, and of the measured one for the same numbers of later writes.

    Returns:
        "model" and "measured": mean, standard deviation and median size, S.
    """
    cells = run.wanted
    drifts = {
        "model": run.disturb[cells],
        "measured": measured_drift(run.later_writes[cells]),
    }
    return {
        name: {
            "mean_S": float(d.mean()),
            "std_S": float(d.std()),
            "median_size_S": float(np.median(abs(d))),
        }
        for name, d in drifts.items()
    }
