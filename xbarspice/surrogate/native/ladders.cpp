#include "ladders.hpp"

#include "coarse.hpp"
#include "sums.hpp"

namespace xbarspice {

// --- bit lines: along the columns ----------------------------------------------------------------

void factor(ConstCells D, const Lines& bl, double* s, double* lane) {
    const Index cells = D.rows, lines = D.cols;
    const V one = fill(1.0);
    double* Y = lane;
    across<double>(lines, [&](Index j, auto n) {
        store(Y + j, load(D[0] + j, n) + load(bl.first() + j, n), n);
    });
    with_resistances(bl, [&](auto r) {
        bool holding = true;  // node k of some line may be held
        for (Index k = 0; k + 1 < cells; ++k) {
            double* sk = s + k * lines;
            across<double>(lines, [&](Index j, auto n) {
                const V y = load(Y + j, n), share = one / (r(k * lines + j, n) * y + one);
                store(sk + j, share, n);
                store(Y + j, y * share + load(D[k + 1] + j, n), n);
            });
            if (!holding) continue;
            holding = false;
            for (Index line = 0; line < lines; ++line) {
                if (!bl.holds(line, k)) continue;
                holding = bl.shorts > 0;
                sk[line] = 0.0;
                Y[line] = D[k + 1][line] + bl.handed_on(line, k);
            }
        }
    });
    for (Index line = 0; line < lines; ++line) {
        const double y = Y[line] + bl.last()[line];
        double free = bl.last_free()[line];
        if (bl.one_node()) free *= bl.first_free()[line];
        else if (bl.holds(line, cells - 1)) free = 0.0;
        Y[line] = y > 0.0 ? free / y : 0.0;
        s[(cells - 1) * lines + line] = 0.0;
    }
}

/// What a sweep finds: r B^-1 r, with that of the coarse correction, and |r|^2.
struct Swept {
    double energy, square;
};

/// r -= alpha q (not at FIRST), 0 at ideal ends, and sweep it to the last nodes: t in place of q.
template <bool FIRST>
static Swept sweep(Cells r, double alpha, const Lines& bl, const double* s, double* lane, double* q,
                   const Coarse& coarse) {
    const Index lines = r.cols, last = r.rows - 1;
    const V a = fill(alpha);
    double* carry = lane + lines;
    Sum<double> energy, square;
    clear(carry, lines);
    coarse.start();
    const auto row = [&](Index k, const auto& pass) __attribute__((always_inline)) {
        double* t = q + k * lines;
        across_in_chains<double>(lines, [&](Index j, auto n, auto chain) {
            V here = load(r[k] + j, n);
            if constexpr (!FIRST) here = here - a * load(t + j, n);
            if (k == 0) here = here * load(bl.first_free() + j, n);
            if (k == last) here = here * load(bl.last_free() + j, n);
            store(r[k] + j, here, n);
            square.add_product(chain, here, here);
            const V c = here + load(carry + j, n), x = pass(j, n, c);
            energy.add_product(chain, x, c);
            store(t + j, x, n);
        });
        coarse.gather(r, k);
    };
    with_resistances(bl, [&](auto R) {
        for (Index k = 0; k < last; ++k) {
            row(k, [&](Index j, auto n, V c) {
                const V passed = load(s + k * lines + j, n) * c;
                store(carry + j, passed, n);
                return R(k * lines + j, n) * passed;
            });
        }
    });
    row(last, [&](Index j, auto n, V c) { return load(lane + j, n) * c; });
    return {energy.total() + coarse.solve(), square.total()};
}

/// b += alpha p and p = z + beta p, with z = B^-1 r (t from `sweep`) and the coarse correction.
///
/// At FIRST, p = z.
template <bool FIRST>
static void direction(ConstCells t, const double* s, double* lane, double alpha, double beta,
                      double* b, double* p, const Coarse& coarse) {
    const Index lines = t.cols;
    const V step = fill(alpha), factor = fill(beta);
    double* carry = lane + lines;
    clear(carry, lines);
    for (Index k = t.rows - 1; k >= 0; --k) {
        const Index row = k * lines;
        const double* rise = coarse.rise(k);
        across<double>(lines, [&](Index j, auto n) {
            V z = load(s + row + j, n) * load(carry + j, n) + load(t[k] + j, n);
            store(carry + j, z, n);
            if (rise) z += load(rise + j, n);
            if constexpr (!FIRST) {
                const V before = load(p + row + j, n);
                store(b + row + j, step * before + load(b + row + j, n), n);
                z = factor * before + z;
            }
            store(p + row + j, z, n);
        });
    }
}

static double square_sum(const double* x, Index count) {
    Sum<double> out;
    across_in_chains<double>(count, [&](Index j, auto n, auto chain) {
        const V here = load(x + j, n);
        out.add_product(chain, here, here);
    });
    return out.total();
}

double settle(Cells r, const Lines& bl) {
    const double *first = bl.first_free(), *last = bl.last_free();
    if (bl.one_node()) {
        for (Index k = 1; k < r.rows; ++k) {
            for (Index line = 0; line < r.cols; ++line) {
                r[0][line] += r[k][line];
                r[k][line] = 0.0;
            }
        }
        for (Index line = 0; line < r.cols; ++line) r[0][line] *= first[line] * last[line];
        return square_sum(r.data, r.size());
    }
    for (Index k = bl.shorts > 0 ? r.rows - 1 : 0; k > 0; --k) {
        const double* g = bl.conductances + (k - 1) * r.cols;
        across<double>(r.cols, [&](Index j, auto n) {
            const V here = load(r[k] + j, n), none{};
            const V moved = load(g + j, n) == none ? here : none;
            store(r[k - 1] + j, load(r[k - 1] + j, n) + moved, n);
            store(r[k] + j, here - moved, n);
        });
    }
    for (Index line = 0; line < r.cols; ++line) r[0][line] *= first[line];
    if (bl.shorts > 0) {
        for (Index line = 0; line < r.cols; ++line) r[bl.last_node(line)][line] *= last[line];
    } else {
        double* end = r[r.rows - 1];
        for (Index line = 0; line < r.cols; ++line) end[line] *= last[line];
    }
    return square_sum(r.data, r.size());
}

double settle_rows(Cells F, const Lines& wl) {
    const double *first = wl.first_free(), *last = wl.last_free();
    for (Index line = 0; line < F.rows; ++line) {
        double* row = F[line];
        if (wl.one_node()) {
            double carried = 0.0;
            for (Index k = 0; k < F.cols; ++k) {
                carried += row[k];
                row[k] = 0.0;
            }
            row[0] = carried * first[line] * last[line];
            continue;
        }
        Index end = F.cols - 1;
        if (wl.shorts > 0) {
            for (Index k = end; k > 0; --k) {
                if (!wl.is_short(line, k - 1)) continue;
                row[k - 1] += row[k];
                row[k] = 0.0;
            }
            end = wl.last_node(line);
        }
        row[0] *= first[line];
        row[end] *= last[line];
    }
    return square_sum(F.data, F.size());
}

// --- word lines: along the rows ------------------------------------------------------------------

/// Where the factors of word lines stand: vector `k` of a block belongs to cell k of its lines.
struct Rows {
    Index rows, cols;

    /// Cells of a word line in whole squares.
    Index width() const { return (cols + LANES - 1) / LANES * LANES; }
    Index blocks() const { return (rows + LANES - 1) / LANES; }
    Index factor(Index block, Index cell) const { return (block * width() + cell) * LANES; }
    Index inverse(Index block) const { return (blocks() * width() + block) * LANES; }
    Index sweep(int chain) const { return (blocks() + chain) * width() * LANES + blocks() * LANES; }
};

/// Blocks of word lines that are solved at the same time, so that no step waits for the one before.
/// Measured at 64x64 and 128x128: two are 15 % faster than one with AVX2, and 5 % slower with the
/// squares of AVX-512; four are slower than two.
static constexpr int CHAINS = LANES >= 8 ? 1 : 2;

Index row_scratch(Index rows, Index cols) { return Rows{rows, cols}.sweep(CHAINS); }

/// Rows i to i + LANES of columns j to j + LANES; 0 beyond the array.
ALWAYS_INLINE static Square<double> take(ConstCells A, Index i, Index j) {
    Square<double> out;
    const double* from = A[i] + j;
    if (i + LANES <= A.rows && j + LANES <= A.cols) {
        for (int k = 0; k < LANES; ++k) out.row[k] = load(from + k * A.cols);
        return out;
    }
    const Part n{(int)(A.cols - j < LANES ? A.cols - j : LANES)};
    for (int k = 0; k < LANES; ++k) {
        out.row[k] = i + k < A.rows ? load(from + k * A.cols, n) : V{};
    }
    return out;
}

ALWAYS_INLINE static void put(Cells A, Index i, Index j, const Square<double>& x) {
    double* to = A[i] + j;
    if (i + LANES <= A.rows && j + LANES <= A.cols) {
        for (int k = 0; k < LANES; ++k) store(to + k * A.cols, x.row[k]);
        return;
    }
    const Part n{(int)(A.cols - j < LANES ? A.cols - j : LANES)};
    for (int k = 0; k < LANES && i + k < A.rows; ++k) store(to + k * A.cols, x.row[k], n);
}

/// Hold a node of a word line: nothing passes it, and the next one sees `handed_on`, S.
static void hold(ConstCells D, Index line, Index cell, double handed_on, double* lines) {
    const Rows at{D.rows, D.cols};
    const Index block = line / LANES, lane = line % LANES;
    lines[at.factor(block, cell) + lane] = 0.0;
    lines[at.inverse(block) + lane] = (cell + 1 < D.cols ? D[line][cell + 1] : 0.0) + handed_on;
}

/// Hold node `cell` of the word lines that an ideal end holds there.
///
/// Returns whether their next nodes may be held too.
static bool hold_nodes(ConstCells D, Index cell, const Lines& wl, double* lines) {
    const bool more = cell + 1 < D.cols;
    bool any = false;
    for (Index line = 0; line < D.rows; ++line) {
        if (wl.holds(line, cell)) {
            any = true;
            hold(D, line, cell, more ? wl.handed_on(line, cell) : 0.0, lines);
        } else if (!more && wl.last_free()[line] == 0.0) {
            hold(D, line, cell, 0.0, lines);
        }
    }
    return any && wl.shorts > 0;
}

void factor_rows(ConstCells D, const Lines& wl, double* lines) {
    const Rows at{D.rows, D.cols};
    const Index width = at.width(), blocks = at.blocks();
    const V one = fill(1.0);
    const auto part = [&](Index block) {
        const Index left = D.rows - block * LANES;
        return Part{(int)(left < LANES ? left : LANES)};
    };
    for (Index block = 0; block < blocks; ++block) {
        for (Index j = 0; j < width; j += LANES) {
            const Square<double> d = transpose(take(D, block * LANES, j));
            for (int k = 0; k < LANES; ++k) store(lines + at.factor(block, j + k), d.row[k]);
        }
        store(lines + at.inverse(block),
              load(lines + at.factor(block, 0)) + load(wl.first() + block * LANES, part(block)));
    }
    with_resistances(wl, [&](auto r) {
        bool holding = true;  // node k of some line may be held
        for (Index k = 0; k < width; ++k) {
            if (k == D.cols - 1) {
                for (Index block = 0; block < blocks; ++block) {
                    double* Y = lines + at.inverse(block);
                    store(Y, load(Y) + load(wl.last() + block * LANES, part(block)));
                }
            }
            if (k == width - 1) break;
            for (Index block = 0; block < blocks; ++block) {
                double *Y = lines + at.inverse(block), *s = lines + at.factor(block, k);
                const V y = load(Y), share = one / (r(at.factor(block, k), Whole{}) * y + one);
                store(s, share);
                store(Y, y * share + load(s + LANES));
            }
            if (holding || k == D.cols - 1) holding = hold_nodes(D, k, wl, lines);
        }
    });
    for (Index line = 0; line < blocks * LANES; ++line) {
        const Index block = line / LANES, lane = line % LANES;
        double& y = lines[at.inverse(block) + lane];
        lines[at.factor(block, width - 1) + lane] = 0.0;
        if (line >= D.rows) {
            y = 0.0;
            continue;
        }
        double free = D.cols == width ? wl.last_free()[line] : 1.0;
        if (wl.one_node()) free = wl.first_free()[line] * wl.last_free()[line];
        else if (D.cols == width && wl.holds(line, D.cols - 1)) free = 0.0;
        y = y > 0.0 ? free / y : 0.0;
    }
}

/// Solve the word lines of N blocks from `block` on for the currents injected(i, j), a square, and
/// hand the voltages to result(i, j, square).
template <int N, class Resistances, class Injected, class Result>
ALWAYS_INLINE static void through_blocks(Index block, Rows at, Resistances r, double* lines,
                                      const Injected& injected, const Result& result) {
    const Index width = at.width();
    const double* s[N];
    double* t[N];
    V c[N] = {}, share[N] = {};
    for (int u = 0; u < N; ++u) {
        s[u] = lines + at.factor(block + u, 0);
        t[u] = lines + at.sweep(u);
    }
    for (Index j = 0; j < width; j += LANES) {
        Square<double> f[N];
        for (int u = 0; u < N; ++u) f[u] = transpose(injected((block + u) * LANES, j));
        for (int k = 0; k < LANES; ++k) {
            for (int u = 0; u < N; ++u) {
                c[u] = share[u] * c[u] + f[u].row[k];
                share[u] = load(s[u] + (j + k) * LANES);
                const V R = r(at.factor(block + u, j + k), Whole{});
                const V x = R * (share[u] * c[u]);
                store(t[u] + (j + k) * LANES, x);
            }
        }
    }
    V x[N] = {};
    for (int u = 0; u < N; ++u) {  // the last node: its share is 0
        const V last = load(lines + at.inverse(block + u)) * c[u];
        store(t[u] + (width - 1) * LANES, last);
    }
    for (Index j = width - LANES; j >= 0; j -= LANES) {
        Square<double> out[N];
        for (int k = LANES - 1; k >= 0; --k) {
            for (int u = 0; u < N; ++u) {
                x[u] = load(s[u] + (j + k) * LANES) * x[u] + load(t[u] + (j + k) * LANES);
                out[u].row[k] = x[u];
            }
        }
        for (int u = 0; u < N; ++u) result((block + u) * LANES, j, transpose(out[u]));
    }
}

template <class Injected, class Result>
ALWAYS_INLINE static void through_rows(Rows at, const Lines& wl, double* lines,
                                       const Injected& injected, const Result& result) {
    with_resistances(wl, [&](auto r) __attribute__((always_inline)) {
        Index block = 0;
        for (; block + CHAINS <= at.blocks(); block += CHAINS) {
            through_blocks<CHAINS>(block, at, r, lines, injected, result);
        }
        for (; block < at.blocks(); ++block) {
            through_blocks<1>(block, at, r, lines, injected, result);
        }
    });
}

/// base - D x.
ALWAYS_INLINE static Square<double> remainders(Square<double> D, Square<double> x,
                                               Square<double> base) {
    for (int k = 0; k < LANES; ++k) base.row[k] -= D.row[k] * x.row[k];
    return base;
}

double schur(ConstCells D, const Network& net, const double* p, double* lines, double* q) {
    const ConstCells P{p, D.rows, D.cols};
    const Cells out{q, D.rows, D.cols};
    const Index last = D.rows - 1;
    const double *first_end = net.bl.first(), *last_end = net.bl.last();
    V product{};
    const auto injected = [&](Index i, Index j) __attribute__((always_inline)) {
        Square<double> d = take(D, i, j);
        const Square<double> x = take(P, i, j);
        for (int k = 0; k < LANES; ++k) d.row[k] *= x.row[k];
        return d;
    };
    // D (p - x) and what the bit lines carry away
    const auto remain = [&](auto g, auto n, Index i, Index j,
                            const Square<double>& x) __attribute__((always_inline)) {
        const Square<double> here = take(P, i, j), d = take(D, i, j);
        Square<double> sum;
        V from{}, total = product;  // the current from the cell above
        if (i > 0) from = (load(P[i - 1] + j, n) - here.row[0]) * g((i - 1) * D.cols + j, n);
#pragma GCC unroll 8
        for (int k = 0; k < LANES; ++k) {
            sum.row[k] = d.row[k] * (here.row[k] - x.row[k]) - from;
            from = V{};
            if (i + k < last) {
                const V below = k + 1 < LANES ? here.row[k + 1] : load(P[i + LANES] + j, n);
                from = (here.row[k] - below) * g((i + k) * D.cols + j, n);
            }
            sum.row[k] += from;
            if (i + k == 0) sum.row[k] += load(first_end + j, n) * here.row[k];
            if (i + k == last) sum.row[k] += load(last_end + j, n) * here.row[k];
            total = here.row[k] * sum.row[k] + total;
        }
        product = total;
        put(out, i, j, sum);
    };
    with_conductances(net.bl, [&](auto g) {
        through_rows(Rows{D.rows, D.cols}, net.wl, lines, injected,
                     [&](Index i, Index j, const Square<double>& x) __attribute__((always_inline)) {
                         if (j + LANES <= D.cols) {
                             remain(g, Whole{}, i, j, x);
                         } else {
                             remain(g, Part{(int)(D.cols - j)}, i, j, x);
                         }
                     });
    });
    return sum_lanes<double>(product);
}

void eliminate(ConstCells D, const double* F_wl, const double* F_bl, const Lines& wl,
               double* lines, double* r) {
    const ConstCells F{F_wl, D.rows, D.cols}, base{F_bl, D.rows, D.cols};
    const Cells out{r, D.rows, D.cols};
    through_rows(
        Rows{D.rows, D.cols}, wl, lines,
        [&](Index i, Index j) __attribute__((always_inline)) { return take(F, i, j); },
        [&](Index i, Index j, const Square<double>& x) __attribute__((always_inline)) {
            put(out, i, j, remainders(take(D, i, j), x, take(base, i, j)));
        });
}

void recover(ConstCells D, const double* F_wl, const double* b, const Lines& wl, double* lines,
             double* a) {
    const ConstCells F{F_wl, D.rows, D.cols}, rise{b, D.rows, D.cols};
    const Cells out{a, D.rows, D.cols};
    through_rows(
        Rows{D.rows, D.cols}, wl, lines,
        [&](Index i, Index j) __attribute__((always_inline)) {
            return remainders(take(D, i, j), take(rise, i, j), take(F, i, j));
        },
        [&](Index i, Index j, const Square<double>& x) __attribute__((always_inline)) {
            put(out, i, j, x);
        });
}

// --- between them --------------------------------------------------------------------------------

Ended pcg(ConstCells D, const Network& net, double* lines, double* lane, const Gradients& x,
          double aim, Index limit) {
    const Lines& bl = net.bl;
    const Cells r{x.r, D.rows, D.cols};
    const Coarse coarse(D, net, x.coarse);
    double alpha = 0.0, before = 1.0;
    const auto settled = [&](Swept now) {
        if (bl.one_node() || bl.shorts > 0) now.square = settle(r, bl);
        return now;
    };
    clear(x.b, r.size());
    Swept now = settled(sweep<true>(r, 0.0, bl, x.s, lane, x.q, coarse));
    Index iteration = 0;
    for (; iteration < limit && !(now.square <= aim); ++iteration) {
        const auto turn = iteration == 0 ? direction<true> : direction<false>;
        const double beta = now.energy / before;
        turn({x.q, D.rows, D.cols}, x.s, lane, alpha, beta, x.b, x.p, coarse);
        before = now.energy;
        const double curvature = schur(D, net, x.p, lines, x.q);
        if (!(curvature > 0.0)) return {iteration, now.square};  // no step leads further
        alpha = before / curvature;
        now = settled(sweep<false>(r, alpha, bl, x.s, lane, x.q, coarse));
    }
    if (iteration > 0) add_times(alpha, x.p, r.size(), x.b);
    return {iteration, now.square};
}

// --- for Python ----------------------------------------------------------------------------------

EXPORT void bit_lines_factor(const double* D, Index rows, Index cols, const Lines* bl, double* s,
                             double* lane) {
    factor({D, rows, cols}, *bl, s, lane);
}

EXPORT double bit_lines_forward(double* f, Index rows, Index cols, const Lines* bl, const double* s,
                                double* lane, double* t) {
    return sweep<true>({f, rows, cols}, 0.0, *bl, s, lane, t, Coarse()).energy;
}

EXPORT void bit_lines_backward(const double* t, Index rows, Index cols, const double* s,
                               double* lane, double* x) {
    direction<true>({t, rows, cols}, s, lane, 0.0, 0.0, nullptr, x, Coarse());
}

EXPORT Index word_lines_scratch(Index rows, Index cols) { return row_scratch(rows, cols); }

EXPORT void word_lines_factor(const double* D, Index rows, Index cols, const Lines* wl,
                              double* lines) {
    factor_rows({D, rows, cols}, *wl, lines);
}

EXPORT void word_lines_eliminate(const double* D, Index rows, Index cols, const double* F_wl,
                                 const double* F_bl, const Lines* wl, double* lines, double* r) {
    eliminate({D, rows, cols}, F_wl, F_bl, *wl, lines, r);
}

EXPORT void word_lines_recover(const double* D, Index rows, Index cols, const double* F_wl,
                               const double* b, const Lines* wl, double* lines, double* a) {
    recover({D, rows, cols}, F_wl, b, *wl, lines, a);
}

EXPORT double schur_of_lines(const Network* net, const double* D, const double* p, double* lines,
                             double* q) {
    return schur({D, net->rows(), net->cols()}, *net, p, lines, q);
}

EXPORT double bit_lines_settle(double* r, Index rows, Index cols, const Lines* bl) {
    return settle({r, rows, cols}, *bl);
}

EXPORT double word_lines_settle(double* F, Index rows, Index cols, const Lines* wl) {
    return settle_rows({F, rows, cols}, *wl);
}

}  // namespace xbarspice
