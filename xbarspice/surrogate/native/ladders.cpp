#include "ladders.hpp"

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

double forward(ConstCells f, const Lines& bl, const double* s, double* lane, double* t) {
    const Index lines = f.cols;
    const double* inverse = lane;
    double* carry = lane + lines;
    Sum<double> energy;
    clear(carry, lines);
    with_resistances(bl, [&](auto r) {
        for (Index k = 0; k + 1 < f.rows; ++k) {
            const double *fk = f[k], *sk = s + k * lines;
            double* tk = t + k * lines;
            across_in_chains<double>(lines, [&](Index j, auto n, auto chain) {
                const V c = load(fk + j, n) + load(carry + j, n);
                const V passed = load(sk + j, n) * c, x = r(k * lines + j, n) * passed;
                energy.add_product(chain, x, c);
                store(carry + j, passed, n);
                store(tk + j, x, n);
            });
        }
    });
    const Index last = f.rows - 1;
    double* tk = t + last * lines;
    across_in_chains<double>(lines, [&](Index j, auto n, auto chain) {
        const V c = load(f[last] + j, n) + load(carry + j, n);
        const V x = load(inverse + j, n) * c;
        energy.add_product(chain, x, c);
        store(tk + j, x, n);
    });
    return energy.total();
}

void backward(ConstCells t, const double* s, double* lane, double* x) {
    const Index lines = t.cols;
    double* carry = lane + lines;
    clear(carry, lines);
    for (Index k = t.rows - 1; k >= 0; --k) {
        const double *tk = t[k], *sk = s + k * lines;
        double* xk = x + k * lines;
        across<double>(lines, [&](Index j, auto n) {
            const V z = load(sk + j, n) * load(carry + j, n) + load(tk + j, n);
            store(carry + j, z, n);
            store(xk + j, z, n);
        });
    }
}

/// p = z + beta p with z = B^-1 r (t from `forward`), Bp likewise; returns p.Bp.
///
/// At FIRST, what stands in p and Bp is not read.
template <bool FIRST>
static double direction(ConstCells r, const double* s, double* lane, const double* t, double beta,
                        double* p, double* Bp) {
    const Index lines = r.cols;
    const V b = fill(beta);
    double* carry = lane + lines;
    Sum<double> dot;
    clear(carry, lines);
    for (Index k = r.rows - 1; k >= 0; --k) {
        const Index row = k * lines;
        across_in_chains<double>(lines, [&](Index j, auto n, auto chain) {
            V z = load(s + row + j, n) * load(carry + j, n) + load(t + row + j, n);
            store(carry + j, z, n);
            V left = load(r.data + row + j, n);
            if constexpr (!FIRST) {
                z = b * load(p + row + j, n) + z;
                left = b * load(Bp + row + j, n) + left;
            }
            store(p + row + j, z, n);
            store(Bp + row + j, left, n);
            dot.add_product(chain, z, left);
        });
    }
    return dot.total();
}

/// b += alpha p (b = alpha p at FIRST), r -= alpha q; returns |r|^2.
template <bool FIRST>
static double advance(Index count, double alpha, const double* p, const double* q, double* b,
                      double* r) {
    const V a = fill(alpha);
    Sum<double> square;
    across_in_chains<double>(count, [&](Index j, auto n, auto chain) {
        if constexpr (FIRST) {
            store(b + j, a * load(p + j, n), n);
        } else {
            store(b + j, a * load(p + j, n) + load(b + j, n), n);
        }
        const V left = load(r + j, n) - a * load(q + j, n);
        store(r + j, left, n);
        square.add_product(chain, left, left);
    });
    return square.total();
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
/// hand the voltages to result(i, j, square). Returns f W^-1 f of the currents f, lane by lane.
template <int N, class Resistances, class Injected, class Result>
ALWAYS_INLINE static V through_blocks(Index block, Rows at, Resistances r, double* lines,
                                      const Injected& injected, const Result& result) {
    const Index width = at.width();
    const double* s[N];
    double* t[N];
    V c[N] = {}, share[N] = {}, energy[N] = {};
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
                energy[u] = x * c[u] + energy[u];
                store(t[u] + (j + k) * LANES, x);
            }
        }
    }
    V x[N] = {};
    for (int u = 0; u < N; ++u) {  // the last node: its share is 0
        const V last = load(lines + at.inverse(block + u)) * c[u];
        energy[u] = last * c[u] + energy[u];
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
    for (int u = 1; u < N; ++u) energy[0] += energy[u];
    return energy[0];
}

template <class Injected, class Result>
ALWAYS_INLINE static double through_rows(Rows at, const Lines& wl, double* lines,
                                         const Injected& injected, const Result& result) {
    return with_resistances(wl, [&](auto r) __attribute__((always_inline)) {
        V energy{};
        Index block = 0;
        for (; block + CHAINS <= at.blocks(); block += CHAINS) {
            energy += through_blocks<CHAINS>(block, at, r, lines, injected, result);
        }
        for (; block < at.blocks(); ++block) {
            energy += through_blocks<1>(block, at, r, lines, injected, result);
        }
        return sum_lanes<double>(energy);
    });
}

/// base - D x.
ALWAYS_INLINE static Square<double> remainders(Square<double> D, Square<double> x,
                                               Square<double> base) {
    for (int k = 0; k < LANES; ++k) base.row[k] -= D.row[k] * x.row[k];
    return base;
}

double schur(ConstCells D, const double* p, const double* Bp, const Lines& wl, double* lines,
             double* q) {
    const ConstCells P{p, D.rows, D.cols}, base{Bp, D.rows, D.cols};
    const Cells out{q, D.rows, D.cols};
    return through_rows(
        Rows{D.rows, D.cols}, wl, lines,
        [&](Index i, Index j) __attribute__((always_inline)) {
            Square<double> d = take(D, i, j);
            const Square<double> x = take(P, i, j);
            for (int k = 0; k < LANES; ++k) d.row[k] *= x.row[k];
            return d;
        },
        [&](Index i, Index j, const Square<double>& x) __attribute__((always_inline)) {
            put(out, i, j, remainders(take(D, i, j), x, take(base, i, j)));
        });
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
    double square = settle(r, bl), before = 1.0;
    bool plain = !bl.one_node() && bl.shorts == 0;  // then only ideal ends make settling change r
    for (Index line = 0; line < D.cols; ++line) {
        plain &= bl.first_free()[line] * bl.last_free()[line] == 1.0;
    }
    for (Index iteration = 0; iteration < limit; ++iteration) {
        const bool first = iteration == 0;
        double energy = 0.0, curvature = 0.0;
        if (square > aim || square != square) {
            energy = forward(r, bl, x.s, lane, x.q);
            const double pBp =
                first ? direction<true>(r, x.s, lane, x.q, 0.0, x.p, x.Bp)
                      : direction<false>(r, x.s, lane, x.q, energy / before, x.p, x.Bp);
            before = energy;
            curvature = pBp - schur(D, x.p, x.Bp, net.wl, lines, x.q);
        }
        if (!(curvature > 0.0)) {  // the aim is met, or no step leads further
            if (first) clear(x.b, r.size());
            return {iteration, square};
        }
        const double alpha = energy / curvature;
        square = first ? advance<true>(r.size(), alpha, x.p, x.q, x.b, x.r)
                       : advance<false>(r.size(), alpha, x.p, x.q, x.b, x.r);
        if (!plain) square = settle(r, bl);
    }
    return {limit, square};
}

// --- for Python ----------------------------------------------------------------------------------

EXPORT void bit_lines_factor(const double* D, Index rows, Index cols, const Lines* bl, double* s,
                             double* lane) {
    factor({D, rows, cols}, *bl, s, lane);
}

EXPORT double bit_lines_forward(const double* f, Index rows, Index cols, const Lines* bl,
                                const double* s, double* lane, double* t) {
    return forward({f, rows, cols}, *bl, s, lane, t);
}

EXPORT void bit_lines_backward(const double* t, Index rows, Index cols, const double* s,
                               double* lane, double* x) {
    backward({t, rows, cols}, s, lane, x);
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

EXPORT double word_lines_schur(const double* D, Index rows, Index cols, const double* p,
                               const double* Bp, const Lines* wl, double* lines, double* q) {
    return schur({D, rows, cols}, p, Bp, *wl, lines, q);
}

EXPORT double bit_lines_settle(double* r, Index rows, Index cols, const Lines* bl) {
    return settle({r, rows, cols}, *bl);
}

EXPORT double word_lines_settle(double* F, Index rows, Index cols, const Lines* wl) {
    return settle_rows({F, rows, cols}, *wl);
}

}  // namespace xbarspice
