/* One call of a compiled function, what it prints, and status messages. */
#define _GNU_SOURCE
#include "nets_runtime.h"

#include <stdatomic.h>

#include "interrupt.h"

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
        nets_set_waiting(true); /* for whoever reads it */
        printer(site, text, count, values);
        nets_set_waiting(false);
        /* A loop that does little but print is hardly ever met in compiled code. */
        if (nets_is_watched() && nets_ask_to_stop()) {
            nets_stop();
        }
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
    case NETS_NO_TRANSFER:
        return "a transfer between ranks failed";
    default:
        return status > 0 ? "a run-time check of the program failed" : "unknown status";
    }
}
