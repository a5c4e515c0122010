/* Calls that are ended from within: on one thread, in a parallel loop, while the caller waits. */
#define _GNU_SOURCE
#include "../nets_runtime.h"
#include "check.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 3 };

static nets_code *code;
static volatile int64_t words[THREADS];
static int asked, stops_at;

static void *load(const char *folder) {
    char path[4096];
    snprintf(path, sizeof path, "%s/endless.o", folder);
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    char *data = malloc(1 << 20);
    size_t size = fread(data, 1, 1 << 20, file);
    fclose(file);
    CHECK(nets_code_load(data, size, &code) == NETS_OK);
    free(data);
    return code;
}

static nets_entry entry(const char *name) {
    void *address = nets_code_symbol(code, name);
    CHECK(address != NULL);
    nets_entry found;
    memcpy(&found, &address, sizeof found);
    return found;
}

static int32_t check(void) {
    asked++;
    return asked >= stops_at;
}

static int32_t call(const char *name, nets_pool *pool, int stops) {
    void *buffers[] = {(void *)words};
    memset((void *)words, 0, sizeof words);
    asked = 0;
    stops_at = stops;
    return nets_call_watched(entry(name), buffers, NULL, pool);
}

static int64_t sums[THREADS];

static void sum(void *context, int64_t begin, int64_t end, int32_t thread) {
    (void)context;
    sums[thread] += end - begin;
}

static void check_pool(nets_pool *pool) {
    memset(sums, 0, sizeof sums);
    pool->parallel_for(pool, sum, NULL, 300);
    CHECK(sums[0] == 100 && sums[1] == 100 && sums[2] == 100);
}

static void check_alone(void) {
    for (int stops = 1; stops < 4; stops++) {
        CHECK(call("endless", NULL, stops) == NETS_INTERRUPTED);
        CHECK(asked == stops);
        CHECK(words[0] > 0);
    }
}

static void check_parallel(void) {
    nets_pool *pool = nets_pool_new(THREADS);
    static const char *NAMES[] = {"endless", "waiting"};
    for (int i = 0; i < 6; i++) {
        CHECK(call(NAMES[i % 2], pool, 1 + i / 2) == NETS_INTERRUPTED);
        CHECK(asked == 1 + i / 2);
        /* Nobody writes any more, so these are nobody's words. */
        memset((void *)words, 0, sizeof words);
        check_pool(pool);
        CHECK(words[0] == 0 && words[1] == 0 && words[2] == 0);
    }
    nets_pool_free(pool);
}

/* The function that is asked makes a call itself, which is ended as well. */
static int32_t check_within(void) {
    static int depth;
    if (depth == 0) {
        depth++;
        void *buffers[] = {(void *)words};
        CHECK(nets_call_watched(entry("endless"), buffers, NULL, NULL) == NETS_INTERRUPTED);
        depth--;
    }
    return 1;
}

static void check_nested(void) {
    nets_set_check(check_within);
    CHECK(call("endless", NULL, 1) == NETS_INTERRUPTED);
    nets_set_check(check);
}

static void *release(void *nothing) {
    (void)nothing;
    int64_t seen = words[0];
    while (seen == 0 || words[0] < seen + 100000000) {
        seen = seen == 0 ? words[0] : seen;
    }
    words[1] = 1;
    return NULL;
}

/* Long enough for several looks. */
static void check_committed(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, release, NULL);
    CHECK(call("committed", NULL, 1) == 3);
    CHECK(asked == 0);
    pthread_join(thread, NULL);
}

static int32_t status_elsewhere;

static void *call_elsewhere(void *nothing) {
    (void)nothing;
    void *buffers[] = {(void *)words};
    words[1] = 1;
    status_elsewhere = nets_call_watched(entry("committed"), buffers, NULL, NULL);
    return NULL;
}

/* A call of another thread is an ordinary one. */
static void check_elsewhere(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, call_elsewhere, NULL);
    pthread_join(thread, NULL);
    CHECK(status_elsewhere == 3);
}

static void check_child(void) {
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        check_alone();
        check_parallel();
        _exit(failures != 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(status == 0);
}

void test_interrupt(const char *folder) {
    load(folder);
    nets_set_check(check);
    check_alone();
    check_parallel();
    check_nested();
    check_committed();
    check_elsewhere();
    nets_set_check(NULL);
    nets_code_free(code);
}

void test_interrupt_fork(const char *folder) {
    load(folder);
    nets_set_check(check);
    check_alone();
    check_child();
    nets_set_check(NULL);
    nets_code_free(code);
}
