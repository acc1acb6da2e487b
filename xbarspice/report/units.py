"""Numbers as a person reads them: SI prefixes, short errors, plain counts."""

from __future__ import annotations

import math
from collections.abc import Mapping

from xbarspice.core.wires import EACH

__all__ = [
    "PREFIXES",
    "error",
    "percent",
    "percent_interval",
    "plain",
    "prefix",
    "quantity",
    "resistance",
    "short",
    "si",
    "signed",
]

NAMES = ("a", "f", "p", "n", "u", "m", "", "k", "M", "G")
PREFIXES = {3 * power: name for power, name in enumerate(NAMES, start=-6)}
"""SI prefixes by their power of 10."""


def prefix(value: float, digits: int = 4) -> tuple[float, str]:
    """The scale and SI prefix that bring |value| into [1, 1000), for example (1e-6, "u").

    The value is rounded to `digits` first: 999.96 belongs to the next prefix.
    0 and values that are not finite get (1, "").
    """
    if value == 0 or not math.isfinite(value):
        return 1.0, ""
    exponent = 3 * math.floor(math.log10(abs(float(f"{value:.{digits}g}"))) / 3)
    exponent = min(max(exponent, min(PREFIXES)), max(PREFIXES))
    return 10.0**exponent, PREFIXES[exponent]


PREFIXED = ("ohm", "S", "A", "V", "J", "F")
"""Units that take a prefix wherever a person reads them."""
LEAST_PERCENT = 1e-4
"""Ratios from here upwards are written in percent, smaller ones as a power of ten."""


def si(value: float | None, unit: str, digits: int = 4) -> str:
    """A quantity with an SI prefix, for example ``57.13 uA``; a dash if there is none."""
    if value is None:
        return "-"
    if math.isnan(value):
        return "not checked"
    scale, name = prefix(value, digits)
    return f"{value / scale:.{digits}g} {name}{unit}".rstrip()


def quantity(value: float | None, unit: str, digits: int = 5) -> str:
    """A value in its unit, with an SI prefix where the unit takes one; a dash if there is none.

    Units as ``1/V`` or ``S/s`` take none, and no unit is written behind a plain number.
    """
    if value is None:
        return "-"
    if unit in PREFIXED and math.isfinite(value):
        return si(value, unit, digits)
    return f"{value:.{digits}g} {unit}".rstrip()


def resistance(name: str, value: float | Mapping[str, float]) -> str:
    """A wire or lead as `core.wires.as_record` has it: ``1.3 ohm``, or a range per segment."""
    if not isinstance(value, Mapping):
        return si(value, "ohm")
    scale, unit = prefix(value["largest"])
    low, high = (f"{value[part] / scale:.4g}" for part in ("smallest", "largest"))
    values = low if low == high else f"{low} to {high}"
    return f"{values} {unit}ohm {EACH[name].replace('_', ' ')}"


def error(value: float | None, digits: int = 3) -> str:
    """A ratio, such as a relative error: ``3.91 %``, and ``1.2e-9`` below `LEAST_PERCENT`.

    A dash if there is none.
    """
    if value is None:
        return "-"
    if math.isnan(value):
        return "not checked"
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    if abs(value) >= LEAST_PERCENT:
        return f"{short(100 * value, digits)} %"
    return short(value, digits)


def signed(value: float, digits: int = 3) -> str:
    """A ratio as `error` writes it, a positive one with its sign."""
    return f"{'+' if value > 0 else ''}{error(value, digits)}"


def short(value: float, digits: int = 3) -> str:
    """A number without a unit, for example ``0.0115`` or ``1.2e-9``."""
    text = f"{value:.{digits}g}"
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text


def percent(value: float | None) -> str:
    """A share of what is counted (accuracy, yield, coverage), for example ``86.7 %``; or a dash.

    One digit behind the point; more where it would say 100 of nearly all or 0 of a few, such as
    ``99.98 %``.
    """
    if value is None or math.isnan(value):
        return "-"
    texts = [f"{100 * value:.{digits}f}" for digits in range(1, 9)]
    return f"{next((text for text in texts if float(text) not in (0, 100)), texts[0])} %"


def percent_interval(value: float, low: float, high: float, digits: int = 1) -> str:
    """A share in percent with its interval, for example ``86.0 [69.5, 94.3] %``."""
    value, low, high = 100 * value, 100 * low, 100 * high
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}] %"


def plain(value: object) -> str:
    """Any plain JSON value in words: yes and no, short numbers, lists with commas."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "not checked" if math.isnan(value) else short(value, digits=6)
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(v) for v in value) or "-"
    return str(value)
