/* Flies a quadrotor with the library that quadrotor_mpc.py writes: no Python, nothing allocated.
 *
 *   cc -std=c11 -DSTEPS=160 -DGOALS=2 -Ibuild/quadrotor_mpc examples/quadrotor_mpc.c \
 *       build/quadrotor_mpc/mpc.a -o quadrotor_mpc_c
 *
 * The file that it is given holds start, wind, goals and the first plan; the states of the flight
 * take their place.
 */
#include "mpc.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { STATES = MPC_control_x_COUNT, PLAN = MPC_control_plan_COUNT, ROTORS = MPC_fly_thrusts_COUNT };

static double wind[3], goals[GOALS][3], plan[PLAN], later[PLAN], states[STEPS + 1][STATES];
static double microseconds[STEPS];
static _Alignas(64) char workspace[MPC_control_WORKSPACE_BYTES + MPC_fly_WORKSPACE_BYTES];

static bool ok(int32_t status) {
    if (status != 0) {
        fprintf(stderr, "%s\n", mpc_status_message(status));
    }
    return status == 0;
}

static double now(void) {
    struct timespec time;
    timespec_get(&time, TIME_UTC);
    return 1e6 * (double)time.tv_sec + 1e-3 * (double)time.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool fly(void) {
    for (int step = 0; step < STEPS; step++) {
        double thrusts[ROTORS], cost;
        int64_t iterations;
        const double *x = states[step], *goal = goals[step * GOALS / STEPS];
        double began = now();
        if (!ok(mpc_control(x, goal, plan, thrusts, later, &cost, &iterations, workspace))) {
            return false;
        }
        microseconds[step] = now() - began;
        for (int i = 0; i < PLAN; i++) {
            plan[i] = later[i];
        }
        if (!ok(mpc_fly(x, thrusts, wind, states[step + 1], workspace))) {
            return false;
        }
    }
    qsort(microseconds, STEPS, sizeof *microseconds, by_size);
    printf("C program: a step of SQP in %.0f us, the slowest in %.0f us\n", microseconds[STEPS / 2],
           microseconds[STEPS - 1]);
    return true;
}

int main(int count, char **arguments) {
    FILE *file = count == 2 ? fopen(arguments[1], "r+b") : NULL;
    if (file == NULL) {
        fprintf(stderr, "usage: %s flight.bin\n", arguments[0]);
        return 1;
    }
    bool good = fread(states[0], sizeof states[0], 1, file) == 1 &&
                fread(wind, sizeof wind, 1, file) == 1 && fread(goals, sizeof goals, 1, file) == 1 &&
                fread(plan, sizeof plan, 1, file) == 1 && fly();
    rewind(file);
    good = good && fwrite(states[1], sizeof states[1], STEPS, file) == STEPS;
    return fclose(file) == 0 && good ? 0 : 1;
}
