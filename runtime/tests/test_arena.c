/* Arenas: alignment, every byte usable, sizes around the limits, and sizes nobody has. */
#define _DEFAULT_SOURCE
#include "../nets_runtime.h"
#include "check.h"

#include <string.h>
#include <sys/mman.h>

void test_arena(void) {
    static const size_t SIZES[] = {0,          1,       63,      64,      65, 4095, 4096,
                                   100000,     4194303, 4194304, 4194305, (size_t)9 << 20};
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        uint8_t *arena = nets_arena_new(SIZES[i]);
        CHECK(arena != NULL);
        CHECK((uintptr_t)arena % 64 == 0);
        memset(arena, 0xa5, SIZES[i]);
        nets_arena_free(arena, SIZES[i]);
    }
    void *large = nets_arena_new((size_t)9 << 20);
    unsigned char pages[1];
    CHECK(mincore(large, 1, pages) == 0);
    nets_arena_free(large, (size_t)9 << 20);
    CHECK(mincore(large, 1, pages) != 0); /* went back to the system */
    CHECK(nets_arena_new(SIZE_MAX) == NULL);
    CHECK(nets_arena_new(SIZE_MAX / 2) == NULL);
    CHECK(nets_arena_new((size_t)1 << 60) == NULL);
    nets_arena_free(NULL, 0);
    nets_arena_free(NULL, SIZE_MAX);
}
