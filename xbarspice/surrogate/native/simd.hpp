// SIMD vectors of the processor's width, as one type: `Vec<T>` holds `lanes<T>` numbers.
//
// Loops over a short fixed axis, or over arrays that might overlap, are not reliably vectorised by
// compilers. GCC and Clang have vector types whose + - * / work lane by lane; what is missing there
// (parts of a vector, transposes, sums over lanes) is here. The width is that of the instruction
// set for which the file is compiled (see build.py).
#pragma once

#include <cstdint>
#include <utility>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace xbarspice {

using Index = std::int64_t;

#if defined(__AVX512F__)
inline constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX__)
inline constexpr int VECTOR_BYTES = 32;
#else
inline constexpr int VECTOR_BYTES = 16;
#endif

#define ALWAYS_INLINE inline __attribute__((always_inline))

template <class T>
inline constexpr int lanes = VECTOR_BYTES / sizeof(T);

template <class T>
struct VectorOf {
    typedef T type __attribute__((vector_size(VECTOR_BYTES)));
};
template <class T>
using Vec = typename VectorOf<T>::type;

/// Number of lanes that count: all of them, known when compiled, or the first few.
struct Whole {};
struct Part {
    int count;
};

template <class T>
ALWAYS_INLINE Vec<T> fill(T value) {
    return value - Vec<T>{};  // also -0.0 stays what it is
}

template <class T>
ALWAYS_INLINE Vec<T> load(const T* from, Whole = {}) {
    Vec<T> out;
    __builtin_memcpy(&out, from, sizeof out);
    return out;
}

template <class T>
ALWAYS_INLINE void store(T* to, Vec<T> value, Whole = {}) {
    __builtin_memcpy(to, &value, sizeof value);
}

/// The first `part.count` numbers; the lanes behind them are 0, and their memory is not read.
template <class T>
ALWAYS_INLINE Vec<T> load(const T* from, Part part) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 8) {
        return (Vec<T>)_mm512_maskz_loadu_pd((__mmask8)((1u << part.count) - 1), from);
    } else {
        return (Vec<T>)_mm512_maskz_loadu_ps((__mmask16)((1u << part.count) - 1), from);
    }
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 8) {
        const __m256i lane = {0, 1, 2, 3};
        return (Vec<T>)_mm256_maskload_pd(from, _mm256_set1_epi64x(part.count) > lane);
    }
#endif
    Vec<T> out{};
    for (int k = 0; k < part.count; ++k) out[k] = from[k];
    return out;
}

/// Write the first `part.count` numbers only.
template <class T>
ALWAYS_INLINE void store(T* to, Vec<T> value, Part part) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 8) {
        _mm512_mask_storeu_pd(to, (__mmask8)((1u << part.count) - 1), (__m512d)value);
    } else {
        _mm512_mask_storeu_ps(to, (__mmask16)((1u << part.count) - 1), (__m512)value);
    }
    return;
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 8) {
        const __m256i lane = {0, 1, 2, 3};
        _mm256_maskstore_pd(to, _mm256_set1_epi64x(part.count) > lane, (__m256d)value);
        return;
    }
#endif
    for (int k = 0; k < part.count; ++k) to[k] = value[k];
}

/// Run f(j, size) for j = 0, lanes, 2 lanes ... below `count`; `size` says which lanes count.
template <class T, class F>
ALWAYS_INLINE void across(Index count, F f) {
    Index j = 0;
    for (; j + lanes<T> <= count; j += lanes<T>) f(j, Whole{});
    if (j < count) f(j, Part{(int)(count - j)});
}

/// Sums of loops keep two parts, so that an addition need not wait for the one before it.
template <int N>
struct Chain {
    static constexpr int number = N;
};

/// As `across`, with f(j, size, chain): two vectors a step, each for a part of a `Sum` of its own.
template <class T, class F>
ALWAYS_INLINE void across_in_chains(Index count, F f) {
    Index j = 0;
    for (; j + 2 * lanes<T> <= count; j += 2 * lanes<T>) {
        f(j, Whole{}, Chain<0>{});
        f(j + lanes<T>, Whole{}, Chain<1>{});
    }
    if (j + lanes<T> <= count) {
        f(j, Whole{}, Chain<0>{});
        j += lanes<T>;
    }
    if (j < count) f(j, Part{(int)(count - j)}, Chain<1>{});
}

template <class V>
ALWAYS_INLINE V absolute(V x) {
    return x < 0 ? -x : x;
}

/// The larger number lane by lane; a lane of `b` that is not a number counts as the smaller.
template <class V>
ALWAYS_INLINE V maximum(V a, V b) {
    return b > a ? b : a;
}

template <class V>
ALWAYS_INLINE V square_root(V x) {
#if defined(__AVX512F__)
    if constexpr (sizeof(x[0]) == 8) return (V)_mm512_maskz_sqrt_pd((__mmask8)-1, (__m512d)x);
    else return (V)_mm512_maskz_sqrt_ps((__mmask16)-1, (__m512)x);
#elif defined(__AVX__)
    if constexpr (sizeof(x[0]) == 8) return (V)_mm256_sqrt_pd((__m256d)x);
    else return (V)_mm256_sqrt_ps((__m256)x);
#elif defined(__SSE2__)
    if constexpr (sizeof(x[0]) == 8) return (V)_mm_sqrt_pd((__m128d)x);
    else return (V)_mm_sqrt_ps((__m128)x);
#else
    for (unsigned k = 0; k < sizeof x / sizeof x[0]; ++k) x[k] = __builtin_sqrt(x[k]);
    return x;
#endif
}

/// All lanes joined two by two into one number.
template <class T, class F>
ALWAYS_INLINE T fold_lanes(Vec<T> x, F join) {
    T parts[lanes<T>];
    __builtin_memcpy(parts, &x, sizeof x);
    for (int count = lanes<T>; count > 1; count /= 2)
        for (int k = 0; k < count / 2; ++k) parts[k] = join(parts[2 * k], parts[2 * k + 1]);
    return parts[0];
}

template <class T>
ALWAYS_INLINE T sum_lanes(Vec<T> x) {
    return fold_lanes<T>(x, [](T a, T b) { return a + b; });
}

template <class T>
ALWAYS_INLINE T largest_lane(Vec<T> x) {
    return fold_lanes<T>(x, [](T a, T b) { return a > b ? a : b; });
}

/// A sum over vectors in two parts.
template <class T>
struct Sum {
    Vec<T> part[2] = {};

    template <int N>
    ALWAYS_INLINE void add(Chain<N>, Vec<T> x) {
        part[N] += x;
    }
    template <int N>
    ALWAYS_INLINE void add_product(Chain<N>, Vec<T> x, Vec<T> y) {
        part[N] = x * y + part[N];
    }
    ALWAYS_INLINE T total() const { return sum_lanes<T>(part[0] + part[1]); }
};

/// The largest of vectors, in two parts.
template <class T>
struct Peak {
    Vec<T> part[2] = {};

    template <int N>
    ALWAYS_INLINE void add(Chain<N>, Vec<T> x) {
        part[N] = maximum(part[N], x);
    }
    ALWAYS_INLINE T largest() const { return largest_lane<T>(maximum(part[0], part[1])); }
};

/// As many vectors as a vector has lanes: a square of numbers.
template <class T>
struct Square {
    Vec<T> row[lanes<T>];
};

namespace detail {

/// Lanes of (a, b) after an exchange of blocks of `step` numbers: those of the low or high row.
constexpr int low(int k, int step, int count) { return k & step ? (k ^ step) + count : k; }
constexpr int high(int k, int step, int count) { return k & step ? k + count : k ^ step; }

template <int STEP, class T, int... K>
ALWAYS_INLINE void exchange(Vec<T>& a, Vec<T>& b, std::integer_sequence<int, K...>) {
    constexpr int n = lanes<T>;
#if defined(__clang__) || __GNUC__ >= 12
    const Vec<T> first = __builtin_shufflevector(a, b, low(K, STEP, n)...);
    const Vec<T> second = __builtin_shufflevector(a, b, high(K, STEP, n)...);
#else
    using Number = std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>;
    const Vec<T> first = __builtin_shuffle(a, b, Vec<Number>{low(K, STEP, n)...});
    const Vec<T> second = __builtin_shuffle(a, b, Vec<Number>{high(K, STEP, n)...});
#endif
    a = first;
    b = second;
}

template <int STEP, class T>
ALWAYS_INLINE void exchange_blocks(Square<T>& x) {
    for (int k = 0; k < lanes<T>; ++k)
        if (!(k & STEP))
            exchange<STEP, T>(x.row[k], x.row[k + STEP],
                              std::make_integer_sequence<int, lanes<T>>{});
    if constexpr (STEP > 1) exchange_blocks<STEP / 2, T>(x);
}

}  // namespace detail

/// The columns of a square as rows.
template <class T>
ALWAYS_INLINE Square<T> transpose(Square<T> x) {
    if constexpr (lanes<T> > 1) detail::exchange_blocks<lanes<T> / 2, T>(x);
    return x;
}

}  // namespace xbarspice

/// A function that library.py finds by its name.
#define EXPORT extern "C" __attribute__((visibility("default")))
