"""``nets_threads.h``: threads for the parallel twins of exported functions, in one header."""

from __future__ import annotations

from typing import Final

THREADS_FILE: Final = "nets_threads.h"

THREADS_HEADER: Final = """\
/* Threads for the parallel functions of libraries that nets has exported: C11 or C++, on POSIX.
 *
 *     nets_threads *threads = nets_threads_new(4);
 *     status = digits_fit_parallel(..., workspace, nets_threads_for, threads);
 *     nets_threads_free(threads);
 *
 * Everything is in this header; link with -pthread. The threads wait, at first by looking and then
 * asleep, from one loop to the next. Of several callers one uses them at a time: another one that
 * comes meanwhile runs its parts itself. After fork() a child makes threads of its own.
 */
#ifndef NETS_THREADS_H
#define NETS_THREADS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void (*nets_threads_part)(void *task, int64_t i);

typedef struct nets_threads {
    pthread_mutex_t lock;  /* guards all below but `generation` and `done`, which it writes */
    pthread_cond_t work;   /* a job, or the end */
    pthread_cond_t ready;  /* all parts of the job have ended */
    nets_threads_part part;
    void *task;
    int64_t count;         /* parts of the job */
    int64_t next;          /* the first one that nobody has taken */
    int64_t done;          /* parts that have ended; looked at without the lock */
    uint64_t generation;   /* goes up with each job; looked at without the lock */
    int busy;              /* there is a job */
    int stop;
    int started;           /* threads beside the caller */
    pthread_t *threads;
} nets_threads;

enum { NETS_THREADS_LOOKS = 2000 }; /* before a thread goes to sleep: tens of microseconds */

static inline void nets_threads_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Runs parts until there are none left to take. The lock is held before and after. */
static inline void nets_threads_help(nets_threads *pool) {
    while (pool->next < pool->count) {
        int64_t i = pool->next++;
        nets_threads_part part = pool->part;
        void *task = pool->task;
        pthread_mutex_unlock(&pool->lock);
        part(task, i);
        pthread_mutex_lock(&pool->lock);
        int64_t done = pool->done + 1;
        __atomic_store_n(&pool->done, done, __ATOMIC_RELEASE);
        if (done == pool->count) pthread_cond_signal(&pool->ready);
    }
}

static inline void *nets_threads_main(void *argument) {
    nets_threads *pool = (nets_threads *)argument;
    uint64_t seen = 0;
    pthread_mutex_lock(&pool->lock);
    while (!pool->stop) {
        seen = pool->generation;
        nets_threads_help(pool);
        pthread_mutex_unlock(&pool->lock);
        for (int i = 0; i < NETS_THREADS_LOOKS; i++) {
            if (__atomic_load_n(&pool->generation, __ATOMIC_ACQUIRE) != seen) break;
            nets_threads_pause();
        }
        pthread_mutex_lock(&pool->lock);
        while (!pool->stop && pool->generation == seen) {
            pthread_cond_wait(&pool->work, &pool->lock);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* So many threads, the caller's among them: 1 to 1024, a number outside is taken as the nearer end.
 * Null without memory. There are fewer where the system starts no more. */
static inline nets_threads *nets_threads_new(int count) {
    int others = (count < 1 ? 1 : count > 1024 ? 1024 : count) - 1;
    nets_threads *pool = (nets_threads *)calloc(1, sizeof *pool);
    if (pool == NULL) return NULL;
    pool->threads = (pthread_t *)calloc((size_t)others + 1, sizeof *pool->threads);
    if (pool->threads == NULL) {
        free(pool);
        return NULL;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->ready, NULL);
    while (pool->started < others) {
        pthread_t *thread = &pool->threads[pool->started];
        if (pthread_create(thread, NULL, nets_threads_main, pool) != 0) break;
        pool->started++;
    }
    return pool;
}

/* No call may be using them. Takes null. */
static inline void nets_threads_free(nets_threads *pool) {
    if (pool == NULL) return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = 1;
    __atomic_store_n(&pool->generation, pool->generation + 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->started; i++) pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->ready);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool->threads);
    free(pool);
}

/* What parallel functions take; `threads` are those of nets_threads_new, or null for none. */
static inline void nets_threads_for(void *threads, nets_threads_part part, void *task,
                                    int64_t count) {
    nets_threads *pool = (nets_threads *)threads;
    int mine = 0;
    if (pool != NULL && pool->started > 0 && count > 1) {
        pthread_mutex_lock(&pool->lock);
        mine = !pool->busy;
        if (!mine) pthread_mutex_unlock(&pool->lock);
    }
    if (!mine) {
        for (int64_t i = 0; i < count; i++) part(task, i);
        return;
    }
    pool->busy = 1;
    pool->part = part;
    pool->task = task;
    pool->count = count;
    pool->next = 0;
    __atomic_store_n(&pool->done, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&pool->generation, pool->generation + 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&pool->work);
    nets_threads_help(pool);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < NETS_THREADS_LOOKS; i++) {
        if (__atomic_load_n(&pool->done, __ATOMIC_ACQUIRE) == count) break;
        nets_threads_pause();
    }
    pthread_mutex_lock(&pool->lock);
    while (pool->done != pool->count) pthread_cond_wait(&pool->ready, &pool->lock);
    pool->count = pool->next = 0;
    __atomic_store_n(&pool->done, 0, __ATOMIC_RELAXED);
    pool->busy = 0;
    pthread_mutex_unlock(&pool->lock);
}

#ifdef __cplusplus
}
#endif
#endif
"""
