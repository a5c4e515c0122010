/* Between interrupt.c, code.c and pool.c: how a call that lasts long is ended from within. */
#ifndef NETS_INTERRUPT_H
#define NETS_INTERRUPT_H

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "nets_runtime.h"

/* Where a thread goes on that leaves compiled code before its end: above the innermost function
 * that must put something right. The code itself holds nothing: no lock, no memory, no file.
 *
 *     struct landing here;
 *     if (sigsetjmp(here.place, 0) == 0) {
 *         nets_landing_enter(&here, NULL);
 *         ... compiled code ...
 *     }
 *     nets_landing_leave(&here);
 */
struct landing {
    sigjmp_buf place;
    struct landing *outer;
    const atomic_bool *cancel; /* of a worker: is its job to end? Null on the thread of the call */
};

void nets_landing_enter(struct landing *landing, const atomic_bool *cancel);
void nets_landing_leave(const struct landing *landing);

/* Is this thread in a call that can be ended? */
bool nets_is_watched(void);

/* On such a thread, outside compiled code and its locks: is the call to be ended? */
bool nets_ask_to_stop(void);

/* On such a thread, outside compiled code: leaves for the innermost landing. */
_Noreturn void nets_stop(void);

/* Tells the watcher that this thread waits, and asks by itself. */
void nets_set_waiting(bool waits);

/* Has a worker's thread look at `cancel` of its landing. */
void nets_nudge(pthread_t thread);

/* The signal that does both. */
int nets_nudge_signal(void);

/* code.c: is there compiled code at that address? Safe in handlers of signals. */
bool nets_code_holds(uintptr_t address);

#endif
