/* Workspaces: one allocation per compiled function and caller, kept between calls. */
#define _GNU_SOURCE
#include "nets_runtime.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64 };

/* From this size on an arena is mapped by itself, so that it can ask for huge pages and goes back
 * to the system when it is freed. */
static const size_t MAPPED_FROM = (size_t)4 << 20;
static const size_t HUGE_PAGE = (size_t)2 << 20;

static size_t round_up(size_t bytes, size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

void *nets_arena_new(size_t bytes) {
    if (bytes > SIZE_MAX / 2) {
        return NULL;
    }
    if (bytes < MAPPED_FROM) {
        return aligned_alloc(ALIGNMENT, round_up(bytes ? bytes : 1, ALIGNMENT));
    }
    size_t mapped = round_up(bytes, HUGE_PAGE);
    void *arena =
        mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (arena == MAP_FAILED) {
        return NULL;
    }
#ifdef MADV_HUGEPAGE
    (void)madvise(arena, mapped, MADV_HUGEPAGE); /* a wish: without it only more page faults */
#endif
    return arena;
}

void nets_arena_free(void *arena, size_t bytes) {
    if (arena == NULL) {
        return;
    }
    if (bytes < MAPPED_FROM) {
        free(arena);
    } else {
        munmap(arena, round_up(bytes, HUGE_PAGE));
    }
}
