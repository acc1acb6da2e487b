"""Plots of device models: currents over voltage, conductance over pulses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xbarspice.core.device import Device
from xbarspice.core.device import get as device_of
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array
from xbarspice.devices import DynamicDevice
from xbarspice.devices.dynamic import writable
from xbarspice.plot.axes import axes_or_new, colour, place_legend, set_quantity
from xbarspice.report.units import si

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["device_currents", "device_writes"]

_SPAN = 1.0
"""Voltage in V up to which curves are drawn where the source claims a larger range."""
_ANY_RANGE = (1e-5, 1e-3)
"""Conductances in S of the curves of a model that is valid for any."""


def device_currents(
    device: Device | str, G: npt.ArrayLike | None = None, *, ax: Axes | None = None
) -> Axes:
    """Current of a device over its voltage, one curve a conductance.

    Args:
        device: a model or its name; drawn up to its `V_max`, at most 1 V.
        G: conductances at the read voltage, S, (curves,); None: three over the model's range.
        ax: where to draw; None: a new figure.

    Returns:
        The axes, in V and A.

    Raises:
        InputError: the device is unknown.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    device = device_of(device)
    values = _conductances(device) if G is None else np.atleast_1d(np.asarray(G, float))
    ax = axes_or_new(ax)
    V = np.linspace(-1, 1, 201) * min(device.V_max, _SPAN)
    for k, value in enumerate(values.tolist()):
        ax.plot(
            V, device.current(V, np.full_like(V, value)), color=colour(k), label=si(value, "S", 3)
        )
    set_quantity(ax.xaxis, "voltage", "V")
    set_quantity(ax.yaxis, "current", "A")
    place_legend(ax, "G at the read voltage")
    return ax


def _conductances(device: Device) -> Array:
    """Three conductances over the range of a model, S."""
    low, high = device.G_range()
    low, high = (low, high) if 0 < low < high < math.inf else _ANY_RANGE
    return np.geomspace(low, high, 5)[1:4]


def device_writes(
    device: Device | str,
    *,
    V: Sequence[float] | None = None,
    dt: float = 1e-7,
    pulses: int = 30,
    ax: Axes | None = None,
) -> Axes:
    """Conductance of a device over equal pulses that raise it, and as many that lower it.

    Args:
        device: a dynamic model or its name.
        V: a voltage that raises and one that lowers the conductance, V, (2,); None: half and three
            quarters of the largest ones that the source claims.
        dt: width of a pulse, s.
        pulses: in each direction.
        ax: where to draw; None: a new figure.

    Returns:
        The axes, in pulses and S.

    Raises:
        InputError: the device is unknown or cannot be written, or `V` is not two voltages.
        PackageMissingError: matplotlib is not installed and `ax` is None.
    """
    device = writable(device_of(device), purpose="switching curves")
    pairs = [tuple(V)] if V is not None else _pulse_voltages(device)
    if any(len(pair) != 2 for pair in pairs):
        raise broken_rule("`V` must be two voltages", V, "Give one up and one down.")
    ax = axes_or_new(ax)
    for k, (up, down) in enumerate(pairs):
        G = [float(_conductances(device)[0])]
        for voltage in [up] * pulses + [down] * pulses:
            G.append(float(device.write(np.float64(G[-1]), voltage, dt)))
        label = f"{up:+.3g} V, then {down:+.3g} V"
        ax.plot(range(len(G)), G, color=colour(k), marker=".", markersize=3, label=label)
    ax.set_xlabel(f"pulse of {si(dt, 's', 3)}")
    set_quantity(ax.yaxis, "conductance", "S")
    place_legend(ax)
    return ax


def _pulse_voltages(device: DynamicDevice) -> list[tuple[float, float]]:
    """Half and three quarters of the source's range: up, down, V."""
    low, high = device.V_write
    up, down = (high, low) if device.set_sign > 0 else (low, high)
    return [(share * up, share * down) for share in (0.5, 0.75)]
