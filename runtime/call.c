/* One call of a compiled function, the floating-point mode it runs in, what it prints, and status
 * messages. */
#include "nets_runtime.h"

#include <stdatomic.h>

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

uint64_t nets_ieee_mode_enter(void) {
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    if (before != 0) {
        __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    }
    return before;
}

void nets_ieee_mode_leave(uint64_t mode) {
    if (mode != 0) {
        __asm__ volatile("msr fpcr, %0" : : "r"(mode));
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

int32_t nets_call(nets_entry entry, void *const *buffers, void *workspace, nets_pool *pool) {
    uint64_t mode = nets_ieee_mode_enter();
    int32_t status = entry(buffers, workspace, pool);
    nets_ieee_mode_leave(mode);
    return status;
}

static _Atomic(nets_printer) printer_of_process;

void nets_set_printer(nets_printer printer) {
    atomic_store(&printer_of_process, printer);
}

void nets_print(int32_t site, const char *text, int32_t count, const nets_printed *values) {
    nets_printer printer = atomic_load(&printer_of_process);
    if (printer != NULL) {
        printer(site, text, count, values);
    }
}

const char *nets_status_message(int32_t status) {
    switch (status) {
    case NETS_OK:
        return "success";
    case NETS_NO_MEMORY:
        return "out of memory";
    case NETS_BAD_OBJECT:
        return "not an object file of this machine, or damaged";
    case NETS_NO_SYMBOL:
        return "a symbol is missing";
    case NETS_NOT_ALLOWED:
        return "the system refuses this process executable memory";
    case NETS_NOT_SUPPORTED:
        return "not supported on this platform";
    case NETS_INTERRUPTED:
        return "interrupted";
    default:
        return status > 0 ? "a run-time check of the program failed" : "unknown status";
    }
}
