// Steps between the weights of a layer and the conductances of its pairs, in one pass each.
#include "simd.hpp"

namespace xbarspice::pairs {

/// Outputs side by side: weights are read along inputs, conductances written along outputs.
constexpr Index BLOCK = 16;

/// `pair_kernels._Weights`.
template <class T>
struct Weights {
    Index groups, outputs, inputs, lines;
    const T *weight, *scale, *line;
    double span;
};

/// Calls f(weight, scale, pair, value) for every value of the weights and f(line, pair, value) for
/// those of the bias lines: places of the numbers in their arrays, and w/scale.
template <class T, class F, class L>
ALWAYS_INLINE void each_value(const Weights<T>& w, F of_weight, L of_line) {
    const Index rows = w.inputs + w.lines;
    for (Index g = 0; g < w.groups; ++g)
        for (Index first = 0; first < w.outputs; first += BLOCK) {
            const Index last = first + BLOCK < w.outputs ? first + BLOCK : w.outputs;
            for (Index i = 0; i < w.inputs; ++i)
                for (Index o = first; o < last; ++o) {
                    const Index scale = g * w.outputs + o, weight = scale * w.inputs + i;
                    of_weight(weight, scale, (g * rows + i) * w.outputs + o,
                              w.weight[weight] / w.scale[scale]);
                }
            for (Index i = 0; i < w.lines; ++i)
                for (Index o = first; o < last; ++o) {
                    const Index line = (g * w.lines + i) * w.outputs + o;
                    of_line(line, (g * rows + w.inputs + i) * w.outputs + o, w.line[line]);
                }
        }
}

template <class T>
void place(const Weights<T>& w, T G_min, T* out) {
    const T span = (T)w.span;
    const auto put = [&](Index pair, T value) {
        const T x = span * value;
        out[2 * pair] = x < 0 ? G_min : G_min + x;  // not a number stays what it is
        out[2 * pair + 1] = x > 0 ? G_min : G_min - x;
    };
    each_value(w, [&](Index, Index, Index pair, T value) { put(pair, value); },
               [&](Index, Index pair, T value) { put(pair, value); });
}

template <class T>
void place_back(const Weights<T>& w, const T* by_pair, T* by_weight, double* by_scale, T* by_line) {
    const T span = (T)w.span;
    const auto by_value = [&](Index pair, T value) {  // both devices count where a value is 0
        const T up = by_pair[2 * pair], down = by_pair[2 * pair + 1];
        return span * ((value >= 0 ? up : T{}) - (value <= 0 ? down : T{}));
    };
    each_value(
        w,
        [&](Index weight, Index scale, Index pair, T value) {
            const T by = by_value(pair, value);
            by_weight[weight] = by / w.scale[scale];
            by_scale[scale] -= by * value / w.scale[scale];
        },
        [&](Index line, Index pair, T value) { by_line[line] = by_value(pair, value); });
}

}  // namespace xbarspice::pairs

using namespace xbarspice;
using pairs::Weights;

/// Conductances of pairs whose smaller device stands at `G_min`: even columns +, odd -.
///
/// `out` (groups, inputs + lines, 2 outputs), S.
EXPORT void place_low_f64(const Weights<double>* w, double G_min, double* out) {
    pairs::place(*w, G_min, out);
}

EXPORT void place_low_f32(const Weights<float>* w, double G_min, float* out) {
    pairs::place(*w, (float)G_min, out);
}

/// Gradients of `place_low` for that by its `out`; `by_scale` has zeros before.
EXPORT void place_low_back_f64(const Weights<double>* w, const double* by_pair, double* by_weight,
                               double* by_scale, double* by_line) {
    pairs::place_back(*w, by_pair, by_weight, by_scale, by_line);
}

EXPORT void place_low_back_f32(const Weights<float>* w, const float* by_pair, float* by_weight,
                               double* by_scale, float* by_line) {
    pairs::place_back(*w, by_pair, by_weight, by_scale, by_line);
}
