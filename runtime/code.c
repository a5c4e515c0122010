/* Loads a relocatable ELF object (what a compiler writes before linking) into executable memory.
 *
 * Sections that occupy memory are laid out in three page-aligned groups: code, read-only data and
 * writable data; after the relocations are applied, code becomes executable and loses the right
 * to be written, and read-only data loses it too. Calls to the few functions on offer go
 * through stubs next to the code, for libc may lie further away than an instruction reaches.
 *
 * The object may come from a cache on disk: every offset, size and index in it is checked before
 * it is used.
 */
#define _GNU_SOURCE
#include "nets_runtime.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "interrupt.h"
#include "relocate.h"

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))

#include <elf.h>

enum { GROUP_CODE, GROUP_CONST, GROUP_DATA, GROUPS };

/* Objects larger than this are not ours. */
static const size_t MOST_BYTES = (size_t)1 << 30;

/* A place in the list of all code, which handlers of signals read at any time: places are added and
 * used again, and stay. */
struct span {
    atomic_uintptr_t begin, end; /* end is 0 where nothing is */
    atomic_bool taken;
    struct span *next;
};

struct nets_code {
    uint8_t *base;
    size_t size;
    struct span *span;
    struct symbol {
        char *name;
        void *address;
    } *symbols;
    size_t symbol_count;
};

struct image {
    const uint8_t *bytes;
    size_t size;
    const Elf64_Ehdr *header;
    const Elf64_Shdr *sections;
    size_t section_count;
    const Elf64_Sym *symbols;
    size_t symbol_count;
    const char *names; /* of symbols; ends with a zero byte */
    size_t names_size;

    uint8_t **placed;  /* address of each section, null for those that occupy no memory */
    size_t *offsets;   /* of each section inside the mapping */
    uint8_t *stubs;    /* one per symbol, STUB_BYTES each */
    uint8_t *got;      /* one per symbol, GOT_BYTES each */
};

static _Atomic(struct span *) spans;

static struct span *span_of(uintptr_t begin, uintptr_t end) {
    struct span *span = atomic_load(&spans);
    while (span != NULL && atomic_exchange(&span->taken, true)) {
        span = span->next;
    }
    if (span == NULL) {
        span = calloc(1, sizeof *span);
        if (span == NULL) {
            return NULL;
        }
        atomic_init(&span->taken, true);
        span->next = atomic_load(&spans);
        while (!atomic_compare_exchange_weak(&spans, &span->next, span)) {
        }
    }
    atomic_store(&span->begin, begin);
    atomic_store(&span->end, end);
    return span;
}

static void span_free(struct span *span) {
    if (span != NULL) {
        atomic_store(&span->end, 0);
        atomic_store(&span->taken, false);
    }
}

bool nets_code_holds(uintptr_t address) {
    for (struct span *span = atomic_load(&spans); span != NULL; span = span->next) {
        if (address < atomic_load(&span->end) && address >= atomic_load(&span->begin)) {
            return true;
        }
    }
    return false;
}

typedef void (*function)(void);

static const struct {
    const char *name;
    function address;
} OFFERED[] = {
    {"memcpy", (function)memcpy},
    {"memmove", (function)memmove},
    {"memset", (function)memset},
    {"memcmp", (function)memcmp},
    {"nets_print", (function)nets_print},
    {"nets_commit", (function)nets_commit},
};

static bool inside(uint64_t offset, uint64_t size, uint64_t total) {
    return offset <= total && size <= total - offset;
}

static size_t align_up(size_t value, size_t unit) {
    return (value + unit - 1) / unit * unit;
}

static bool read_header(struct image *image) {
    const Elf64_Ehdr *header = image->header = (const Elf64_Ehdr *)image->bytes;
    if (image->size < sizeof *header ||
        memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
        header->e_type != ET_REL || header->e_machine != nets_elf_machine ||
        header->e_shentsize != sizeof(Elf64_Shdr) || header->e_shoff % 8 != 0 ||
        !inside(header->e_shoff, (uint64_t)header->e_shnum * sizeof(Elf64_Shdr), image->size)) {
        return false;
    }
    image->sections = (const Elf64_Shdr *)(image->bytes + header->e_shoff);
    image->section_count = header->e_shnum;
    for (size_t i = 0; i < image->section_count; i++) {
        const Elf64_Shdr *section = &image->sections[i];
        uint64_t align = section->sh_addralign;
        if ((section->sh_type != SHT_NOBITS &&
             !inside(section->sh_offset, section->sh_size, image->size)) ||
            section->sh_size > MOST_BYTES || align > 4096 || (align & (align - 1)) != 0) {
            return false;
        }
    }
    return true;
}

static bool read_symbols(struct image *image) {
    for (size_t i = 0; i < image->section_count; i++) {
        const Elf64_Shdr *section = &image->sections[i];
        if (section->sh_type != SHT_SYMTAB) {
            continue;
        }
        if (section->sh_link >= image->section_count || section->sh_offset % 8 != 0 ||
            section->sh_entsize != sizeof(Elf64_Sym)) {
            return false;
        }
        const Elf64_Shdr *names = &image->sections[section->sh_link];
        if (names->sh_type != SHT_STRTAB || names->sh_size == 0 ||
            image->bytes[names->sh_offset + names->sh_size - 1] != 0) {
            return false;
        }
        image->symbols = (const Elf64_Sym *)(image->bytes + section->sh_offset);
        image->symbol_count = section->sh_size / sizeof(Elf64_Sym);
        image->names = (const char *)(image->bytes + names->sh_offset);
        image->names_size = names->sh_size;
        for (size_t s = 0; s < image->symbol_count; s++) {
            if (image->symbols[s].st_name >= image->names_size) {
                return false;
            }
        }
        return true;
    }
    return false;
}

static int group_of(const Elf64_Shdr *section) {
    if (section->sh_flags & SHF_EXECINSTR) {
        return GROUP_CODE;
    }
    return section->sh_flags & SHF_WRITE ? GROUP_DATA : GROUP_CONST;
}

/* Maps memory for all sections and copies them; `ends` receives the end of each group. */
static int32_t place_sections(struct image *image, struct nets_code *code, size_t ends[GROUPS]) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t top = 0;
    size_t stubs = 0, got = 0;
    for (int group = 0; group < GROUPS; group++) {
        for (size_t i = 0; i < image->section_count; i++) {
            const Elf64_Shdr *section = &image->sections[i];
            if ((section->sh_flags & SHF_ALLOC) && group_of(section) == group) {
                size_t align = section->sh_addralign ? section->sh_addralign : 1;
                top = align_up(top, align);
                image->offsets[i] = top;
                top += section->sh_size;
                if (top > 2 * MOST_BYTES) {
                    return NETS_BAD_OBJECT;
                }
            }
        }
        if (group == GROUP_CODE) {
            stubs = top = align_up(top, STUB_BYTES);
            top += image->symbol_count * STUB_BYTES;
        }
        if (group == GROUP_CONST) {
            got = top = align_up(top, GOT_BYTES);
            top += image->symbol_count * GOT_BYTES;
        }
        ends[group] = top = align_up(top, page);
    }
    code->size = top ? top : page;
    code->base = mmap(NULL, code->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code->base == MAP_FAILED) {
        code->base = NULL;
        return NETS_NO_MEMORY;
    }
    image->stubs = code->base + stubs;
    image->got = code->base + got;
    for (size_t i = 0; i < image->section_count; i++) {
        const Elf64_Shdr *section = &image->sections[i];
        if (section->sh_flags & SHF_ALLOC) {
            image->placed[i] = code->base + image->offsets[i];
            if (section->sh_type != SHT_NOBITS) {
                memcpy(image->placed[i], image->bytes + section->sh_offset, section->sh_size);
            }
        }
    }
    return NETS_OK;
}

static function offered(const char *name) {
    for (size_t i = 0; i < sizeof OFFERED / sizeof *OFFERED; i++) {
        if (strcmp(OFFERED[i].name, name) == 0) {
            return OFFERED[i].address;
        }
    }
    return NULL;
}

/* Address of a symbol; an offered function is reached through its stub. */
static int32_t resolve(struct image *image, size_t number, uint8_t **address) {
    if (number >= image->symbol_count) {
        return NETS_BAD_OBJECT;
    }
    const Elf64_Sym *symbol = &image->symbols[number];
    if (symbol->st_shndx == SHN_UNDEF) {
        function target = offered(image->names + symbol->st_name);
        if (target == NULL) {
            return NETS_NO_SYMBOL;
        }
        *address = image->stubs + number * STUB_BYTES;
        nets_put_stub(*address, (uint64_t)(uintptr_t)target);
        return NETS_OK;
    }
    if (symbol->st_shndx >= image->section_count || image->placed[symbol->st_shndx] == NULL ||
        symbol->st_value > image->sections[symbol->st_shndx].sh_size) {
        return NETS_BAD_OBJECT;
    }
    *address = image->placed[symbol->st_shndx] + symbol->st_value;
    return NETS_OK;
}

static int32_t relocate(struct image *image, size_t section, const Elf64_Rela *entry) {
    uint32_t type = ELF64_R_TYPE(entry->r_info);
    size_t width = nets_reference_bytes(type);
    if (width == 0) {
        return NETS_OK;
    }
    if (!inside(entry->r_offset, width, image->sections[section].sh_size)) {
        return NETS_BAD_OBJECT;
    }
    size_t number = ELF64_R_SYM(entry->r_info);
    uint8_t *target = NULL;
    int32_t status = resolve(image, number, &target);
    if (status != NETS_OK) {
        return status;
    }
    uint8_t *slot = image->got + number * GOT_BYTES;
    if (nets_needs_slot(type)) {
        memcpy(slot, &target, sizeof target);
    }
    struct reference reference = {
        .type = type,
        .where = image->placed[section] + entry->r_offset,
        .target = (uint64_t)(uintptr_t)target + (uint64_t)entry->r_addend,
        .slot = (uint64_t)(uintptr_t)slot + (uint64_t)entry->r_addend,
    };
    return nets_put_reference(&reference);
}

static int32_t relocate_all(struct image *image) {
    for (size_t i = 0; i < image->section_count; i++) {
        const Elf64_Shdr *section = &image->sections[i];
        if (section->sh_type == SHT_REL) {
            return NETS_BAD_OBJECT; /* objects of these machines carry addends */
        }
        if (section->sh_type != SHT_RELA) {
            continue;
        }
        if (section->sh_info >= image->section_count || section->sh_offset % 8 != 0 ||
            section->sh_entsize != sizeof(Elf64_Rela)) {
            return NETS_BAD_OBJECT;
        }
        if (image->placed[section->sh_info] == NULL ||
            image->sections[section->sh_info].sh_type == SHT_NOBITS) {
            continue;
        }
        const Elf64_Rela *entries = (const Elf64_Rela *)(image->bytes + section->sh_offset);
        for (size_t r = 0; r < section->sh_size / sizeof *entries; r++) {
            int32_t status = relocate(image, section->sh_info, &entries[r]);
            if (status != NETS_OK) {
                return status;
            }
        }
    }
    return NETS_OK;
}

static int32_t keep_symbols(struct image *image, struct nets_code *code) {
    code->symbols = calloc(image->symbol_count + 1, sizeof *code->symbols);
    if (code->symbols == NULL) {
        return NETS_NO_MEMORY;
    }
    for (size_t s = 0; s < image->symbol_count; s++) {
        const Elf64_Sym *symbol = &image->symbols[s];
        uint8_t *address = NULL;
        if (ELF64_ST_BIND(symbol->st_info) != STB_GLOBAL || symbol->st_shndx == SHN_UNDEF) {
            continue;
        }
        if (resolve(image, s, &address) != NETS_OK) {
            return NETS_BAD_OBJECT;
        }
        char *name = strdup(image->names + symbol->st_name);
        if (name == NULL) {
            return NETS_NO_MEMORY;
        }
        code->symbols[code->symbol_count++] = (struct symbol){name, address};
    }
    return NETS_OK;
}

static int32_t protect(struct nets_code *code, const size_t ends[GROUPS]) {
    /* Some processors fetch instructions past what has been written. */
    __builtin___clear_cache((char *)code->base, (char *)code->base + ends[GROUP_CODE]);
    if (ends[GROUP_CODE] > 0 &&
        mprotect(code->base, ends[GROUP_CODE], PROT_READ | PROT_EXEC) != 0) {
        return errno == ENOMEM ? NETS_NO_MEMORY : NETS_NOT_ALLOWED;
    }
    size_t constants = ends[GROUP_CONST] - ends[GROUP_CODE];
    if (constants > 0 && mprotect(code->base + ends[GROUP_CODE], constants, PROT_READ) != 0) {
        return NETS_NO_MEMORY;
    }
    uintptr_t begin = (uintptr_t)code->base;
    code->span = span_of(begin, begin + ends[GROUP_CODE]);
    return code->span == NULL ? NETS_NO_MEMORY : NETS_OK;
}

static int32_t load_image(struct image *image, struct nets_code *code) {
    size_t ends[GROUPS];
    if (!read_header(image) || !read_symbols(image)) {
        return NETS_BAD_OBJECT;
    }
    image->placed = calloc(image->section_count + 1, sizeof *image->placed);
    image->offsets = calloc(image->section_count + 1, sizeof *image->offsets);
    if (image->placed == NULL || image->offsets == NULL) {
        return NETS_NO_MEMORY;
    }
    int32_t status = place_sections(image, code, ends);
    if (status == NETS_OK) {
        status = relocate_all(image);
    }
    if (status == NETS_OK) {
        status = keep_symbols(image, code);
    }
    if (status == NETS_OK) {
        status = protect(code, ends);
    }
    return status;
}

int32_t nets_code_load(const void *object, size_t bytes, nets_code **loaded) {
    *loaded = NULL;
    if (bytes == 0 || bytes > MOST_BYTES) {
        return NETS_BAD_OBJECT;
    }
    /* A copy of our own: aligned, and nobody changes it between check and use. */
    uint8_t *copy = aligned_alloc(16, align_up(bytes, 16));
    struct nets_code *code = calloc(1, sizeof *code);
    if (copy == NULL || code == NULL) {
        free(copy);
        free(code);
        return NETS_NO_MEMORY;
    }
    memcpy(copy, object, bytes);
    struct image image = {.bytes = copy, .size = bytes};
    int32_t status = load_image(&image, code);
    free(image.placed);
    free(image.offsets);
    free(copy);
    if (status != NETS_OK) {
        nets_code_free(code);
        return status;
    }
    *loaded = code;
    return NETS_OK;
}

void nets_code_free(nets_code *code) {
    if (code == NULL) {
        return;
    }
    for (size_t i = 0; i < code->symbol_count; i++) {
        free(code->symbols[i].name);
    }
    free(code->symbols);
    span_free(code->span);
    if (code->base != NULL) {
        munmap(code->base, code->size);
    }
    free(code);
}

void *nets_code_symbol(const nets_code *code, const char *name) {
    for (size_t i = 0; i < code->symbol_count; i++) {
        if (strcmp(code->symbols[i].name, name) == 0) {
            return code->symbols[i].address;
        }
    }
    return NULL;
}

#else

int32_t nets_code_load(const void *object, size_t bytes, nets_code **loaded) {
    (void)object;
    (void)bytes;
    *loaded = NULL;
    return NETS_NOT_SUPPORTED;
}

bool nets_code_holds(uintptr_t address) {
    (void)address;
    return false;
}

void nets_code_free(nets_code *code) {
    (void)code;
}

void *nets_code_symbol(const nets_code *code, const char *name) {
    (void)code;
    (void)name;
    return NULL;
}

#endif
