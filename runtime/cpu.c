/* What CPU this is: an identity for keys of cached code, and the level of vector code it runs. */
#include "nets_runtime.h"

#include <stdio.h>

#if defined(__x86_64__)

#include <cpuid.h>

static uint64_t enabled_states(uint32_t leaf1_ecx) {
    if (!(leaf1_ecx & bit_OSXSAVE)) {
        return 0;
    }
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

void nets_cpu_identity(char *text, size_t size) {
    uint32_t a1 = 0, b1 = 0, c1 = 0, d1 = 0;
    uint32_t a7 = 0, b7 = 0, c7 = 0, d7 = 0;
    uint32_t a71 = 0, b71 = 0, c71 = 0, d71 = 0;
    uint32_t ae = 0, be = 0, ce = 0, de = 0;
    __get_cpuid(1, &a1, &b1, &c1, &d1);
    __get_cpuid_count(7, 0, &a7, &b7, &c7, &d7);
    __get_cpuid_count(7, 1, &a71, &b71, &c71, &d71);
    __get_cpuid(0x80000001, &ae, &be, &ce, &de);
    snprintf(text, size, "x86_64-%x-%x-%x-%x-%x-%x-%x-%x-%x-%llx", a1, c1, d1, b7, c7, d7, a71, d71,
             ce, (unsigned long long)enabled_states(c1));
}

int32_t nets_cpu_level(void) {
    __builtin_cpu_init();
    int v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("ssse3") &&
             __builtin_cpu_supports("popcnt");
    int v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
             __builtin_cpu_supports("lzcnt");
    int v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
    return v4 ? 4 : v3 ? 3 : v2 ? 2 : 0;
}

#elif defined(__aarch64__)

/* Code is for any of these processors. */
void nets_cpu_identity(char *text, size_t size) {
    snprintf(text, size, "aarch64");
}

int32_t nets_cpu_level(void) {
    return 0;
}

#else

void nets_cpu_identity(char *text, size_t size) {
    snprintf(text, size, "unknown");
}

int32_t nets_cpu_level(void) {
    return 0;
}

#endif
