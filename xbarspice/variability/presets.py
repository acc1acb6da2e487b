"""Published error models, composed of named variations."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xbarspice.variability.base import Compose, need
from xbarspice.variability.bse import BiasingSchemeEffect
from xbarspice.variability.terms import ConductanceTuning, RelativeNoise, StuckDevices

__all__ = ["dot_calibration_2024", "drolet_2023"]


def drolet_2023(
    *,
    order: str | Sequence[int] | None = None,
    rate_lrs: float = 0.005,
    rate_hrs: float = 0.002,
    beyond_4_sigma: float | None = None,
    tail: str = "pooled",
) -> Compose:
    """The transfer-error model of Drolet et al. 2023 (arXiv:2305.18495): CTI, BSE, then SAF.

    With ``tail="released"`` the last rows of the drift table, of 3 to 28 drifts, are read as the
    released code reads them; see `bse_table`.
    """
    return Compose(
        [
            ConductanceTuning(),
            BiasingSchemeEffect(order=order, beyond_4_sigma=beyond_4_sigma, tail=tail),
            StuckDevices(rate_lrs=rate_lrs, rate_hrs=rate_hrs),
        ]
    )


def dot_calibration_2024(*, R_min: float = 5e3, R_max: float = 15e3) -> Compose:
    """The error model of 3it-inpaqt/dot-calibration-v2: write 0.8 %, 5 % + 5 % stuck, read 0.2 %.

    Args:
        R_min, R_max: resistances in ohm at which devices are stuck exactly.
    """
    need(
        0 < R_min <= R_max < math.inf,
        "`R_min` and `R_max` must satisfy 0 < R_min <= R_max",
        (R_min, R_max),
        "Give both in ohm.",
    )
    stuck = StuckDevices(
        rate_lrs=0.05,
        rate_hrs=0.05,
        lrs_mean=1 / R_min,
        lrs_std=0.0,
        hrs_min=1 / R_max,
        hrs_max=1 / R_max,
    )
    return Compose([RelativeNoise(sigma=0.008), stuck, RelativeNoise(sigma=0.002)])
