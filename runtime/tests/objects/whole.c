/* An object with all that the loader handles: code in several sections, constants, variables with
 * and without values, an address in data, globals through the GOT, and the functions on offer. */
#include <stdint.h>
#include <string.h>

typedef struct nets_pool nets_pool;

const double powers[4] = {1, 10, 100, 1000};
int64_t counter = 40;
int64_t zeros[1000];
int64_t *const address_of_counter = &counter;

__attribute__((noinline, section(".text.other"))) static double scaled(double x, int64_t i) {
    return x * powers[i % 4];
}

/* buffers: n doubles, n doubles for the result; returns how often it was called, plus 40. */
int32_t whole(void *const *buffers, void *workspace, nets_pool *pool) {
    enum { N = 100 };
    const double *x = buffers[0];
    double *y = buffers[1];
    volatile size_t size = N * sizeof *x; /* keeps the calls from being inlined */
    (void)pool;
    memset(y, 0xff, size);
    memcpy(workspace, x, size);
    memmove(y, workspace, size);
    if (memcmp(x, y, size) != 0) {
        return -100;
    }
    for (int64_t i = 0; i < N; i++) {
        y[i] = scaled(y[i], i) + (double)zeros[i];
    }
    zeros[7]++;
    return (int32_t)++*address_of_counter;
}
