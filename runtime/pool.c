/* Thread pool: static partition, no queue. Workers spin for a short while after each job, then
 * park, so that a chain of small parallel loops costs a fraction of a microsecond each and an idle
 * process costs nothing.
 *
 * A job is published by raising `generation` (release) after the job's fields are written; workers
 * acquire it and lower `pending` when their range is done. Sleeping is guarded by `lock`.
 */
#define _GNU_SOURCE
#include "nets_runtime.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* About 20 µs of pauses: longer than the gap between two loops of one program, shorter than
 * anything a user would notice on a busy machine. */
enum { SPINS = 4000, CACHE_LINE = 64 };

struct worker {
    struct pool *pool;
    pthread_t thread;
    int32_t number;
};

struct pool {
    nets_pool face; /* first: compiled code holds a pointer to it */

    _Alignas(CACHE_LINE) atomic_uint_fast64_t generation;
    nets_body body;
    void *context;
    int64_t count;

    _Alignas(CACHE_LINE) atomic_int pending; /* workers that have not finished the job */

    _Alignas(CACHE_LINE) pthread_mutex_t lock;
    pthread_cond_t work;  /* a new generation, or the end */
    pthread_cond_t done;  /* pending reached zero */
    atomic_int sleepers;  /* workers parked on `work` */
    atomic_bool waiting;  /* the caller is parked on `done` */
    atomic_bool stop;
    atomic_flag busy;     /* a caller is using the workers */

    pid_t owner;          /* process that started the workers; 0: not started */
    struct worker *workers;
    int32_t started;
};

static void pause_cpu(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void run_range(const struct pool *pool, nets_body body, void *context, int64_t count,
                      int32_t number) {
    /* 128-bit products: count may be anything up to 2^63 - 1. */
    int64_t begin = (int64_t)((__int128)count * number / pool->face.threads);
    int64_t end = (int64_t)((__int128)count * (number + 1) / pool->face.threads);
    if (begin < end) {
        body(context, begin, end, number);
    }
}

/* Waits until the generation differs from `seen`; false when the pool ends. */
static bool await_job(struct pool *pool, uint_fast64_t seen) {
    for (int spin = 0; spin < SPINS; spin++) {
        if (atomic_load_explicit(&pool->generation, memory_order_acquire) != seen) {
            return !atomic_load_explicit(&pool->stop, memory_order_acquire);
        }
        pause_cpu();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->generation) == seen) {
        pthread_cond_wait(&pool->work, &pool->lock);
    }
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
    return !atomic_load(&pool->stop);
}

static void finish_range(struct pool *pool) {
    if (atomic_fetch_sub(&pool->pending, 1) == 1 && atomic_load(&pool->waiting)) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_signal(&pool->done);
        pthread_mutex_unlock(&pool->lock);
    }
}

static void *worker_main(void *argument) {
    struct worker *worker = argument;
    struct pool *pool = worker->pool;
    uint_fast64_t seen = 0;
    while (await_job(pool, seen)) {
        seen = atomic_load_explicit(&pool->generation, memory_order_acquire);
        nets_ieee_mode_enter();
        run_range(pool, pool->body, pool->context, pool->count, worker->number);
        finish_range(pool);
    }
    return NULL;
}

/* Starts the workers of this process; with fewer than asked for the caller runs the rest. */
static void start_workers(struct pool *pool) {
    pool->owner = getpid();
    pool->started = 0;
    /* Workers never handle the process's signals. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int32_t i = 0; i < pool->face.threads - 1; i++) {
        struct worker *worker = &pool->workers[i];
        *worker = (struct worker){.pool = pool, .number = i + 1};
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
            break;
        }
        pool->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* The state of a pool without workers: at the beginning, and in a forked child, where the
 * parent's workers do not exist and its locks may be held by nobody. */
static void reset(struct pool *pool) {
    atomic_store(&pool->generation, 0);
    atomic_store(&pool->pending, 0);
    atomic_store(&pool->sleepers, 0);
    atomic_store(&pool->waiting, false);
    atomic_store(&pool->stop, false);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->owner = 0;
    pool->started = 0;
}

static void publish(struct pool *pool) {
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers) > 0) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->work);
        pthread_mutex_unlock(&pool->lock);
    }
}

static void await_workers(struct pool *pool) {
    for (int spin = 0; spin < SPINS; spin++) {
        if (atomic_load_explicit(&pool->pending, memory_order_acquire) == 0) {
            return;
        }
        pause_cpu();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->waiting, true);
    while (atomic_load(&pool->pending) != 0) {
        pthread_cond_wait(&pool->done, &pool->lock);
    }
    atomic_store(&pool->waiting, false);
    pthread_mutex_unlock(&pool->lock);
}

static void run_alone(struct pool *pool, nets_body body, void *context, int64_t count) {
    for (int32_t number = 0; number < pool->face.threads; number++) {
        run_range(pool, body, context, count, number);
    }
}

static void parallel_for(nets_pool *face, nets_body body, void *context, int64_t count) {
    struct pool *pool = (struct pool *)face;
    if (pool->face.threads == 1 || count < 2 || atomic_flag_test_and_set(&pool->busy)) {
        run_alone(pool, body, context, count);
        return;
    }
    if (pool->owner == 0) {
        start_workers(pool);
    }
    pool->body = body;
    pool->context = context;
    pool->count = count;
    atomic_store(&pool->pending, pool->started);
    publish(pool);
    run_range(pool, body, context, count, 0);
    for (int32_t number = pool->started + 1; number < pool->face.threads; number++) {
        run_range(pool, body, context, count, number);
    }
    await_workers(pool);
    atomic_flag_clear(&pool->busy);
}

/* ---- pools known to fork ------------------------------------------------------------------- */

enum { MOST_POOLS = 64 };
static struct pool *pools[MOST_POOLS];
static pthread_mutex_t pools_lock = PTHREAD_MUTEX_INITIALIZER;

static void before_fork(void) {
    pthread_mutex_lock(&pools_lock);
}

static void after_fork_in_parent(void) {
    pthread_mutex_unlock(&pools_lock);
}

static void after_fork_in_child(void) {
    pthread_mutex_init(&pools_lock, NULL);
    for (int i = 0; i < MOST_POOLS; i++) {
        if (pools[i] != NULL) {
            reset(pools[i]);
            atomic_flag_clear(&pools[i]->busy);
        }
    }
}

static void watch_forks(void) {
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static bool enlist(struct pool *pool) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    bool found = false;
    pthread_mutex_lock(&pools_lock);
    for (int i = 0; i < MOST_POOLS && !found; i++) {
        if (pools[i] == NULL) {
            pools[i] = pool;
            found = true;
        }
    }
    pthread_mutex_unlock(&pools_lock);
    return found;
}

static void strike_off(const struct pool *pool) {
    pthread_mutex_lock(&pools_lock);
    for (int i = 0; i < MOST_POOLS; i++) {
        if (pools[i] == pool) {
            pools[i] = NULL;
        }
    }
    pthread_mutex_unlock(&pools_lock);
}

nets_pool *nets_pool_new(int32_t threads) {
    if (threads < 1) {
        threads = 1;
    }
    struct pool *pool = aligned_alloc(CACHE_LINE, sizeof *pool);
    if (pool == NULL) {
        return NULL;
    }
    *pool = (struct pool){.face = {.parallel_for = parallel_for, .threads = threads}};
    pool->workers = calloc((size_t)threads, sizeof *pool->workers);
    atomic_flag_clear(&pool->busy);
    reset(pool);
    if (pool->workers == NULL || !enlist(pool)) {
        free(pool->workers);
        free(pool);
        return NULL;
    }
    return &pool->face;
}

void nets_pool_free(nets_pool *face) {
    if (face == NULL) {
        return;
    }
    struct pool *pool = (struct pool *)face;
    strike_off(pool);
    if (pool->owner == getpid()) {
        atomic_store(&pool->stop, true);
        publish(pool);
        for (int32_t i = 0; i < pool->started; i++) {
            pthread_join(pool->workers[i].thread, NULL);
        }
    }
    free(pool->workers);
    free(pool);
}

int32_t nets_cpu_count(void) {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return CPU_COUNT(&set);
    }
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int32_t)online : 1;
}
