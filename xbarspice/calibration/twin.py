"""The twin of a measured die: its crossbar and its record."""

from __future__ import annotations

import dataclasses
from typing import Any

from xbarspice import devices
from xbarspice.calibration.die import Die, Thresholds
from xbarspice.core.array import Crossbar

__all__ = ["make_twin", "record_of_die"]


def make_twin(die: Die, arguments: dict[str, Any]) -> Crossbar:
    """The die as a crossbar; its conductances hold at the read voltage of the head.

    Args:
        die: as it was measured.
        arguments: wires (ohm) and `device` of the crossbar.
    """
    device: Any = arguments["device"]
    fields = [f.name for f in dataclasses.fields(device)]
    if die.V_read is not None and "V_read" in fields:
        device = devices.with_parameters(device, {"V_read": die.V_read})
    changed: dict[str, Any] = arguments | {"device": device}
    return Crossbar(die.G, **changed)


def record_of_die(die: Die, limits: Thresholds, crossbar: Crossbar) -> dict[str, Any]:
    """What is said of a die: shape, stuck devices, spread, as plain values."""
    stuck = die.stuck(limits)
    return {
        "shape": list(die.G.shape),
        "unit": die.unit,
        "V_read": die.V_read,
        "settings": dict(die.settings),
        "notices": list(die.notices),
        "thresholds_S": [limits.below * limits.G_min, limits.above * limits.G_max],
        "stuck_low_ohm": [[int(r), int(c)] for r, c in zip(*(stuck > 0).nonzero(), strict=True)],
        "stuck_high_ohm": [[int(r), int(c)] for r, c in zip(*(stuck < 0).nonzero(), strict=True)],
        "spread": die.spread(limits),
        "device": crossbar.device.name,
    }
