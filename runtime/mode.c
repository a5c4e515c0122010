/* The floating-point mode of a thread, which other libraries may have changed. */
#include "nets_runtime.h"

#if defined(__x86_64__)
#include <xmmintrin.h>

/* All exceptions masked, round to nearest, neither flush-to-zero nor denormals-are-zero. */
enum { IEEE_MXCSR = 0x1f80, MXCSR_FLAGS = 0x3f };

uint64_t nets_ieee_mode_enter(void) {
    uint32_t before = _mm_getcsr();
    if ((before & ~(uint32_t)MXCSR_FLAGS) != IEEE_MXCSR) {
        _mm_setcsr(IEEE_MXCSR);
    }
    return before;
}

void nets_ieee_mode_leave(uint64_t mode) {
    /* Status flags that the call raised are dropped with the rest: callers that enabled
     * floating-point exceptions must not find flags they did not raise. */
    if (_mm_getcsr() != (uint32_t)mode) {
        _mm_setcsr((uint32_t)mode);
    }
}

#elif defined(__aarch64__)

/* All exceptions masked, round to nearest, subnormals kept: FPCR is 0. The flags stand in FPSR, and
 * the upper half of a mode holds them. */
uint64_t nets_ieee_mode_enter(void) {
    uint64_t mode, flags;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("mrs %0, fpsr" : "=r"(flags));
    if (mode != 0) {
        __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    }
    return mode | flags << 32;
}

void nets_ieee_mode_leave(uint64_t mode) {
    __asm__ volatile("msr fpsr, %0" : : "r"(mode >> 32));
    if ((uint32_t)mode != 0) {
        __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)(uint32_t)mode));
    }
}

#else

uint64_t nets_ieee_mode_enter(void) {
    return 0;
}

void nets_ieee_mode_leave(uint64_t mode) {
    (void)mode;
}

#endif
