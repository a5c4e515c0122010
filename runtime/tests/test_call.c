/* Calls: the floating-point mode inside and afterwards; prints; statuses; what is told of the CPU. */
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

enum { CONTROL = 0xffc0, IEEE = 0x1f80 };

static void check_modes(void) {
    static const unsigned MODES[] = {
        0x1f80,          /* IEEE */
        0x1f80 | 0x8040, /* flush to zero, denormals are zero */
        0x1f80 | 0x6000, /* round towards zero */
        0x1f80 | 0x003f, /* flags of the past */
        0x1d00,          /* exceptions enabled: invalid, division by zero */
    };
    unsigned before = _mm_getcsr();
    for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++) {
        float input = FLT_MIN, output = 0;
        void *buffers[] = {&input, &output};
        _mm_setcsr(MODES[i]);
        int32_t status = nets_call(halve, buffers, NULL, NULL);
        unsigned after = _mm_getcsr();
        _mm_setcsr(before);
        CHECK(status == 7);
        CHECK(after == MODES[i]);
        CHECK((mode_inside & CONTROL) == IEEE);
        CHECK(output != 0);
    }
}

#else

static void check_modes(void) {
}

#endif

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
    check_messages();
    check_cpu();
}
