/* The board: how a program starts, prints and ends on a Cortex-M under a debugger or in QEMU. */

#include <stddef.h>
#include <stdint.h>

int main(void);

/* Semihosting: the debugger does what the program asks for. */
static int ask(int number, const void *argument) {
    register int r0 __asm__("r0") = number;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void print(const char *text) {
    ask(4, text);
}

void print_number(uint32_t number, uint32_t base, int digits) {
    char text[12], *at = &text[sizeof text - 1];
    for (*at = 0; number > 0 || digits > 0; number /= base, digits--)
        *--at = "0123456789abcdef"[number % base];
    print(at);
}

void *memcpy(void *to, const void *from, size_t size) {
    uint8_t *out = to;
    for (const uint8_t *in = from; size > 0; size--) *out++ = *in++;
    return to;
}

void *memset(void *to, int byte, size_t size) {
    for (uint8_t *out = to; size > 0; size--) *out++ = (uint8_t)byte;
    return to;
}

/* The same by the names that the compilers of Arm call. */
void __aeabi_memcpy(void *to, const void *from, size_t size) { memcpy(to, from, size); }
void __aeabi_memset(void *to, size_t size, int byte) { memset(to, byte, size); }
void __aeabi_memclr(void *to, size_t size) { memset(to, 0, size); }

extern uint32_t bss_start, bss_end, stack_top;

static void start(void) {
    *(volatile uint32_t *)0xe000ed88 |= 0xf << 20; /* CPACR: the floating-point unit is on */
    for (uint32_t *at = &bss_start; at < &bss_end; at++) *at = 0;
    main();
    ask(0x18, (const void *)0x20026); /* the program has ended */
    for (;;) {}
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    &stack_top, (const void *)start, (const void *)start, (const void *)start};
