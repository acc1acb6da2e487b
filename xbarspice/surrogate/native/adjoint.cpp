// Adjoint solves: ranges of a batch, each from its sources to all gradients but dI/dp; the
// equations are in adjoint.py.
#include <math.h>

#include "solves.hpp"

namespace xbarspice {

/// Sources and results of the adjoint solves; the record `AdjointRecord` of adjoint_kernels.py.
struct Adjoint {
    const Index* index;  // slopes of each solve
    const double* D;     // (slopes, rows, cols), S
    // gradients by I_out (N, cols), I_in (N, rows), and by I_device, V_wl, V_bl (N, rows, cols) or
    // null for 0
    const double *by_out, *by_in, *by_device, *by_wl, *by_bl;
    const double* inner;  // of the forward solves, see `Batch`
    Index kept;
    double* mu;            // adjoint device voltages, (N, rows, cols)
    double *V_in, *V_out;  // gradients, (N, rows), (N, cols)
    double* R;             // gradients by R_wl and R_bl where segments are alike, (N, 2)
    // and where they differ, (N, rows, cols - 1), (N, rows - 1, cols), else null
    double *R_wl, *R_bl;
    double *at_wl, *at_bl;  // (current) x (adjoint current) of both ends, (N, 2, rows), (N, 2, cols)
    double* report;        // (N, 3): iterations, unused, residual
};

/// Scratch arrays beside those of `correct`.
enum AdjointArray { H = SPARE, FROM_WL, ON_WL, ON_BL };

/// Numbers of cells along lines: cell k of a line is `step` numbers behind cell k - 1.
struct Along {
    const double* data;
    Index step, next;

    double at(Index cell, Index line) const { return data[cell * step + line * next]; }
};

static Along columns(const double* x, const Network& net) { return {x, net.cols(), 1}; }
static Along rows(const double* x, const Network& net) { return {x, 1, net.cols()}; }

struct Pair {
    double first, last;
};

static bool first_is_ideal(const Lines& of, Index line) { return of.first_free()[line] == 0.0; }
static bool last_is_ideal(const Lines& of, Index line) { return of.last_free()[line] == 0.0; }

/// Currents along a line whose segments differ, A: from the first end into the line (0), behind
/// cell 0 (1) and so on, and through the last end (cells).
///
/// What has no resistance is found by Kirchhoff's law from what has. Where nothing has, both ends
/// are ideal, and no segment carries a current if it alone is raised above 0 ohm; one of two such
/// ends would carry half.
static void along_line(Along f, Along x, const Lines& of, Index line, double* out) {
    const Index cells = of.cells;
    const bool first = first_is_ideal(of, line), last = last_is_ideal(of, line);
    const auto known = [&](Index k) {
        return k == 0 ? !first : k == cells ? !last : !of.is_short(line, k - 1);
    };
    for (Index k = 1; k < cells; ++k) {
        out[k] = (x.at(k - 1, line) - x.at(k, line)) * of.conductance(line, k - 1);
    }
    out[0] = -of.first()[line] * x.at(0, line);
    out[cells] = of.last()[line] * x.at(cells - 1, line);
    Index begin = 0;  // of what is known
    while (begin <= cells && !known(begin)) ++begin;
    if (begin > cells) {
        double total = 0.0;
        for (Index k = 0; k < cells; ++k) total += f.at(k, line);
        out[0] = -0.5 * total;
        out[cells] = 0.5 * total;
        return;
    }
    for (Index k = begin; k-- > 0;) out[k] = out[k + 1] - f.at(k, line);
    for (Index k = begin + 1; k <= cells; ++k) {
        if (!known(k)) out[k] = out[k - 1] + f.at(k - 1, line);
    }
}

/// Currents that leave a line through its ends, A, for injected currents f and drops x.
static Pair end_currents(Along f, Along x, const Lines& of, Index line) {
    const Index cells = of.cells;
    const bool first = first_is_ideal(of, line), last = last_is_ideal(of, line);
    Pair out{of.first()[line] * x.at(0, line), of.last()[line] * x.at(cells - 1, line)};
    if (!first && !last) return out;
    if (!of.one_node()) {
        const auto enters = [&](Index segment, Index cell) {
            const double volts = x.at(cell, line);
            return of.conductances ? volts * of.conductance(line, segment) : volts / of.R;
        };
        if (first) out.first = f.at(0, line) + enters(0, 1);
        if (last) out.last = f.at(cells - 1, line) + enters(cells - 2, cells - 2);
        return out;
    }
    double total = 0.0;
    for (Index k = 0; k < cells; ++k) total += f.at(k, line);
    const double part = first && last ? 0.5 : 1.0;
    return {first ? total * part : 0.0, last ? total * part : 0.0};
}

/// What leaves a line without wire resistance through its first end, for the split in wires.
static double first_current(Along f, Along x, const Lines& of, Index line) {
    const bool first = first_is_ideal(of, line), last = last_is_ideal(of, line);
    if (!first && !last) return of.first()[line] * x.at(0, line);
    if (!first) return 0.0;
    double total = 0.0;
    for (Index k = 0; k < of.cells; ++k) {
        // between two ideal ends a current divides as along a uniform wire
        const double part = last ? 1.0 - (double)k / (double)(of.cells - 1) : 1.0;
        total += part * f.at(k, line);
    }
    return total;
}

/// Sum over all segments of (current) x (adjoint current) where wires have no resistance.
static double without_resistance(Along f, Along x, Along adjoint_f, Along adjoint_x,
                                 const Lines& of) {
    if (of.cells == 1) return 0.0;  // no segment
    double total = 0.0;
    for (Index line = 0; line < of.count; ++line) {
        double here = -first_current(f, x, of, line);
        double there = -first_current(adjoint_f, adjoint_x, of, line);
        for (Index k = 0; k + 1 < of.cells; ++k) {
            here += f.at(k, line);
            there += adjoint_f.at(k, line);
            total += here * there;
        }
    }
    return total;
}

/// Sum over all segments of (drop) x (adjoint drop).
static double products_of_drops(const Lines& of, ConstCells x, const double* adjoint) {
    const Stretches on(of, x);
    Sum<double> total;
    for (Index i = 0; i < on.count; ++i) {
        const double *xi = x[i], *ai = adjoint + i * x.cols;
        across_in_chains<double>(on.wires, [&](Index j, auto n, auto chain) {
            const V drop = load(xi + j, n) - load(xi + j + on.apart, n);
            total.add_product(chain, drop, load(ai + j, n) - load(ai + j + on.apart, n));
        });
    }
    return total.total();
}

/// Fill `out` with (current) x (adjoint current) of all segments, which differ; where some have no
/// resistance, `ends` anew. `spare` is room for the currents along two lines.
static void at_segments(const Along (&of_line)[4], const Lines& of, ConstCells x,
                        const double* adjoint, double* const (&spare)[2], double* out,
                        double* ends) {
    const Stretches on(of, x);
    for (Index i = 0; i < on.count; ++i) {
        const double *xi = x[i], *ai = adjoint + i * x.cols, *g = of.conductances + i * on.wires;
        across<double>(on.wires, [&](Index j, auto n) {
            const V wire = load(g + j, n), drop = load(xi + j, n) - load(xi + j + on.apart, n);
            const V other = load(ai + j, n) - load(ai + j + on.apart, n);
            store(out + i * on.wires + j, (drop * wire) * (other * wire), n);
        });
    }
    for (Index line = 0; line < (of.shorts > 0 ? of.count : 0); ++line) {
        along_line(of_line[0], of_line[1], of, line, spare[0]);
        along_line(of_line[2], of_line[3], of, line, spare[1]);
        for (Index k = 0; k + 1 < of.cells; ++k) {
            if (!of.is_short(line, k)) continue;
            out[of.segment(line, k)] = spare[0][k + 1] * spare[1][k + 1];
        }
        ends[line] = spare[0][0] * spare[1][0];
        ends[of.count + line] = spare[0][of.cells] * spare[1][of.cells];
    }
}

/// Fill `out` (2, lines) with (current) x (adjoint current) at both ends of every line.
static void at_ends(Along f, Along x, Along adjoint_f, Along adjoint_x, const Lines& of,
                    double* out) {
    for (Index line = 0; line < of.count; ++line) {
        const Pair one = end_currents(f, x, of, line);
        const Pair other = end_currents(adjoint_f, adjoint_x, of, line);
        out[line] = one.first * other.first;
        out[of.count + line] = one.last * other.last;
    }
}

/// Where the gradients by wires and ends of lines of one kind go.
struct ByLines {
    double *R, *segments, *ends;
};

/// Gradients by the wires and ends of all lines of one kind; `of_line` are injected currents, drops
/// and their adjoints.
static void by_lines(const Along (&of_line)[4], const Lines& of, ConstCells x, const double* adjoint,
                     double* const (&spare)[2], const ByLines& out) {
    const auto& [f, at, adjoint_f, adjoint_at] = of_line;
    at_ends(f, at, adjoint_f, adjoint_at, of, out.ends);
    if (of.conductances) {
        at_segments(of_line, of, x, adjoint, spare, out.segments, out.ends);
    } else if (of.R > 0.0) {
        *out.R = products_of_drops(of, x, adjoint) / (of.R * of.R);
    } else {
        *out.R = without_resistance(f, at, adjoint_f, adjoint_at, of);
    }
}

/// Currents -D x - g_wl and -D x + g_bl; g is null for 0.
template <class Size>
ALWAYS_INLINE static void inject(Index j, Size n, V D, V x, const double* g_wl, const double* g_bl,
                                 double* f_wl, double* f_bl) {
    const V current = -(D * x);
    store(f_wl + j, g_wl ? current - load(g_wl + j, n) : current, n);
    store(f_bl + j, g_bl ? current + load(g_bl + j, n) : current, n);
}

/// The part of an array of all solves that belongs to solve n; null stays null.
template <class T>
static T* of_solve(T* all, Index n, Index size) {
    return all ? all + n * size : nullptr;
}

/// What the adjoint solve n is driven by: h, -D h - g_wl and -D h + g_bl.
static void sources(const Adjoint& x, Index n, const double* D, const Network& net, double* h,
                    double* f_wl, double* f_bl) {
    const Index cols = net.cols(), cells = net.rows() * cols;
    const double *by_out = x.by_out + n * cols, *by_in = x.by_in + n * net.rows();
    const double* by_device = of_solve(x.by_device, n, cells);
    const double *g_wl = of_solve(x.by_wl, n, cells), *g_bl = of_solve(x.by_bl, n, cells);
    for (Index i = 0; i < net.rows(); ++i) {
        const V by_row = fill(by_in[i]);
        const Index row = i * cols;
        across<double>(cols, [&](Index column, auto size) {
            const Index j = row + column;
            V volts = by_row + load(by_out + column, size);
            if (by_device) volts += load(by_device + j, size);
            store(h + j, volts, size);
            inject(j, size, load(D + j, size), volts, g_wl, g_bl, f_wl, f_bl);
        });
    }
}

/// Gradients of the driver voltages from the adjoint currents into the lines.
static void by_drivers(const double* f_wl, const double* f_bl, const Network& net, double* V_in,
                       double* V_out) {
    const Index cols = net.cols();
    V cells;
    for (int k = 0; k < LANES; ++k) cells[k] = k;
    clear(V_out, cols);
    for (Index i = 0; i < net.rows(); ++i) {
        const double *wl = f_wl + i * cols, *bl = f_bl + i * cols;
        const double* share = net.wl.by_cell ? net.wl.by_cell + i * cols : nullptr;
        Sum<double> by_share, by_cell;
        across_in_chains<double>(cols, [&](Index j, auto n, auto chain) {
            const V f = load(wl + j, n);
            by_share.add(chain, f);
            by_cell.add_product(chain, f, share ? load(share + j, n) : cells + (double)j);
            store(V_out + j, load(bl + j, n) * bit_share(net, i, j, n) + load(V_out + j, n), n);
        });
        V_in[i] = share ? -by_cell.total()
                        : -by_share.total() * net.wl.share()[i] -
                              by_cell.total() * net.wl.share_rise()[i];
    }
}

/// All gradients but those of the devices from the adjoint drops in array(DROP), array(RISE).
static void gradients(const Adjoint& x, Index n, const double* D, const Network& net,
                      const Scratch& scratch) {
    const Index m = net.rows(), cols = net.cols(), cells = m * cols;
    const double *h = scratch.array(H), *la = scratch.array(DROP), *lb = scratch.array(RISE);
    double *f_wl = scratch.array(ON_WL), *f_bl = scratch.array(ON_BL), *mu = x.mu + n * cells;
    const double *g_wl = of_solve(x.by_wl, n, cells), *g_bl = of_solve(x.by_bl, n, cells);
    const auto forward = [&](int k) { return x.inner + (k * x.kept + n) * cells; };
    const double *current = forward(2), *a = forward(4), *b = forward(5);
    across<double>(cells, [&](Index j, auto size) {
        const V volts = load(h + j, size) + (load(la + j, size) + load(lb + j, size));
        store(mu + j, volts, size);
        inject(j, size, load(D + j, size), volts, g_wl, g_bl, f_wl, f_bl);
    });
    by_drivers(f_wl, f_bl, net, x.V_in + n * m, x.V_out + n * cols);
    double* const spare[] = {scratch.array(FROM_WL), scratch.array(LEFT)};
    const Along bl[] = {columns(current, net), columns(b, net), columns(f_bl, net),
                        columns(lb, net)};
    by_lines(bl, net.bl, {b, m, cols}, lb, spare,
             {x.R + 2 * n + 1, of_solve(x.R_bl, n, (m - 1) * cols), x.at_bl + n * 2 * cols});
    const Along wl[] = {rows(current, net), rows(a, net), rows(f_wl, net), rows(la, net)};
    by_lines(wl, net.wl, {a, m, cols}, la, spare,
             {x.R + 2 * n, of_solve(x.R_wl, n, m * (cols - 1)), x.at_wl + n * 2 * m});
}

/// Adjoint solves start..stop: W la + D lb = -D h - g_wl, D la + B lb = -D h + g_bl.
///
/// With `drops`, (2, rows, cols), the adjoint drops la, lb of solve `start` are known already.
/// `folded` are the slopes whose factors are in the scratch memory (-1: none); returns the new ones.
EXPORT Index solve_adjoint(const Network* net, const Aims* aims, const Scratch* scratch,
                           const Adjoint* x, const double* drops, Index start, Index stop,
                           Index folded) {
    const Index cells = net->rows() * net->cols();
    double *f_wl = scratch->array(FROM_WL), *f_bl = scratch->array(LEFT);
    double *on_wl = scratch->array(ON_WL), *on_bl = scratch->array(ON_BL);
    for (Index n = start; n < stop; ++n) {
        const Index k = x->index[n];
        const ConstCells D{x->D + k * cells, net->rows(), net->cols()};
        sources(*x, n, D.data, *net, scratch->array(H), f_wl, f_bl);
        if (drops) {
            copy(drops, cells, scratch->array(DROP));
            copy(drops + cells, cells, scratch->array(RISE));
            gradients(*x, n, D.data, *net, *scratch);
            continue;
        }
        if (k != folded) fold(D, *net, *scratch);
        folded = k;
        copy(f_wl, cells, on_wl);
        copy(f_bl, cells, on_bl);
        const double scale = settle_rows({on_wl, D.rows, D.cols}, net->wl) +
                             settle({on_bl, D.rows, D.cols}, net->bl);
        const double aim = aims->gradient_share * aims->gradient_share * scale;
        const Ended ended = correct(D, f_wl, f_bl, *net, *scratch, aim, aims->limit);
        double* report = x->report + 3 * n;
        report[0] = (double)ended.iterations;
        report[2] = scale == 0.0 ? 0.0 : sqrt(ended.square / scale);
        if (ended.square <= aim) {
            gradients(*x, n, D.data, *net, *scratch);
        } else {
            report[2] = UNFINISHED;
        }
    }
    return folded;
}

}  // namespace xbarspice
