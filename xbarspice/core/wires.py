"""The four resistances of an array: their names, words, limits and check; all are in ohm."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array
from xbarspice.core.values import array_of, number_of

__all__ = [
    "EACH",
    "IDEAL",
    "R_HIGH",
    "R_LOW",
    "UNIT",
    "WIRES",
    "WORDS",
    "Resistance",
    "as_record",
    "as_text",
    "largest_of",
    "resistance_of",
    "resistances_of",
    "section_of",
    "smallest_of",
    "sum_like",
    "typical_of",
    "wires_of",
]

Resistance = float | Array
"""One number for all segments or line ends of a kind, or one for each of them."""

WIRES = ("R_wl", "R_bl", "R_driver", "R_sense")
"""Names of the four resistances, in the order that arrays of their values have."""
WORDS = {
    "R_wl": "word-line segment",
    "R_bl": "bit-line segment",
    "R_driver": "lead of a word line",
    "R_sense": "lead of a bit line",
}
"""What each is on a drawn array, which is read from word lines to bit lines."""
EACH = {
    "R_wl": "per_segment",
    "R_bl": "per_segment",
    "R_driver": "per_end",
    "R_sense": "per_end",
}
"""The word of a text for resistances that differ from place to place."""
UNIT = "ohm"
IDEAL = dict.fromkeys(WIRES, 0.0)
"""Wires and leads without resistance."""
R_LOW, R_HIGH = 1e-30, 1e15
"""Smallest resistance but 0, and largest, ohm. Solves multiply, square and invert such numbers;
within these limits nothing of that overflows or vanishes."""


def resistance_of(name: str, value: Any) -> float:
    """A wire or lead, ohm: 0, or from `R_LOW` to `R_HIGH`.

    Raises:
        InputError: it is no such number.
    """
    remedy = f"Give it in ohm: 0 for an ideal connection, or {R_LOW:g} to {R_HIGH:g}."
    out = number_of(name, value, low=0.0, high=R_HIGH, remedy=remedy)
    if 0.0 < out < R_LOW:
        raise broken_rule(f"`{name}` must be 0 or >= {R_LOW:g} ohm", f"{out!r}", remedy)
    return out


def resistances_of(
    name: str, value: npt.ArrayLike, places: tuple[int, ...], batch: tuple[int, ...]
) -> Resistance:
    """A wire or lead, ohm: one number for all places, or a read-only array of one a place.

    Args:
        name: of `WIRES`.
        value: a number, or an array (..., *places); each entry as in `resistance_of`.
        places: shape of the segments, (rows, cols - 1) or (rows - 1, cols), or of the line ends.
        batch: shape of the batch of arrays, against which leading axes broadcast.

    Raises:
        InputError: it is no number and has another shape, or an entry breaks a limit.
    """
    if type(value) is float or type(value) is int:
        return resistance_of(name, value)
    remedy = f"Give ohm: one number, or an array of the shape {places}, after axes of the batch."
    out = array_of(name, value, low=0.0, high=R_HIGH, remedy=remedy)
    lead = out.shape[: out.ndim - len(places)]
    if out.size == 1 and out.shape[len(lead) :] != places:
        return resistance_of(name, out)
    if out.shape != (*lead, *places) or not _broadcasts(lead, batch):
        raise broken_rule(
            f"`{name}` must be one number, or an array (..., {str(places)[1:-1].strip(',')}) whose "
            f"leading axes broadcast to the batch {batch} of `G`",
            f"the shape {out.shape}",
            remedy,
        )
    low = out[(out > 0) & (out < R_LOW)]
    if low.size:
        raise broken_rule(f"`{name}` must be 0 or >= {R_LOW:g} ohm", f"{low[0]!r}", remedy)
    out = out.copy()
    out.setflags(write=False)
    return out


def _broadcasts(lead: tuple[int, ...], batch: tuple[int, ...]) -> bool:
    """Whether leading axes broadcast to the batch, and are not more than it."""
    try:
        return np.broadcast_shapes(lead, batch) == batch
    except ValueError:
        return False


def section_of(R: Resistance, axes: int, at: tuple[int, ...]) -> Resistance:
    """The part of `R` that belongs to one array.

    Args:
        R: a number, or an array (..., places).
        axes: how many axes the places have.
        at: index of the array in its batch, one number an axis of the batch.
    """
    if not isinstance(R, np.ndarray):
        return R
    lead = R.shape[: R.ndim - axes]
    index = at[len(at) - len(lead) :]
    return R[tuple(k if n > 1 else 0 for k, n in zip(index, lead, strict=True))]


def sum_like(R: Resistance, values: Array, batch: tuple[int, ...]) -> Resistance:
    """Values of the places of all arrays, summed over what `R` shares: of the shape of `R`.

    Args:
        R: a number, or an array (..., places).
        values: (arrays, places), the arrays in the order of `Crossbar.G_flat`.
        batch: shape of the batch of arrays.
    """
    if not isinstance(R, np.ndarray):
        return float(values.sum())
    places = values.shape[1:]
    out = values.reshape(*batch, *places)
    lead = (1,) * (out.ndim - R.ndim) + R.shape[: R.ndim - len(places)]
    shared = tuple(k for k, n in enumerate(lead) if n == 1)
    return out.sum(axis=shared, keepdims=True).reshape(R.shape)


def smallest_of(R: Resistance) -> float:
    """The smallest resistance above 0 of all places, ohm; inf where there is none."""
    values = np.asarray(R)
    return float(values.min(initial=np.inf, where=values > 0))


def largest_of(R: Resistance) -> float:
    """The largest resistance of all places, ohm; 0 where there are no places."""
    return float(np.max(R, initial=0.0))


def typical_of(R: Resistance) -> float:
    """The median of all resistances above 0, ohm; 0 where there is none."""
    values = np.asarray(R)
    return float(np.median(values[values > 0])) if (values > 0).any() else 0.0


def as_record(*values: Resistance) -> float | dict[str, float]:
    """A resistance of arrays for JSON, ohm: the one number of all, or the smallest and largest.

    Args:
        values: of one of `WIRES`, one an array.
    """
    numbers = {R for R in values if not isinstance(R, np.ndarray)}
    if len(numbers) == 1 and not any(isinstance(R, np.ndarray) for R in values):
        return numbers.pop()
    each = np.concatenate([np.ravel(R) for R in values])
    return {"smallest": float(each.min()) if each.size else 0.0, "largest": largest_of(each)}


def as_text(R: Resistance) -> str:
    """A resistance in words, without its unit: "1", or "0.9 to 1.3" where places differ."""
    if not isinstance(R, np.ndarray):
        return f"{R:g}"
    if not R.size:
        return "none"
    low, high = f"{R.min():g}", f"{R.max():g}"
    return low if low == high else f"{low} to {high}"


def wires_of(source: Any) -> dict[str, Any]:
    """The four resistances by name, ohm, of whatever has them as attributes."""
    return {name: getattr(source, name) for name in WIRES}
