"""The compiled adjoint solves: ranges of a batch, each to all gradients but dI/dp.

The equations are in `adjoint`; the kernel is ``native/adjoint.cpp``.
"""

from __future__ import annotations

from ctypes import POINTER

from xbarspice.surrogate.ladders.kernels import NetworkRecord
from xbarspice.surrogate.ladders.solves import AimsRecord, ScratchRecord
from xbarspice.surrogate.native.library import F64, INT, INTS, Record, function

__all__ = ["AdjointRecord", "adjoint"]


class AdjointRecord(Record):
    """Sources and results of the adjoint solves of a batch.

    index: slopes of each solve, (N,); D: slopes, S, (slopes, rows, cols). Gradients by I_out
    (N, cols), I_in (N, rows) and by I_device, V_wl, V_bl, (N, rows, cols) or None for 0. inner:
    what the forward solves kept, see `linear.Problem`. Results: mu (N, rows, cols), gradients by
    V_in, V_out, by R_wl and R_bl where segments are alike (N, 2) and where they differ (N, rows,
    cols - 1), (N, rows - 1, cols) or None, products of the end currents (N, 2, rows), (N, 2, cols),
    and a report (N, 3).
    """

    _fields_ = (
        ("index", INTS),
        ("D", F64),
        ("by_out", F64),
        ("by_in", F64),
        ("by_device", F64),
        ("by_wl", F64),
        ("by_bl", F64),
        ("inner", F64),
        ("kept", INT),
        ("mu", F64),
        ("V_in", F64),
        ("V_out", F64),
        ("R", F64),
        ("R_wl", F64),
        ("R_bl", F64),
        ("at_wl", F64),
        ("at_bl", F64),
        ("report", F64),
    )


adjoint = function(
    "solve_adjoint",
    POINTER(NetworkRecord),
    POINTER(AimsRecord),
    POINTER(ScratchRecord),
    POINTER(AdjointRecord),
    F64,
    INT,
    INT,
    INT,
    result=INT,
)
"""Adjoint solves start..stop: (net, aims, scratch, solves, drops, start, stop, folded).

`drops`, (2, rows, cols), are the adjoint drops of solve `start` where they are known already
(direct method), else None. `folded` are the slopes whose factors are in the scratch memory (-1:
none); returns the new ones.
"""
