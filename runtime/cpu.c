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

/* What each level adds: bits of ecx of leaf 1, ebx of leaf 7, ecx of leaf 0x80000001, and of the
 * registers that the system saves. Exported libraries ask for the same (backend/library/cpu_level.py).
 */
static const uint32_t level_bits[3][4] = {
    {0x00982201, 0x00000000, 0x01, 0x00}, /* SSE3, SSSE3, CX16, SSE4.1, SSE4.2, POPCNT; LAHF */
    {0x38401000, 0x00000128, 0x20, 0x06}, /* FMA, MOVBE, OSXSAVE, AVX, F16C; BMI, AVX2, BMI2; LZCNT */
    {0x00000000, 0xd0030000, 0x00, 0xe6}, /* AVX512F, DQ, CD, BW, VL */
};

int32_t nets_cpu_level(void) {
    uint32_t a = 0, b = 0, d = 0, found[4] = {0};
    __get_cpuid(1, &a, &b, &found[0], &d);
    __get_cpuid_count(7, 0, &a, &found[1], &b, &d);
    __get_cpuid(0x80000001, &a, &b, &found[2], &d);
    found[3] = (uint32_t)enabled_states(found[0]);
    int32_t level = 1;
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 4; j++) {
            if ((found[j] & level_bits[i][j]) != level_bits[i][j]) {
                return level == 1 ? 0 : level;
            }
        }
        level++;
    }
    return level;
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
