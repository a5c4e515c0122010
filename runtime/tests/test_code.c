/* The loader: whole objects run; damaged ones give a status and nothing else. */
#include "../nets_runtime.h"
#include "check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct file {
    uint8_t *bytes;
    size_t size;
};

static struct file read_file(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *stream = fopen(path, "rb");
    struct file file = {malloc(1 << 20), 0};
    if (stream != NULL) {
        file.size = fread(file.bytes, 1, 1 << 20, stream);
        fclose(stream);
    }
    CHECK(file.size > 0);
    return file;
}

/* A function of a pointer's bits: ISO C has no conversion between the two kinds of pointers. */
static nets_entry entry_of(void *address) {
    nets_entry entry;
    memcpy(&entry, &address, sizeof entry);
    return entry;
}

/* ---- whole objects -------------------------------------------------------------------------- */

static void check_run(nets_code *code, int32_t times) {
    enum { N = 100 };
    double x[N], y[N], workspace[N];
    void *buffers[] = {x, y};
    nets_entry entry = entry_of(nets_code_symbol(code, "whole"));
    for (int i = 0; i < N; i++) {
        x[i] = i;
    }
    for (int32_t i = 0; i < times; i++) {
        CHECK(nets_call(entry, buffers, workspace, NULL) == 41 + i);
        for (int k = 0; k < N; k++) {
            double power = k % 4 == 0 ? 1 : k % 4 == 1 ? 10 : k % 4 == 2 ? 100 : 1000;
            CHECK(y[k] == k * power + (k == 7 ? i : 0));
        }
    }
}

static void check_whole(const char *folder, const char *name) {
    struct file file = read_file(folder, name);
    nets_code *code = NULL, *again = NULL;
    CHECK(nets_code_load(file.bytes, file.size, &code) == NETS_OK);
    CHECK(nets_code_load(file.bytes, file.size, &again) == NETS_OK);
    free(file.bytes); /* the code lives without the file */
    if (code == NULL || again == NULL) {
        return;
    }
    CHECK(nets_code_symbol(code, "nobody") == NULL);
    CHECK(nets_code_symbol(code, "memcpy") == NULL);
    CHECK(nets_code_symbol(code, "scaled") == NULL); /* not global */
    check_run(code, 3);
    check_run(again, 2); /* with variables of its own */
    nets_code_free(code);
    check_run(again, 0);
    nets_code_free(again);
}

static void check_foreign(const char *folder) {
    struct file file = read_file(folder, "foreign.o");
    nets_code *code = NULL;
    CHECK(nets_code_load(file.bytes, file.size, &code) == NETS_NO_SYMBOL);
    CHECK(code == NULL);
    free(file.bytes);
    nets_code_free(NULL);
}

/* ---- damaged objects ------------------------------------------------------------------------ */

static bool is_a_status(int32_t status) {
    return status == NETS_OK || status == NETS_BAD_OBJECT || status == NETS_NO_SYMBOL ||
           status == NETS_NO_MEMORY;
}

/* Loads from a block of exactly that size, so that the sanitizer sees a byte read too far. */
static int32_t load_exactly(const uint8_t *bytes, size_t size) {
    uint8_t *block = malloc(size ? size : 1);
    nets_code *code = NULL;
    memcpy(block, bytes, size);
    int32_t status = nets_code_load(block, size, &code);
    CHECK(is_a_status(status));
    CHECK((status == NETS_OK) == (code != NULL));
    if (code != NULL) {
        (void)nets_code_symbol(code, "small");
    }
    nets_code_free(code);
    free(block);
    return status;
}

static void check_truncated(struct file file) {
    for (size_t size = 0; size < file.size; size++) {
        CHECK(load_exactly(file.bytes, size) != NETS_OK);
    }
}

static void check_flipped(struct file file) {
    for (size_t i = 0; i < file.size; i++) {
        uint8_t right = file.bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            file.bytes[i] = (uint8_t)(right ^ (1 << bit));
            load_exactly(file.bytes, file.size);
        }
        static const uint8_t EXTREMES[] = {0x00, 0x7f, 0xff};
        for (size_t k = 0; k < sizeof EXTREMES; k++) {
            file.bytes[i] = EXTREMES[k];
            load_exactly(file.bytes, file.size);
        }
        file.bytes[i] = right;
    }
}

/* Eight bytes at once: the offsets, sizes and addends of the format. */
static void check_large_words(struct file file) {
    static const uint64_t WORDS[] = {UINT64_MAX, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT32_MAX,
                                     0x3fffffff, 0x40000000};
    for (size_t i = 0; i + 8 <= file.size; i += 8) {
        uint64_t right;
        memcpy(&right, file.bytes + i, sizeof right);
        for (size_t k = 0; k < sizeof WORDS / sizeof *WORDS; k++) {
            memcpy(file.bytes + i, &WORDS[k], sizeof WORDS[k]);
            load_exactly(file.bytes, file.size);
        }
        memcpy(file.bytes + i, &right, sizeof right);
    }
}

static void check_nonsense(void) {
    uint8_t zeros[4096] = {0};
    CHECK(load_exactly(zeros, sizeof zeros) == NETS_BAD_OBJECT);
    nets_code *code = NULL;
    CHECK(nets_code_load(NULL, 0, &code) == NETS_BAD_OBJECT);
    CHECK(nets_code_load(zeros, SIZE_MAX, &code) == NETS_BAD_OBJECT);
    CHECK(code == NULL);
}

void test_code(const char *folder) {
    check_whole(folder, "whole.o");
    check_whole(folder, "whole-no-plt.o");
    check_foreign(folder);
    struct file small = read_file(folder, "small.o");
    CHECK(load_exactly(small.bytes, small.size) == NETS_OK);
    check_truncated(small);
    check_flipped(small);
    check_large_words(small);
    CHECK(load_exactly(small.bytes, small.size) == NETS_OK);
    free(small.bytes);
    check_nonsense();
}
