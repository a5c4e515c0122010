/* The loader: whole objects run; damaged ones give a status and nothing else. */
#include "../nets_runtime.h"
#include "check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
#include <elf.h>
#endif

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

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))

/* What one relocation of each type may write: up to the end of its section, and not a byte more. */
static void check_ends_of_sections(struct file file) {
    static const struct {
        uint32_t type;
        uint64_t width;
    } KINDS[] = {
#if defined(__x86_64__)
        {R_X86_64_64, 8},       {R_X86_64_PC64, 8},      {R_X86_64_PC32, 4},
        {R_X86_64_PLT32, 4},    {R_X86_64_GOTPCREL, 4},  {R_X86_64_GOTPCRELX, 4},
        {R_X86_64_REX_GOTPCRELX, 4},
#else
        {R_AARCH64_ABS64, 8},   {R_AARCH64_PREL64, 8},   {R_AARCH64_PREL32, 4},
        {R_AARCH64_ADD_ABS_LO12_NC, 4},                  {R_AARCH64_ADR_PREL_PG_HI21, 4},
        {R_AARCH64_ADR_GOT_PAGE, 4},                     {R_AARCH64_LD64_GOT_LO12_NC, 4},
#endif
    };
    Elf64_Ehdr header;
    memcpy(&header, file.bytes, sizeof header);
    int seen = 0;
    for (size_t i = 0; i < header.e_shnum; i++) {
        Elf64_Shdr section, target;
        const uint8_t *sections = file.bytes + header.e_shoff;
        memcpy(&section, sections + i * sizeof section, sizeof section);
        memcpy(&target, sections + section.sh_info * sizeof target, sizeof target);
        if (section.sh_type != SHT_RELA || !(target.sh_flags & SHF_EXECINSTR)) {
            continue;
        }
        Elf64_Rela right, entry;
        uint8_t *place = file.bytes + section.sh_offset;
        memcpy(&right, place, sizeof right);
        for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++) {
            for (uint64_t left = 0; left <= 9; left++) {
                entry = right;
                entry.r_info = ELF64_R_INFO(ELF64_R_SYM(right.r_info), (uint64_t)KINDS[k].type);
                entry.r_offset = target.sh_size - left;
                memcpy(place, &entry, sizeof entry);
                int32_t expected = left < KINDS[k].width ? NETS_BAD_OBJECT : NETS_OK;
                CHECK(load_exactly(file.bytes, file.size) == expected);
                seen++;
            }
        }
        memcpy(place, &right, sizeof right);
    }
    CHECK(seen > 0);
}

#else

static void check_ends_of_sections(struct file file) {
    (void)file;
}

#endif

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
    check_ends_of_sections(small);
    CHECK(load_exactly(small.bytes, small.size) == NETS_OK);
    free(small.bytes);
    check_nonsense();
}
