"""The conductance range in which finished devices of a passive array hold still."""

from __future__ import annotations

import math

import numpy as np

from xbarspice.core.types import Array, Flags, Indices
from xbarspice.devices import DynamicDevice
from xbarspice.programming.results import Pulses

__all__ = ["round_range", "writable_range"]


POINTS = 81
PULSES_A_DEVICE = 10
SHARES = {"V/2": 1 / 2, "V/3": 1 / 3, "floating": 1 / 2}
"""Largest half-select voltage of each scheme; floating lines settle near V/2 in large arrays."""


def writable_range(
    device: DynamicDevice, pulses: Pulses, scheme: str, shape: tuple[int, int]
) -> tuple[float, float] | None:
    """Widest range of conductances that can be reached without moving what lies in it.

    A device that is written needs a voltage at which one pulse moves it by half the tolerance, and
    its neighbours on the same lines (V/3: all devices) see a share of it. The range is one in which
    the voltages that its own devices need, one step of the ramp added, do not move any of them by
    more than the tolerance in all later pulses, ten for each device. Wires are left out.

    Args:
        device: the dynamic model.
        pulses: the procedure: start, step, limits, width, tolerance.
        scheme: "V/2", "V/3" or "floating".
        shape: rows and columns of the array.

    Returns:
        Smallest and largest conductance, S, on a grid of a hundredth of the device's range; None if
        no range with a ratio of 1.2 or more exists.
    """
    low, high = device.G_range()
    G = np.linspace(low, high, POINTS + 2)[1:-1]
    half_selected = shape[0] * shape[1] if scheme == "V/3" else sum(shape) - 2
    count = max(half_selected, 1) * PULSES_A_DEVICE
    share, sign = SHARES[scheme], device.set_sign
    moving, held = [], []
    for direction, limit in ((sign, pulses.limit_set), (-sign, pulses.limit_reset)):
        V = np.append(np.arange(pulses.start, limit, pulses.step), limit)
        moves = sign * direction * _move(device, G, direction * V[:, None], pulses.width, 1)
        enough = moves >= pulses.tolerance / 2
        steps = np.where(enough.any(0), enough.argmax(0) + 1, V.size)  # one step beyond
        moving.append(steps)
        still = _move(device, G, direction * share * V[:, None], pulses.width, count)
        held.append(abs(still) <= pulses.tolerance)
    return _widest(G, moving, held)


def _move(device: DynamicDevice, G: Array, V: Array, width: float, count: int) -> Array:
    """Relative change by `count` pulses of V volts, (voltages, conductances)."""
    if device.continuous:
        return device.write(G + 0.0 * V, V, count * width, outside="clamp") / G - 1.0
    return count * (device.write(G + 0.0 * V, V, width, outside="clamp") / G - 1.0)


def _widest(G: Array, moving: list[Indices], held: list[Flags]) -> tuple[float, float] | None:
    best = None
    for a in range(G.size):
        for b in range(a + 1, G.size):
            inside = slice(a, b + 1)
            k = [int(steps[inside].max()) for steps in moving]
            if any(step >= len(still) for step, still in zip(k, held, strict=True)):
                break
            if not all(still[i, inside].all() for i, still in zip(k, held, strict=True)):
                break  # a wider range needs no lower voltages
            if G[b] >= 1.2 * G[a] and (best is None or G[b] - G[a] > best[1] - best[0]):
                best = float(G[a]), float(G[b])
    return best


def round_range(held: tuple[float, float]) -> tuple[float, float]:
    """The part of a range that starts and ends at whole uS, S: what is printed and compared.

    It lies inside the range, so that devices mapped into what a person reads hold still.
    """
    return math.ceil(held[0] * 1e6 - 1e-6) * 1e-6, math.floor(held[1] * 1e6 + 1e-6) * 1e-6
