"""Numbers as text for simulators: the shortest decimal that reads back to the same float."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.core.errors import broken_rule

__all__ = ["decimal", "decimals"]


def decimal(value: Any) -> str:
    """Decimal text of one number: ``2.5`` for 2.5, ``np.float64(2.5)`` and a 0-d tensor alike.

    Every number of a netlist, Verilog-A module, parameter file or analysis passes through here or
    through `decimals`: ``repr`` of a NumPy scalar is no number to a simulator.

    Raises:
        InputError: the value is no finite real number.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise broken_rule("a written number must be finite and real", repr(value), "Correct it.")
    return repr(number)


def decimals(values: npt.ArrayLike) -> list[str]:
    """Decimal text of every number of an array, flattened.

    Raises:
        InputError: a value is not finite.
    """
    array = np.asarray(values, dtype=np.float64).ravel()
    if not np.isfinite(array).all():
        bad = array[~np.isfinite(array)][0]
        raise broken_rule("a written number must be finite and real", bad, "Correct it.")
    return [repr(value) for value in array.tolist()]
