/* Calls the function `step` of the library `ranked` on each rank of a job, and prints the bits of its
 * results: with WITH_MPI ranks are processes of MPI, else two threads. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ranked.h"

#ifdef WITH_MPI
#include <mpi.h>
#endif

enum { N = RANKED_step_x_COUNT, RANKS = 2, MOST = 64 };

/* Calls the function; the bits of the results, one line per rank. */
static int32_t step(const ranked_communicator *communicator, char *line, size_t size) {
    float x[N], total[RANKED_step_total_COUNT], swapped[RANKED_step_swapped_COUNT];
    float loss;
    int64_t rank;
    for (int i = 0; i < N; i++) {
        x[i] = (float)((i % 7 - 3) * (communicator->rank + 1)) * 0.25f;
    }
    size_t bytes = ranked_step_workspace_bytes();
    void *workspace = bytes == 0 ? NULL : aligned_alloc(64, (bytes + 63) / 64 * 64);
    int32_t status = ranked_step(x, &loss, &rank, swapped, total, communicator, workspace);
    free(workspace);
    if (status != 0) {
        return status;
    }
    uint32_t sum = 0, bits;
    for (size_t i = 0; i < sizeof total / sizeof *total; i++) {
        memcpy(&bits, total + i, sizeof bits);
        sum = 31 * sum + bits;
    }
    for (size_t i = 0; i < sizeof swapped / sizeof *swapped; i++) {
        memcpy(&bits, swapped + i, sizeof bits);
        sum = 31 * sum + bits;
    }
    memcpy(&bits, &loss, sizeof bits);
    snprintf(line, size, "%d %08x %08x", (int)rank, (unsigned)sum, (unsigned)bits);
    return 0;
}

#ifdef WITH_MPI

static int32_t begin(void *user, int32_t ticket, const ranked_transfer *t) {
    MPI_Comm *ranks = user;
    int bytes = (int)t->bytes;
    (void)ticket;
    switch (t->kind) {
    case 0:
        return MPI_Allgather(t->send, bytes, MPI_BYTE, t->receive, bytes, MPI_BYTE, *ranks);
    case 1:
        return MPI_Sendrecv(t->send, bytes, MPI_BYTE, t->peer, 0, t->receive, bytes, MPI_BYTE,
                            t->peer, 0, *ranks, MPI_STATUS_IGNORE);
    default: {
        int rank;
        MPI_Comm_rank(*ranks, &rank);
        if (rank == t->peer) {
            memcpy(t->receive, t->send, (size_t)t->bytes);
        }
        return MPI_Bcast(t->receive, bytes, MPI_BYTE, t->peer, *ranks);
    }
    }
}

static int32_t finish(void *user, int32_t ticket) {
    (void)user;
    (void)ticket;
    return 0;
}

int main(int argc, char **argv) {
    MPI_Comm ranks = MPI_COMM_WORLD;
    ranked_communicator communicator = {&ranks, 0, 0, begin, finish};
    char line[64], lines[RANKS][64];
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(ranks, &rank);
    MPI_Comm_size(ranks, &size);
    communicator.rank = rank;
    communicator.size = size;
    int32_t status = step(&communicator, line, sizeof line);
    if (status != 0) {
        fprintf(stderr, "%s\n", ranked_status_message(status));
        MPI_Abort(ranks, 1);
    }
    /* One process prints, for what several do may be mixed up on the way. */
    MPI_Gather(line, sizeof line, MPI_CHAR, lines, sizeof line, MPI_CHAR, 0, ranks);
    for (int r = 0; rank == 0 && r < RANKS; r++) {
        puts(lines[r]);
    }
    MPI_Finalize();
    return 0;
}

#else

static pthread_barrier_t barrier;
static ranked_transfer offered[RANKS];
static char lines[RANKS][64];

/* One rank: what has begun, by ticket; what is received is there after `finish` and not before. */
typedef struct rank {
    int32_t number;
    int32_t fails; /* the ticket whose transfer fails, or -1 */
    ranked_transfer begun[MOST];
} rank;

static int32_t begin(void *user, int32_t ticket, const ranked_transfer *transfer) {
    rank *self = user;
    if (ticket < 0 || ticket >= MOST || ticket == self->fails) {
        return 1;
    }
    self->begun[ticket] = *transfer;
    memset(transfer->receive, 0xFF, (size_t)transfer->bytes);
    return 0;
}

static int32_t finish(void *user, int32_t ticket) {
    rank *self = user;
    const ranked_transfer *mine = offered + self->number;
    offered[self->number] = self->begun[ticket];
    pthread_barrier_wait(&barrier);
    size_t bytes = (size_t)mine->bytes;
    if (mine->kind == 0) {
        for (int r = 0; r < RANKS; r++) {
            memcpy((char *)mine->receive + (size_t)r * bytes, offered[r].send, bytes);
        }
    } else {
        memcpy(mine->receive, offered[mine->peer].send, bytes);
    }
    pthread_barrier_wait(&barrier);
    return 0;
}

static void *run(void *argument) {
    rank *self = argument;
    ranked_communicator communicator = {self, self->number, RANKS, begin, finish};
    int32_t status = step(&communicator, lines[self->number], sizeof lines[0]);
    if (status != 0) {
        snprintf(lines[self->number], sizeof lines[0], "status %d", (int)status);
    }
    return NULL;
}

int main(void) {
    pthread_t threads[RANKS];
    static rank all[RANKS];
    pthread_barrier_init(&barrier, NULL, RANKS);
    for (int r = 0; r < RANKS; r++) {
        all[r].number = r;
        all[r].fails = -1;
        pthread_create(threads + r, NULL, run, all + r);
    }
    for (int r = 0; r < RANKS; r++) {
        pthread_join(threads[r], NULL);
        puts(lines[r]);
    }
    /* What is refused, and what fails, before anybody waits for anybody. */
    ranked_communicator other = {all, 0, RANKS + 1, begin, finish};
    char line[64];
    printf("%s\n", ranked_status_message(step(&other, line, sizeof line)));
    all[0].fails = 0;
    other.size = RANKS;
    printf("%s\n", ranked_status_message(step(&other, line, sizeof line)));
    float x[N] = {0}, y[N];
    int64_t n;
    printf("%s\n", ranked_status_message(ranked_step(x, y, &n, y, y, NULL, NULL)));
    return 0;
}

#endif
