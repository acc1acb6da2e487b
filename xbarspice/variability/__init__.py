"""Variability as data: named, seeded, composable transformations of the conductances `G`.

Every transformation is a frozen object with ``apply(G, rng)``: `G` in S has the shape
(..., rows, cols) and is a NumPy array or a torch tensor (gradients pass through); `rng` is a
`numpy.random.Generator` or a `torch.Generator`. All draws are independent along every axis, so
thousands of transfers are one call on a broadcast `G`. An absent device (``G == 0``) stays absent,
and no result is below 0. Nothing here uses global random state.
"""

from xbarspice.variability.base import (
    Compose,
    Variation,
    from_config,
    make,
    names,
    register,
    registry,
    to_config,
)
from xbarspice.variability.bse import (
    BiasingSchemeEffect,
    BSETable,
    DriftTable,
    bse_table,
    other_reading,
)
from xbarspice.variability.presets import dot_calibration_2024, drolet_2023
from xbarspice.variability.terms import (
    ConductanceTuning,
    DeviceSpread,
    Quantisation,
    ReadNoise,
    RelativeNoise,
    RetentionDrift,
    StuckDevices,
)

__all__ = [
    "BSETable",
    "BiasingSchemeEffect",
    "Compose",
    "ConductanceTuning",
    "DeviceSpread",
    "DriftTable",
    "Quantisation",
    "ReadNoise",
    "RelativeNoise",
    "RetentionDrift",
    "StuckDevices",
    "Variation",
    "bse_table",
    "dot_calibration_2024",
    "drolet_2023",
    "from_config",
    "make",
    "names",
    "other_reading",
    "register",
    "registry",
    "to_config",
]
