/* nets runtime: what compiled tensor programs need of the machine, and nothing else.
 *
 * C11 and POSIX threads, no Python. Its parts:
 *   pool.c   a thread pool with a static, deterministic partition
 *   arena.c  aligned workspaces
 *   cpu.c    which CPU this is
 *   code.c   loads relocatable object code into executable memory (relocate.c: of a processor)
 *   interrupt.c  ends a long call from within
 *   transfer.c   what goes between the ranks of a job
 * call.c joins them: one call of a compiled function, and what it prints.
 */
#ifndef NETS_RUNTIME_H
#define NETS_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- status ------------------------------------------------------------------------------- */

/* Functions that can fail return one of these; compiled functions return NETS_OK or the positive
 * code of the first run-time check that failed. */
enum nets_status {
    NETS_OK = 0,
    NETS_NO_MEMORY = -1,
    NETS_BAD_OBJECT = -2,   /* not an object file of this machine, or damaged */
    NETS_NO_SYMBOL = -3,    /* the object lacks the symbol, or needs one that is not offered */
    NETS_NOT_ALLOWED = -4,  /* the system refuses this process executable memory */
    NETS_NOT_SUPPORTED = -5, /* no object loader for this platform */
    NETS_INTERRUPTED = -6,  /* the function of nets_set_check has ended the call */
    NETS_NO_TRANSFER = -7   /* the communicator has failed, and the call ended there */
};

/* A sentence for a status, never null. */
const char *nets_status_message(int32_t status);

/* ---- thread pool -------------------------------------------------------------------------- */

/* Runs items [begin, end) as thread number `thread`. */
typedef void (*nets_body)(void *context, int64_t begin, int64_t end, int32_t thread);

/* What compiled code sees of a pool; the layout is part of the ABI. */
typedef struct nets_pool {
    /* Runs body over [0, count), split into `threads` equal consecutive ranges (range t is
     * [t*count/threads, (t+1)*count/threads)), and returns when all of them are done. */
    void (*parallel_for)(struct nets_pool *self, nets_body body, void *context, int64_t count);
    int32_t threads;
} nets_pool;

/* A pool of `threads` threads (1 to 1024, a number outside is taken as the nearer end), the
 * caller's included; null without memory. Threads start at the first parallel_for. Only one caller
 * uses the workers at a time: a second one that comes meanwhile, or a body that calls parallel_for
 * again, runs its ranges itself, one after another, as does the caller with the ranges of threads
 * that the system refuses to start. After fork() the child's pool starts workers of its own. */
nets_pool *nets_pool_new(int32_t threads);

/* No call may be using the pool. Takes null. */
void nets_pool_free(nets_pool *pool);

/* CPUs this process may run on. */
int32_t nets_cpu_count(void);

/* ---- workspaces --------------------------------------------------------------------------- */

/* `bytes` of memory aligned to 64 bytes, large ones backed by huge pages where the system offers
 * them; null without memory. */
void *nets_arena_new(size_t bytes);

/* `bytes` are those it was made with. Takes null. */
void nets_arena_free(void *arena, size_t bytes);

/* ---- code --------------------------------------------------------------------------------- */

typedef struct nets_code nets_code;

/* Maps a relocatable ELF object of this machine into executable memory. The object may refer to
 * memcpy, memmove, memset, memcmp, nets_print and nets_commit and to nothing else outside itself. Every offset in it is
 * checked, so no file, however damaged, makes the loader read or write outside it; whether the
 * instructions in it are the right ones, nobody can check here. Null in `*code` unless NETS_OK. */
int32_t nets_code_load(const void *object, size_t bytes, nets_code **code);

/* No call may be running in the code. Takes null. */
void nets_code_free(nets_code *code);

/* The address of a global symbol; null if there is none. */
void *nets_code_symbol(const nets_code *code, const char *name);

/* ---- calls -------------------------------------------------------------------------------- */

/* A compiled function: `buffers` are its inputs, then its outputs. */
typedef int32_t (*nets_entry)(void *const *buffers, void *workspace, nets_pool *pool);

/* Calls `entry` in IEEE mode (round to nearest, subnormals kept) whatever the calling thread's
 * floating-point mode is, and puts that mode back afterwards. */
int32_t nets_call(nets_entry entry, void *const *buffers, void *workspace, nets_pool *pool);

/* The same, but on the main thread of the process the call asks the function of `nets_set_check`
 * every 50 ms or so whether to go on, and returns NETS_INTERRUPTED where that gives something else
 * than 0. What the call has written is then half done; no thread is at it any more. Only code that
 * nets_code_load has loaded is left like that, and not after it has called `nets_commit`. Uses
 * SIGURG, if nobody else does; where nets_code_load is not supported it is the same as nets_call. */
int32_t nets_call_watched(nets_entry entry, void *const *buffers, void *workspace, nets_pool *pool);

/* It is called on the main thread, on top of compiled code, and may make calls itself. */
typedef int32_t (*nets_check)(void);
void nets_set_check(nets_check check);

/* What compiled code calls before it writes to what the caller keeps: from now on it is not left
 * before its end. */
void nets_commit(void);

/* ---- printing ----------------------------------------------------------------------------- */

/* A value to be printed: contiguous elements, row-major, there for the length of the call. `dtype`
 * counts bool, int8 to int64, uint8 to uint64, float, double from 0. */
typedef struct nets_printed {
    int32_t dtype;
    int32_t rank;
    const int64_t *shape; /* null for rank 0 */
    const void *data;
} nets_printed;

/* Prints `text`, whose fields {0}, {1}, ... stand for the values; `site` numbers the prints of a
 * program. It is called on the thread that called the compiled function. */
typedef void (*nets_printer)(int32_t site, const char *text, int32_t count,
                             const nets_printed *values);

/* What compiled code calls: the printer of the process, if there is one. */
void nets_print(int32_t site, const char *text, int32_t count, const nets_printed *values);
void nets_set_printer(nets_printer printer);

/* ---- ranks -------------------------------------------------------------------------------- */

/* What goes between ranks: `bytes` from `send`, as many to `receive`, but that a gather (kind 0)
 * receives those of all ranks, by rank. An exchange (kind 1) swaps with the rank `peer`, which has
 * this one for its peer; in a broadcast (kind 2) all receive what the rank `peer` has. */
typedef struct nets_transfer {
    int32_t kind;
    int32_t peer;
    int64_t bytes;
    const void *send;
    void *receive;
} nets_transfer;

/* What compiled code sees of a job of `size` ranks, of which this one is `rank`; the layout is part
 * of the ABI. `begin` starts a transfer, or makes it, and `finish` returns when the one that began
 * with that ticket is over; what is sent and received stays where it is until then, the structure
 * does not. Both return 0, or something else, which ends the call. They are called on the thread
 * that called the compiled function. */
typedef struct nets_communicator {
    void *user;
    int32_t rank;
    int32_t size;
    int32_t (*begin)(void *user, int32_t ticket, const nets_transfer *transfer);
    int32_t (*finish)(void *user, int32_t ticket);
} nets_communicator;

/* The job of one rank, which gets what it sends. */
const nets_communicator *nets_solo(void);

/* Two functions for a communicator: they call those of `nets_set_carrier`, as one that may take
 * long and be ended by what happens in it. Without a carrier they fail. */
int32_t nets_transfer_begin(void *user, int32_t ticket, const nets_transfer *transfer);
int32_t nets_transfer_finish(void *user, int32_t ticket);
typedef int32_t (*nets_carrier_begin)(void *user, int32_t ticket, const nets_transfer *transfer);
typedef int32_t (*nets_carrier_finish)(void *user, int32_t ticket);
void nets_set_carrier(nets_carrier_begin begin, nets_carrier_finish finish);

/* ---- CPU ---------------------------------------------------------------------------------- */

/* Writes what tells this CPU's instruction set from another's: the key of cached code. */
void nets_cpu_identity(char *text, size_t size);

/* The x86-64 level this CPU runs (2: SSE4.2, 3: AVX2 and FMA, 4: AVX-512), 0 for less or another
 * family. */
int32_t nets_cpu_level(void);

/* ---- floating-point mode ------------------------------------------------------------------- */

/* Sets IEEE mode and returns the mode before; restores a mode. */
uint64_t nets_ieee_mode_enter(void);
void nets_ieee_mode_leave(uint64_t mode);

#ifdef __cplusplus
}
#endif
#endif
