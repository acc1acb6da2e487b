"""Independent variations of single devices: tuning, stuck, read noise, spread, retention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from xbarspice.core.parameters import NOT_NEGATIVE, POSITIVE, READ_VOLTAGE, Range
from xbarspice.devices.cubic import TEMPERATURE, spread_coefficients
from xbarspice.variability.base import Draws, Variation, check_conductances, need, register, where

__all__ = [
    "ConductanceTuning",
    "DeviceSpread",
    "Quantisation",
    "ReadNoise",
    "RelativeNoise",
    "RetentionDrift",
    "StuckDevices",
]

SHARE = Range(text="in [0, 1]", low=0.0, high=1.0)


@register("cti")
@dataclass(frozen=True, kw_only=True)
class ConductanceTuning(Variation):
    """CTI, conductance-tuning imprecision: a relative offset, then a spread that depends on `G`.

    ``G (1 + N(offset_mean, offset_std)) + sigma G N(0, 1)``, ``sigma = sigma_slope G + sigma_0``,
    in the order of the released code: `sigma` is taken at the wanted `G`. With `sigma_abs` the
    second spread is ``hypot(sigma G, sigma_abs)``.

    Args:
        offset_mean, offset_std: relative offset (0.01 is 1 %).
        sigma_slope: change of the relative spread with G, 1/S.
        sigma_0: relative spread at G = 0.
        sigma_abs: spread of every conductance alike, S.
    """

    source: ClassVar[str] = (
        "Drolet et al. 2023, arXiv:2305.18495; 3it-inpaqt/Hardware-Aware-Article"
    )

    ranges: ClassVar[Mapping[str, Range]] = dict.fromkeys(("offset_std", "sigma_abs"), NOT_NEGATIVE)

    offset_mean: float = -0.589e-2
    offset_std: float = 0.339e-2
    sigma_slope: float = -6.24
    sigma_0: float = 0.691e-2
    sigma_abs: float = 0.0

    def _apply(self, G: Any, draws: Draws) -> Any:
        offset = self.offset_mean + self.offset_std * draws.normal()
        sigma = (self.sigma_slope * G + self.sigma_0).clip(min=0.0)
        if self.sigma_abs:
            share = self.sigma_abs / where(G > 0, G, 1.0 + 0.0 * G)
            sigma = (sigma**2 + share**2) ** 0.5
        return G * (1.0 + offset + sigma * draws.normal())


@register("saf")
@dataclass(frozen=True, kw_only=True)
class StuckDevices(Variation):
    """SAF, devices stuck at a low-resistive (LRS) or high-resistive (HRS) value.

    Args:
        rate_lrs, rate_hrs: probability that a device is stuck in each way. The defaults
            0.5 % + 0.2 % are inferred from the released dies; the released code uses 0.5 % + 0.5 %.
        lrs_mean, lrs_std: normal distribution of the stuck-LRS conductance, S.
        hrs_min, hrs_max: uniform distribution of the stuck-HRS conductance, S.
    """

    source: ClassVar[str] = (
        "Drolet et al. 2023, arXiv:2305.18495; 3it-inpaqt/Hardware-Aware-Article"
    )

    ranges: ClassVar[Mapping[str, Range]] = {
        **dict.fromkeys(("rate_lrs", "rate_hrs"), SHARE),
        **dict.fromkeys(("lrs_mean", "lrs_std", "hrs_min", "hrs_max"), NOT_NEGATIVE),
    }

    rate_lrs: float = 0.005
    rate_hrs: float = 0.002
    lrs_mean: float = 573e-6
    lrs_std: float = 99e-6
    hrs_min: float = 10e-6
    hrs_max: float = 100e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        rates = (self.rate_lrs, self.rate_hrs)
        need(
            sum(rates) <= 1,
            "`rate_lrs` and `rate_hrs` must be probabilities with a sum of at most 1",
            rates,
            "0.005 is half a percent.",
        )
        need(
            self.hrs_min <= self.hrs_max,
            "`hrs_min` and `hrs_max` must satisfy 0 <= hrs_min <= hrs_max",
            (self.hrs_min, self.hrs_max),
            "Give both in S.",
        )

    def draw(self, G: Any, rng: Any) -> tuple[Any, Any]:
        """Which devices are stuck (bool) and at what conductance (S), each shaped like `G`."""
        G = check_conductances(G)
        return self._draw(Draws(rng, G))

    def _draw(self, draws: Draws) -> tuple[Any, Any]:
        u = draws.uniform()
        lrs = (self.lrs_mean + self.lrs_std * draws.normal()).clip(min=0.0)
        hrs = self.hrs_min + (self.hrs_max - self.hrs_min) * draws.uniform()
        return u < self.rate_lrs + self.rate_hrs, where(u < self.rate_lrs, lrs, hrs)

    def _apply(self, G: Any, draws: Draws) -> Any:
        stuck, value = self._draw(draws)
        return where(stuck, value, G)


@register("read_noise")
@dataclass(frozen=True, kw_only=True)
class ReadNoise(Variation):
    """Noise of one read: relative spread ``slope R + sigma_0`` with ``R = 1/G``.

    Args:
        slope: growth of the relative spread with the resistance, 1/ohm.
        sigma_0: relative spread at R = 0.
    """

    source: ClassVar[str] = "3IT-INPAQT QDMS (public repository), sigma[%] = 1.672e-5 R + 0.06645"

    slope: float = 1.672e-7
    sigma_0: float = 0.06645e-2

    def _apply(self, G: Any, draws: Draws) -> Any:
        return G + (self.slope + self.sigma_0 * G) * draws.normal()  # G/R = 1: finite at G = 0


@register("relative_noise")
@dataclass(frozen=True, kw_only=True)
class RelativeNoise(Variation):
    """Normal spread of constant relative size.

    Args:
        sigma: relative standard deviation; 0.008 (write) and 0.002 (read) are the figures of
            3it-inpaqt/dot-calibration-v2.
    """

    source: ClassVar[str] = "3it-inpaqt/dot-calibration-v2 (public repository), 2024"

    ranges: ClassVar[Mapping[str, Range]] = {"sigma": NOT_NEGATIVE}

    sigma: float

    def _apply(self, G: Any, draws: Draws) -> Any:
        return G * (1.0 + self.sigma * draws.normal())


@register("device_spread")
@dataclass(frozen=True, kw_only=True)
class DeviceSpread(Variation):
    """Device-to-device spread of the Al2O3/TiO2-x device, as a change of its read conductance.

    ``G + xi (sigma_A1 + sigma_A3 V_read^2)`` with one ``xi ~ N(0, 1)`` a device; the spread of the
    whole curve is in `devices.CubicAl2O3TiO2.spread`. sigma_A1 is not let below 0.

    Args:
        T: temperature in degrees Celsius.
        V_read: read voltage, V.
    """

    source: ClassVar[str] = (
        "Nili et al. 2020, IEEE Trans. Nanotechnology, doi:10.1109/TNANO.2020.2982128"
    )

    ranges: ClassVar[Mapping[str, Range]] = {"T": TEMPERATURE, "V_read": READ_VOLTAGE}

    T: float = 25.0
    V_read: float = 0.2

    def _apply(self, G: Any, draws: Draws) -> Any:
        s1, s3 = spread_coefficients(G, self.T)
        return G + (s1 + s3 * self.V_read**2) * draws.normal()


@register("retention")
@dataclass(frozen=True, kw_only=True)
class RetentionDrift(Variation):
    """Retention loss over time, one exponent a device.

    ``G (t / t_0)^-nu`` by the law "power", ``G (1 - nu ln(t / t_0))`` by the law "log".
    No retention figure of passive TiO2 arrays is public: the exponent is yours.

    Args:
        nu: mean drift exponent (positive: the conductance falls).
        nu_std: device-to-device standard deviation of the exponent.
        t: time since programming, s.
        t_0: time after programming at which `G` was read, s.
        law: "power" or "log".
    """

    source: ClassVar[str] = "power law; the figures are the user's"

    ranges: ClassVar[Mapping[str, Range]] = {
        "nu_std": NOT_NEGATIVE,
        "t": POSITIVE,
        "t_0": POSITIVE,
    }

    nu: float
    nu_std: float = 0.0
    t: float
    t_0: float = 1.0
    law: str = "power"

    def __post_init__(self) -> None:
        super().__post_init__()
        need(
            self.t_0 <= self.t,
            "`t` and `t_0` must satisfy 0 < t_0 <= t",
            (self.t, self.t_0),
            "Give both in s.",
        )
        need(
            self.law in ("power", "log"),
            "`retention.law` must be power or log",
            repr(self.law),
            "Use one of them.",
        )

    def _apply(self, G: Any, draws: Draws) -> Any:
        nu = self.nu + self.nu_std * draws.normal()
        if self.law == "log":
            return G * (1.0 - nu * math.log(self.t / self.t_0))
        return G * (self.t / self.t_0) ** (-nu)


@register("quantisation")
@dataclass(frozen=True, kw_only=True)
class Quantisation(Variation):
    """Conductances rounded to equal steps before they are written.

    Args:
        levels: values from `G_min` to `G_max`, at least 2.
        G_min, G_max: range of the devices, S.
    """

    source: ClassVar[str] = "uniform rounding; the number of levels is the user's"

    ranges: ClassVar[Mapping[str, Range]] = {"G_min": NOT_NEGATIVE, "G_max": POSITIVE}

    levels: int = 64
    G_min: float = 100e-6
    G_max: float = 500e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        need(self.G_min < self.G_max, "`G_min` must be < `G_max`", self.G_max, "Give both in S.")
        need(self.levels >= 2, "`levels` must be >= 2", self.levels, "64 levels are 6 bits.")

    def _apply(self, G: Any, draws: Draws) -> Any:
        step = (self.G_max - self.G_min) / (self.levels - 1)
        return self.G_min + ((G - self.G_min) / step).round() * step
