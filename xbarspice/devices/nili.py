"""The pulse map of the passive Al2O3/TiO2-x device of Nili et al. 2020."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xbarspice.core.device import register
from xbarspice.core.errors import broken_rule
from xbarspice.core.functions import is_tensor, tanh
from xbarspice.core.parameters import NOT_NEGATIVE, Range
from xbarspice.devices.cubic import CubicAl2O3TiO2
from xbarspice.devices.dynamic import DynamicDevice

__all__ = ["NiliPulseMap"]

EDGES = 3.16e-6 * 10 ** (np.arange(1, 8) / 4)
"""Inner edges of the eight conductance bins, S."""

# One row a bin: c0 (S), c1, c2, c3 (1/V), c4, then d0..d4 of the device-to-device spread.
SET = np.array(
    [
        [1.55e-4, -0.47, -3.851, 9.369, 10.400, -1.26, -0.02, 0.82, -0.57, 0.94],
        [1.55e-4, -0.47, -3.769, 7.512, 8.419, -1.22, -0.02, 0.84, -0.57, 0.81],
        [1.55e-4, -0.47, -3.729, 6.801, 7.582, -1.03, -0.02, 0.72, -0.47, 0.63],
        [1.55e-4, -0.47, -3.517, 6.180, 6.851, -0.78, -0.01, 0.53, -0.33, 0.45],
        [1.55e-4, -0.47, -3.426, 5.946, 6.558, -0.37, 5e-3, 0.15, -0.01, 0.11],
        [1.55e-4, -0.47, -3.373, 5.005, 5.792, 0.14, 0.01, -0.29, 0.31, -0.21],
        [1.55e-4, -0.47, -3.422, 4.936, 5.840, 0.34, 0.01, -0.41, 0.37, -0.29],
        [1.55e-4, -0.47, -3.572, 4.864, 5.785, 0.26, 0.01, -0.29, 0.25, -0.20],
    ]
)
RESET = np.array(
    [
        [-0.89e-4, 0.89, 8.96, 6.2, -10.90, 0.04, 2e-4, 0.02, 5e-3, 0.03],
        [-0.89e-4, 0.51, 6.88, 6.2, -8.61, -5e-3, -4e-4, -2e-3, -0.01, 0.02],
        [-0.89e-4, 0.34, 4.93, 6.2, -8.14, -0.07, -3e-3, -0.07, -0.05, -0.02],
        [-0.89e-4, 0.25, 3.63, 6.2, -7.77, -0.11, -4e-3, -0.11, -0.09, -0.03],
        [-0.89e-4, 0.23, 2.91, 6.2, -7.42, -0.15, -6e-3, -0.17, -0.13, -0.06],
        [-0.89e-4, 0.21, 2.33, 6.2, -7.30, -0.12, -5e-3, -0.16, -0.13, -0.06],
        [-0.89e-4, 0.22, 1.93, 6.2, -7.10, -0.04, -2e-3, -0.10, -0.11, -0.04],
        [-0.89e-4, 0.28, 1.68, 6.2, -7.00, 0.10, 3e-3, 0.02, -0.05, -4e-3],
    ]
)


def _bins(x: Any) -> Any:
    """Number of each conductance's bin, in the array kind of `x`."""
    if not is_tensor(x):
        return np.searchsorted(EDGES, x, side="right")
    import torch

    edges = torch.tensor(EDGES, dtype=x.dtype, device=x.device)
    return torch.searchsorted(edges, x.detach().contiguous(), right=True)


def _figures(table: np.ndarray, x: Any) -> tuple[Any, ...]:
    """The figures of each conductance's bin, one column of the table each, shaped like `x`."""
    bins = _bins(x)
    if not is_tensor(x):
        return tuple(column[bins] for column in table.T)
    import torch

    figures = torch.tensor(table.T.copy(), dtype=x.dtype, device=x.device)
    return tuple(column[bins] for column in figures)


@register("nili_pulse")
@dataclass(frozen=True, kw_only=True)
class NiliPulseMap(CubicAl2O3TiO2, DynamicDevice):
    """Passive Al2O3/TiO2-x device; each pulse moves G by a fitted map, static part as the cubic.

    With ``L = log10(width / s)``, a SET pulse (V > 0) adds
    ``c0 (1 - tanh(c1 (L - c2))) (tanh(c3 V - c4) + 1)`` and a RESET pulse (V < 0) adds
    ``c0 (-1 - tanh(c1 (L - c2))) (tanh(c3 V - c4) - 1)``; c0..c4 depend on the bin of G before the
    pulse. It maps pulse to pulse and is not a differential equation: one pulse of 2 us is not two
    of 1 us. The fits hold for +0.8..+1.15 V and -0.8..-1.5 V, widths 100 ns to 100 ms. Smaller
    voltages (half-selected devices) use the same map, which falls to zero smoothly; that is an
    extrapolation, and the many small pulses of a large array add it up (a few uS in 8x8, hundreds
    in 64x64). `V_threshold` cuts it off.

    Args:
        V_threshold: smaller pulses change nothing, V; 0 extrapolates, 0.8 keeps to the fits.
        gain_set, gain_reset: factors on the change by every pulse with V > 0 and with V < 0, for
            dies that switch more or less than those of the source.
    """

    source: ClassVar[str] = (
        "Nili et al. 2020, IEEE Trans. Nanotechnology, doi:10.1109/TNANO.2020.2982128; figures as "
        "in the public repository caixunshiren/pytorch-metal-oxide-memristor-crossbar"
    )
    state_unit: ClassVar[str] = "S"
    V_write: ClassVar[tuple[float, float]] = (-1.5, 1.15)
    continuous: ClassVar[bool] = False
    width_range: ClassVar[tuple[float, float]] = (100e-9, 100e-3)

    ranges: ClassVar[Mapping[str, Range]] = {
        **CubicAl2O3TiO2.ranges,
        **dict.fromkeys(("V_threshold", "gain_set", "gain_reset"), NOT_NEGATIVE),
    }

    V_threshold: float = 0.0
    gain_set: float = 1.0
    gain_reset: float = 1.0

    @property
    def state_range(self) -> tuple[float, float]:
        return self.G_min, self.G_max

    def state(self, G: Any) -> Any:
        return G

    def conductance(self, x: Any) -> Any:
        return x

    def rate(self, x: Any, V: Any) -> Any:
        raise broken_rule(
            "a device must follow a differential equation to have a rate",
            f"{self.name}, a map from pulse to pulse",
            "Use `step` with the width of one pulse.",
        )

    def pulse(self, x: Any, V: Any, dt: Any, *, xi: Any = 0.0) -> Any:
        """Change of the conductance by one pulse, S, before the limits.

        Args:
            x: conductances before the pulse, S.
            V: device voltages, V; 0 V changes nothing.
            dt: width, s, one for all or an array that broadcasts against `x`.
            xi: device-to-device deviation, in standard deviations, one value a device; the factor
                ``1 + xi (d0 + d1 L^2 + d2 V L + d3 V^2 L + d4 V^3)`` is not let below 0. It is
                poorly constrained at low conductance.
        """
        x, V = x + 0.0 * V, V + 0.0 * x
        L = np.log10(dt) + 0.0 * x if not is_tensor(x) else x.new_tensor(np.log10(dt)) + 0.0 * x
        total = 0.0 * x if is_tensor(x) else np.zeros(np.shape(x))
        for table, sign, gain in ((SET, 1.0, self.gain_set), (RESET, -1.0, self.gain_reset)):
            moving = (sign * V > 0) & (abs(V) >= self.V_threshold)  # few, with a threshold
            if not bool(moving.any()):
                continue
            v, long = V[moving], L[moving]
            c0, c1, c2, c3, c4, d0, d1, d2, d3, d4 = _figures(table, x[moving])
            change = gain * c0 * (sign - tanh(c1 * (long - c2))) * (tanh(c3 * v - c4) + sign)
            if not (isinstance(xi, float) and xi == 0.0):
                spread = d0 + d1 * long * long + d2 * v * long + d3 * v * v * long + d4 * v * v * v
                change = change * (1.0 + (xi + 0.0 * x)[moving] * spread).clip(min=0.0)
            total[moving] = change
        return total

    def step(self, x: Any, V: Any, dt: Any, *, outside: str = "error", xi: Any = 0.0) -> Any:
        x, V = self._valid(x, V, outside)
        low, high = self.width_range
        widths = np.asarray(dt, float)
        inside = (low <= widths) & (widths <= high)
        if not (widths >= 0).all() or (outside == "error" and not inside.all()):
            raise broken_rule(
                f"{self.name} is valid for pulses of {low:g} to {high:g} s",
                dt,
                'Change the width, or use outside="clamp".',
            )
        return self._advance(x, V, widths.clip(low, high), xi)

    def _step(self, x: Any, V: Any, dt: Any) -> Any:
        return self._advance(x, V, dt, 0.0)

    def _advance(self, x: Any, V: Any, dt: Any, xi: Any) -> Any:
        return (x + self.pulse(x, V, dt, xi=xi)).clip(self.G_min, self.G_max)
