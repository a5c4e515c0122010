/* Learns handwritten digits without Python and compares every bit with what Python learned.
 *
 * Build it with what examples/digits.py writes:
 *   cc -std=c11 -O2 -DSTEPS=1320 -DBATCH=32 -DIMAGES=359 -Ibuild/demo \
 *       examples/digits.c build/demo/digits.a -o digits_c
 * and run it: digits_c build/demo/record.bin learned.bin
 *
 * The record holds a batch (images, one-hot labels) and its loss for each of the STEPS steps, then
 * the weights after the last one, then IMAGES held-out images, their int32 labels and their scores.
 */
#include "digits.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { PIXELS = 64, CLASSES = 10, ALIGNMENT = 64 };

static digits_state state;
static float x[BATCH * PIXELS], y[BATCH * CLASSES];
static float images[IMAGES * PIXELS], scores[IMAGES * CLASSES];
static int32_t labels[IMAGES];
static unsigned char saved[sizeof state];

static bool ok(int32_t status) {
    if (status != 0) {
        fprintf(stderr, "%s\n", digits_status_message(status));
    }
    return status == 0;
}

static bool get(FILE *record, void *bytes, size_t count) {
    bool whole = fread(bytes, 1, count, record) == count;
    if (!whole) {
        fprintf(stderr, "the record ends too early\n");
    }
    return whole;
}

/* Whether the bytes at hand are those that Python recorded. */
static bool same(FILE *record, const char *what, const void *bytes, size_t count) {
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < count; i++) {
        if (getc(record) != byte[i]) {
            printf("C program: OTHER BITS than in Python: %s\n", what);
            return false;
        }
    }
    return true;
}

static bool learn(FILE *record, void *workspace) {
    if (!ok(digits_init_state(&state))) {
        return false;
    }
    for (int step = 0; step < STEPS; step++) {
        float loss;
        if (!get(record, x, sizeof x) || !get(record, y, sizeof y) ||
            !ok(digits_fit(&state, x, y, &loss, workspace)) ||
            !same(record, "a loss", &loss, sizeof loss)) {
            return false;
        }
    }
    if (!same(record, "w1", state.params_w1, sizeof state.params_w1) ||
        !same(record, "b1", state.params_b1, sizeof state.params_b1) ||
        !same(record, "w2", state.params_w2, sizeof state.params_w2) ||
        !same(record, "b2", state.params_b2, sizeof state.params_b2)) {
        return false;
    }
    printf("C program: trained %d steps: every loss and weight the same bits as in Python\n", STEPS);
    return true;
}

static int best(const float *score) {
    int found = 0;
    for (int i = 1; i < CLASSES; i++) {
        if (score[i] > score[found]) {
            found = i;
        }
    }
    return found;
}

static bool classify(FILE *record, void *workspace) {
    if (!get(record, images, sizeof images) || !get(record, labels, sizeof labels) ||
        !ok(digits_predict(&state, images, scores, workspace)) ||
        !same(record, "a score", scores, sizeof scores)) {
        return false;
    }
    int right = 0;
    for (int i = 0; i < IMAGES; i++) {
        right += best(scores + i * CLASSES) == labels[i];
    }
    printf("C program: held-out accuracy %.2f %% on %d images\n", 100.0 * right / IMAGES, IMAGES);
    return true;
}

static bool save(const char *path) {
    FILE *file = fopen(path, "wb");
    bool written = file != NULL && ok(digits_save_state(&state, saved)) &&
                   fwrite(saved, digits_state_bytes(), 1, file) == 1;
    written = file != NULL && fclose(file) == 0 && written;
    if (!written) {
        fprintf(stderr, "%s cannot be written\n", path);
    }
    return written;
}

int main(int count, char **arguments) {
    FILE *record = count == 3 ? fopen(arguments[1], "rb") : NULL;
    if (record == NULL) {
        fprintf(stderr, "usage: %s record.bin learned.bin\n", arguments[0]);
        return 1;
    }
    size_t bytes = digits_fit_workspace_bytes() + digits_predict_workspace_bytes();
    /* The calls refuse a null workspace, so that they say it if there is no memory. */
    void *workspace = aligned_alloc(ALIGNMENT, (bytes / ALIGNMENT + 1) * ALIGNMENT);
    bool good = learn(record, workspace) && classify(record, workspace) && save(arguments[2]);
    free(workspace);
    fclose(record);
    return good ? 0 : 1;
}
