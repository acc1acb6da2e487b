// Single passes over the inputs and weights of a layer, on the bits of their floats.
#include <cstring>

#include "simd.hpp"

namespace {

using xbarspice::Index;

/// The bits of floats without their signs are ordered as their sizes are; those of what is not a
/// number are above those of infinity.
template <class Bits, class T>
void find_range(const T* x, Index count, T limit, T* largest, Index* beyond) {
    static_assert(sizeof(Bits) == sizeof(T));
    constexpr Bits WITHOUT_SIGN = sizeof(Bits) == 8 ? (Bits)0x7fffffffffffffff : (Bits)0x7fffffff;
    const T infinity = (T)__builtin_inf();
    Bits most = 0, total = 0, above, whole;
    std::memcpy(&above, &limit, sizeof above);
    std::memcpy(&whole, &infinity, sizeof whole);
    for (Index k = 0; k < count; ++k) {
        Bits size;
        std::memcpy(&size, x + k, sizeof size);
        size &= WITHOUT_SIGN;
        most = size > most ? size : most;
        total += (size > above) & (size <= whole);
    }
    std::memcpy(largest, &most, sizeof most);
    *beyond = total;
}

}  // namespace

/// Whether two arrays hold the same bits.
EXPORT Index equal_bits(const void* a, const void* b, Index bytes) {
    return std::memcmp(a, b, bytes) == 0;
}

/// The largest size of the numbers, and how many are beyond a positive limit; what is not a number
/// counts as the largest, but not as beyond.
EXPORT void range_f64(const double* x, Index count, double limit, double* largest, Index* beyond) {
    find_range<std::int64_t>(x, count, limit, largest, beyond);
}

EXPORT void range_f32(const float* x, Index count, double limit, float* largest, Index* beyond) {
    find_range<std::int32_t>(x, count, (float)limit, largest, beyond);
}
