#include "coarse.hpp"

#include "sums.hpp"

namespace xbarspice {

/// Share of B that the slowest mode keeps, from which on a correction does not pay.
static constexpr double SOFT = 0.25;
/// Modes are taken up to this stiffness, in mean slopes.
static constexpr double STIFF = 8.0;

static double mean(ConstCells D) {
    Sum<double> out;
    across_in_chains<double>(
        D.size(), [&](Index j, auto n, auto chain) { out.add(chain, load(D.data + j, n)); });
    return out.total() / (double)D.size();
}

/// Modes softer than `limit`, S.
static Index count_below(const Lines& lines, double limit) {
    Index count = 0;
    while (count < lines.modes && lines.mode_values[count] < limit) ++count;
    return count;
}

Coarse::Coarse(ConstCells D, const Network& of, double* memory) {
    const Lines &wl = of.wl, &bl = of.bl;
    if (wl.modes == 0 || bl.modes == 0) return;
    const double d = mean(D), softest = bl.mode_values[0];
    const auto remains = [&](double l, double k) { return l + d * k / (d + k); };
    if (!(remains(softest, wl.mode_values[0]) < SOFT * (softest + d))) return;
    net = &of;
    down = count_below(bl, STIFF * d);
    along = count_below(wl, STIFF * d);
    width = (along + LANES - 1) / LANES * LANES;
    weights = memory;
    sums = weights + down * width;
    part = sums + down * width;
    rows = part + COARSE_ROWS * width;
    clear(memory, rows - memory);
    for (Index k = 0; k < down; ++k) {
        for (Index l = 0; l < along; ++l) {
            const double value = bl.mode_values[k], rest = remains(value, wl.mode_values[l]);
            weights[k * width + l] = rest > 0.0 ? 1.0 / rest - 1.0 / (value + d) : 0.0;
        }
    }
}

void Coarse::start() const {
    if (net) clear(sums, down * width);
}

/// out (N, width) = rows (N, cols) by the modes from `l` on, M of them.
template <Index N, Index M>
ALWAYS_INLINE static void products(const double* rows, const Lines& wl, Index l, Index width,
                                   double* out) {
    const Index cols = wl.cells;
    const double* mode = wl.mode_vectors + l * cols;
    V sum[N][M] = {};
    across<double>(cols, [&](Index j, auto n) {
        V at[M];
        for (Index m = 0; m < M; ++m) at[m] = load(mode + m * cols + j, n);
        for (Index k = 0; k < N; ++k) {
            const V row = load(rows + k * cols + j, n);
            for (Index m = 0; m < M; ++m) sum[k][m] = row * at[m] + sum[k][m];
        }
    });
    for (Index k = 0; k < N; ++k)
        for (Index m = 0; m < M; ++m) out[k * width + l + m] = sum_lanes<double>(sum[k][m]);
}

template <Index N>
void Coarse::gather_rows(ConstCells r, Index i) const {
    Index l = 0;
    for (; l + 2 <= along; l += 2) products<N, 2>(r[i], net->wl, l, width, part);
    if (l < along) products<N, 1>(r[i], net->wl, l, width, part);
    for (Index m = 0; m < down; ++m) {
        const double* mode = net->bl.mode_vectors + m * r.rows + i;
        double* out = sums + m * width;
        across<double>(width, [&](Index j, auto n) {
            V sum = load(out + j, n);
            for (Index k = 0; k < N; ++k) sum = fill(mode[k]) * load(part + k * width + j, n) + sum;
            store(out + j, sum, n);
        });
    }
}

void Coarse::gather(ConstCells r, Index i) const {
    if (!net) return;
    if (i % COARSE_ROWS == COARSE_ROWS - 1) {
        gather_rows<COARSE_ROWS>(r, i + 1 - COARSE_ROWS);
    } else if (i == r.rows - 1) {
        for (Index k = i / COARSE_ROWS * COARSE_ROWS; k <= i; ++k) gather_rows<1>(r, k);
    }
}

double Coarse::solve() const {
    Sum<double> energy;
    across_in_chains<double>(down * width, [&](Index j, auto n, auto chain) {
        const V sum = load(sums + j, n), x = load(weights + j, n) * sum;
        energy.add_product(chain, sum, x);
        store(sums + j, x, n);
    });
    return energy.total();
}

const double* Coarse::rise(Index i) const {
    if (!net) return nullptr;
    const Lines &wl = net->wl, &bl = net->bl;
    const Index cols = wl.cells, last = bl.cells - 1, begin = i / COARSE_ROWS * COARSE_ROWS;
    if (i != last && i % COARSE_ROWS != COARSE_ROWS - 1) return rows + (i - begin) * cols;
    across<double>(width, [&](Index j, auto n) {
        V sum[COARSE_ROWS] = {};
        for (Index m = 0; m < down; ++m) {
            const double* mode = bl.mode_vectors + m * bl.cells + begin;
            const V at = load(sums + m * width + j, n);
            for (Index k = 0; begin + k <= i; ++k) sum[k] = fill(mode[k]) * at + sum[k];
        }
        for (Index k = 0; k < COARSE_ROWS; ++k) store(part + k * width + j, sum[k], n);
    });
    const auto columns = [&](Index j, auto vectors, auto n) __attribute__((always_inline)) {
        constexpr int M = decltype(vectors)::number;
        V out[COARSE_ROWS][M] = {};
        for (Index l = 0; l < along; ++l) {
            const double* mode = wl.mode_vectors + l * cols + j;
            for (Index k = 0; k < COARSE_ROWS; ++k) {
                const V size = fill(part[k * width + l]);
                for (int m = 0; m < M; ++m) out[k][m] = size * load(mode + m * LANES, n) + out[k][m];
            }
        }
        for (int m = 0; m < M; ++m) {  // ideal ends hold their nodes
            const Index at = j + m * LANES;
            if (begin == 0) out[0][m] *= load(bl.first_free() + at, n);
            if (i == last) out[i - begin][m] *= load(bl.last_free() + at, n);
            for (Index k = 0; k < COARSE_ROWS; ++k) store(rows + k * cols + at, out[k][m], n);
        }
    };
    Index j = 0;
    for (; j + 2 * LANES <= cols; j += 2 * LANES) columns(j, Chain<2>{}, Whole{});
    across<double>(cols - j, [&](Index rest, auto n) { columns(j + rest, Chain<1>{}, n); });
    return rows + (i - begin) * cols;
}

}  // namespace xbarspice
