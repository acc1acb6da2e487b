// A coarse correction: what preconditioning by bit lines alone leaves to many iterations.
//
// Where both the bit lines and the word lines of a large array are soft against its devices, smooth
// voltages b cost little in b (B - D W^-1 D) b and much in b B b. Over products of the slowest modes
// of a mean bit line (value l) and a mean word line (value k), with the mean device slope d,
//
//     B = l + d,   B - D W^-1 D = l + d k / (d + k),
//
// so that adding (1/(B - D W^-1 D) - 1/B) in these products to B^-1 brings them to 1. It stays a
// preconditioner: devices, segments and ends that differ cost iterations, not accuracy.
#pragma once

#include "cells.hpp"

namespace xbarspice {

/// Rows that pass through the modes together.
inline constexpr Index COARSE_ROWS = 4;

/// The correction for one array of device slopes; where it does not pay, nothing is done.
class Coarse {
public:
    Coarse() = default;
    /// `memory` is an array of cells.
    Coarse(ConstCells D, const Network& net, double* memory);

    /// Begin with no currents.
    void start() const;
    /// Take in the currents up to row i, from row 0 on one after the other.
    void gather(ConstCells r, Index i) const;
    /// Correct what was taken in; returns its energy.
    double solve() const;
    /// Voltages of row i, from the last row on one before the other; null for none.
    const double* rise(Index i) const;

private:
    template <Index N>
    void gather_rows(ConstCells r, Index i) const;

    const Network* net = nullptr;
    Index down = 0, along = 0, width = 0;  // modes of the bit, the word lines; in whole vectors
    double *weights = nullptr, *sums = nullptr;  // (down, width)
    double *part = nullptr, *rows = nullptr;     // (COARSE_ROWS, width), (COARSE_ROWS, cols)
};

}  // namespace xbarspice
