// Newton on the drops of an array, with the current mismatch carried so that Kirchhoff holds; the
// algorithm is that of newton.py, for the device equations I = P V + Q V^3 and I = P sinh(Q V).
#include <math.h>

#include "solves.hpp"

namespace xbarspice {

enum Kind { CUBIC = 1, SINH = 2 };
/// Share of |I| + |w dI/dw| by which a nonlinear device is rounded (`Device.increasing`).
static constexpr double DEVICE_ROUNDING = 32 * 0x1p-52;
static constexpr int MAX_STEPS = 100;
static constexpr double SMALLEST_STEP = 1e-9;
/// Largest |x| for which `sinh_series` is used.
static constexpr double SERIES = 4.0;

/// Device equations of all arrays; the record `Devices` of newton.py.
struct Devices {
    Index kind;
    const double *P, *Q;  // (arrays, rows, cols); Q is (arrays,) for SINH
    double stiffest;      // largest conductance at the read voltage, S
};

/// Currents and slopes of a vector of devices.
struct Evaluated {
    V current, slope;
};

/// sinh(x) and cosh(x) - 1.
struct Hyperbolic {
    V sinh, cosh_less_1;
};

/// For |x| <= SERIES: Taylor series at x / 8 and three doublings.
ALWAYS_INLINE static Hyperbolic sinh_series(V x) {
    const V y = x * 0.125, q = y * y;
    V t = q * (1.0 / 156.0) + 1.0;
    t = q * (1.0 / 110.0) * t + 1.0;
    t = q * (1.0 / 72.0) * t + 1.0;
    t = q * (1.0 / 42.0) * t + 1.0;
    t = q * (1.0 / 20.0) * t + 1.0;
    V s = y * (q * (1.0 / 6.0)) * t + y;
    t = q * (1.0 / 182.0) + 1.0;
    t = q * (1.0 / 132.0) * t + 1.0;
    t = q * (1.0 / 90.0) * t + 1.0;
    t = q * (1.0 / 56.0) * t + 1.0;
    t = q * (1.0 / 30.0) * t + 1.0;
    V d = q * 0.5 * (q * (1.0 / 12.0) * t + 1.0);
    for (int doubling = 0; doubling < 3; ++doubling) {
        const V twice = 2.0 * (s * (d + 1.0));  // sinh 2x = 2 sinh x cosh x
        d = 2.0 * (s * s);                      // cosh 2x - 1 = 2 sinh^2 x
        s = twice;
    }
    return {s, d};
}

struct Cubic {
    const double *P, *Q;

    template <class Size>
    ALWAYS_INLINE Evaluated operator()(Index j, V w, Size n) const {
        const V p = load(P + j, n), q = load(Q + j, n) * (w * w);
        return {(p + q) * w, 3.0 * q + p};
    }
};

/// Where no device has more than SERIES.
struct SmallSinh {
    const double* P;
    double b;

    template <class Size>
    ALWAYS_INLINE Evaluated operator()(Index j, V w, Size n) const {
        const V p = load(P + j, n);
        const Hyperbolic h = sinh_series(b * w);
        return {p * h.sinh, p * b * (h.cosh_less_1 + 1.0)};
    }
};

/// At any voltage, without loss of digits; 0 for devices with P = 0.
struct AnySinh {
    const double* P;
    double b;

    template <class Size>
    ALWAYS_INLINE Evaluated operator()(Index j, V w, Size n) const {
        const V p = load(P + j, n);
        Evaluated out{};
        for (int k = 0; k < LANES; ++k) {
            if (!(p[k] > 0.0)) continue;
            const double x = b * w[k], t = expm1(magnitude(x));
            const bool finite = t < 1e300;
            const double half = finite ? 0.5 * t / (t + 1.0) : 0.5;
            out.current[k] = p[k] * copysign(half + 0.5 * t, x);
            out.slope[k] = p[k] * b * (1.0 + (finite ? half * t : 0.5 * t));
        }
        return out;
    }
};

/// Call pass(device) with the equations of one array, for voltages of at most `highest`.
template <class Pass>
ALWAYS_INLINE static void with_devices(Index kind, const double* P, const double* Q,
                                       double highest, const Pass& pass) {
    if (kind == CUBIC) {
        pass(Cubic{P, Q});
    } else if (*Q * highest <= SERIES) {
        pass(SmallSinh{P, *Q});
    } else {
        pass(AnySinh{P, *Q});
    }
}

/// Device currents and slopes at the device voltages w.
static void evaluate(Index kind, const double* P, const double* Q, const double* w, Index count,
                     double* current, double* slope) {
    with_devices(kind, P, Q, largest(w, count), [&](const auto& device) {
        across<double>(count, [&](Index j, auto n) {
            const Evaluated at = device(j, load(w + j, n), n);
            store(current + j, at.current, n);
            store(slope + j, at.slope, n);
        });
    });
}

/// Device voltages w - t (a + b); returns the largest.
static double step_voltages(double t, const double* w, const double* a, const double* b,
                            Index count, double* out) {
    const V length = fill(t);
    Peak<double> highest;
    across_in_chains<double>(count, [&](Index j, auto n, auto chain) {
        const V dw = load(a + j, n) + load(b + j, n), next = load(w + j, n) - length * dw;
        highest.add(chain, absolute(next));
        store(out + j, next, n);
    });
    return highest.largest();
}

/// Arrays of cells that a Newton step moves between: the present ones and the next ones.
struct Point {
    double *w, *current, *slope, *F_wl, *F_bl;
};

/// Scratch arrays of Newton, behind those of `correct`.
enum NewtonArray { E = SPARE, A, B, HERE, THERE = HERE + 5, NEWTON_ARRAYS = THERE + 5 };

static Point point(const Scratch& scratch, int first) {
    return {scratch.array(first), scratch.array(first + 1), scratch.array(first + 2),
            scratch.array(first + 3), scratch.array(first + 4)};
}

/// What one array's Newton works with.
struct Task {
    const Network& net;
    const Aims& aims;
    const Scratch& scratch;
    Index kind;
    const double *P, *Q;
    double stiffest;
    double *I_out, *I_in;

    Index count() const { return net.rows() * net.cols(); }
};

/// Root of the sum of squares of all Kirchhoff sums; what ideal ends absorb is dropped.
static double norm_of(const Task& task, const Point& x) {
    const Index rows = task.net.rows(), cols = task.net.cols();
    const double on_wl = settle_rows({x.F_wl, rows, cols}, task.net.wl);
    return sqrt(on_wl + settle({x.F_bl, rows, cols}, task.net.bl));
}

static double most_of(const Task& task, const Point& x) {
    return line_currents({x.current, task.net.rows(), task.net.cols()}, task.I_in, task.I_out);
}

static State state_of(const Task& task, const Point& x) {
    return {task.scratch.array(E), task.scratch.array(A), task.scratch.array(B), x.current, x.F_wl,
            x.F_bl};
}

/// Take a Newton step of length t from `here` to `there`, with the corrections that `correct` left.
static void try_step(const Task& task, double t, const Point& here, const Point& there) {
    const double *a = task.scratch.array(DROP), *b = task.scratch.array(RISE);
    const double *remains = task.scratch.array(LEFT);
    const V length = fill(t), rest = fill(1.0 - t);
    const double highest = step_voltages(t, here.w, a, b, task.count(), there.w);
    with_devices(task.kind, task.P, task.Q, highest, [&](const auto& device) {
        across<double>(task.count(), [&](Index j, auto n) {
            const Evaluated at = device(j, load(there.w + j, n), n);
            const V dw = load(a + j, n) + load(b + j, n);
            const V change = at.current - load(here.current + j, n);
            const V mismatch = length * load(here.slope + j, n) * dw + change;
            const V carried = length * load(remains + j, n) + mismatch;
            store(there.current + j, at.current, n);
            store(there.slope + j, at.slope, n);
            store(there.F_wl + j, rest * load(here.F_wl + j, n) + mismatch, n);
            store(there.F_bl + j, rest * load(here.F_bl + j, n) + carried, n);
        });
    });
}

/// The point where Newton starts: the drops of `guess`, (2, rows, cols), or none.
static void start_at(const Task& task, const double* guess, const Point& x) {
    const Index count = task.count(), rows = task.net.rows(), cols = task.net.cols();
    const double* e = task.scratch.array(E);
    double *a = task.scratch.array(A), *b = task.scratch.array(B);
    if (guess) {
        copy(guess, count, a);
        copy(guess + count, count, b);
    } else {
        clear(a, count);
        clear(b, count);
    }
    across<double>(count, [&](Index j, auto n) {
        store(x.w + j, load(e + j, n) - load(a + j, n) - load(b + j, n), n);
    });
    evaluate(task.kind, task.P, task.Q, x.w, count, x.current, x.slope);
    if (guess) {
        const ConstCells current{x.current, rows, cols};
        network_residual_rows(current, a, task.net.wl, x.F_wl);
        network_residual(current, b, task.net.bl, x.F_bl);
    } else {
        copy(x.current, count, x.F_wl);
        copy(x.current, count, x.F_bl);
    }
}

/// One nonlinear solve from the open-circuit device voltages in array(E); returns where it ended.
static Point solve_one(const Task& task, const double* guess, Report& out) {
    const Aims& aims = task.aims;
    const Index rows = task.net.rows(), cols = task.net.cols();
    Point here = point(task.scratch, HERE), there = point(task.scratch, THERE);
    start_at(task, guess, here);
    double norm = norm_of(task, here), most = most_of(task, here);
    out = {0.0, 0.0, norm == 0.0 ? 0.0 : INFINITE, 0.0};  // a norm may be NaN
    const auto residual = [&] {
        return true_residual(task.net, state_of(task, here), most, task.stiffest, aims.rounding);
    };
    while (out.steps < MAX_STEPS && norm > 0.0) {
        if (norm <= aims.gradient_share * most) {
            out.residual = residual();
            if (out.residual <= aims.residual) break;
            norm = norm_of(task, here);
        }
        const ConstCells D{here.slope, rows, cols};
        fold(D, task.net, task.scratch);
        const double share = norm / larger(most, norm);
        const double aim =
            larger(0.1 * aims.gradient_share * most, norm * (share < 0.1 ? share : 0.1));
        const Ended ended = correct(D, here.F_wl, here.F_bl, task.net, task.scratch, aim * aim,
                                    aims.limit);
        out.iterations += (double)ended.iterations;
        if (!(ended.square <= aim * aim)) {
            out.residual = UNFINISHED;
            break;
        }
        double t = 1.0, next;
        for (;; t *= 0.5) {
            try_step(task, t, here, there);
            next = norm_of(task, there);
            if (next < norm || t < SMALLEST_STEP) break;
        }
        if (!(next < norm)) break;  // the rounding floor, or no finite current
        norm = next;
        out.steps += 1.0;
        const Point left = here;
        here = there;
        there = left;
        add_times(t, task.scratch.array(DROP), task.count(), task.scratch.array(A));
        add_times(t, task.scratch.array(RISE), task.count(), task.scratch.array(B));
        most = most_of(task, here);
    }
    if (out.residual != UNFINISHED && !(out.residual <= aims.residual)) out.residual = residual();
    const double amperes =
        uncertainty({here.slope, rows, cols}, state_of(task, here), task.net, out.steps,
                    DEVICE_ROUNDING);
    out.error = share_of_largest(amperes, task.I_out, cols);
    return here;
}

/// Solves start..stop of a batch on nonlinear arrays.
///
/// `guess` is (2, rows, cols): drops a and b from which every solve starts; null for none.
EXPORT void solve_newton(const Network* net, const Aims* aims, const Scratch* scratch,
                         const Batch* batch, const Devices* devices, const double* guess,
                         Index start, Index stop) {
    const Index rows = net->rows(), cols = net->cols(), cells = rows * cols;
    for (Index n = start; n < stop; ++n) {
        const Index k = batch->index[n];
        const Task task{*net, *aims, *scratch, devices->kind, devices->P + k * cells,
                        devices->Q + k * (devices->kind == CUBIC ? cells : 1), devices->stiffest,
                        batch->I_out + n * cols, batch->I_in + n * rows};
        open_circuit(*net, batch->V_in + n * rows, batch->V_out + n * cols, scratch->array(E));
        Report report;
        const Point end = solve_one(task, guess, report);
        write(*batch, n, report);
        keep(*batch, n, *net, state_of(task, end), end.w);
    }
}

/// Scratch arrays of cells that any solve needs.
EXPORT Index scratch_arrays() { return NEWTON_ARRAYS; }

/// `evaluate`, for tests: P and Q as in `Devices`, of one array.
EXPORT void evaluate_devices(Index kind, const double* P, const double* Q, const double* w,
                             Index count, double* current, double* slope) {
    evaluate(kind, P, Q, w, count, current, slope);
}

}  // namespace xbarspice
