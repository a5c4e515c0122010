/* Runs one group of tests: main (pool | fork | arena | call), or
 * main (code | interrupt | interrupt-fork) <objects>. */
#include "check.h"

#include <string.h>
#include <unistd.h>

int failures;

/* A lost wake-up would wait for ever. */
enum { MOST_SECONDS = 60 };

int main(int argc, char **argv) {
    const char *group = argc > 1 ? argv[1] : "";
    alarm(MOST_SECONDS);
    if (strcmp(group, "pool") == 0) {
        test_pool();
    } else if (strcmp(group, "fork") == 0) {
        test_fork();
    } else if (strcmp(group, "arena") == 0) {
        test_arena();
    } else if (strcmp(group, "call") == 0) {
        test_call();
    } else if (strcmp(group, "code") == 0 && argc == 3) {
        test_code(argv[2]);
    } else if (strcmp(group, "interrupt") == 0 && argc == 3) {
        test_interrupt(argv[2]);
    } else if (strcmp(group, "interrupt-fork") == 0 && argc == 3) {
        test_interrupt_fork(argv[2]);
    } else {
        fprintf(stderr, "usage: %s <group> [<folder of objects>]\n", argv[0]);
        return 2;
    }
    return failures != 0;
}
