"""Numbers from outside: what a caller or a file gives becomes float64 here, or is refused by name.

NumPy's own conversions lose what they cannot hold: the imaginary part of complex numbers, the mask
of masked arrays, the unit of dates; and they take text and truth values for numbers. Nothing of
that is a voltage, a resistance or a weight, so none of it passes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.types import Array, Indices

__all__ = [
    "array_of",
    "broken_entries",
    "labels_of",
    "number_of",
    "whole_number_of",
    "whole_numbers_of",
]


FLOAT64 = np.dtype(np.float64)
_KINDS = {
    "b": "truth values",
    "c": "complex numbers",
    "M": "dates",
    "m": "spans of time",
    "U": "text",
    "S": "text",
    "T": "text",
    "O": "Python objects",
    "V": "records",
}
"""What the kinds of dtype are that hold no real numbers."""
_PLAIN = frozenset((float, int, np.float64))
"""Types of which nothing can be lost."""


def array_of(
    name: str,
    value: Any,
    *,
    rank: int | None = None,
    shape: tuple[int, ...] | None = None,
    low: float = -math.inf,
    high: float = math.inf,
    finite: bool = True,
    remedy: str = "Pass an array of real numbers.",
) -> Array:
    """What was given as a float64 array; a float64 array comes back itself, not a copy.

    Args:
        name: what the value is called in messages, for example "V_in".
        value: a number, nested lists of numbers, a NumPy array, a torch tensor without gradients
            or whatever else gives a NumPy array of integers or real numbers.
        rank: number of axes, none of them empty; None: any.
        shape: the shape it must have; None: any.
        low, high: smallest and largest value.
        finite: refuse NaN and infinity. `low` and `high` never refuse NaN.
        remedy: what the caller can do, a whole sentence.

    Raises:
        InputError: it holds no real numbers (complex, truth values, dates, text, objects, masked,
            sparse or on another device), would lose a gradient, or breaks one of the rules.
    """
    plain = type(value) is np.ndarray and value.dtype is FLOAT64
    out = value if plain else _convert(name, value, remedy)
    if (rank is not None and (out.ndim != rank or not out.size)) or (
        shape is not None and out.shape != shape
    ):
        rule = f"the shape {shape}" if shape is not None else f"{rank} axes, none empty"
        raise broken_rule(f"`{name}` must have {rule}", f"shape {out.shape}", remedy)
    if finite and not np.isfinite(out).all():
        bad = int((~np.isfinite(out)).sum())
        raise broken_rule(f"`{name}` must be finite", f"{bad} NaN or infinite values", remedy)
    if low > -math.inf and (out < low).any():
        raise broken_rule(f"`{name}` must be >= {low:g}", f"{np.nanmin(out):g}", remedy)
    if high < math.inf and (out > high).any():
        raise broken_rule(f"`{name}` must be <= {high:g}", f"{np.nanmax(out):g}", remedy)
    return out


def number_of(
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    positive: bool = False,
    remedy: str = "Pass one real number.",
) -> float:
    """What was given as a float: one finite real number; rules as in `array_of`.

    Args:
        name, value, low, high, remedy: as in `array_of`; an array of one number is one number.
        positive: the number must be > 0.

    Raises:
        InputError: it is no number, not finite, or has axes.
    """
    if type(value) is not float:
        out = _convert(name, value, remedy)
        if out.size != 1:
            raise broken_rule(f"`{name}` must be one number", f"shape {out.shape}", remedy)
        value = float(out.reshape(-1)[0])
    if math.isfinite(value) and low <= value <= high and (value > 0 or not positive):
        return value
    bounds = ["> 0"] if positive else []
    bounds += [f">= {low:g}"] if low > -math.inf and not positive else []
    bounds += [f"<= {high:g}"] if high < math.inf else []
    rule = f"`{name}` must be a finite number {' and '.join(bounds)}".rstrip()
    raise broken_rule(rule, f"{value!r}", remedy)


def whole_numbers_of(
    name: str,
    value: Any,
    *,
    rank: int | None = None,
    shape: tuple[int, ...] | None = None,
    low: int | None = None,
    high: int | None = None,
    remedy: str = "Pass whole numbers.",
) -> Indices:
    """What was given as an array of whole numbers; 2.0 is whole, 2.5 and True are not.

    Args:
        name, value, rank, shape, low, high, remedy: as in `array_of`.

    Raises:
        InputError: a value is not whole.
    """
    out = array_of(
        name,
        value,
        rank=rank,
        shape=shape,
        remedy=remedy,
        low=-math.inf if low is None else low,
        high=math.inf if high is None else high,
    )
    whole = (out == np.rint(out)) & (np.abs(out) < 2.0**53)
    if not whole.all():
        raise broken_rule(f"`{name}` must be whole numbers", f"{out[~whole].flat[0]:g}", remedy)
    return out.astype(np.intp)


def whole_number_of(name: str, value: Any, *, low: int, remedy: str) -> int:
    """What was given as an int of at least `low`.

    Raises:
        InputError: it is no whole number, has axes, or is less than `low`.
    """
    out = whole_numbers_of(name, value, low=low, remedy=remedy)
    if out.size != 1:
        raise broken_rule(f"`{name}` must be one number", f"shape {out.shape}", remedy)
    return int(out.reshape(-1)[0])


def labels_of(name: str, value: Any, points: int, *, low: int = 0) -> Indices:
    """Class labels, (points,): one whole number from `low` on for every point.

    Raises:
        InputError: there are more or fewer labels than points, or one is no whole number.
    """
    return whole_numbers_of(
        name,
        value,
        shape=(points,),
        low=low,
        remedy="Give every point the number of its class, counted from 0.",
    )


def broken_entries(error: Any, origin: str) -> str:
    """The entries that a pydantic `ValidationError` names, each with its place, rule and value."""
    entries = []
    for entry in error.errors():
        place = ".".join(str(part) for part in entry["loc"]) or origin
        rule = entry["msg"].removeprefix("Value error, ").rstrip(".")
        value = repr(entry.get("input"))
        short = value if len(value) < 60 else value[:57] + "..."
        inner = isinstance(entry.get("ctx", {}).get("error"), InputError)
        entries.append(f"{place}: {rule}" + ("" if inner else f" (received {short})"))
    return "; ".join(entries)


def _convert(name: str, value: Any, remedy: str) -> Array:
    """A float64 array of the same numbers; raises where they are none or would change."""
    _refuse_lossy(name, value, remedy)
    try:
        out = np.asarray(value)
    except Exception as error:  # an array interface of another library may raise anything
        first = (str(error).splitlines() or [""])[0][:120]
        raise _refusal(name, f"{type(value).__name__} ({first})", remedy) from None
    if out.dtype.kind not in "fiu":
        what = _KINDS.get(out.dtype.kind, str(out.dtype))
        kind = type(value).__name__
        raise _refusal(name, what if kind == "ndarray" else f"{what} ({kind})", remedy)
    return np.asarray(out, dtype=np.float64)


def _refuse_lossy(name: str, value: Any, remedy: str) -> None:
    """Refuse what converts without an error and loses something; looks into lists and tuples."""
    if isinstance(value, (list, tuple)):
        for item in value:
            if type(item) not in _PLAIN:
                _refuse_lossy(name, item, remedy)
    elif isinstance(value, (bool, np.bool_)):
        raise _refusal(name, f"the truth value {value}", remedy)
    elif isinstance(value, (str, bytes)):
        raise _refusal(name, f"the text {value[:40]!r}", remedy)
    elif isinstance(value, np.ma.MaskedArray):
        raise _refusal(name, "a masked array", "Choose what stands in the masked places: `filled`.")
    elif getattr(value, "requires_grad", False):
        raise _refusal(
            name,
            "a tensor that requires gradients",
            "Pass `tensor.detach()`; gradients are those of `xb.nn.solve`.",
        )
    elif hasattr(value, "toarray") and not isinstance(value, np.ndarray):
        raise _refusal(name, "a sparse matrix", "Pass its `toarray()`.")


def _refusal(name: str, received: str, remedy: str) -> InputError:
    return broken_rule(f"`{name}` must be real numbers", received, remedy)
