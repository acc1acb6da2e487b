"""Parameters of models: numbers that are finite and in range, whichever road they came by."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xbarspice.core.errors import broken_rule
from xbarspice.core.functions import is_tensor
from xbarspice.core.values import number_of

__all__ = ["NOT_NEGATIVE", "NOT_ZERO", "POSITIVE", "READ_VOLTAGE", "Range", "check_parameters"]


@dataclass(frozen=True, kw_only=True)
class Range:
    """Which numbers a parameter may be.

    Args:
        text: the range in words, behind "must be a number".
        low, high: smallest and largest number.
        open_below: `low` itself is outside.
        zero: 0 is inside.
    """

    text: str
    low: float = -math.inf
    high: float = math.inf
    open_below: bool = False
    zero: bool = True

    def __contains__(self, value: Any) -> bool:
        if not math.isfinite(value) or (value == 0 and not self.zero):
            return False
        return (self.low < value if self.open_below else self.low <= value) and value <= self.high


_REMEDY = "Give it in the unit of the model's documentation."
FINITE = Range(text="that is finite")
POSITIVE = Range(text="> 0", low=0.0, open_below=True)
NOT_NEGATIVE = Range(text=">= 0", low=0.0)
NOT_ZERO = Range(text="that is not 0", zero=False)
READ_VOLTAGE = Range(text="in (0, 100] V", low=0.0, open_below=True, high=100.0)


def check_parameters(model: Any, ranges: Mapping[str, Range]) -> None:
    """Hold every field of a frozen dataclass that is declared a number against its range.

    What is a number of another kind (of NumPy, an integer) becomes a `float` or an `int`; a scalar
    torch tensor stays one, for gradients by the parameter. `None` passes where the field allows it.

    Args:
        model: the object, just made.
        ranges: range of a field by its name; the others must be finite.

    Raises:
        InputError: a field is no number, or outside its range.
    """
    if not dataclasses.is_dataclass(model):
        return
    for item in dataclasses.fields(model):
        kind = item.type if isinstance(item.type, str) else getattr(item.type, "__name__", "")
        kinds = {name.strip() for name in kind.split("|")}
        value: Any = getattr(model, item.name)
        if not kinds & {"float", "int"}:
            continue
        if value is None and "None" in kinds:
            continue
        name = f"{getattr(model, 'name', type(model).__name__)}.{item.name}"
        number = number_of(name, _detach(value), remedy=_REMEDY)
        whole = "float" not in kinds
        allowed = ranges.get(item.name, FINITE)
        if number not in allowed or (whole and number != int(number)):
            word = "a whole number" if whole else "a number"
            raise broken_rule(f"`{name}` must be {word} {allowed.text}", f"{number:g}", _REMEDY)
        if not is_tensor(value) and type(value) is not (int if whole else float):
            object.__setattr__(model, item.name, int(number) if whole else number)


def _detach(value: Any) -> Any:
    """A tensor's number; anything else as it is."""
    return value.detach().cpu() if is_tensor(value) else value
