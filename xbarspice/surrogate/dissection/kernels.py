"""The compiled elimination of batches of arrays, forward and reverse, for each dtype.

Kernels take groups of arrays side by side, one a lane of a vector; sizes of memory count vectors.
See dissection.cpp.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import numpy as np

from xbarspice.surrogate.dissection.plan import Plan
from xbarspice.surrogate.native.library import F32, F64, INT, INTS, Record, function, lanes

__all__ = ["KERNELS", "Kernels", "PlanRecord", "best_lanes", "record_of", "workspace"]


COSTS = {16: 0.52, 32: 0.63, 64: 1.0}
"""Time of a group of arrays by the bytes of its vectors, over that with the longest: shorter ones
need less memory near the processor."""


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
            `first` cell of every array; how many of its upper rows and of its right columns are
            `absent`, (arrays, 2): the array is smaller, and they hold no conductance; distance of
            the rows, `row`; conductances of segments and ends (`Plan.element`), S, 0 where merged,
            (wires,), or where there are some for `each` array, (arrays, wires); whether columns are
            `pairs`; how many of them a group holds, `lanes`; `panels` of all groups for `reverse`,
            if they are `kept`.
        forward: (plan, batch, worker, workers, work, out); adds G_eff to `out` for every
            `workers`-th group of arrays, beginning with group `worker`.
        reverse: (plan, batch, worker, workers, work, M, out, by_wires); writes dL/dG and the
            gradients of the conductances of segments and ends, (arrays, wires).
    """

    def __init__(self, suffix: str, numbers: Any) -> None:
        self.Batch: type[Record] = type(
            "Batch",
            (Record,),
            {
                "_fields_": (
                    ("G", numbers),
                    ("first", INTS),
                    ("absent", INTS),
                    ("arrays", INT),
                    ("row", INT),
                    ("wires", numbers),
                    ("each", INT),
                    ("pairs", INT),
                    ("lanes", INT),
                    ("panels", numbers),
                    ("kept", INT),
                )
            },
        )
        task = (ctypes.POINTER(PlanRecord), ctypes.POINTER(self.Batch), INT, INT, numbers)
        self.forward = function(f"forward_{suffix}", *task, numbers)
        self.reverse = function(f"reverse_{suffix}", *task, numbers, numbers, numbers)


KERNELS = {np.dtype(np.float64): Kernels("f64", F64), np.dtype(np.float32): Kernels("f32", F32)}


def best_lanes(arrays: int, dtype: np.dtype[Any], workers: int) -> int:
    """Arrays side by side in a group with which `workers` are done soonest."""
    vectors = [lanes(dtype)]
    while vectors[-1] * dtype.itemsize > min(COSTS):
        vectors.append(vectors[-1] // 2)
    return min(vectors, key=lambda n: -(-arrays // (n * workers)) * COSTS[n * dtype.itemsize])


def workspace(plan: Plan, *, reverse: bool, kept: bool) -> int:
    """Vectors that a worker of `forward` or `reverse` needs as scratch memory, `work`."""
    vectors = plan.conductances + plan.broadest + plan.stack
    if reverse:
        vectors += plan.reverse_stack + 3 * plan.voltages
    if not kept:
        vectors += plan.panels if reverse else plan.widest
    return vectors
