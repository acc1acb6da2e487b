#include "sums.hpp"

#include "ladders.hpp"

namespace xbarspice {

/// Largest relative rounding error of one operation.
static constexpr double UNIT = 0x1p-53;
/// More than what the sums of magnitudes themselves may lose.
static constexpr double SLACK = 1.001;

void open_circuit(const Network& net, const double* V_in, const double* V_out, double* e) {
    const Index cols = net.cols();
    V cells;
    for (int k = 0; k < LANES; ++k) cells[k] = k;
    for (Index i = 0; i < net.rows(); ++i) {
        const V at_first = fill(V_in[i] * net.wl.share()[i]);
        const V rise = fill(V_in[i] * net.wl.share_rise()[i]), volts = fill(V_in[i]);
        const double* by_cell = net.wl.by_cell ? net.wl.by_cell + i * cols : nullptr;
        V cell = cells;
        double* out = e + i * cols;
        across<double>(cols, [&](Index j, auto n) {
            const V on_wl = by_cell ? load(by_cell + j, n) * volts : rise * cell + at_first;
            store(out + j, on_wl - load(V_out + j, n) * bit_share(net, i, j, n), n);
            cell += (double)LANES;
        });
    }
}

void copy(const double* x, Index count, double* out) {
    across<double>(count, [&](Index j, auto n) { store(out + j, load(x + j, n), n); });
}

void add_times(double t, const double* x, Index count, double* out) {
    const V length = fill(t);
    across<double>(count, [&](Index j, auto n) {
        store(out + j, length * load(x + j, n) + load(out + j, n), n);
    });
}

void clear(double* x, Index count) {
    across<double>(count, [&](Index j, auto n) { store(x + j, V{}, n); });
}

double line_currents(ConstCells current, double* I_in, double* I_out) {
    Peak<double> by_device;
    double most = 0.0, everything = 0.0;
    clear(I_out, current.cols);
    for (Index i = 0; i < current.rows; ++i) {
        const double* row = current[i];
        Sum<double> by_row;
        across_in_chains<double>(current.cols, [&](Index j, auto n, auto chain) {
            const V x = load(row + j, n);
            by_row.add(chain, x);
            store(I_out + j, load(I_out + j, n) + x, n);
            by_device.add(chain, absolute(x));
        });
        I_in[i] = by_row.total();
        most = larger(most, magnitude(I_in[i]));
    }
    for (Index j = 0; j < current.cols; ++j) {
        everything += magnitude(I_out[j]);
        most = larger(most, magnitude(I_out[j]));
    }
    return is_finite(everything) ? larger(most, by_device.largest()) : INFINITE;
}

double largest(const double* x, Index count) {
    Peak<double> worst;
    across_in_chains<double>(
        count, [&](Index j, auto n, auto chain) { worst.add(chain, absolute(load(x + j, n))); });
    return worst.largest();
}

/// Calls f(chain, x, next, g) for the drops at both ends of all segments, with their numbers g.
template <class Numbers, class F>
ALWAYS_INLINE static void each_segment(ConstCells x, const Lines& lines, Numbers g, F f) {
    const Stretches on(lines, x);
    for (Index i = 0; i < on.count; ++i) {
        const double *here = x[i], *next = here + on.apart;
        across_in_chains<double>(on.wires, [&](Index j, auto n, auto chain) {
            f(chain, load(here + j, n), load(next + j, n), g(i * on.wires + j, n));
        });
    }
}

/// Largest current in A that a drop next to a segment would drive through that segment.
static double stiff_segments(ConstCells x, const Lines& lines) {
    Peak<double> worst;
    each_segment(x, lines, Each{lines.conductances}, [&](auto chain, V here, V next, V g) {
        worst.add(chain, maximum(absolute(here), absolute(next)) * g);
    });
    return worst.largest();
}

double stiff_current(ConstCells x, const Lines& lines) {
    double stiffest = lines.R > 0.0 ? 1.0 / lines.R : 0.0;
    for (Index line = 0; line < lines.count; ++line) {
        stiffest = larger(stiffest, larger(lines.first()[line], lines.last()[line]));
    }
    const double at_ends = stiffest * largest(x.data, x.size());
    return lines.conductances ? larger(at_ends, stiff_segments(x, lines)) : at_ends;
}

double network_residual(ConstCells current, const double* x, const Lines& bl, double* F) {
    const Index cells = current.rows, lines = current.cols;
    with_conductances(bl, [&](auto g) {
        for (Index k = 0; k < cells; ++k) {
            const double* xk = x + k * lines;
            const Index wire = k * lines;
            const bool above = k > 0, below = k + 1 < cells;
            across<double>(lines, [&](Index j, auto n) {
                const V here = load(xk + j, n);
                V left = load(current[k] + j, n);
                if (above) left = (load(xk - lines + j, n) - here) * g(wire - lines + j, n) + left;
                if (below) left = left - (here - load(xk + lines + j, n)) * g(wire + j, n);
                store(F + k * lines + j, left, n);
            });
        }
    });
    const Index end = (cells - 1) * lines;
    for (Index line = 0; line < lines; ++line) F[line] -= bl.first()[line] * x[line];
    for (Index line = 0; line < lines; ++line) F[end + line] -= bl.last()[line] * x[end + line];
    const double square = settle({F, cells, lines}, bl);
    return is_finite(square) ? largest(F, current.size()) : INFINITE;
}

double network_residual_rows(ConstCells current, const double* x, const Lines& wl, double* F) {
    const Index cells = current.cols, last = cells - 1;
    with_conductances(wl, [&](auto g) {
        for (Index line = 0; line < current.rows; ++line) {
            const double *I = current[line], *xl = x + line * cells;
            double* Fl = F + line * cells;
            const Index wire = line * last;
            if (last > 1) {
                across<double>(last - 1, [&](Index j, auto n) {
                    const Index k = j + 1;
                    const V here = load(xl + k, n);
                    const V left =
                        load(I + k, n) - (here - load(xl + k - 1, n)) * g(wire + j, n);
                    store(Fl + k, left - (here - load(xl + k + 1, n)) * g(wire + k, n), n);
                });
            }
            Fl[0] = I[0];
            if (cells > 1) {
                Fl[0] -= (xl[0] - xl[1]) * g.one(wire);
                Fl[last] = I[last] - (xl[last] - xl[last - 1]) * g.one(wire + last - 1);
            }
            Fl[0] -= wl.first()[line] * xl[0];
            Fl[last] -= wl.last()[line] * xl[last];
        }
    });
    const double square = settle_rows({F, current.rows, cells}, wl);
    return is_finite(square) ? largest(F, current.size()) : INFINITE;
}

/// Sum of all magnitudes.
static double magnitudes(const double* x, Index count) {
    Sum<double> out;
    across_in_chains<double>(
        count, [&](Index j, auto n, auto chain) { out.add(chain, absolute(load(x + j, n))); });
    return out.total();
}

/// Sum of the magnitudes of the currents along all lines of one kind at the drops x, A.
static double wire_currents(ConstCells x, const Lines& lines) {
    Sum<double> out;
    const auto add = [&](auto chain, V here, V next, V g) {
        out.add_product(chain, absolute(here - next), g);
    };
    if (lines.conductances) {
        each_segment(x, lines, Each{lines.conductances}, add);
        return out.total();
    }
    if (lines.R == 0.0) return 0.0;
    each_segment(x, lines, Alike{fill(1.0)}, add);
    return out.total() / lines.R;
}

double uncertainty(ConstCells D, const State& s, const Network& net, double steps,
                   double rounding) {
    const Index count = D.size();
    Sum<double> volts;
    across_in_chains<double>(count, [&](Index j, auto n, auto chain) {
        const V size = absolute(load(s.e + j, n)) + absolute(load(s.a + j, n));
        volts.add_product(chain, load(D.data + j, n), size + absolute(load(s.b + j, n)));
    });
    const double devices = magnitudes(s.current, count), by_volts = volts.total();
    const double wires = wire_currents({s.a, D.rows, D.cols}, net.wl) +
                         wire_currents({s.b, D.rows, D.cols}, net.bl);
    // a Kirchhoff sum takes three roundings of a wire current at each of its ends and two
    // additions; a sum over a line takes one a cell, and no line carries more than its cells at the
    // largest
    const double longest = (double)(D.rows > D.cols ? D.rows : D.cols);
    const double line = (double)(D.rows + D.cols) * longest * largest(s.current, count);
    double merged = net.wl.joined() ? (double)D.cols * devices : 0.0;
    merged += net.bl.joined() ? (double)D.rows * devices : 0.0;
    const double lost = 8.0 * devices + line + merged + 8.0 * wires + (8.0 + 4.0 * steps) * by_volts;
    const double left = magnitudes(s.F_wl, count) + magnitudes(s.F_bl, count);
    return SLACK * (left + UNIT * lost + rounding * (devices + by_volts));
}

double share_of_largest(double amperes, const double* I_out, Index count) {
    double most = 0.0;
    for (Index j = 0; j < count; ++j) most = larger(most, magnitude(I_out[j]));
    if (amperes == 0.0) return 0.0;
    return most > amperes ? amperes / (most - amperes) : INFINITE;
}

// --- for Python ----------------------------------------------------------------------------------

EXPORT void open_circuit_voltages(const Network* net, const double* V_in, const double* V_out,
                                  double* e) {
    open_circuit(*net, V_in, V_out, e);
}

EXPORT double currents_of_lines(const double* current, Index rows, Index cols, double* I_in,
                                double* I_out) {
    return line_currents({current, rows, cols}, I_in, I_out);
}

EXPORT double largest_of(const double* x, Index count) { return largest(x, count); }

EXPORT double stiffest_current(const double* x, Index rows, Index cols, const Lines* lines) {
    return stiff_current({x, rows, cols}, *lines);
}

EXPORT double bit_lines_residual(const double* current, Index rows, Index cols, const double* x,
                                 const Lines* bl, double* F) {
    return network_residual({current, rows, cols}, x, *bl, F);
}

EXPORT double word_lines_residual(const double* current, Index rows, Index cols, const double* x,
                                  const Lines* wl, double* F) {
    return network_residual_rows({current, rows, cols}, x, *wl, F);
}

EXPORT double currents_uncertainty(const Network* net, const double* D, const double* e,
                                   const double* a, const double* b, const double* current,
                                   double* F_wl, double* F_bl, double steps, double rounding) {
    return uncertainty({D, net->rows(), net->cols()}, {e, a, b, current, F_wl, F_bl}, *net, steps,
                       rounding);
}

EXPORT double error_share(double amperes, const double* I_out, Index count) {
    return share_of_largest(amperes, I_out, count);
}

}  // namespace xbarspice
