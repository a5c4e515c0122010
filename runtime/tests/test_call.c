/* Calls: the floating-point mode inside and afterwards; prints; transfers; statuses; what is told of
 * the CPU. */
#include "../nets_runtime.h"
#include "check.h"

#include <float.h>
#include <string.h>

static uint64_t mode_inside;

/* Halves the smallest normal number: buffers are the input and the output. */
static int32_t halve(void *const *buffers, void *workspace, nets_pool *pool) {
    (void)workspace;
    (void)pool;
    mode_inside = nets_ieee_mode_enter();
    *(volatile float *)buffers[1] = *(volatile float *)buffers[0] * 0.5f;
    return 7;
}

static void check_call(void) {
    float input = FLT_MIN, output = 0;
    void *buffers[] = {&input, &output};
    CHECK(nets_call(halve, buffers, NULL, NULL) == 7);
    CHECK(output == FLT_MIN * 0.5f);
    CHECK(output != 0);
}

static int32_t printed_site, printed_count;
static int64_t printed_sum;

static void add_up(int32_t site, const char *text, int32_t count, const nets_printed *values) {
    printed_site = site;
    printed_count = count;
    printed_sum += strcmp(text, "{0}") == 0 ? *(const int64_t *)values[0].data : 1000;
}

static void check_print(void) {
    int64_t element = 7;
    nets_printed value = {4, 0, NULL, &element};
    nets_print(3, "{0}", 1, &value); /* nobody prints */
    CHECK(printed_sum == 0);
    nets_set_printer(add_up);
    nets_print(3, "{0}", 1, &value);
    nets_set_printer(NULL);
    nets_print(4, "{0}", 1, &value);
    CHECK(printed_site == 3);
    CHECK(printed_count == 1);
    CHECK(printed_sum == 7);
}

#if defined(__x86_64__)
#include <xmmintrin.h>

static uint64_t control(uint64_t mode) {
    return mode & 0xffc0;
}

static uint64_t read_mode(void) {
    return _mm_getcsr();
}

static void write_mode(uint64_t mode) {
    _mm_setcsr((unsigned)mode);
}

enum { IEEE = 0x1f80 };

static const uint64_t MODES[] = {
    IEEE,
    IEEE | 0x8040, /* flush to zero, denormals are zero */
    IEEE | 0x6000, /* round towards zero */
    IEEE | 0x003f, /* flags of the past */
    0x1d00,        /* exceptions enabled: invalid, division by zero */
};

#elif defined(__aarch64__)

static uint64_t control(uint64_t mode) {
    return (uint32_t)mode;
}

static uint64_t read_mode(void) {
    uint64_t mode, flags;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("mrs %0, fpsr" : "=r"(flags));
    return mode | flags << 32;
}

static void write_mode(uint64_t mode) {
    __asm__ volatile("msr fpsr, %0" : : "r"(mode >> 32));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)(uint32_t)mode));
}

enum { IEEE = 0 };

static const uint64_t MODES[] = {
    IEEE,
    (uint64_t)1 << 24,    /* flush to zero */
    (uint64_t)3 << 22,    /* round towards zero */
    (uint64_t)0x1f << 32, /* flags of the past */
};

#else

static uint64_t control(uint64_t mode) {
    return mode;
}

static uint64_t read_mode(void) {
    return 0;
}

static void write_mode(uint64_t mode) {
    (void)mode;
}

enum { IEEE = 0 };

static const uint64_t MODES[] = {IEEE};

#endif

static void check_modes(void) {
    uint64_t before = read_mode();
    for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++) {
        float input = FLT_MIN, output = 0;
        void *buffers[] = {&input, &output};
        write_mode(MODES[i]);
        int32_t status = nets_call(halve, buffers, NULL, NULL);
        uint64_t after = read_mode();
        write_mode(before);
        CHECK(status == 7);
        CHECK(after == MODES[i]);
        CHECK(control(mode_inside) == IEEE);
        CHECK(output != 0);
    }
}

static int32_t carried_ticket;

static int32_t carry(void *user, int32_t ticket, const nets_transfer *transfer) {
    carried_ticket = ticket;
    return transfer->kind == 2 ? *(int32_t *)user : NETS_OK;
}

static int32_t deliver(void *user, int32_t ticket) {
    return ticket == carried_ticket ? NETS_OK : *(int32_t *)user;
}

static void check_transfers(void) {
    const nets_communicator *solo = nets_solo();
    const char sent[] = "bytes";
    char received[sizeof sent] = "";
    nets_transfer transfer = {0, 0, sizeof sent, sent, received};
    CHECK(solo->rank == 0 && solo->size == 1);
    CHECK(solo->begin(solo->user, 3, &transfer) == NETS_OK);
    CHECK(solo->finish(solo->user, 3) == NETS_OK);
    CHECK(strcmp(received, sent) == 0);
    nets_transfer nothing = {1, 0, 0, NULL, NULL};
    CHECK(solo->begin(solo->user, 4, &nothing) == NETS_OK);

    int32_t failure = 11;
    CHECK(nets_transfer_begin(&failure, 5, &transfer) == NETS_NO_TRANSFER); /* nobody carries */
    CHECK(nets_transfer_finish(&failure, 5) == NETS_NO_TRANSFER);
    nets_set_carrier(carry, deliver);
    CHECK(nets_transfer_begin(&failure, 5, &transfer) == NETS_OK);
    CHECK(carried_ticket == 5);
    CHECK(nets_transfer_finish(&failure, 5) == NETS_OK);
    CHECK(nets_transfer_finish(&failure, 6) == failure);
    transfer.kind = 2;
    CHECK(nets_transfer_begin(&failure, 7, &transfer) == failure);
    nets_set_carrier(NULL, NULL);
}

static void check_messages(void) {
    for (int32_t status = -8; status < 3; status++) {
        CHECK(nets_status_message(status) != NULL);
        CHECK(strlen(nets_status_message(status)) > 0);
    }
}

static void check_cpu(void) {
    char whole[256], part[8];
    nets_cpu_identity(whole, sizeof whole);
    nets_cpu_identity(part, sizeof part);
    CHECK(strlen(whole) > 0);
    CHECK(strlen(part) < sizeof part);
    CHECK(strncmp(whole, part, strlen(part)) == 0);
    CHECK(nets_cpu_level() == 0 || nets_cpu_level() == 3 || nets_cpu_level() == 4);
    CHECK(nets_cpu_count() >= 1);
}

void test_call(void) {
    check_call();
    check_print();
    check_modes();
    check_transfers();
    check_messages();
    check_cpu();
}
