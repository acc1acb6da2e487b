// Sums over an array: open-circuit voltages, line currents, Kirchhoff residuals, error bounds.
#pragma once

#include "cells.hpp"

namespace xbarspice {

/// Device voltages of the array without devices: V_in and V_out times the share at each cell.
void open_circuit(const Network& net, const double* V_in, const double* V_out, double* e);

/// out = x.
void copy(const double* x, Index count, double* out);

/// out += t x.
void add_times(double t, const double* x, Index count, double* out);

/// x = 0.
void clear(double* x, Index count);

/// Line totals of the device currents; returns the largest line total or device current, A.
///
/// A sum that is not finite makes the return value infinite.
double line_currents(ConstCells current, double* I_in, double* I_out);

/// Largest magnitude; NaN is not looked for (a sum of squares finds it).
double largest(const double* x, Index count);

/// Current in A that the largest drop would drive through the stiffest wire or end; where segments
/// differ, the largest that the drop of a node would drive through its own wire or end.
double stiff_current(ConstCells x, const Lines& lines);

/// F = current - (what the bit lines carry away at the drops x), summed from branch currents.
///
/// Returns max |F| in A, infinity if a sum is not finite.
double network_residual(ConstCells current, const double* x, const Lines& bl, double* F);

/// The same for the word lines, along the rows.
double network_residual_rows(ConstCells current, const double* x, const Lines& wl, double* F);

/// Open-circuit voltages of cells of row i, from column j on, as shares of their bit line's driver.
template <class Size>
ALWAYS_INLINE V bit_share(const Network& net, Index i, Index j, Size n) {
    if (net.bl.by_cell) return load(net.bl.by_cell + i * net.cols() + j, n);
    return load(net.bl.share_rise() + j, n) * fill((double)i) + load(net.bl.share() + j, n);
}

/// A state of an array: open-circuit device voltages, drops, device currents, Kirchhoff sums.
struct State {
    const double *e, *a, *b, *current;
    double *F_wl, *F_bl;
};

/// What the line totals of the device currents may be wrong by, A, if device currents rise.
///
/// A current injected into the array leaves through its ends in shares between 0 and 1, so the
/// Kirchhoff sums F count in full, and so does every rounding: of the device voltages e - a - b
/// (with the slopes D; moved in `steps` steps), of the device equations (`rounding`, a share of
/// |I| + |w D|), of the wire currents and of the sums over lines.
double uncertainty(ConstCells D, const State& s, const Network& net, double steps,
                   double rounding);

/// An error in A as a share of the least that the largest output current can be.
double share_of_largest(double amperes, const double* I_out, Index count);

}  // namespace xbarspice
