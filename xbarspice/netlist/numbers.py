"""Numbers in netlists: decimal text that reads back to exactly the same float."""

from __future__ import annotations

import math
import re
from decimal import Context, Decimal

import numpy as np
import numpy.typing as npt

from xbarspice.errors import NetlistError

__all__ = ["conductance", "number", "number_like", "resistances"]

_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_LONG = Context(prec=21)


def number_like(text: str) -> bool:
    """Whether a text is a plain decimal number and no expression."""
    return bool(_PLAIN.fullmatch(text))


def number(text: str) -> float:
    """Read a plain decimal number.

    Raises:
        NetlistError: the text has a unit suffix (where ``1M`` means milli), a comma or anything
            else that simulators read in different ways, or the value is not finite.
    """
    if _PLAIN.fullmatch(text) and math.isfinite(value := float(text)):
        return value
    raise NetlistError(
        f"numbers must be plain decimals; received {text!r}. Write 1e-3 instead of 1m."
    )


def resistances(G: npt.NDArray[np.float64]) -> list[str]:
    """Text of 1/G in ohm, for G > 0 in S of shape (N,), from which `conductance` restores G.

    The shortest text of the float 1/G is used where 1/(1/G) is G; two floats G may share that
    reciprocal, and then the resistance carries 21 digits.
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


def conductance(text: str) -> float:
    """The conductance in S whose resistance was written by `resistances`."""
    number(text)
    digits = sum(c.isdigit() for c in text.lower().partition("e")[0].lstrip("-0."))
    return 1.0 / float(text) if digits < 19 else float(_LONG.divide(Decimal(1), Decimal(text)))
