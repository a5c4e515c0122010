/* Learns to read digits on the device; what it prints is what Python prints. */

#include <stdint.h>

#include "data.h"
#include "digits.h"

void print(const char *text);
void print_number(uint32_t number, uint32_t base, int digits);

static digits_state state;
static _Alignas(64) uint8_t workspace[DIGITS_learn_WORKSPACE_BYTES];
_Static_assert(DIGITS_read_WORKSPACE_BYTES <= sizeof workspace, "one workspace serves both");

static uint32_t checksum(uint32_t sum, const void *data, uint32_t size) {
    for (const uint8_t *byte = data; size > 0; size--) {
        sum ^= *byte++;
        for (int bit = 0; bit < 8; bit++) sum = sum >> 1 ^ (0xedb88320u & -(sum & 1));
    }
    return sum;
}

static void learn(void) {
    enum { BATCH = 8 };
    for (uint32_t epoch = 1; epoch <= EPOCHS; epoch++) {
        float loss = 0;
        for (int i = 0; i < TRAINING; i += BATCH)
            digits_learn(&state, &images[64 * i], &labels[i], &loss, workspace);
        print("epoch ");
        print_number(epoch, 10, 1);
        print(": loss ");
        print_number((uint32_t)(loss * 10000.0f), 10, 1);
        print(" / 10000\n");
    }
}

static void read(void) {
    uint32_t right = 0;
    for (int i = 0; i < HELD_OUT; i++) {
        int64_t digit = 0;
        digits_read(&state, &images[64 * (TRAINING + i)], &digit, workspace);
        right += digit == answers[i];
    }
    print("right: ");
    print_number(right, 10, 1);
    print(" of ");
    print_number(HELD_OUT, 10, 1);
    print("\n");
}

int main(void) {
    digits_init_state(&state);
    learn();
    read();
    uint32_t sum = 0xffffffff;
    sum = checksum(sum, state.w1, sizeof state.w1);
    sum = checksum(sum, state.b1, sizeof state.b1);
    sum = checksum(sum, state.w2, sizeof state.w2);
    sum = checksum(sum, state.b2, sizeof state.b2);
    print("weights: ");
    print_number(~sum, 16, 8);
    print("\n");
    return 0;
}
