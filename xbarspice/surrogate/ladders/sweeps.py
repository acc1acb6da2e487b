"""Ladders of all lines at once, one step at a time: what `solves` runs as a whole.

The equations are in ``native/ladders.hpp``. All arrays of cells are C-ordered (rows, cols);
`bl` and `wl` are records of `lines.Lines`. Word-line kernels take `row_scratch` numbers as scratch
memory; `lane` is (2, cols): 1/Y of the last nodes of the bit lines, and the carry of a sweep.
"""

from __future__ import annotations

from ctypes import POINTER

from xbarspice.core.types import Array
from xbarspice.surrogate.ladders.kernels import LinesRecord, NetworkRecord
from xbarspice.surrogate.native.library import F64, INT, NUMBER, function

__all__ = [
    "backward",
    "eliminate",
    "factor",
    "factor_rows",
    "forward",
    "recover",
    "row_scratch",
    "schur",
    "settle",
    "settle_rows",
]

_CELLS = (F64, INT, INT)
_LINES = POINTER(LinesRecord)
_factor = function("bit_lines_factor", *_CELLS, _LINES, F64, F64)
_forward = function("bit_lines_forward", *_CELLS, _LINES, F64, F64, F64, result=NUMBER)
_backward = function("bit_lines_backward", *_CELLS, F64, F64, F64)
_settle = function("bit_lines_settle", *_CELLS, _LINES, result=NUMBER)
_scratch = function("word_lines_scratch", INT, INT, result=INT)
_factor_rows = function("word_lines_factor", *_CELLS, _LINES, F64)
_eliminate = function("word_lines_eliminate", *_CELLS, F64, F64, _LINES, F64, F64)
_recover = function("word_lines_recover", *_CELLS, F64, F64, _LINES, F64, F64)
_schur = function("schur_of_lines", POINTER(NetworkRecord), *(4 * (F64,)), result=NUMBER)
_settle_rows = function("word_lines_settle", *_CELLS, _LINES, result=NUMBER)


def factor(D: Array, bl: LinesRecord, s: Array, lane: Array) -> None:
    """Fold all bit lines: division factors `s` (rows, cols) and 1/Y of the last nodes."""
    _factor(D, *D.shape, bl, s, lane)


def forward(f: Array, bl: LinesRecord, s: Array, lane: Array, t: Array) -> float:
    """Sweep currents f, 0 at ideal ends, to the last nodes: t; returns the energy f B^-1 f."""
    return _forward(f, *f.shape, bl, s, lane, t)


def backward(t: Array, s: Array, lane: Array, x: Array) -> None:
    """Voltages x from t of `forward` (it may be x)."""
    _backward(t, *t.shape, s, lane, x)


def settle(r: Array, bl: LinesRecord) -> float:
    """Drop what ideal ends absorb; nodes that are one keep one total. Returns |r|^2."""
    return _settle(r, *r.shape, bl)


def settle_rows(F: Array, wl: LinesRecord) -> float:
    """`settle` for word lines, which run along the rows of F."""
    return _settle_rows(F, *F.shape, wl)


def row_scratch(rows: int, cols: int) -> int:
    """Numbers in the scratch memory `lines` of the word lines."""
    return _scratch(rows, cols)


def factor_rows(D: Array, wl: LinesRecord, lines: Array) -> None:
    """Fold all word lines: their division factors and 1/Y of the last nodes, in `lines`."""
    _factor_rows(D, *D.shape, wl, lines)


def eliminate(D: Array, F_wl: Array, F_bl: Array, wl: LinesRecord, lines: Array, r: Array) -> None:
    """r = F_bl - D W^-1 F_wl; r may be F_bl."""  # noqa: D403
    _eliminate(D, *D.shape, F_wl, F_bl, wl, lines, r)


def recover(D: Array, F_wl: Array, b: Array, wl: LinesRecord, lines: Array, a: Array) -> None:
    """a = W^-1 (F_wl - D b)."""  # noqa: D403
    _recover(D, *D.shape, F_wl, b, wl, lines, a)


def schur(net: NetworkRecord, D: Array, p: Array, lines: Array, q: Array) -> float:
    """q = (B - D W^-1 D) p with the word lines folded in `lines`; returns p.q."""  # noqa: D403
    return _schur(net, D, p, lines, q)
