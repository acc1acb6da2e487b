"""Compiled sums over an array: open-circuit voltages, line currents, Kirchhoff residuals.

What each one computes stands in ``native/sums.hpp``. All arrays of cells are C-ordered (rows,
cols); `LinesRecord` and `NetworkRecord` are how kernels see `lines.Lines` and `lines.Network`.
"""

from __future__ import annotations

from ctypes import POINTER

from xbarspice.core.types import Array
from xbarspice.surrogate.native.library import F64, INT, NUMBER, Record, function

__all__ = [
    "LinesRecord",
    "NetworkRecord",
    "currents",
    "largest",
    "network_residual",
    "network_residual_rows",
    "open_circuit",
    "share",
    "stiff_current",
    "uncertainty",
]


class LinesRecord(Record):
    """`lines.Lines` for kernels.

    Where segments differ: their `resistances` in the order of the sweeps, ohm, `conductances` as
    `Crossbar` has them, S, 0 for no resistance, and the number of the latter, `shorts`; else None.
    `by_cell` is (rows, cols) or None. Modes are those of `modes.slowest_modes`.
    """

    _fields_ = (
        ("R", NUMBER),
        ("cells", INT),
        ("count", INT),
        ("ends", F64),
        ("share", F64),
        ("along_rows", INT),
        ("resistances", F64),
        ("conductances", F64),
        ("shorts", INT),
        ("by_cell", F64),
        ("modes", INT),
        ("mode_values", F64),
        ("mode_vectors", F64),
    )


class NetworkRecord(Record):
    """`lines.Network` for kernels."""

    _fields_ = (("wl", LinesRecord), ("bl", LinesRecord))


_CELLS = (F64, INT, INT)
_open_circuit = function("open_circuit_voltages", POINTER(NetworkRecord), F64, F64, F64)
_currents = function("currents_of_lines", *_CELLS, F64, F64, result=NUMBER)
_largest = function("largest_of", F64, INT, result=NUMBER)
_stiff_current = function("stiffest_current", *_CELLS, POINTER(LinesRecord), result=NUMBER)
_residual = function("bit_lines_residual", *_CELLS, F64, POINTER(LinesRecord), F64, result=NUMBER)
_residual_rows = function(
    "word_lines_residual", *_CELLS, F64, POINTER(LinesRecord), F64, result=NUMBER
)
_uncertainty = function(
    "currents_uncertainty", POINTER(NetworkRecord), *(7 * (F64,)), NUMBER, NUMBER, result=NUMBER
)
_share = function("error_share", NUMBER, F64, INT, result=NUMBER)


def open_circuit(net: NetworkRecord, V_in: Array, V_out: Array, e: Array) -> None:
    """Device voltages e of the array without devices, V."""
    _open_circuit(net, V_in, V_out, e)


def currents(current: Array, I_in: Array, I_out: Array) -> float:
    """Line totals of the device currents; returns the largest line total or device current, A.

    A sum that is not finite makes the return value infinite.
    """
    return _currents(current, *current.shape, I_in, I_out)


def largest(x: Array) -> float:
    """Largest magnitude; NaN is not looked for (a sum of squares finds it)."""
    return _largest(x, x.size)


def stiff_current(x: Array, lines: LinesRecord) -> float:
    """Current in A that the largest drop would drive through the stiffest wire or end."""
    return _stiff_current(x, *x.shape, lines)


def network_residual(current: Array, x: Array, bl: LinesRecord, F: Array) -> float:
    """F = current - (what the bit lines carry away at the drops x), summed from branch currents.

    Returns max |F| in A, infinity if a sum is not finite.
    """
    return _residual(current, *current.shape, x, bl, F)


def network_residual_rows(current: Array, x: Array, wl: LinesRecord, F: Array) -> float:
    """`network_residual` for the word lines."""
    return _residual_rows(current, *current.shape, x, wl, F)


def uncertainty(
    net: NetworkRecord,
    D: Array,
    volts: tuple[Array, Array, Array],
    sums: tuple[Array, Array, Array],
    steps: float,
    rounding: float,
) -> float:
    """What the line totals of the device currents may be wrong by, A, if device currents rise.

    Args:
        net: the lines.
        D: device slopes, S.
        volts: open-circuit device voltages e and the drops a, b, V.
        sums: device currents and the Kirchhoff sums of the word and bit lines, A.
        steps: moves of the voltages.
        rounding: of the device equations, as a share of |I| + |w D|.
    """
    return _uncertainty(net, D, *volts, *sums, steps, rounding)


def share(amperes: float, I_out: Array) -> float:
    """An error in A as a share of the least that the largest output current can be."""
    return _share(amperes, I_out, I_out.size)
