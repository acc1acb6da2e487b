"""Compiled whole solves: ranges of a batch, each solve from its voltages to its line currents.

The records are how kernels see a batch and its scratch memory; see ``native/solves.hpp`` and
``native/newton.cpp``. A solve whose conjugate gradients need too many iterations is left with the
residual `UNFINISHED` for the direct method.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER

from xbarspice.core.types import Array
from xbarspice.surrogate.ladders.kernels import NetworkRecord
from xbarspice.surrogate.native.library import F64, INT, INTS, NUMBER, Record, function

__all__ = [
    "CUBIC",
    "DROP",
    "LEFT",
    "MAX_CORRECTIONS",
    "MAX_STEPS",
    "RISE",
    "SINH",
    "SMALLEST_STEP",
    "UNFINISHED",
    "AimsRecord",
    "BatchRecord",
    "DevicesRecord",
    "ScratchRecord",
    "correct",
    "evaluate",
    "fold",
    "linear",
    "newton",
    "scratch_arrays",
]

UNFINISHED = -1.0
"""Residual of a solve that was left to the direct method."""
CUBIC, SINH = 1, 2
"""Device equations known to the compiled Newton: I = P V + Q V^3 and I = P sinh(Q V)."""
DEVICE_ROUNDING = 32 * 2.0**-52
"""Share of |I| + |w dI/dw| by which a nonlinear device is rounded (`Device.increasing`)."""
MAX_CORRECTIONS = 4
MAX_STEPS = 100
SMALLEST_STEP = 1e-9
LEFT, RISE, DROP = 1, 2, 5
"""Scratch arrays in which `correct` leaves what remains of F_bl, and the corrections b and a."""


class AimsRecord(Record):
    """What a solve aims at.

    The stated relative residual, the share of the largest current at which the gradients stop, the
    allowance for rounding as a share of the stated residual, and the limit of iterations.
    """

    _fields_ = (
        ("residual", NUMBER),
        ("gradient_share", NUMBER),
        ("rounding", NUMBER),
        ("limit", INT),
    )


class ScratchRecord(Record):
    """Scratch memory: `scratch_arrays` arrays of cells, and that of the lines (see `sweeps`)."""

    _fields_ = (("work", F64), ("step", INT), ("lines", F64), ("lane", F64))


class BatchRecord(Record):
    """Solves and the room for their answers, see `linear.Problem`; `kept` is N or 0."""

    _fields_ = (
        ("index", INTS),
        ("V_in", F64),
        ("V_out", F64),
        ("I_out", F64),
        ("I_in", F64),
        ("inner", F64),
        ("kept", INT),
        ("report", F64),
    )


class DevicesRecord(Record):
    """Coefficients of the devices: (arrays, rows, cols); Q is (arrays,) for `SINH`.

    `stiffest` is the largest conductance at the read voltage, S.
    """

    _fields_ = (("kind", INT), ("P", F64), ("Q", F64), ("stiffest", NUMBER))


_SOLVE = (
    POINTER(NetworkRecord),
    POINTER(AimsRecord),
    POINTER(ScratchRecord),
    POINTER(BatchRecord),
)
linear = function("solve_linear", *_SOLVE, F64, INT, INT, INT, result=INT)
"""Solves start..stop of a batch: (net, aims, scratch, batch, G, start, stop, folded).

`folded` is the array whose factors are in the scratch memory (-1: none); returns the new one.
"""
newton = function("solve_newton", *_SOLVE, POINTER(DevicesRecord), F64, INT, INT)
"""Solves start..stop of a batch: (net, aims, scratch, batch, devices, guess, start, stop).

`guess` is (2, rows, cols), drops a and b from which every solve starts, or None.
"""
fold = function("fold_once", POINTER(NetworkRecord), POINTER(ScratchRecord), F64)
"""Factor both kinds of lines for device slopes: (net, scratch, D)."""
scratch_arrays = function("scratch_arrays", result=INT)
"""Number of arrays of cells in the scratch memory."""
_correct = function(
    "correct_once",
    POINTER(NetworkRecord),
    POINTER(ScratchRecord),
    *(3 * (F64,)),
    NUMBER,
    INT,
    POINTER(NUMBER),
    result=INT,
)
_evaluate = function("evaluate_devices", INT, *(3 * (F64,)), INT, F64, F64)


def correct(
    net: NetworkRecord,
    scratch: ScratchRecord,
    D: Array,
    F_wl: Array,
    F_bl: Array,
    aim: float,
    limit: int,
) -> tuple[int, float]:
    """Solve W a + D b = F_wl, D a + B b = F_bl until the square of the residual is at most `aim`.

    Returns the iterations and the square that remains; see `LEFT`, `RISE`, `DROP`.
    """
    square = NUMBER()
    used = _correct(net, scratch, D, F_wl, F_bl, aim, limit, ctypes.byref(square))
    return used, square.value


def evaluate(kind: int, P: Array, Q: Array, w: Array, current: Array, slope: Array) -> None:
    """Device currents (A) and slopes (S) of one array at the device voltages w, V."""
    _evaluate(kind, P, Q, w, w.size, current, slope)
