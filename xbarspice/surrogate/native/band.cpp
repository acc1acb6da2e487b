// Elimination in a band without any subtraction; see `direct._Banded`.
#include "simd.hpp"

using namespace xbarspice;

/// Star-mesh elimination of `size` nodes, each joined to the next `width` ones at most.
///
/// `band` (size, 1 + width) holds the conductances between the nodes on entry, and `known` those to
/// the ends, S.
EXPORT void eliminate_band(double* band, double* known, Index size, Index width) {
    const Index step = width + 1;
    for (Index k = 0; k < size; ++k) {
        const Index last = width < size - 1 - k ? width : size - 1 - k;
        double* row = band + k * step;
        double through = known[k];
        for (Index p = 1; p <= last; ++p) through += row[p];
        row[0] = through;
        for (Index p = 1; p <= last; ++p) {
            const double g = row[p];
            if (!(g > 0.0)) continue;
            const double share = g / through;
            row[p] = share;
            known[k + p] += share * known[k];
            for (Index q = 1; q < p; ++q)  // row[q] is a share already
                band[(k + q) * step + p - q] += row[q] * g;
        }
    }
}

/// Injected currents x (size), A, to node voltages x, V, for a band that was eliminated.
EXPORT void solve_band(const double* band, double* x, Index size, Index width) {
    const Index step = width + 1;
    for (Index k = 0; k < size; ++k) {
        const Index last = width < size - 1 - k ? width : size - 1 - k;
        for (Index p = 1; p <= last; ++p) x[k + p] += band[k * step + p] * x[k];
    }
    for (Index k = size - 1; k >= 0; --k) {
        const Index last = width < size - 1 - k ? width : size - 1 - k;
        double total = band[k * step] > 0.0 ? x[k] / band[k * step] : 0.0;
        for (Index p = 1; p <= last; ++p) total += band[k * step + p] * x[k + p];
        x[k] = total;
    }
}
