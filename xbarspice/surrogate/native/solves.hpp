// Whole solves of a batch; the records of ladders/linear.py and ladders/solves.py.
//
// A solve whose conjugate gradients need too many iterations is left with the residual `UNFINISHED`
// for the direct method.
#pragma once

#include "ladders.hpp"
#include "sums.hpp"

namespace xbarspice {

/// Residual of a solve that was left to the direct method.
inline constexpr double UNFINISHED = -1.0;
inline constexpr int MAX_CORRECTIONS = 4;

/// Scratch arrays of cells: those of `fold` and `correct` first, then those of the solves.
enum Array { FACTORS, LEFT, RISE, DIRECTION, COARSE, DROP, SPARE };

/// A batch of solves and the room for its answers; the record `Batch`.
struct Batch {
    const Index* index;           // array of each solve
    const double *V_in, *V_out;   // (N, rows), (N, cols)
    double *I_out, *I_in;         // (N, cols), (N, rows)
    double* inner;                // (6, kept, rows, cols): V_wl, V_bl, I_device, V_device, a, b
    Index kept;                   // solves that keep these: N or 0
    double* report;               // (N, 4): iterations, Newton steps, residual, error of a current
};

/// What one solve leaves beside its currents.
struct Report {
    double iterations, steps, residual, error;
};

/// Factor both kinds of lines for the device slopes D.
void fold(ConstCells D, const Network& net, const Scratch& scratch);

/// Solve W a + D b = F_wl, D a + B b = F_bl.
///
/// Leaves a in array(DROP), b in array(RISE) and what remains of F_bl in array(LEFT); returns the
/// iterations and the square of that remainder.
Ended correct(ConstCells D, const double* F_wl, const double* F_bl, const Network& net,
              const Scratch& scratch, double aim, Index limit);

/// Relative Kirchhoff residual of the state; the sums are left in F_wl and F_bl, A.
///
/// It is judged against the largest current, unless stiff wires, or the stiffest device (S), make
/// the rounding of the voltages alone exceed the stated share of it.
double true_residual(const Network& net, const State& s, double most, double stiffest,
                     double rounding);

/// Node voltages and device quantities of solve n, if room for them was given.
void keep(const Batch& batch, Index n, const Network& net, const State& s, const double* w);

/// The room for the report of a solve.
inline void write(const Batch& batch, Index n, const Report& report) {
    __builtin_memcpy(batch.report + 4 * n, &report, sizeof report);
}

}  // namespace xbarspice
