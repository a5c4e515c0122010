/* Thread pool: static partition, no queue. Workers spin for a short while after each job, then
 * park, so that a chain of small parallel loops costs a fraction of a microsecond each and an idle
 * process costs nothing.
 *
 * A job is published by raising `generation` after its fields are written. Every range is taken
 * once, by raising its worker's `taken` to the generation: by the worker, or by the caller, who has
 * done its own range and finds that the worker still sleeps. So a small job does not wait for a
 * thread to wake up. Who took a range lowers `pending` when it is done. The caller overwrites the
 * fields only when `pending` is zero, and who has not taken a range does not read them.
 *
 * Nobody sleeps through a wake-up: who parks first announces it (`sleepers`, `waiting`) and then
 * looks at the counter once more; who changes the counter looks at the announcement afterwards.
 * All four accesses are sequentially consistent, so at least one side sees the other, and the
 * signal is sent after passing through `lock`, which the parking side holds until it sleeps.
 */
#define _GNU_SOURCE
#include "nets_runtime.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "interrupt.h"

/* How long to spin, in nanoseconds: longer than the gap between two loops of one program, shorter
 * than anything a user would notice on a busy machine. To wake a thread takes its caller as long
 * as many jobs, and the thread longer still; so a worker that has nothing to do in a job, perhaps
 * because it woke up too late for it, spins on for a while in order to be there for the next. */
enum { SPIN_TIME = 50000, SPIN_TIME_IN_JOB = 500000, PAUSES_PER_LOOK = 32 };

/* More threads than any machine this is made for has; a larger wish would exhaust the system. */
enum { MOST_THREADS = 1024, CACHE_LINE = 64 };

struct worker {
    struct pool *pool;
    pthread_t thread;
    int32_t number;
    _Alignas(CACHE_LINE) atomic_uint_fast64_t taken; /* the last job whose range was begun */
};

struct pool {
    nets_pool face; /* first: compiled code holds a pointer to it */
    bool spins;     /* there is a CPU for every thread */

    _Alignas(CACHE_LINE) atomic_uint_fast64_t generation;
    nets_body body;
    void *context;
    int64_t count;
    atomic_int caller_cpu; /* where the caller ran when it published the job */

    _Alignas(CACHE_LINE) atomic_int pending; /* ranges of workers that are not done */

    _Alignas(CACHE_LINE) pthread_mutex_t lock;
    pthread_cond_t work;  /* a new generation, or the end */
    pthread_cond_t done;  /* pending reached zero */
    atomic_int sleepers;  /* workers parked on `work` */
    atomic_bool waiting;  /* the caller is parked on `done` */
    atomic_bool stop;
    atomic_bool busy;     /* a caller is using the workers */
    atomic_bool cancel;   /* ranges of the job are to end at once */

    pid_t owner;          /* process that started the workers; 0: not started */
    struct worker *workers;
    int32_t started;
    struct pool *next; /* in the list of all pools */
};

static void pause_cpu(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

struct spin {
    int pauses;
    int64_t begin, deadline;
};

static int64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* One step of spinning; false when it has lasted long enough. By the clock, since a pause takes
 * from 5 to 150 cycles. */
static bool spin_on(const struct pool *pool, struct spin *spin) {
    if (!pool->spins) {
        return false;
    }
    pause_cpu();
    if (++spin->pauses % PAUSES_PER_LOOK != 0) {
        return true;
    }
    int64_t now = nanoseconds();
    if (spin->begin == 0) {
        spin->begin = now;
    }
    if (atomic_load_explicit(&pool->busy, memory_order_relaxed)) {
        spin->deadline = now + SPIN_TIME;
        return now < spin->begin + SPIN_TIME_IN_JOB;
    }
    if (spin->deadline == 0) {
        spin->deadline = now + SPIN_TIME;
    }
    return now < spin->deadline;
}

__extension__ typedef __int128 wide;

static void run_range(const struct pool *pool, nets_body body, void *context, int64_t count,
                      int32_t number) {
    /* Wide products: count may be anything up to 2^63 - 1. */
    int64_t begin = (int64_t)((wide)count * number / pool->face.threads);
    int64_t end = (int64_t)((wide)count * (number + 1) / pool->face.threads);
    if (begin < end) {
        body(context, begin, end, number);
    }
}

/* The generation, unless the pool ends: its end raises the generation as well, and is no job. */
static uint_fast64_t job_of(const struct pool *pool, uint_fast64_t generation) {
    return atomic_load_explicit(&pool->stop, memory_order_acquire) ? 0 : generation;
}

/* Waits until the generation differs from `seen`, and returns it; 0 when the pool ends. */
static uint_fast64_t await_job(struct pool *pool, uint_fast64_t seen) {
    struct spin spin = {0};
    uint_fast64_t generation;
    do {
        generation = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (generation != seen) {
            return job_of(pool, generation);
        }
    } while (spin_on(pool, &spin));
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while ((generation = atomic_load(&pool->generation)) == seen) {
        pthread_cond_wait(&pool->work, &pool->lock);
    }
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
    return job_of(pool, generation);
}

/* Waits until whoever was about to park sleeps. Held no longer: a woken thread would run into it. */
static void pass_through(pthread_mutex_t *lock) {
    pthread_mutex_lock(lock);
    pthread_mutex_unlock(lock);
}

static void finish_range(struct pool *pool) {
    if (atomic_fetch_sub(&pool->pending, 1) == 1 && atomic_load(&pool->waiting)) {
        pass_through(&pool->lock);
        pthread_cond_signal(&pool->done);
    }
}

/* Takes the range of a worker for the job; false if it is taken. All ranges of the job before it
 * were, or it would not be over. */
static bool take_range(struct worker *worker, uint_fast64_t job) {
    uint_fast64_t before = job - 1;
    return atomic_compare_exchange_strong(&worker->taken, &before, job);
}

/* The CPU this thread runs on; -1 where that cannot be told. */
static int current_cpu(void) {
#ifdef __linux__
    return sched_getcpu();
#else
    return -1;
#endif
}

/* Leaves the CPU that the caller runs on. The system may wake a thread up there, and then leaves
 * both where they are as long as other CPUs look busy: each waits for the other. */
static void leave_cpu_of_caller(const struct pool *pool) {
#ifdef __linux__
    int cpu = current_cpu();
    if (!pool->spins || cpu != atomic_load_explicit(&pool->caller_cpu, memory_order_relaxed)) {
        return;
    }
    cpu_set_t all, others;
    if (sched_getaffinity(0, sizeof all, &all) != 0) {
        return;
    }
    others = all;
    CPU_CLR(cpu, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0) {
        sched_setaffinity(0, sizeof all, &all);
    }
#else
    (void)pool;
#endif
}

/* Runs the range of a worker, to its end unless the job is cancelled. */
static void run_until_cancelled(struct pool *pool, int32_t number) {
    struct landing here;
    if (sigsetjmp(here.place, 0) == 0) {
        nets_landing_enter(&here, &pool->cancel);
        run_range(pool, pool->body, pool->context, pool->count, number);
    }
    nets_landing_leave(&here);
}

static void *worker_main(void *argument) {
    struct worker *worker = argument;
    struct pool *pool = worker->pool;
    uint_fast64_t job = 0;
    while ((job = await_job(pool, job)) != 0) {
        leave_cpu_of_caller(pool);
        if (!take_range(worker, job)) {
            continue;
        }
        nets_ieee_mode_enter();
        run_until_cancelled(pool, worker->number);
        finish_range(pool);
    }
    return NULL;
}

/* Starts the workers of this process; with fewer than asked for the caller runs the rest. */
static void start_workers(struct pool *pool) {
    pool->owner = getpid();
    pool->started = 0;
    /* Workers leave the process's signals to its other threads, but for their own faults and the
     * one that is sent to them. */
    sigset_t others, before;
    sigfillset(&others);
    sigdelset(&others, SIGSEGV);
    sigdelset(&others, SIGBUS);
    sigdelset(&others, SIGILL);
    sigdelset(&others, SIGFPE);
    sigdelset(&others, nets_nudge_signal());
    pthread_sigmask(SIG_SETMASK, &others, &before);
    for (int32_t i = 0; i < pool->face.threads - 1; i++) {
        struct worker *worker = &pool->workers[i];
        worker->pool = pool;
        worker->number = i + 1;
        atomic_store(&worker->taken, atomic_load(&pool->generation));
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
            break;
        }
        pool->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* The clock of timed waits; that of the wall may jump. */
#ifdef __linux__
#define CONDITION_CLOCK CLOCK_MONOTONIC
#else
#define CONDITION_CLOCK CLOCK_REALTIME
#endif

static void init_condition(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
#ifdef __linux__
    pthread_condattr_setclock(&attributes, CONDITION_CLOCK);
#endif
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* The state of a pool without workers: at the beginning, and in a forked child, where the
 * parent's workers do not exist and its locks may be held by nobody. */
static void reset(struct pool *pool) {
    atomic_store(&pool->generation, 0);
    atomic_store(&pool->pending, 0);
    atomic_store(&pool->sleepers, 0);
    atomic_store(&pool->waiting, false);
    atomic_store(&pool->stop, false);
    atomic_store(&pool->busy, false);
    atomic_store(&pool->cancel, false);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    init_condition(&pool->done);
    pool->owner = 0;
    pool->started = 0;
}

static void publish(struct pool *pool) {
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers) > 0) {
        pass_through(&pool->lock);
        pthread_cond_broadcast(&pool->work);
    }
}

/* Runs the ranges of workers that have not woken up. `took`: is one of them under way? */
static void run_left_over(struct pool *pool, volatile bool *took) {
    uint_fast64_t job = atomic_load(&pool->generation);
    for (int32_t i = 0; i < pool->started; i++) {
        if (take_range(&pool->workers[i], job)) {
            *took = true;
            run_range(pool, pool->body, pool->context, pool->count, pool->workers[i].number);
            *took = false;
            atomic_fetch_sub(&pool->pending, 1);
        }
    }
}

/* Takes them, and runs none. */
static void drop_left_over(struct pool *pool) {
    uint_fast64_t job = atomic_load(&pool->generation);
    for (int32_t i = 0; i < pool->started; i++) {
        if (take_range(&pool->workers[i], job)) {
            atomic_fetch_sub(&pool->pending, 1);
        }
    }
}

static void run_ranges_of_caller(struct pool *pool, volatile bool *took) {
    run_range(pool, pool->body, pool->context, pool->count, 0);
    for (int32_t number = pool->started + 1; number < pool->face.threads; number++) {
        run_range(pool, pool->body, pool->context, pool->count, number);
    }
    run_left_over(pool, took);
}

/* The same in a call that may be ended from within; then the job is cancelled. */
static void run_until_stopped(struct pool *pool) {
    struct landing here;
    volatile bool took = false;
    if (sigsetjmp(here.place, 0) == 0) {
        nets_landing_enter(&here, NULL);
        run_ranges_of_caller(pool, &took);
        nets_landing_leave(&here);
        return;
    }
    nets_landing_leave(&here);
    atomic_store(&pool->cancel, true);
    if (took) {
        atomic_fetch_sub(&pool->pending, 1);
    }
    drop_left_over(pool);
}

/* Between two looks at a job that is to be over, and at one that may go on. */
enum { NUDGE_TIME = 1000000, ASK_TIME = 50000000 };

static void wait_for(struct pool *pool, int64_t time) {
    struct timespec until;
    clock_gettime(CONDITION_CLOCK, &until);
    time += until.tv_nsec;
    until.tv_sec += time / 1000000000;
    until.tv_nsec = time % 1000000000;
    pthread_cond_timedwait(&pool->done, &pool->lock, &until);
}

/* Waits a while for the workers in a call that may be ended from within. */
static void await_or_cancel(struct pool *pool) {
    if (atomic_load(&pool->cancel)) {
        for (int32_t i = 0; i < pool->started; i++) {
            nets_nudge(pool->workers[i].thread);
        }
        wait_for(pool, NUDGE_TIME);
        return;
    }
    wait_for(pool, ASK_TIME);
    if (atomic_load(&pool->pending) != 0) {
        pthread_mutex_unlock(&pool->lock);
        atomic_store(&pool->cancel, nets_ask_to_stop());
        pthread_mutex_lock(&pool->lock);
    }
}

static void await_workers(struct pool *pool, bool is_watched) {
    struct spin spin = {0};
    do {
        if (atomic_load_explicit(&pool->pending, memory_order_acquire) == 0) {
            return;
        }
    } while (spin_on(pool, &spin));
    nets_set_waiting(true);
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->waiting, true);
    while (atomic_load(&pool->pending) != 0) {
        if (is_watched) {
            await_or_cancel(pool);
        } else {
            pthread_cond_wait(&pool->done, &pool->lock);
        }
    }
    atomic_store(&pool->waiting, false);
    pthread_mutex_unlock(&pool->lock);
    nets_set_waiting(false);
}

static void run_alone(struct pool *pool, nets_body body, void *context, int64_t count) {
    for (int32_t number = 0; number < pool->face.threads; number++) {
        run_range(pool, body, context, count, number);
    }
}

static void parallel_for(nets_pool *face, nets_body body, void *context, int64_t count) {
    struct pool *pool = (struct pool *)face;
    if (pool->face.threads == 1 || count < 2 || atomic_exchange(&pool->busy, true)) {
        run_alone(pool, body, context, count);
        return;
    }
    if (pool->owner == 0) {
        start_workers(pool);
    }
    pool->body = body;
    pool->context = context;
    pool->count = count;
    atomic_store_explicit(&pool->caller_cpu, current_cpu(), memory_order_relaxed);
    atomic_store(&pool->pending, pool->started);
    publish(pool);
    bool is_watched = nets_is_watched(), took;
    if (is_watched) {
        run_until_stopped(pool);
    } else {
        run_ranges_of_caller(pool, &took);
    }
    await_workers(pool, is_watched);
    bool is_cancelled = atomic_exchange(&pool->cancel, false);
    atomic_store(&pool->busy, false);
    if (is_cancelled) {
        nets_stop();
    }
}

/* ---- all pools, for fork -------------------------------------------------------------------- */

static struct pool *first_pool;
static pthread_mutex_t pools_lock = PTHREAD_MUTEX_INITIALIZER;

static void before_fork(void) {
    pthread_mutex_lock(&pools_lock);
}

static void after_fork_in_parent(void) {
    pthread_mutex_unlock(&pools_lock);
}

static void after_fork_in_child(void) {
    for (struct pool *pool = first_pool; pool != NULL; pool = pool->next) {
        reset(pool);
    }
    pthread_mutex_unlock(&pools_lock);
}

static void watch_forks(void) {
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static void enlist(struct pool *pool) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&pools_lock);
    pool->next = first_pool;
    first_pool = pool;
    pthread_mutex_unlock(&pools_lock);
}

static void strike_off(const struct pool *pool) {
    pthread_mutex_lock(&pools_lock);
    struct pool **link = &first_pool;
    while (*link != pool) {
        link = &(*link)->next;
    }
    *link = pool->next;
    pthread_mutex_unlock(&pools_lock);
}

nets_pool *nets_pool_new(int32_t threads) {
    threads = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
    struct pool *pool = aligned_alloc(CACHE_LINE, sizeof *pool);
    struct worker *workers = aligned_alloc(CACHE_LINE, (size_t)threads * sizeof *workers);
    if (pool == NULL || workers == NULL) {
        free(pool);
        free(workers);
        return NULL;
    }
    pool->face = (nets_pool){.parallel_for = parallel_for, .threads = threads};
    pool->spins = threads <= nets_cpu_count();
    pool->workers = workers;
    reset(pool);
    enlist(pool);
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
        pthread_mutex_destroy(&pool->lock);
        pthread_cond_destroy(&pool->work);
        pthread_cond_destroy(&pool->done);
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
