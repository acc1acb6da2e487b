#include "solves.hpp"

namespace xbarspice {

/// Relative residual below which the allowance for rounding need not be found.
static constexpr double RESIDUAL_MET = 1e-13;

void fold(ConstCells D, const Network& net, const Scratch& scratch) {
    factor_rows(D, net.wl, scratch.lines);
    factor(D, net.bl, scratch.array(FACTORS), scratch.lane);
}

Ended correct(ConstCells D, const double* F_wl, const double* F_bl, const Network& net,
              const Scratch& scratch, double aim, Index limit) {
    double *r = scratch.array(LEFT), *b = scratch.array(RISE), *a = scratch.array(DROP);
    const Gradients arrays{scratch.array(FACTORS),   r, b, scratch.array(DIRECTION), a,
                           scratch.array(COARSE)};
    eliminate(D, F_wl, F_bl, net.wl, scratch.lines, r);
    const Ended ended = pcg(D, net, scratch.lines, scratch.lane, arrays, aim, limit);
    recover(D, F_wl, b, net.wl, scratch.lines, a);
    return ended;
}

double true_residual(const Network& net, const State& s, double most, double stiffest,
                     double rounding) {
    const Index rows = net.rows(), cols = net.cols();
    const ConstCells current{s.current, rows, cols};
    const double on_wl = network_residual_rows(current, s.a, net.wl, s.F_wl);
    const double worst = larger(on_wl, network_residual(current, s.b, net.bl, s.F_bl));
    if (!is_finite(most) || !is_finite(worst)) return INFINITE;
    if (worst <= RESIDUAL_MET * most) return most > 0.0 ? worst / most : 0.0;
    const double wire = larger(stiff_current({s.a, rows, cols}, net.wl),
                               stiff_current({s.b, rows, cols}, net.bl));
    const double volts = stiffest * largest(s.e, rows * cols);
    const double scale = larger(most, rounding * larger(wire, volts));
    return scale > 0.0 ? worst / scale : worst;
}

void keep(const Batch& batch, Index n, const Network& net, const State& s, const double* w) {
    if (n >= batch.kept) return;
    const Index cols = net.cols(), cells = net.rows() * cols;
    double* out[6];
    for (int k = 0; k < 6; ++k) out[k] = batch.inner + (k * batch.kept + n) * cells;
    V cell_numbers;
    for (int k = 0; k < LANES; ++k) cell_numbers[k] = k;
    for (Index i = 0; i < net.rows(); ++i) {
        const V volts = fill(batch.V_in[n * net.rows() + i]);
        const double* by_cell = net.wl.by_cell ? net.wl.by_cell + i * cols : nullptr;
        const V at_first = fill(net.wl.share()[i]), rise = fill(net.wl.share_rise()[i]);
        const double* V_out = batch.V_out + n * cols;
        const Index at = i * cols;
        V cell = cell_numbers;
        across<double>(cols, [&](Index j, auto size) {
            const V share = by_cell ? load(by_cell + j, size) : rise * cell + at_first;
            const V a = load(s.a + at + j, size), b = load(s.b + at + j, size);
            store(out[0] + at + j, volts * share - a, size);
            store(out[1] + at + j, load(V_out + j, size) * bit_share(net, i, j, size) + b, size);
            cell += (double)LANES;
        });
    }
    copy(s.current, cells, out[2]);
    copy(w, cells, out[3]);
    copy(s.a, cells, out[4]);
    copy(s.b, cells, out[5]);
}

/// Scratch arrays of linear solves, behind those of `correct`.
enum LinearArray { E = SPARE, A, B, W, CURRENT, ON_WL };

/// Device voltages w = e - a - b and device currents G w.
static void ohmic_currents(ConstCells G, const State& s, double* w, double* current) {
    across<double>(G.size(), [&](Index j, auto n) {
        const V volts = load(s.e + j, n) - load(s.a + j, n) - load(s.b + j, n);
        store(w + j, volts, n);
        store(current + j, load(G.data + j, n) * volts, n);
    });
}

/// One linear solve from the open-circuit device voltages in array(E).
static Report solve_one(ConstCells G, const Network& net, const Aims& aims, const Scratch& scratch,
                        double* I_out, double* I_in) {
    double *a = scratch.array(A), *b = scratch.array(B), *w = scratch.array(W);
    double *current = scratch.array(CURRENT), *F = scratch.array(ON_WL), *r = scratch.array(LEFT);
    const State s{scratch.array(E), a, b, current, F, r};
    const Index count = G.size();
    clear(a, count);
    clear(b, count);
    ohmic_currents(G, s, w, current);
    double most = line_currents({current, G.rows, G.cols}, I_in, I_out);
    const double stiffest = largest(G.data, count);
    Report out{0.0, 0.0, most == 0.0 ? 0.0 : INFINITE, 0.0};
    if (most == 0.0) {
        clear(F, count);
        clear(r, count);
    }
    for (int correction = 0; correction < MAX_CORRECTIONS; ++correction) {
        if (out.residual <= aims.residual) break;
        const bool first = correction == 0;
        const double aim = aims.gradient_share * most;
        const Ended ended = correct(G, first ? current : F, first ? current : r, net, scratch,
                                    aim * aim, aims.limit);
        out.iterations += (double)ended.iterations;
        if (!(ended.square <= aim * aim)) {
            out.residual = UNFINISHED;
            break;
        }
        add_times(1.0, scratch.array(DROP), count, a);
        add_times(1.0, scratch.array(RISE), count, b);
        ohmic_currents(G, s, w, current);
        most = line_currents({current, G.rows, G.cols}, I_in, I_out);
        out.residual = true_residual(net, s, most, stiffest, aims.rounding);
    }
    out.error = share_of_largest(uncertainty(G, s, net, 0.0, 0.0), I_out, G.cols);
    return out;
}

/// Solves start..stop of a batch on linear arrays G, S, (arrays, rows, cols).
///
/// `folded` is the array whose factors are in the scratch memory (-1: none); returns the new one.
EXPORT Index solve_linear(const Network* net, const Aims* aims, const Scratch* scratch,
                          const Batch* batch, const double* G, Index start, Index stop,
                          Index folded) {
    const Index rows = net->rows(), cols = net->cols();
    for (Index n = start; n < stop; ++n) {
        const Index k = batch->index[n];
        const ConstCells g{G + k * rows * cols, rows, cols};
        if (k != folded) fold(g, *net, *scratch);
        folded = k;
        open_circuit(*net, batch->V_in + n * rows, batch->V_out + n * cols, scratch->array(E));
        write(*batch, n, solve_one(g, *net, *aims, *scratch, batch->I_out + n * cols,
                                   batch->I_in + n * rows));
        keep(*batch, n, *net,
             {scratch->array(E), scratch->array(A), scratch->array(B), scratch->array(CURRENT),
              nullptr, nullptr},
             scratch->array(W));
    }
    return folded;
}

/// Factors for the slopes D (rows, cols), kept in the scratch memory for `correct_once`.
EXPORT void fold_once(const Network* net, const Scratch* scratch, const double* D) {
    fold({D, net->rows(), net->cols()}, *net, *scratch);
}

/// `correct` with the square that remains in `square`; returns the iterations.
EXPORT Index correct_once(const Network* net, const Scratch* scratch, const double* D,
                          const double* F_wl, const double* F_bl, double aim, Index limit,
                          double* square) {
    const Ended ended =
        correct({D, net->rows(), net->cols()}, F_wl, F_bl, *net, *scratch, aim, limit);
    *square = ended.square;
    return ended.iterations;
}

}  // namespace xbarspice
