/* The pool: who runs what, nested and concurrent callers, parking and waking, floating-point mode
 * and signal mask of workers, and what becomes of it in forked processes. */
#define _GNU_SOURCE
#include "../nets_runtime.h"
#include "check.h"

#include <float.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_THREADS = 8 };

static const int32_t THREADS[] = {1, 2, 3, MOST_THREADS};
enum { THREAD_COUNTS = sizeof THREADS / sizeof *THREADS };

static void run(nets_pool *pool, nets_body body, void *context, int64_t count) {
    pool->parallel_for(pool, body, context, count);
}

/* ---- partition ------------------------------------------------------------------------------ */

struct record {
    struct {
        int64_t begin, end;
        int times;
    } ranges[MOST_THREADS];
};

static void note(void *context, int64_t begin, int64_t end, int32_t thread) {
    struct record *record = context;
    record->ranges[thread].begin = begin;
    record->ranges[thread].end = end;
    record->ranges[thread].times++;
}

__extension__ typedef __int128 wide;

static void check_partition(nets_pool *pool, int64_t count) {
    struct record record = {0};
    run(pool, note, &record, count);
    for (int32_t t = 0; t < pool->threads; t++) {
        int64_t begin = (int64_t)((wide)count * t / pool->threads);
        int64_t end = (int64_t)((wide)count * (t + 1) / pool->threads);
        CHECK(record.ranges[t].times == (begin < end));
        if (begin < end) {
            CHECK(record.ranges[t].begin == begin);
            CHECK(record.ranges[t].end == end);
        }
    }
}

static void check_partitions(void) {
    static const int64_t COUNTS[] = {0, 1, 2, 7, 8, 9, 1000000, INT64_MAX};
    for (int i = 0; i < THREAD_COUNTS; i++) {
        nets_pool *pool = nets_pool_new(THREADS[i]);
        CHECK(pool != NULL && pool->threads == THREADS[i]);
        for (size_t c = 0; c < sizeof COUNTS / sizeof *COUNTS; c++) {
            check_partition(pool, COUNTS[c]);
        }
        nets_pool_free(pool);
    }
}

/* ---- every item once ------------------------------------------------------------------------ */

static void increment(void *context, int64_t begin, int64_t end, int32_t thread) {
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        ((uint8_t *)context)[i]++;
    }
}

static bool all_are(const uint8_t *items, size_t count, uint8_t value) {
    for (size_t i = 0; i < count; i++) {
        if (items[i] != value) {
            return false;
        }
    }
    return true;
}

static void check_items(nets_pool *pool, size_t count, uint8_t times) {
    uint8_t *items = calloc(count + 1, 1);
    for (uint8_t i = 0; i < times; i++) {
        run(pool, increment, items, (int64_t)count);
    }
    CHECK(all_are(items, count, times));
    CHECK(items[count] == 0);
    free(items);
}

/* ---- nested and concurrent callers ---------------------------------------------------------- */

struct nested {
    nets_pool *pool;
    uint8_t items[16][100];
};

static void increment_row(void *context, int64_t begin, int64_t end, int32_t thread) {
    struct nested *nested = context;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        run(nested->pool, increment, nested->items[i], 100);
    }
}

static void check_nested(nets_pool *pool) {
    struct nested nested = {.pool = pool};
    run(pool, increment_row, &nested, 16);
    CHECK(all_are(nested.items[0], sizeof nested.items, 1));
}

static void *call_often(void *pool) {
    for (int i = 0; i < 50; i++) {
        check_items(pool, 1000, 3);
    }
    return NULL;
}

static void check_concurrent(nets_pool *pool) {
    pthread_t callers[4];
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&callers[i], NULL, call_often, pool) == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(callers[i], NULL);
    }
}

/* ---- parking and waking --------------------------------------------------------------------- */

/* Jobs at distances around the time workers spin, so that they come while workers spin, while
 * they are about to park, and while they sleep; and bodies of lengths that make the caller do the
 * same. */
static void wait_for(void *context, int64_t begin, int64_t end, int32_t thread) {
    useconds_t most = *(useconds_t *)context;
    (void)begin;
    (void)end;
    if (most > 0) {
        usleep((useconds_t)thread * most);
    }
}

static void check_waking(nets_pool *pool) {
    for (useconds_t distance = 0; distance < 100; distance++) {
        useconds_t length = distance % 10 * 5;
        run(pool, wait_for, &length, pool->threads);
        usleep(distance);
        check_items(pool, 100, 2);
    }
}

static void check_lives(void) {
    nets_pool_free(NULL);
    for (int i = 0; i < THREAD_COUNTS; i++) {
        nets_pool_free(nets_pool_new(THREADS[i])); /* never used */
        nets_pool *pool = nets_pool_new(THREADS[i]);
        check_items(pool, 10, 1);
        nets_pool_free(pool); /* spinning */
        for (int life = 0; life < 50; life++) {
            pool = nets_pool_new(THREADS[i]);
            check_items(pool, 10, 1);
            nets_pool_free(pool); /* waking up for the job, which may be over */
        }
        pool = nets_pool_new(THREADS[i]);
        check_items(pool, 10, 1);
        usleep(2000);
        nets_pool_free(pool); /* parked */
    }
    nets_pool *many[100];
    for (int i = 0; i < 100; i++) {
        many[i] = nets_pool_new(2);
        check_items(many[i], 10, 1);
    }
    for (int i = 0; i < 100; i++) {
        nets_pool_free(many[i * 37 % 100]);
    }
    nets_pool *odd = nets_pool_new(-5);
    CHECK(odd->threads == 1);
    nets_pool_free(odd);
    odd = nets_pool_new(INT32_MAX);
    CHECK(odd->threads == 1024);
    nets_pool_free(odd);
}

/* ---- mode and signals of workers ------------------------------------------------------------ */

static void halve(void *context, int64_t begin, int64_t end, int32_t thread) {
    volatile float value = FLT_MIN;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        ((float *)context)[i] = value * 0.5f;
    }
}

static atomic_int begun;

/* Waits until so many ranges have begun: by then each of them has a thread of its own. */
static void meet(int ranges) {
    atomic_fetch_add(&begun, 1);
    while (atomic_load(&begun) < ranges) {
        sched_yield();
    }
}

static void halve_apart(void *context, int64_t begin, int64_t end, int32_t thread) {
    meet(4);
    halve(context, begin, end, thread);
}

static int32_t halve_in_parallel(void *const *buffers, void *workspace, nets_pool *pool) {
    (void)workspace;
    atomic_store(&begun, 0);
    run(pool, halve_apart, buffers[0], 64);
    return NETS_OK;
}

static void check_subnormals(nets_pool *pool) {
    float halves[64] = {0};
    void *buffers[] = {halves};
    CHECK(nets_call(halve_in_parallel, buffers, NULL, pool) == NETS_OK);
    for (int i = 0; i < 64; i++) {
        uint32_t bits; /* a comparison of floats would take a subnormal for zero in this mode */
        memcpy(&bits, &halves[i], sizeof bits);
        CHECK(bits == 0x00400000);
    }
}

#if defined(__x86_64__)
#include <xmmintrin.h>

static void flush_subnormals(void) {
    _mm_setcsr(_mm_getcsr() | 0x8040);
}

#elif defined(__aarch64__)

static void flush_subnormals(void) {
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)1 << 24));
}

#else

static void flush_subnormals(void) {
}

#endif

/* Workers start as copies of a thread that flushes subnormals. */
static void check_mode(void) {
    uint64_t before = nets_ieee_mode_enter();
    flush_subnormals();
    nets_pool *pool = nets_pool_new(4);
    check_items(pool, 64, 1);
    check_subnormals(pool);
    nets_pool_free(pool);
    nets_ieee_mode_enter();
    nets_ieee_mode_leave(before);
}

static void read_mask(void *context, int64_t begin, int64_t end, int32_t thread) {
    (void)begin;
    (void)end;
    meet(2);
    pthread_sigmask(SIG_SETMASK, NULL, &((sigset_t *)context)[thread]);
}

static void check_signals(void) {
    sigset_t masks[2];
    nets_pool *pool = nets_pool_new(2);
    atomic_store(&begun, 0);
    run(pool, read_mask, masks, 2);
    nets_pool_free(pool);
    CHECK(!sigismember(&masks[0], SIGINT));
    CHECK(sigismember(&masks[1], SIGINT));
    CHECK(sigismember(&masks[1], SIGALRM));
    CHECK(!sigismember(&masks[1], SIGSEGV));
}

void test_pool(void) {
    check_partitions();
    for (int i = 0; i < THREAD_COUNTS; i++) {
        nets_pool *pool = nets_pool_new(THREADS[i]);
        check_items(pool, 1000000, 2);
        check_nested(pool);
        check_concurrent(pool);
        check_waking(pool);
        nets_pool_free(pool);
    }
    check_lives();
    check_mode();
    check_signals();
}

/* ---- fork ----------------------------------------------------------------------------------- */

/* Uses the pool in a child, frees it there, and uses it in the parent meanwhile. */
static void check_child(nets_pool *pool) {
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        failures = 0;
        check_items(pool, 1000, 5);
        usleep(1000);
        check_items(pool, 1000, 5);
        nets_pool_free(pool);
        _exit(failures != 0);
    }
    check_items(pool, 1000, 5);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static atomic_int calls;
static atomic_bool stop;

/* Allocates nothing: the address sanitizer's allocator does not survive a fork meanwhile. */
static void *call_until_stopped(void *pool) {
    while (!atomic_load(&stop)) {
        uint8_t items[100] = {0};
        run(pool, increment, items, 100);
        CHECK(all_are(items, 100, 1));
        atomic_fetch_add(&calls, 1);
    }
    return NULL;
}

static void check_fork_during_jobs(nets_pool *pool) {
    pthread_t caller;
    CHECK(pthread_create(&caller, NULL, call_until_stopped, pool) == 0);
    while (atomic_load(&calls) == 0) {
        usleep(100);
    }
    for (int i = 0; i < 10; i++) {
        check_child(pool);
    }
    atomic_store(&stop, true);
    pthread_join(caller, NULL);
}

void test_fork(void) {
    nets_pool *pool = nets_pool_new(3);
    nets_pool *other = nets_pool_new(2);
    check_child(pool); /* before the first use */
    check_child(pool); /* workers spin */
    usleep(2000);
    check_child(pool); /* workers sleep */
    check_child(other);
    check_fork_during_jobs(pool);
    nets_pool_free(other);
    nets_pool_free(pool);
}
