// Elimination of batches of arrays by nested dissection: star-mesh forward, and its reverse mode.
//
// Eliminating a node with conductances c_k to its neighbours adds c_k c_l / d between every two of
// them, where d is the sum of all c_k (star-mesh transformation, Rosen 1924). Conductances stay
// positive and d is summed afresh at every elimination, so nothing is ever subtracted. With
// v_k = c_k / sqrt(d) the update is v_k v_l, and a front's update is one symmetric rank-E product.
//
// Reverse mode carries H_ab = dL/dc_ab of every pair of nodes of a front. If F holds the voltages
// of the eliminated nodes for 1 V on each kept node, then for an eliminated node e and a kept k
//
//     H_ek = (F H)_ek - q_e,   H_ee' = (F H F^T)_ee' - q_e - q_e',   q_e = (F H F^T)_ee / 2.
//
// A vector holds one number of each of the arrays of a group, side by side; positions and sizes
// count vectors.
#include <type_traits>

#include "simd.hpp"

namespace xbarspice::dissection {

constexpr Index TILE = 4;
/// Columns of a product that are summed in registers at once: as many as do not spill.
constexpr int ABREAST = VECTOR_BYTES == 64 ? 4 : 2;  // AVX-512 has 32 registers, not 16
/// Stands for the conductance sum of a node without any conductance (S).
constexpr double TINY = 1e-30;
/// Bytes that `fetch_ahead` asks for: half of a core's nearest cache; and those of its lines.
constexpr Index AHEAD = 1 << 14, LINE = 64;

/// One front; the rows of `Plan.front` in plan.py, where the columns are described.
struct Front {
    Index E, K, pad, source, sink;
    Index panel, stack, reverse;
    Index element, elements;
    Index child[2], parent, map, halves;
    Index tall, width, row, high;
};

/// `plan.Plan`.
struct Plan {
    Index rows, cols, fronts;
    const Front* front;
    const Index (*element)[3];
    const Index* child_map;
    const Index (*halves)[2];
    Index conductances, panels, stack, reverse_stack, voltages, broadest;
    const Index *source_row, *sink_col;

    Index cells() const { return rows * cols; }
    /// Conductances of segments and ends.
    Index wires() const { return conductances - cells(); }
};

/// A vector of N numbers, which may be shorter than the processor's.
template <class T, int N>
struct Lanes {
    typedef T type __attribute__((vector_size(N * sizeof(T))));
};

template <class V>
using Number = std::remove_reference_t<decltype(std::declval<V&>()[0])>;
template <class V>
constexpr Index COUNT = sizeof(V) / sizeof(Number<V>);

/// `kernels.Kernels.Batch`: arrays of one shape and where they stand.
template <class T>
struct Batch {
    const T* G;
    const Index* first;
    const Index (*absent)[2];
    Index arrays, row;
    const T* wires;  // conductances of segments and ends: of all arrays, or of each of them
    Index each;
    Index pairs;
    Index lanes;  // arrays side by side in a group
    T* panels;    // of all groups, if they are kept
    Index kept;
};

// --- small products -----------------------------------------------------------------------------

/// sums[i][j] += sum over `count` k of A[k a_step + i a_across] B[k b_step + j b_across].
template <int NI, int NJ, class V>
ALWAYS_INLINE void add_product(V (&sums)[NI][NJ], Index count, const V* A, Index a_step,
                               Index a_across, const V* B, Index b_step, Index b_across) {
    for (Index k = 0; k < count; ++k, A += a_step, B += b_step) {
        V a[NI];
        for (int i = 0; i < NI; ++i) a[i] = A[i * a_across];
        for (int j = 0; j < NJ; ++j) {
            const V b = B[j * b_across];
            for (int i = 0; i < NI; ++i) sums[i][j] = a[i] * b + sums[i][j];
        }
    }
}

/// sums[i][j] += from[i step + j]; last, as many small products are summed before they are rounded
/// to the size of what is there.
template <int NI, int NJ, class V>
ALWAYS_INLINE void add(V (&sums)[NI][NJ], const V* from, Index step) {
    for (int i = 0; i < NI; ++i)
        for (int j = 0; j < NJ; ++j) sums[i][j] += from[i * step + j];
}

template <int NI, int NJ, class V>
ALWAYS_INLINE void put(const V (&sums)[NI][NJ], V* to, Index step) {
    for (int i = 0; i < NI; ++i)
        for (int j = 0; j < NJ; ++j) to[i * step + j] = sums[i][j];
}

template <class V>
ALWAYS_INLINE V root(V x) {
    if constexpr (sizeof(V) == VECTOR_BYTES) return square_root(x);
    for (Index k = 0; k < COUNT<V>; ++k) x[k] = __builtin_sqrt(x[k]);
    return x;
}

template <class V>
ALWAYS_INLINE void clear(V* out, Index count) {
    for (Index k = 0; k < count; ++k) out[k] = V{};
}

/// A number of rows that is known when compiled.
template <int N>
struct Rows {
    static constexpr int count = N;
};

/// Calls f(Rows<n>) for the first n of some rows, a tile at most.
template <class F>
ALWAYS_INLINE void with_rows(Index rows, F f) {
    switch (rows) {
        case 1: return f(Rows<1>{});
        case 2: return f(Rows<2>{});
        case 3: return f(Rows<3>{});
        default: return f(Rows<4>{});
    }
}

// --- forward ------------------------------------------------------------------------------------

/// The matrix of a front without children, before any elimination: sums of its elements.
template <class V>
struct Elements {
    const Front& front;
    V *panel, *kept;
    const V* row = nullptr;
    Index step = 0;

    ALWAYS_INLINE Elements(const Plan& plan, const Front& front, const V* values, V* panel, V* kept)
        : front(front), panel(panel), kept(kept) {
        for (Index e = 0; e < front.E; ++e)
            clear(panel + e * front.width + e, front.tall + front.pad - e);
        for (Index i = 0; i < front.sink; ++i)
            clear(kept + i * front.row + i, front.pad - i);
        for (Index n = front.element; n < front.element + front.elements; ++n) {
            const auto& [a, b, value] = plan.element[n];
            at(a)[b] += values[value];
        }
    }

    /// A row of the matrix, by its position in the front.
    ALWAYS_INLINE V* at(Index p) const {
        return p < front.tall ? panel + p * front.width
                              : kept + (p - front.tall) * front.row - front.tall;
    }

    template <int ROWS>
    ALWAYS_INLINE void choose(Index p) {
        row = at(p);
        step = p < front.tall ? front.width : front.row;
    }

    /// Add the columns from q on of the chosen rows.
    template <int NI, int NJ>
    ALWAYS_INLINE void add_to(V (&sums)[NI][NJ], Index q) const {
        add(sums, row + q, step);
    }
};

/// The matrix of a front before any elimination: the sum of the kept matrices of its halves.
template <class V>
struct Halves {
    const Index (*from)[2];
    const V* matrix[2];
    Index step[2], none[2];
    const V* zeros;
    const V* row[2][TILE];
    bool used[2];

    ALWAYS_INLINE Halves(const Plan& plan, const Front& front, const V* stack, const V* zeros)
        : from(plan.halves + front.halves), zeros(zeros) {
        for (int side = 0; side < 2; ++side) {
            const Front& half = plan.front[front.child[side]];
            matrix[side] = stack + half.stack;
            step[side] = half.row;
            none[side] = half.pad;  // also a column of zeros
        }
    }

    /// Take the rows from position p on.
    template <int ROWS>
    ALWAYS_INLINE void choose(Index p) {
        for (int side = 0; side < 2; ++side) {
            used[side] = false;
            for (int r = 0; r < ROWS; ++r) {
                const Index k = from[p + r][side];
                const bool there = k != none[side];
                row[side][r] = there ? matrix[side] + k * step[side] : zeros;
                used[side] |= there;
            }
        }
    }

    /// Add the columns from q on of the chosen rows.
    template <int NI, int NJ>
    ALWAYS_INLINE void add_to(V (&sums)[NI][NJ], Index q) const {
        if (!used[1]) return add_half(sums, q, 0);
        if (!used[0]) return add_half(sums, q, 1);
        for (int j = 0; j < NJ; ++j)
            for (int i = 0; i < NI; ++i)
                sums[i][j] += row[0][i][from[q + j][0]] + row[1][i][from[q + j][1]];
    }

    template <int NI, int NJ>
    ALWAYS_INLINE void add_half(V (&sums)[NI][NJ], Index q, int side) const {
        for (int j = 0; j < NJ; ++j)
            for (int i = 0; i < NI; ++i) sums[i][j] += row[side][i][from[q + j][side]];
    }
};

/// Eliminate ROWS nodes from `top` on, whose rows have not yet the share of the rows above.
///
/// One pass over the rows adds that share and sums what is right of the block; the nodes are then
/// eliminated among themselves, and a second pass does to the rows what that amounts to.
template <int ROWS, class V, class Matrix>
void eliminate_rows(const Front& front, V* panel, Index top, V* scales, Matrix& matrix) {
    const Index width = front.width, across = front.tall + front.pad;
    V* rows = panel + top * width;
    V corner[ROWS][TILE] = {}, total[ROWS] = {};
    matrix.template choose<ROWS>(top);
    add_product(corner, top, panel + top, width, 1, panel + top, width, 1);
    matrix.add_to(corner, top);
    for (Index tile = top + TILE; tile < across; tile += TILE) {
        V of_tile[ROWS] = {};  // long sums are made of short ones: they round less
        for (Index j = tile; j < tile + TILE; j += ABREAST) {
            V sums[ROWS][ABREAST] = {};
            add_product(sums, top, panel + top, width, 1, panel + j, width, 1);
            matrix.add_to(sums, j);
            put(sums, rows + j, width);
            for (int r = 0; r < ROWS; ++r)
                for (int c = 0; c < ABREAST; c += 2) of_tile[r] += sums[r][c] + sums[r][c + 1];
        }
        for (int r = 0; r < ROWS; ++r) total[r] += of_tile[r];
    }
    V scale[ROWS];
    for (int r = 0; r < ROWS; ++r) {
        V all = total[r];
        for (int c = r + 1; c < TILE; ++c) all += corner[r][c];
        scale[r] = 1 / root(maximum(all, V{} + (Number<V>)TINY));
        total[r] *= scale[r];
        for (int c = r + 1; c < TILE; ++c) corner[r][c] *= scale[r];
        for (int q = r + 1; q < ROWS; ++q) {
            total[q] += corner[r][q] * total[r];
            for (int c = q + 1; c < TILE; ++c) corner[q][c] += corner[r][q] * corner[r][c];
        }
        scales[top + r] = scale[r];
    }
    for (int r = 0; r < ROWS; ++r)
        for (int c = r + 1; c < TILE; ++c) rows[r * width + top + c] = corner[r][c];
    for (Index j = top + TILE; j < across; ++j) {
        V x[ROWS];
        for (int r = 0; r < ROWS; ++r) {
            x[r] = rows[r * width + j];
            for (int q = 0; q < r; ++q) x[r] += corner[q][r] * x[q];
            x[r] *= scale[r];
            rows[r * width + j] = x[r];
        }
    }
}

/// Add the products of the scaled rows to the kept matrix.
template <class V, class Matrix>
void update_kept(const Front& front, const V* panel, V* kept, Matrix& matrix) {
    const V* right = panel + front.tall;
    for (Index i = 0; i < front.sink; i += TILE) {
        const Index first = i < front.source ? i : front.sink / TILE * TILE;
        V* out = kept + i * front.row;
        matrix.template choose<TILE>(front.tall + i);
        for (Index j = first; j < front.pad; j += ABREAST) {
            V sums[TILE][ABREAST] = {};
            add_product(sums, front.E, right + i, front.width, 1, right + j, front.width, 1);
            matrix.add_to(sums, front.tall + j);
            put(sums, out + j, front.row);
        }
        for (int r = 0; r < TILE; ++r) out[r * front.row + front.pad] = V{};
    }
}

/// Eliminate the front's first E nodes: scale its panel rows, then update its kept matrix.
///
/// Afterwards row e holds c_ej / sqrt(d_e) and, behind the rows, 1 / sqrt(d_e).
template <class V, class Matrix>
void eliminate(const Front& front, V* panel, V* kept, Matrix matrix) {
    V* scales = panel + front.E * front.width;
    for (Index top = 0; top < front.E; top += TILE)
        with_rows(front.E - top, [&](auto rows) {
            eliminate_rows<decltype(rows)::count>(front, panel, top, scales, matrix);
        });
    update_kept(front, panel, kept, matrix);
}

/// Conductances of the group's devices, then of segments and ends; idle lanes repeat the last array.
template <class V>
void gather(const Plan& plan, const Batch<Number<V>>& batch, Index group, V* values) {
    for (int lane = 0; lane < COUNT<V>; ++lane) {
        const Index last = batch.arrays - 1, k = group * COUNT<V> + lane;
        const Index array = k < last ? k : last;
        const auto& [top, right] = batch.absent[array];
        V* to = values;
        for (Index k = 0; k < (batch.each ? plan.wires() : 0); ++k)
            values[plan.cells() + k][lane] = batch.wires[array * plan.wires() + k];
        for (Index i = 0; i < plan.rows; ++i) {
            const Number<V>* G = batch.G + batch.first[array] + i * batch.row;
            const Index cells = i < top ? 0 : plan.cols - right;
            for (Index j = 0; j < cells; ++j) (*to++)[lane] = G[j];
            for (Index j = cells; j < plan.cols; ++j) (*to++)[lane] = 0;
        }
    }
    for (Index k = 0; k < (batch.each ? 0 : plan.wires()); ++k)
        values[plan.cells() + k] = V{} + batch.wires[k];
}

/// Run one group of arrays up the tree; with `keep` every front has a panel of its own.
template <class V>
void eliminate_all(const Plan& plan, const Batch<Number<V>>& batch, Index group, V* values,
                   V* stack, V* panels, bool keep) {
    gather(plan, batch, group, values);
    V* zeros = values + plan.conductances;
    clear(zeros, plan.broadest);
    for (Index f = 0; f < plan.fronts; ++f) {
        const Front& front = plan.front[f];
        V* panel = panels + (keep ? front.panel : 0);
        V* kept = stack + front.stack;
        if (front.child[0] < 0)
            eliminate(front, panel, kept, Elements<V>(plan, front, values, panel, kept));
        else eliminate(front, panel, kept, Halves<V>(plan, front, stack, zeros));
    }
}

template <class V>
ALWAYS_INLINE Index groups(const Batch<Number<V>>& batch) {
    return (batch.arrays + COUNT<V> - 1) / COUNT<V>;
}

/// Calls f(i, j, lane, q) for source i and sink j of the root in every array of a group, where q
/// is the cell's place in `G`.
template <class V, class F>
ALWAYS_INLINE void each_output(const Plan& plan, const Batch<Number<V>>& batch, Index group, F f) {
    const Front& root = plan.front[plan.fronts - 1];
    const Index* first = batch.first + group * COUNT<V>;
    const Index(*absent)[2] = batch.absent + group * COUNT<V>;
    const Index over = batch.arrays - group * COUNT<V>;
    const Index count = over < COUNT<V> ? over : COUNT<V>;
    for (Index i = 0; i < root.sink; ++i)
        for (Index j = 0; j < root.K - root.sink; ++j) {
            const Index col = plan.sink_col[j];
            if (col < 0) continue;
            const Index row = plan.source_row[i], cell = row * batch.row + col;
            for (Index lane = 0; lane < count; ++lane)
                if (row >= absent[lane][0] && col < plan.cols - absent[lane][1])
                    f(i, root.sink + j, lane, first[lane] + cell);
        }
}

template <class V>
void forward(const Plan& plan, const Batch<Number<V>>& batch, Index worker, Index workers,
             Number<V>* work, Number<V>* out) {
    V* values = (V*)work;
    V* stack = values + plan.conductances + plan.broadest;
    V* spare = stack + plan.stack;
    const Front& root = plan.front[plan.fronts - 1];
    for (Index group = worker; group < groups<V>(batch); group += workers) {
        V* panels = batch.kept ? (V*)batch.panels + group * plan.panels : spare;
        eliminate_all(plan, batch, group, values, stack, panels, batch.kept);
        const V* matrix = stack + root.stack;
        each_output<V>(plan, batch, group, [&](Index i, Index j, Index lane, Index q) {
            const Number<V> x = matrix[i * root.row + j][lane];
            // a bit line may end in a driven and in a sensed terminal
            if (!batch.pairs) out[q] += x;
            else if (q % 2) out[q / 2] -= x;
            else out[q / 2] += x;
        });
    }
}

// --- reverse ------------------------------------------------------------------------------------

/// Ask for the end of the panel that stands before a front's, where `find_voltages` begins next: it
/// was written long ago.
template <class V>
ALWAYS_INLINE void fetch_ahead(const Front& front, const V* panels) {
    const Index before = front.panel * (Index)sizeof(V);
    const char* end = (const char*)(panels + front.panel);
    for (Index byte = LINE; byte <= AHEAD && byte <= before; byte += LINE)
        __builtin_prefetch(end - byte);
}

/// F (E, pad): voltage of eliminated node e for 1 V on kept node k.
template <class V>
void find_voltages(const Front& front, const V* panel, V* F) {
    const Index E = front.E, width = front.width, step = front.row;
    const V* scales = panel + E * width;
    for (Index top = front.tall - TILE; top >= 0; top -= TILE)
        with_rows(E - top, [&](auto of) {
            constexpr int ROWS = decltype(of)::count;
            const V* rows = panel + top * width;
            const Index last = top + ROWS;
            for (Index j = 0; j < front.pad; j += ABREAST) {
                V x[ROWS][ABREAST] = {};
                add_product(x, E - last, rows + last, 1, width, F + last * step + j, step, 1);
                add(x, rows + front.tall + j, width);
                for (int r = ROWS - 1; r >= 0; --r)
                    for (int c = 0; c < ABREAST; ++c) {
                        for (int q = r + 1; q < ROWS; ++q)
                            x[r][c] += rows[r * width + top + q] * x[q][c];
                        x[r][c] *= scales[top + r];
                    }
                put(x, F + top * step + j, step);
            }
        });
}

/// X (E, pad) = F H over the kept nodes.
///
/// H holds its upper triangle, and whole tiles on the diagonal. Pairs of two sources or of two
/// sinks carry no gradient.
template <class V>
void times_gradients(const Front& front, const V* F, const V* H, V* X) {
    const Index step = front.row, width = front.width;
    const V* kept = H + front.tall * width + front.tall;
    for (Index e = 0; e < front.E; e += TILE)
        with_rows(front.E - e, [&](auto of) {
            constexpr int ROWS = decltype(of)::count;
            for (Index j = 0; j < front.pad; j += ABREAST) {
                V x[ROWS][ABREAST] = {};
                const Index tile = j / TILE * TILE, below = tile + TILE;
                const auto add = [&](Index first, Index last) {
                    const V* f = F + e * step;
                    const Index middle = last < below ? last : below;
                    if (first < middle)
                        add_product(x, middle - first, f + first, 1, step,
                                    kept + first * width + j, width, 1);
                    const Index from = first > below ? first : below;
                    if (from < last)
                        add_product(x, last - from, f + from, 1, step, kept + j * width + from, 1,
                                    width);
                };
                const bool only_sources = tile >= front.source && below <= front.sink;
                add(0, front.source);
                add(only_sources ? front.sink : front.source,
                    tile >= front.sink ? front.sink : front.K);
                put(x, X + e * step + j, step);
            }
        });
}

/// Fill the upper rows of H, which belong to the front's eliminated nodes.
///
/// F (E, pad) holds the voltages; X (E, pad) and Y (E, tall) are scratch.
template <class V>
void extend(const Front& front, const V* F, V* X, V* Y, V* H) {
    const Index E = front.E, step = front.row, high = front.high;
    times_gradients(front, F, H, X);
    for (Index e = 0; e < E; e += TILE)
        with_rows(E - e, [&](auto of) {
            constexpr int ROWS = decltype(of)::count;
            for (Index other = e; other < E; other += ABREAST) {
                V y[ROWS][ABREAST] = {};
                add_product(y, front.K, F + e * step, 1, step, X + other * step, 1, step);
                put(y, Y + e * high + other, high);
            }
        });
    for (Index e = 0; e < E; ++e) {
        const V half = V{} + (Number<V>)0.5;
        const V q = half * Y[e * high + e];
        V* row = H + e * front.width;
        row[e] = V{};
        for (Index other = e + 1; other < E; ++other) {
            row[other] = Y[e * high + other] - q - half * Y[other * high + other];
            if (other / TILE == e / TILE) H[other * front.width + e] = row[other];
        }
        for (Index k = 0; k < front.K; ++k) row[front.tall + k] = X[e * step + k] - q;
    }
}

/// Mirror the diagonal tiles of the kept nodes' H, of which the upper triangle is there.
template <class V>
ALWAYS_INLINE void mirror(const Front& front, Index i, V* kept) {
    for (Index j = i / TILE * TILE; j < i; ++j)
        kept[i * front.width + j] = kept[j * front.width + i];
}

/// Copy the H of the front's kept nodes from its parent.
template <class V>
void inherit(const Plan& plan, const Front& front, V* H) {
    const Front& parent = plan.front[front.parent];
    const Index* from = plan.child_map + front.map;
    V* kept = H + front.reverse + front.tall * front.width + front.tall;
    for (Index i = 0; i < front.K; ++i) {
        const V* above = H + parent.reverse + from[i] * parent.width;
        V* row = kept + i * front.width;
        const Index start = i < front.source ? i : i < front.sink ? front.sink : front.K;
        clear(row + i, start - i);
        for (Index j = start; j < front.K; ++j) row[j] = above[from[j]];
        mirror(front, i, kept);
    }
}

/// Fill the H of the root's kept nodes with dL/dG_eff.
template <class V>
void seed(const Plan& plan, const Batch<Number<V>>& batch, Index group, const Number<V>* M, V* H) {
    const Front& root = plan.front[plan.fronts - 1];
    V* kept = H + root.reverse + root.tall * root.width + root.tall;
    for (Index i = 0; i < root.K; ++i) clear(kept + i * root.width, root.K);
    each_output<V>(plan, batch, group, [&](Index i, Index j, Index lane, Index q) {
        const Number<V> x = !batch.pairs ? M[q] : q % 2 ? -M[q / 2] : M[q / 2];
        kept[i * root.width + j][lane] = x;
        kept[j * root.width + i][lane] = x;
    });
}

/// Write the gradients of the group's arrays where their conductances stand.
template <class V>
void scatter(const Plan& plan, const Batch<Number<V>>& batch, Index group, const V* values,
             Number<V>* out, Number<V>* by_wires) {
    for (Index lane = 0, array = group * COUNT<V>; lane < COUNT<V> && array < batch.arrays;
         ++lane, ++array) {
        const auto& [top, right] = batch.absent[array];
        for (Index i = top; i < plan.rows; ++i) {
            Number<V>* to = out + batch.first[array] + i * batch.row;
            const V* from = values + i * plan.cols;
            for (Index j = 0; j < plan.cols - right; ++j) to[j] = from[j][lane];
        }
        const V* wires = values + plan.cells();
        for (Index k = 0; k < plan.wires(); ++k)
            by_wires[array * plan.wires() + k] = wires[k][lane];
    }
}

template <class V>
void reverse(const Plan& plan, const Batch<Number<V>>& batch, const Number<V>* M, Index worker,
             Index workers, Number<V>* work, Number<V>* out, Number<V>* by_wires) {
    V* values = (V*)work;
    V* stack = values + plan.conductances + plan.broadest;
    V* H = stack + plan.stack;
    V* F = H + plan.reverse_stack;
    V* X = F + plan.voltages;
    V* Y = X + plan.voltages;
    V* spare = Y + plan.voltages;
    for (Index group = worker; group < groups<V>(batch); group += workers) {
        V* panels = batch.kept ? (V*)batch.panels + group * plan.panels : spare;
        if (!batch.kept) eliminate_all(plan, batch, group, values, stack, panels, true);
        clear(values, plan.conductances);
        for (Index f = plan.fronts - 1; f >= 0; --f) {
            const Front& front = plan.front[f];
            if (front.parent < 0) seed(plan, batch, group, M, H);
            else inherit(plan, front, H);
            V* own = H + front.reverse;
            fetch_ahead(front, panels);
            find_voltages(front, panels + front.panel, F);
            extend(front, F, X, Y, own);
            for (Index n = front.element; n < front.element + front.elements; ++n) {
                const auto& [a, b, value] = plan.element[n];
                values[value] += own[a * front.width + b];
            }
        }
        scatter(plan, batch, group, values, out, by_wires);
    }
}

/// Calls f(V{}) with the vector that has as many lanes as the batch asks for.
template <class T, int N = lanes<T>, class F>
ALWAYS_INLINE void with_lanes(Index count, F f) {
    if constexpr (N * sizeof(T) > 16)
        if (count < N) return with_lanes<T, N / 2>(count, f);
    f(typename Lanes<T, N>::type{});
}

template <class T>
ALWAYS_INLINE void run_forward(const Plan* plan, const Batch<T>* batch, Index worker,
                               Index workers, T* work, T* out) {
    with_lanes<T>(batch->lanes, [&](auto vector) {
        forward<decltype(vector)>(*plan, *batch, worker, workers, work, out);
    });
}

template <class T>
ALWAYS_INLINE void run_reverse(const Plan* plan, const Batch<T>* batch, Index worker,
                               Index workers, T* work, const T* M, T* out, T* by_wires) {
    with_lanes<T>(batch->lanes, [&](auto vector) {
        reverse<decltype(vector)>(*plan, *batch, M, worker, workers, work, out, by_wires);
    });
}

}  // namespace xbarspice::dissection

using namespace xbarspice;
using dissection::Batch;
using dissection::Plan;

/// Add G_eff to `out`, S, zeros before, for every `workers`-th group, from group `worker` on: as
/// `G`, or with `pairs` of columns the differences, half as many numbers.
EXPORT void forward_f64(const Plan* plan, const Batch<double>* batch, Index worker, Index workers,
                        double* work, double* out) {
    dissection::run_forward(plan, batch, worker, workers, work, out);
}

EXPORT void forward_f32(const Plan* plan, const Batch<float>* batch, Index worker, Index workers,
                        float* work, float* out) {
    dissection::run_forward(plan, batch, worker, workers, work, out);
}

/// Write dL/dG, as `G`, and dL/d(conductance) of segments and ends, (arrays, wires), for the gradient
/// `M` by what `forward` wrote.
EXPORT void reverse_f64(const Plan* plan, const Batch<double>* batch, Index worker, Index workers,
                        double* work, const double* M, double* out, double* by_wires) {
    dissection::run_reverse(plan, batch, worker, workers, work, M, out, by_wires);
}

EXPORT void reverse_f32(const Plan* plan, const Batch<float>* batch, Index worker, Index workers,
                        float* work, const float* M, float* out, float* by_wires) {
    dissection::run_reverse(plan, batch, worker, workers, work, M, out, by_wires);
}
