/* Interrupts: while a call on the main thread lasts, the process looks at its signals now and then,
 * and may end the call.
 *
 * Nothing is added to compiled code. A watcher looks every TICK at the call that is under way; if
 * it is the one of the look before, it sends the main thread a signal of its own, whose handler runs
 * on top of compiled code and asks the function of `nets_set_check`. That may do whatever a call at
 * this place could, as compiled code holds no lock and no memory; where the thread is elsewhere (in
 * libc, printing) the handler does nothing and the watcher comes again soon. To end the call the
 * handler jumps to the innermost landing: that of `nets_call_watched`, or that of a parallel loop,
 * which has the workers leave their ranges in the same way and then jumps on.
 *
 * A short call pays for noting that it has begun. When there has been none for a while the watcher
 * sleeps, and the next one wakes it up.
 */
#define _GNU_SOURCE
#include "nets_runtime.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "interrupt.h"

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))

#include <sys/syscall.h>
#include <ucontext.h>

/* In nanoseconds: between two looks; between two tries to meet the thread in compiled code. */
enum { TICK = 50000000, SOON = 1000000 };

/* Looks without a call after which the watcher sleeps. */
enum { QUIET_LOOKS = 20 };

/* By default ignored, used by no library for itself, and expected to come without a reason. */
enum { NUDGE = SIGURG };

/* A handler may not have memory allocated, as the first use of other thread-locals does. */
#define OF_THREAD static _Thread_local __attribute__((tls_model("initial-exec")))

struct call {
    struct call *outer;
    uint64_t number;
    volatile sig_atomic_t committed;
    bool asks; /* Python, or whoever it is, runs on top of it */
    sig_atomic_t waited;
};

OF_THREAD struct landing *landing_of_thread;
OF_THREAD struct call *call_of_thread;
OF_THREAD volatile sig_atomic_t waits;

static _Atomic(nets_check) check_of_process;

static atomic_uint_fast64_t under_way; /* number of the main thread's innermost call, or 0 */
static uint64_t last_number;           /* of the main thread */
static pthread_t main_thread;
static atomic_bool missed; /* the last signal met the thread outside compiled code */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wakes;
static atomic_bool sleeps;
static atomic_bool is_started;

/* ---- landings ------------------------------------------------------------------------------- */

void nets_landing_enter(struct landing *landing, const atomic_bool *cancel) {
    landing->outer = landing_of_thread;
    landing->cancel = cancel;
    atomic_signal_fence(memory_order_seq_cst);
    landing_of_thread = landing;
}

void nets_landing_leave(const struct landing *landing) {
    landing_of_thread = landing->outer;
}

bool nets_is_watched(void) {
    return call_of_thread != NULL;
}

void nets_stop(void) {
    siglongjmp(landing_of_thread->place, 1);
}

void nets_set_waiting(bool now) {
    waits = now;
}

bool nets_ask_to_stop(void) {
    nets_check check = atomic_load(&check_of_process);
    if (check == NULL || call_of_thread == NULL || call_of_thread->committed) {
        return false;
    }
    /* Whoever is asked may call compiled code again. */
    struct landing *landing = landing_of_thread;
    sig_atomic_t waited = waits;
    waits = 0;
    struct call *call = call_of_thread;
    call->asks = true;
    atomic_store(&under_way, 0);
    bool stops = check() != 0;
    call->asks = false;
    atomic_store(&under_way, call->number);
    waits = waited;
    landing_of_thread = landing;
    return stops;
}

/* ---- the signal ----------------------------------------------------------------------------- */

/* Where the thread was as the signal came. */
static uintptr_t place_in(const ucontext_t *interrupted) {
#if defined(__x86_64__)
    return (uintptr_t)interrupted->uc_mcontext.gregs[REG_RIP];
#else
    return (uintptr_t)interrupted->uc_mcontext.pc;
#endif
}

static void on_nudge(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)info;
    int error = errno;
    struct landing *landing = landing_of_thread;
    if (landing != NULL && !waits) {
        if (!nets_code_holds(place_in(context))) {
            atomic_store(&missed, true);
        } else if (landing->cancel != NULL ? atomic_load(landing->cancel) : nets_ask_to_stop()) {
            siglongjmp(landing->place, 1);
        }
    }
    errno = error;
}

/* Is the signal ours, or can it become so? Others may take it at any time. */
static bool has_signal(void) {
    struct sigaction now;
    if (sigaction(NUDGE, NULL, &now) != 0) {
        return false;
    }
    return (now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_nudge;
}

static bool take_signal(void) {
    struct sigaction now, ours = {.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
    if (sigaction(NUDGE, NULL, &now) != 0 || (now.sa_flags & SA_SIGINFO) ||
        (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN)) {
        return has_signal();
    }
    ours.sa_sigaction = on_nudge;
    sigemptyset(&ours.sa_mask);
    return sigaction(NUDGE, &ours, NULL) == 0;
}

int nets_nudge_signal(void) {
    return NUDGE;
}

void nets_nudge(pthread_t thread) {
    if (has_signal()) {
        pthread_kill(thread, NUDGE);
    }
}

/* ---- the watcher ---------------------------------------------------------------------------- */

static void wait_for(int64_t nanoseconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    nanoseconds += until.tv_nsec;
    until.tv_sec += nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    pthread_cond_timedwait(&wakes, &lock, &until);
}

/* Sleeps until there is a call. Who begins one first notes it and then looks at `sleeps`. */
static void sleep_until_call(void) {
    atomic_store(&sleeps, true);
    while (atomic_load(&under_way) == 0) {
        pthread_cond_wait(&wakes, &lock);
    }
    atomic_store(&sleeps, false);
}

static void *watch(void *nothing) {
    (void)nothing;
    uint64_t before = 0;
    int quiet = 0;
    pthread_mutex_lock(&lock);
    for (;;) {
        wait_for(atomic_exchange(&missed, false) ? SOON : TICK);
        uint64_t now = atomic_load(&under_way);
        if (now != 0 && now == before) {
            nets_nudge(main_thread);
        }
        before = now;
        quiet = now == 0 ? quiet + 1 : 0;
        if (quiet > QUIET_LOOKS) {
            sleep_until_call();
            quiet = 0;
        }
    }
    return NULL;
}

/* A child has no watcher; its only thread is its main thread. */
static void forget_watcher(void) {
    pthread_mutex_init(&lock, NULL);
    atomic_store(&is_started, false);
    atomic_store(&sleeps, false);
    atomic_store(&missed, false);
}

static void watch_forks(void) {
    pthread_atfork(NULL, NULL, forget_watcher);
}

static void start_watcher(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_condattr_t by_clock;
    pthread_t watcher;
    sigset_t all, before;
    atomic_store(&is_started, true);
    if (!take_signal() || pthread_condattr_init(&by_clock) != 0) {
        return;
    }
    pthread_once(&once, watch_forks);
    pthread_condattr_setclock(&by_clock, CLOCK_MONOTONIC);
    pthread_cond_init(&wakes, &by_clock);
    pthread_condattr_destroy(&by_clock);
    main_thread = pthread_self();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&watcher, NULL, watch, NULL) == 0) {
        pthread_detach(watcher);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void wake_watcher(void) {
    pthread_mutex_lock(&lock);
    pthread_cond_signal(&wakes);
    pthread_mutex_unlock(&lock);
}

/* ---- calls ---------------------------------------------------------------------------------- */

static bool is_main_thread(void) {
    return (pid_t)syscall(SYS_gettid) == getpid();
}

/* Whether calls of this thread are watched: found out once, and again in a child. */
static bool may_be_watched(void) {
    OF_THREAD struct {
        pid_t process;
        bool is_main;
    } known;
    static _Atomic(pid_t) process_seen;
    pid_t process = atomic_load_explicit(&process_seen, memory_order_relaxed);
    if (process == 0 || !atomic_load_explicit(&is_started, memory_order_relaxed)) {
        process = getpid();
        atomic_store_explicit(&process_seen, process, memory_order_relaxed);
    }
    if (known.process != process) {
        known.process = process;
        known.is_main = is_main_thread();
    }
    return known.is_main && atomic_load_explicit(&check_of_process, memory_order_relaxed) != NULL;
}

static void begin(struct call *call) {
    call->outer = call_of_thread;
    call->number = ++last_number;
    call->committed = 0;
    call->asks = false;
    call->waited = waits;
    waits = 0;
    call_of_thread = call;
    if (!atomic_load_explicit(&is_started, memory_order_relaxed)) {
        start_watcher();
    }
    atomic_store(&under_way, call->number);
    if (atomic_load(&sleeps)) {
        wake_watcher();
    }
}

static void end(const struct call *call) {
    waits = call->waited;
    call_of_thread = call->outer;
    const struct call *outer = call->outer;
    uint64_t number = outer == NULL || outer->asks ? 0 : outer->number;
    atomic_store_explicit(&under_way, number, memory_order_release);
}

int32_t nets_call_watched(nets_entry entry, void *const *buffers, void *workspace,
                          nets_pool *pool) {
    if (!may_be_watched()) {
        return nets_call(entry, buffers, workspace, pool);
    }
    struct call call;
    struct landing here;
    volatile int32_t status = NETS_INTERRUPTED;
    uint64_t mode = nets_ieee_mode_enter();
    begin(&call);
    if (sigsetjmp(here.place, 0) == 0) {
        nets_landing_enter(&here, NULL);
        status = entry(buffers, workspace, pool);
    }
    nets_landing_leave(&here);
    end(&call);
    nets_ieee_mode_leave(mode);
    return status;
}

void nets_commit(void) {
    if (call_of_thread != NULL) {
        call_of_thread->committed = 1;
    }
}

void nets_set_check(nets_check check) {
    atomic_store(&check_of_process, check);
}

#else

void nets_landing_enter(struct landing *landing, const atomic_bool *cancel) {
    (void)landing;
    (void)cancel;
}

void nets_landing_leave(const struct landing *landing) {
    (void)landing;
}

bool nets_is_watched(void) {
    return false;
}

void nets_stop(void) {
    for (;;) {
    }
}

void nets_set_waiting(bool waits) {
    (void)waits;
}

bool nets_ask_to_stop(void) {
    return false;
}

int nets_nudge_signal(void) {
    return SIGURG;
}

void nets_nudge(pthread_t thread) {
    (void)thread;
}

int32_t nets_call_watched(nets_entry entry, void *const *buffers, void *workspace,
                          nets_pool *pool) {
    return nets_call(entry, buffers, workspace, pool);
}

void nets_commit(void) {
}

void nets_set_check(nets_check check) {
    (void)check;
}

#endif
