/* What goes between the ranks of a job: the communicator of one rank, and those of Python.
 *
 * A transfer may take long. Meanwhile the thread is not in compiled code, so the watcher of
 * interrupt.c leaves it alone; what is called looks at signals by itself and fails where one ends
 * the call. The carrier is set once, before any communicator that needs it is there.
 */
#define _GNU_SOURCE
#include "nets_runtime.h"

#include <stdatomic.h>
#include <string.h>

#include "interrupt.h"

static int32_t solo_begin(void *user, int32_t ticket, const nets_transfer *transfer) {
    (void)user;
    (void)ticket;
    if (transfer->bytes > 0) {
        memcpy(transfer->receive, transfer->send, (size_t)transfer->bytes);
    }
    return NETS_OK;
}

static int32_t solo_finish(void *user, int32_t ticket) {
    (void)user;
    (void)ticket;
    return NETS_OK;
}

const nets_communicator *nets_solo(void) {
    static const nets_communicator solo = {NULL, 0, 1, solo_begin, solo_finish};
    return &solo;
}

static _Atomic(nets_carrier_begin) carrier_begin;
static _Atomic(nets_carrier_finish) carrier_finish;

void nets_set_carrier(nets_carrier_begin begin, nets_carrier_finish finish) {
    atomic_store(&carrier_finish, finish);
    atomic_store(&carrier_begin, begin);
}

int32_t nets_transfer_begin(void *user, int32_t ticket, const nets_transfer *transfer) {
    nets_carrier_begin begin = atomic_load(&carrier_begin);
    if (begin == NULL) {
        return NETS_NO_TRANSFER;
    }
    nets_set_waiting(true);
    int32_t status = begin(user, ticket, transfer);
    nets_set_waiting(false);
    return status;
}

int32_t nets_transfer_finish(void *user, int32_t ticket) {
    nets_carrier_finish finish = atomic_load(&carrier_finish);
    if (finish == NULL) {
        return NETS_NO_TRANSFER;
    }
    nets_set_waiting(true);
    int32_t status = finish(user, ticket);
    nets_set_waiting(false);
    return status;
}
