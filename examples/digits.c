/* Runs the exported digits network on held-out images, without Python.
 *
 * Build it against what examples/digits.py writes:
 *   cc -std=c11 -O2 -DIMAGES=359 -Ibuild/demo examples/digits.c build/demo/digits.a -o digits_c
 * and run it on build/demo/held_out.bin: IMAGES images of 64 floats, then IMAGES int32 labels.
 */
#include "digits.h"

#include <stdio.h>
#include <stdlib.h>

enum { PIXELS = 64, CLASSES = 10, ALIGNMENT = 64 };

static float images[IMAGES * PIXELS];
static int32_t labels[IMAGES];
static float scores[IMAGES * CLASSES];

static int best(const float *score) {
    int found = 0;
    for (int i = 1; i < CLASSES; i++) {
        if (score[i] > score[found]) {
            found = i;
        }
    }
    return found;
}

int main(int count, char **arguments) {
    FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
    if (file == NULL || fread(images, sizeof images, 1, file) != 1 ||
        fread(labels, sizeof labels, 1, file) != 1) {
        fprintf(stderr, "usage: %s held_out.bin\n", arguments[0]);
        return 1;
    }
    fclose(file);

    size_t bytes = digits_predict_workspace_bytes();
    bytes = (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    void *workspace = aligned_alloc(ALIGNMENT, bytes);
    int32_t status = digits_predict(images, scores, workspace);
    free(workspace);
    if (status != 0) {
        fprintf(stderr, "%s\n", digits_status_message(status));
        return 1;
    }

    int right = 0;
    for (int i = 0; i < IMAGES; i++) {
        right += best(scores + (size_t)i * CLASSES) == labels[i];
    }
    printf("C program: held-out accuracy %.2f%% on %d images\n", 100.0 * right / IMAGES, IMAGES);
    return 0;
}
