// What library.py asks a library before it uses it.
#include "simd.hpp"

/// Hash of the sources from which the library was compiled.
EXPORT const char* sources() { return XBARSPICE_SOURCES; }

/// The best instruction set that this processor has: 2, 3 or 4 on x86-64, else 0.
EXPORT int processor_level() {
#if defined(__x86_64__)
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
    return v4 ? 4 : v3 ? 3 : 2;
#else
    return 0;
#endif
}

/// Numbers side by side in one vector.
EXPORT int lanes_f64() { return xbarspice::lanes<double>; }
EXPORT int lanes_f32() { return xbarspice::lanes<float>; }
