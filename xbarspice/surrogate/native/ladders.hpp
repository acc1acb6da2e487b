// Ladders: exact solves of all lines at once, and conjugate gradients between them.
//
// A line is a ladder of cells joined by wire segments of R_k ohm (or all of R ohm); `d` is the
// admittance of each node to ground. Folding the ladder from its first node on gives the driving-point admittance Y
// and the division factor s,
//
//     Y_0 = d_0 + g_first,   s_k = 1 / (1 + R_k Y_k),   Y_(k+1) = d_(k+1) + Y_k s_k,
//
// in which no number is ever subtracted (the idea of Grassmann, Taksar and Heyman 1985,
// doi:10.1287/opre.33.5.1107), and the response x to injected currents f follows from
//
//     c_0 = f_0,   c_(k+1) = f_(k+1) + s_k c_k,   t_k = R_k s_k c_k,   t_last = c_last / Y_last,
//     x_last = t_last,   x_k = t_k + s_k x_(k+1);   the energy f.x is the sum of t_k c_k.
//
// R_k = 0 is exact: s = 1, t = 0, and two nodes are one. An ideal end (a source without resistance) holds its node,
// and those that are one with it: s = 0 behind a first node, 1/Y = 0 at a last one.
//
// All arrays of cells are (rows, cols), and a vector holds as many lines as it has lanes. Bit lines
// lie so in memory. Word lines are turned in registers, square by square; their factors are kept in
// the order of use, with dangling cells (d = 0) up to whole squares, which change nothing.
//
// D is the device slope, a the drop along the word lines, b the rise along the bit lines.
// Eliminating the word lines leaves (B - D W^-1 D) b = f with the ladders B, W of the lines
// including D; B preconditions it, with a coarse correction where lines are soft (coarse.hpp).
#pragma once

#include "cells.hpp"

namespace xbarspice {

/// Fold all bit lines: division factors s (rows, cols), and 1/Y of the last nodes in `lane`.
void factor(ConstCells D, const Lines& bl, double* s, double* lane);

/// Drop what ideal ends absorb; nodes that are one keep one total, at the first. Returns |r|^2.
double settle(Cells r, const Lines& bl);

/// The same for word lines, which run along the rows of F.
double settle_rows(Cells F, const Lines& wl);

/// Numbers in the scratch memory of the word lines.
Index row_scratch(Index rows, Index cols);

/// Fold all word lines: their division factors and 1/Y of the last nodes.
void factor_rows(ConstCells D, const Lines& wl, double* lines);

/// r = F_bl - D W^-1 F_wl; r may be F_bl.
void eliminate(ConstCells D, const double* F_wl, const double* F_bl, const Lines& wl,
               double* lines, double* r);

/// a = W^-1 (F_wl - D b).
void recover(ConstCells D, const double* F_wl, const double* b, const Lines& wl, double* lines,
             double* a);

/// q = (B - D W^-1 D) p; returns p.q.
double schur(ConstCells D, const Network& net, const double* p, double* lines, double* q);

/// How conjugate gradients ended: iterations, and the square of what remains of the currents.
struct Ended {
    Index iterations;
    double square;
};

/// Arrays of cells that `pcg` works on; r holds the currents on entry and what remains after it.
struct Gradients {
    const double* s;
    double *r, *b, *p, *q, *coarse;
};

/// Solve (B - D W^-1 D) b = r until |r|^2 <= aim, in at most `limit` iterations.
Ended pcg(ConstCells D, const Network& net, double* lines, double* lane, const Gradients& x,
          double aim, Index limit);

}  // namespace xbarspice
