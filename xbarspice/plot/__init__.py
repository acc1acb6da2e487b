"""Plots for people: each takes what it shows and `ax=None`, and returns matplotlib's axes.

The pages draw with the same functions. Needs the extra `plot` (matplotlib). Without `ax` a function
draws in a new figure of pyplot. Values stand on the axes in SI units; the ticks show prefixes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xbarspice.plot.arrays import conductances, pairs
    from xbarspice.plot.devices import device_currents, device_writes
    from xbarspice.plot.solutions import currents, errors, voltages

__all__ = [
    "conductances",
    "currents",
    "device_currents",
    "device_writes",
    "errors",
    "pairs",
    "voltages",
]

_HOMES = {
    "xbarspice.plot.arrays": ("conductances", "pairs"),
    "xbarspice.plot.devices": ("device_currents", "device_writes"),
    "xbarspice.plot.solutions": ("currents", "errors", "voltages"),
}
"""Modules by what they draw: plots of one subject stand with it."""


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'xbarspice.plot' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
