"""The compiled elimination of batches of arrays, forward and reverse, for each dtype.

Kernels take as many arrays side by side, one a lane of a vector, as the processor's vectors hold;
sizes of memory count vectors. See dissection.cpp.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import numpy as np

from xbarspice.surrogate.dissection.plan import Plan
from xbarspice.surrogate.native.library import F32, F64, INT, INTS, Record, function, lanes

__all__ = ["KERNELS", "Kernels", "PlanRecord", "record_of", "workspace"]


class PlanRecord(Record):
    """`Plan` as kernels take it."""

    _fields_ = (
        ("rows", INT),
        ("cols", INT),
        ("fronts", INT),
        ("front", INTS),
        ("element", INTS),
        ("child_map", INTS),
        ("halves", INTS),
        ("conductances", INT),
        ("panels", INT),
        ("stack", INT),
        ("reverse_stack", INT),
        ("voltages", INT),
        ("broadest", INT),
        ("source_row", INTS),
        ("sink_col", INTS),
    )


@lru_cache(maxsize=64)
def record_of(plan: Plan) -> PlanRecord:
    """A plan as kernels take it, made (or recalled)."""
    names = [field[0] for field in PlanRecord._fields_ if field[0] != "fronts"]
    return PlanRecord(fronts=len(plan.front), **{name: getattr(plan, name) for name in names})


class Kernels:
    """The kernels for numbers of one dtype.

    Attributes:
        Batch: record of arrays of one shape: conductances `G`, S, flat; position in them of the
            `first` cell of every array, and distance of the rows, `row`; conductances of the
            segments and ends (`WIRES`), S, (4,), 0 where merged; whether columns are `pairs`;
            `panels` of all groups for `reverse`, if they are `kept`.
        forward: (plan, batch, worker, workers, work, out); adds G_eff to `out` for every
            `workers`-th group of arrays, beginning with group `worker`.
        reverse: (plan, batch, worker, workers, work, M, out, by_wires); writes dL/dG and the
            gradients of the shared conductances.
    """

    def __init__(self, suffix: str, numbers: Any) -> None:
        self.Batch: type[Record] = type(
            "Batch",
            (Record,),
            {
                "_fields_": (
                    ("G", numbers),
                    ("first", INTS),
                    ("arrays", INT),
                    ("row", INT),
                    ("wires", numbers),
                    ("pairs", INT),
                    ("panels", numbers),
                    ("kept", INT),
                )
            },
        )
        task = (ctypes.POINTER(PlanRecord), ctypes.POINTER(self.Batch), INT, INT, numbers)
        self.forward = function(f"forward_{suffix}", *task, numbers)
        self.reverse = function(f"reverse_{suffix}", *task, numbers, numbers, numbers)


KERNELS = {np.dtype(np.float64): Kernels("f64", F64), np.dtype(np.float32): Kernels("f32", F32)}


def workspace(plan: Plan, dtype: np.dtype[Any], *, reverse: bool, kept: bool) -> int:
    """Numbers that a worker of `forward` or `reverse` needs as scratch memory, `work`."""
    vectors = plan.conductances + plan.broadest + plan.stack
    if reverse:
        vectors += plan.reverse_stack + 3 * plan.voltages
    if not kept:
        vectors += plan.panels if reverse else plan.widest
    return vectors * lanes(dtype)
