// Arrays of cells and lines, as Python hands them over; see ladders/linear.py.
#pragma once

#include "simd.hpp"

namespace xbarspice {

inline constexpr double INFINITE = __builtin_huge_val();

inline bool is_finite(double x) { return __builtin_isfinite(x); }
inline double magnitude(double x) { return __builtin_fabs(x); }
inline double larger(double a, double b) { return b > a ? b : a; }

using V = Vec<double>;
inline constexpr int LANES = lanes<double>;

/// A C-ordered array of (rows, cols) numbers.
template <class T>
struct Grid {
    T* data;
    Index rows, cols;

    T* operator[](Index row) const { return data + row * cols; }
    Index size() const { return rows * cols; }
    operator Grid<const T>() const { return {data, rows, cols}; }
};
using Cells = Grid<double>;
using ConstCells = Grid<const double>;

/// All lines of one kind as ladders; `linear.Lines` in Python.
struct Lines {
    double R;              // of one wire segment, ohm
    Index cells, count;    // of every line; lines
    const double* ends;    // (5, count): see below
    const double* shares;  // open-circuit voltage at cell 0 and its rise from cell to cell, (2, count)

    /// Conductance of the first end, S.
    const double* first() const { return ends; }
    /// 1 if the first node is free, 0 if an ideal source holds it.
    const double* first_free() const { return ends + count; }
    /// Admittance that an ideal first node hands on, S.
    const double* through() const { return ends + 2 * count; }
    /// The same of the last end and node.
    const double* last() const { return ends + 3 * count; }
    const double* last_free() const { return ends + 4 * count; }
    const double* share() const { return shares; }
    const double* share_rise() const { return shares + count; }
};

/// The linear part of a crossbar; `linear.Network` in Python.
struct Network {
    Lines wl, bl;

    Index rows() const { return wl.count; }
    Index cols() const { return bl.count; }
};

/// What a solve aims at; the record `AimsRecord` of solves.py.
struct Aims {
    double residual;        // stated Kirchhoff residual, relative to the largest current
    double gradient_share;  // of the largest current, at which the gradients stop
    double rounding;        // allowance for rounding, see `true_residual`
    Index limit;            // of iterations
};

/// Scratch memory; the record `ScratchRecord` of solves.py.
struct Scratch {
    double* work;   // arrays of cells, `step` numbers apart
    Index step;
    double* lines;  // factors of the word lines, see `row_scratch`
    double* lane;   // (2, cols): 1/Y of the last nodes of the bit lines, carry of a sweep

    double* array(int number) const { return work + number * step; }
};

}  // namespace xbarspice
