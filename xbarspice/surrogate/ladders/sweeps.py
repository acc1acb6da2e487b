"""Ladders of all lines at once, one step at a time: what `solves` runs as a whole.

The equations are in ``native/ladders.hpp``. All arrays of cells are C-ordered (rows, cols); line
ends are those of `linear.Lines`. Word-line kernels take `row_scratch` numbers as scratch memory;
`lane` is (2, cols): 1/Y of the last nodes of the bit lines, and the carry of a sweep.
"""

from __future__ import annotations

from xbarspice.core.types import Array
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
_factor = function("bit_lines_factor", *_CELLS, NUMBER, F64, F64, F64)
_forward = function("bit_lines_forward", *_CELLS, NUMBER, F64, F64, F64, result=NUMBER)
_backward = function("bit_lines_backward", *_CELLS, F64, F64, F64)
_settle = function("bit_lines_settle", *_CELLS, NUMBER, F64, result=NUMBER)
_scratch = function("word_lines_scratch", INT, INT, result=INT)
_factor_rows = function("word_lines_factor", *_CELLS, NUMBER, F64, F64)
_eliminate = function("word_lines_eliminate", *_CELLS, F64, F64, NUMBER, F64, F64)
_recover = function("word_lines_recover", *_CELLS, F64, F64, NUMBER, F64, F64)
_schur = function("word_lines_schur", *_CELLS, F64, F64, NUMBER, F64, F64, result=NUMBER)
_settle_rows = function("word_lines_settle", *_CELLS, NUMBER, F64, result=NUMBER)


def factor(D: Array, R: float, ends: Array, s: Array, lane: Array) -> None:
    """Fold all bit lines: division factors `s` (rows, cols) and 1/Y of the last nodes."""
    _factor(D, *D.shape, R, ends, s, lane)


def forward(f: Array, R: float, s: Array, lane: Array, t: Array) -> float:
    """Sweep currents f to the last nodes: t (it may be f); returns the energy f B^-1 f."""
    return _forward(f, *f.shape, R, s, lane, t)


def backward(t: Array, s: Array, lane: Array, x: Array) -> None:
    """Voltages x from t of `forward` (it may be x)."""
    _backward(t, *t.shape, s, lane, x)


def settle(r: Array, R: float, ends: Array) -> float:
    """Drop what ideal ends absorb; bit lines without resistance keep one total. Returns |r|^2."""
    return _settle(r, *r.shape, R, ends)


def settle_rows(F: Array, R: float, ends: Array) -> float:
    """`settle` for word lines, which run along the rows of F."""
    return _settle_rows(F, *F.shape, R, ends)


def row_scratch(rows: int, cols: int) -> int:
    """Numbers in the scratch memory `lines` of the word lines."""
    return _scratch(rows, cols)


def factor_rows(D: Array, R: float, ends: Array, lines: Array) -> None:
    """Fold all word lines: their division factors and 1/Y of the last nodes, in `lines`."""
    _factor_rows(D, *D.shape, R, ends, lines)


def eliminate(D: Array, F_wl: Array, F_bl: Array, R: float, lines: Array, r: Array) -> None:
    """r = F_bl - D W^-1 F_wl; r may be F_bl."""  # noqa: D403
    _eliminate(D, *D.shape, F_wl, F_bl, R, lines, r)


def recover(D: Array, F_wl: Array, b: Array, R: float, lines: Array, a: Array) -> None:
    """a = W^-1 (F_wl - D b)."""  # noqa: D403
    _recover(D, *D.shape, F_wl, b, R, lines, a)


def schur(D: Array, p: Array, Bp: Array, R: float, lines: Array, q: Array) -> float:
    """q = Bp - D W^-1 D p; returns (D p) W^-1 (D p)."""  # noqa: D403
    return _schur(D, *D.shape, p, Bp, R, lines, q)
