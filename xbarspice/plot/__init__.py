"""Plots for people: each takes what it shows and `ax=None`, and returns matplotlib's axes.

The pages draw with the same functions. Needs the extra `plot` (matplotlib). Without `ax` a function
draws in a new figure of pyplot. Values stand on the axes in SI units; the ticks show prefixes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbarspice.core.lazy import names_on_first_use

if TYPE_CHECKING:
    from xbarspice.calibration.data_plots import array_reads, sweeps
    from xbarspice.calibration.die_plots import die, die_histogram
    from xbarspice.calibration.fit_plots import fit, residual_quantiles, residuals
    from xbarspice.calibration.life_plots import (
        branch_curves,
        cycles,
        drifts,
        pulse_trains,
        read_noise,
        retention,
        tuning_errors,
    )
    from xbarspice.campaign.plots import campaign
    from xbarspice.plot.arrays import conductances, pairs
    from xbarspice.plot.devices import device_currents, device_writes
    from xbarspice.plot.solutions import currents, errors, voltages
    from xbarspice.programming.plots import (
        programming,
        programming_errors,
        programming_log,
        victims,
    )
    from xbarspice.tapeout.drawing.pictures import layout
    from xbarspice.tapeout.fault_plots import layout_faults
    from xbarspice.tapeout.plots import floorplan, loads, segments, voltage_drop
    from xbarspice.training.plots import designs, training
    from xbarspice.transfer.plots import loss_budget, transfer_points, transfers
    from xbarspice.verification.plots import costs, lines, network

_HOMES = {
    "xbarspice.calibration.data_plots": ("array_reads", "sweeps"),
    "xbarspice.calibration.die_plots": ("die", "die_histogram"),
    "xbarspice.calibration.fit_plots": ("fit", "residual_quantiles", "residuals"),
    "xbarspice.calibration.life_plots": (
        "branch_curves",
        "cycles",
        "drifts",
        "pulse_trains",
        "read_noise",
        "retention",
        "tuning_errors",
    ),
    "xbarspice.campaign.plots": ("campaign",),
    "xbarspice.plot.arrays": ("conductances", "pairs"),
    "xbarspice.plot.devices": ("device_currents", "device_writes"),
    "xbarspice.plot.solutions": ("currents", "errors", "voltages"),
    "xbarspice.programming.plots": (
        "programming",
        "programming_errors",
        "programming_log",
        "victims",
    ),
    "xbarspice.tapeout.drawing.pictures": ("layout",),
    "xbarspice.tapeout.fault_plots": ("layout_faults",),
    "xbarspice.tapeout.plots": ("floorplan", "loads", "segments", "voltage_drop"),
    "xbarspice.training.plots": ("designs", "training"),
    "xbarspice.transfer.plots": ("loss_budget", "transfer_points", "transfers"),
    "xbarspice.verification.plots": ("costs", "lines", "network"),
}
"""Modules by what they draw: plots of one subject stand with it."""

__all__ = [
    "array_reads",
    "branch_curves",
    "campaign",
    "conductances",
    "costs",
    "currents",
    "cycles",
    "designs",
    "device_currents",
    "device_writes",
    "die",
    "die_histogram",
    "drifts",
    "errors",
    "fit",
    "floorplan",
    "layout",
    "layout_faults",
    "lines",
    "loads",
    "loss_budget",
    "network",
    "pairs",
    "programming",
    "programming_errors",
    "programming_log",
    "pulse_trains",
    "read_noise",
    "residual_quantiles",
    "residuals",
    "retention",
    "segments",
    "sweeps",
    "training",
    "transfer_points",
    "transfers",
    "tuning_errors",
    "victims",
    "voltage_drop",
    "voltages",
]


__getattr__ = names_on_first_use(
    __name__, {name: module for module, names in _HOMES.items() for name in names}
)


def __dir__() -> list[str]:
    return list(__all__)
