/* Functions without end, as compiled code could be: the buffers are words that are counted up. */
#include "../../nets_runtime.h"

void nets_commit(void);

static void count(void *words, int64_t begin, int64_t end, int32_t thread) {
    (void)begin;
    (void)end;
    volatile int64_t *mine = (volatile int64_t *)words + thread;
    for (;;) {
        (*mine)++;
    }
}

int32_t endless(void *const *buffers, void *workspace, nets_pool *pool);
int32_t endless(void *const *buffers, void *workspace, nets_pool *pool) {
    (void)workspace;
    if (pool != NULL) {
        pool->parallel_for(pool, count, buffers[0], pool->threads);
    }
    count(buffers[0], 0, 1, 0);
    return 1;
}

/* Only the last thread's range has no end, so that the caller waits for it. */
static void count_last(void *words, int64_t begin, int64_t end, int32_t thread) {
    volatile int64_t *mine = (volatile int64_t *)words + thread;
    (*mine)++;
    if (begin == 2 && end == 3) {
        count(words, begin, end, thread);
    }
}

int32_t waiting(void *const *buffers, void *workspace, nets_pool *pool);
int32_t waiting(void *const *buffers, void *workspace, nets_pool *pool) {
    (void)workspace;
    pool->parallel_for(pool, count_last, buffers[0], 3);
    return 2;
}

/* Runs until the word behind the first is set; it has committed itself before. */
int32_t committed(void *const *buffers, void *workspace, nets_pool *pool);
int32_t committed(void *const *buffers, void *workspace, nets_pool *pool) {
    (void)workspace;
    (void)pool;
    volatile int64_t *words = buffers[0];
    nets_commit();
    while (words[1] == 0) {
        words[0]++;
    }
    return 3;
}
