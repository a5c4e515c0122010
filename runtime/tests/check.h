/* What the tests of the runtime share: a check that reports and goes on, and their entry points. */
#ifndef NETS_CHECK_H
#define NETS_CHECK_H

#include <stdio.h>

extern int failures;

#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);               \
            failures++;                                                                           \
        }                                                                                         \
    } while (0)

void test_pool(void);
void test_fork(void);
void test_arena(void);
void test_call(void);
void test_code(const char *folder);
void test_interrupt(const char *folder);
void test_interrupt_fork(const char *folder);

#endif
