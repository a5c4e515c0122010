/* Calls the library that export_filter.py writes: a tone with noise, filtered.
 *
 *   cc -std=c11 -DSAMPLES=4096 -Ibuild/filter examples/filter.c build/filter/filter.a -lm
 */
#include "filter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static float signal_in[SAMPLES], signal_out[SAMPLES];

/* Root of the mean square distance from the clean tone, away from the ends. */
static double noise_of(const float *signal) {
    double sum = 0;
    for (int i = 64; i < SAMPLES - 64; i++) {
        double error = signal[i] - sin(0.1 * i);
        sum += error * error;
    }
    return sqrt(sum / (SAMPLES - 128));
}

int main(void) {
    uint32_t state = 1;
    for (int i = 0; i < SAMPLES; i++) {
        state = state * 1664525u + 1013904223u;
        signal_in[i] = (float)(sin(0.1 * i) + state / 4294967296.0 - 0.5);
    }

    size_t bytes = (filter_low_pass_workspace_bytes() + 63) / 64 * 64;
    void *workspace = bytes == 0 ? NULL : aligned_alloc(64, bytes);
    const float cutoff = 0.04f;
    int32_t status = filter_low_pass(signal_in, &cutoff, signal_out, workspace);
    free(workspace);
    if (status != 0) {
        fprintf(stderr, "%s\n", filter_status_message(status));
        return 1;
    }
    printf("C program: noise %.3f before, %.3f after\n", noise_of(signal_in), noise_of(signal_out));
    return 0;
}
