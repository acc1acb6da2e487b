// Arrays of cells and lines, as Python hands them over; see ladders/lines.py.
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

/// A number of every segment of lines of one kind: all alike.
struct Alike {
    V value;

    template <class Size>
    ALWAYS_INLINE V operator()(Index, Size) const {
        return value;
    }
    double one(Index) const { return value[0]; }
};

/// A number of every segment of lines of one kind: from memory.
struct Each {
    const double* values;

    template <class Size>
    ALWAYS_INLINE V operator()(Index at, Size n) const {
        return load(values + at, n);
    }
    double one(Index at) const { return values[at]; }
};

/// All lines of one kind as ladders; `lines.Lines` in Python.
struct Lines {
    double R;              // of one wire segment, ohm; not a number where they differ
    Index cells, count;    // of every line; lines
    const double* ends;    // (5, count): see below
    const double* shares;  // open-circuit voltage at cell 0 and its rise from cell to cell, (2, count)
    Index along_rows;       // whether they are word lines, along the rows of arrays of cells
    // of the segments where they differ, else null: resistances in the order of the sweeps, ohm, and
    // conductances, S, 0 for no resistance, as `Crossbar` has them
    const double *resistances, *conductances;
    Index shorts;           // segments without resistance, where they differ
    const double* by_cell;  // open-circuit voltages (rows, cols) where they are no such rise, else null
    Index modes;            // slowest modes of a mean line, see coarse.hpp; 0: none
    const double *mode_values, *mode_vectors;  // S, (modes); (modes, cells)

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

    /// Whether a line is one node.
    bool one_node() const { return cells == 1 || R == 0.0; }
    /// Whether some nodes are one.
    bool joined() const { return R == 0.0 || shorts > 0; }
    /// Place of the segment behind cell `cell` among all segments, as `Crossbar` has them.
    Index segment(Index line, Index cell) const {
        return along_rows ? line * (cells - 1) + cell : cell * count + line;
    }
    /// Of that segment where segments differ, S, 0 for no resistance.
    double conductance(Index line, Index cell) const { return conductances[segment(line, cell)]; }
    /// Whether that segment joins two nodes.
    bool is_short(Index line, Index cell) const { return conductance(line, cell) == 0.0; }
    /// Admittance that a node that an ideal first end holds hands on, S.
    double handed_on(Index line, Index cell) const {
        return conductances ? conductance(line, cell) : through()[line];
    }
    /// Whether an ideal first end holds node `cell`, through segments without resistance too.
    bool holds(Index line, Index cell) const {
        if (first_free()[line] != 0.0) return false;
        for (Index k = 0; k < cell; ++k) {
            if (!conductances || !is_short(line, k)) return false;
        }
        return true;
    }
    /// First of the nodes that are one with the last, where segments differ.
    Index last_node(Index line) const {
        Index k = cells - 1;
        while (k > 0 && is_short(line, k - 1)) --k;
        return k;
    }
};

/// Call pass(r) with the resistances of the segments, ohm, in the order of the sweeps.
template <class Pass>
ALWAYS_INLINE auto with_resistances(const Lines& lines, const Pass& pass) {
    if (lines.resistances) return pass(Each{lines.resistances});
    return pass(Alike{fill(lines.R)});
}

/// Call pass(g) with the conductances of the segments, S, 0 for no resistance.
template <class Pass>
ALWAYS_INLINE auto with_conductances(const Lines& lines, const Pass& pass) {
    if (lines.conductances) return pass(Each{lines.conductances});
    return pass(Alike{fill(lines.R > 0.0 ? 1.0 / lines.R : 0.0)});
}

/// Where segments of lines of one kind stand in an array of cells: in a few stretches.
struct Stretches {
    Index count, wires, apart;  // stretches; segments of each; distance of joined cells

    Stretches(const Lines& lines, Grid<const double> x)
        : count(lines.along_rows ? x.rows : 1),
          wires(lines.along_rows ? x.cols - 1 : x.size() - x.cols),
          apart(lines.along_rows ? 1 : x.cols) {}
};

/// The linear part of a crossbar; `lines.Network` in Python.
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
