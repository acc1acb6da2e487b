"""Numbers in netlists: decimal text that reads back to exactly the same float.

Texts are written without factors. Read are also the factors of SPICE, where ``1M`` is a thousandth
in either case, and of Spectre, where it is a million: exactly, as decimals.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Context, Decimal

import numpy as np

from xbarspice.core.errors import NetlistError
from xbarspice.core.types import Array

__all__ = [
    "SPECTRE_FACTORS",
    "SPICE_FACTORS",
    "conductance",
    "exact",
    "number",
    "number_like",
    "resistances",
]

SPICE_FACTORS = {"t": 12, "g": 9, "meg": 6, "k": 3, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15}
"""Powers of ten that all descendants of SPICE write alike, in small or capital letters."""
SPICE_FACTORS |= {name.upper(): power for name, power in SPICE_FACTORS.items()} | {"Meg": 6}

SPECTRE_FACTORS = {
    "T": 12,
    "G": 9,
    "M": 6,
    "K": 3,
    "k": 3,
    "m": -3,
    "u": -6,
    "n": -9,
    "p": -12,
    "f": -15,
}
"""Those of Spectre, which tells capital from small letters."""

_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_SCALED = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([a-z]+)", re.IGNORECASE | re.ASCII)
_LONG = Context(prec=21)


def number_like(text: str) -> bool:
    """Whether a text is a plain decimal number and no expression."""
    return bool(_PLAIN.fullmatch(text))


def exact(text: str, factors: Mapping[str, int] | None = None) -> Decimal:
    """Read a decimal number exactly.

    Args:
        text: a plain decimal, or one without exponent that ends in one of the factors.
            A number so small that it is the float 0 is refused.
        factors: name -> power of ten; None for plain decimals only.

    Raises:
        NetlistError: the text has a unit, another factor, a comma or anything else that simulators
            read in different ways, or the value is no finite float.
    """
    scaled = _SCALED.fullmatch(text) if factors else None
    if scaled and factors and scaled[2] in factors:
        plain = f"{scaled[1]}e{factors[scaled[2]]}"
    else:
        plain = text
    if _PLAIN.fullmatch(plain) and math.isfinite(value := float(plain)):
        zero = not plain.lower().partition("e")[0].strip("+-0.")
        if value or zero:
            return Decimal(0) if zero else Decimal(plain)
    rule = "numbers must be plain decimals"
    rule += f", or end in one of {', '.join(factors)}" if factors else ""
    raise NetlistError(f"{rule}; received {text!r}. Write 1e-3 for a thousandth.")


def number(text: str, factors: Mapping[str, int] | None = None) -> float:
    """`exact` as the nearest float."""
    return float(exact(text, factors))


def resistances(G: Array) -> list[str]:
    """Text of 1/G in ohm, for G > 0 in S of shape (N,), from which `conductance` restores G.

    The shortest text of the float 1/G is used where 1/(1/G) is G; two floats G may share that
    reciprocal, and then the resistance carries 21 digits.

    Raises:
        NetlistError: 1/G overflows.
    """
    with np.errstate(over="ignore"):
        R = 1.0 / G
        exact = (1.0 / R == G) & np.isfinite(R)
    if not np.isfinite(R).all():
        raise NetlistError(
            f"a conductance must have a finite resistance; received {G.min():g} S. "
            "Use 0 for an absent device."
        )
    texts = [repr(r) for r in R.tolist()]
    for k in np.flatnonzero(~exact).tolist():
        texts[k] = f"{_LONG.divide(Decimal(1), Decimal(float(G[k]))):e}"
    return texts


def conductance(text: str, factors: Mapping[str, int] | None = None) -> float:
    """The conductance in S whose resistance was written by `resistances`.

    Raises:
        NetlistError: the text is no resistance of a device.
    """
    R = exact(text, factors)
    if not R:
        raise NetlistError(f"a device must have a resistance; received {text!r}. Write 1/G.")
    long = len(R.as_tuple().digits) >= 19
    return float(_LONG.divide(Decimal(1), R)) if long else 1.0 / float(R)
