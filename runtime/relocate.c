/* References of objects to addresses, as the processors of x86-64 and AArch64 spell them.
 *
 * Arithmetic is unsigned, for addends come from the file: a hostile one wraps instead of
 * overflowing. What does not fit its field is refused.
 */
#include "nets_runtime.h"

#include <string.h>

#include "relocate.h"

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))

#include <elf.h>

/* Is it the number of a displacement of so many bits, the sign included? */
static bool fits(uint64_t displacement, int bits) {
    uint64_t half = (uint64_t)1 << (bits - 1);
    return displacement + half < 2 * half;
}

static int32_t put_word(uint8_t *where, uint64_t displacement) {
    if (!fits(displacement, 32)) {
        return NETS_BAD_OBJECT;
    }
    uint32_t narrow = (uint32_t)displacement;
    memcpy(where, &narrow, sizeof narrow);
    return NETS_OK;
}

static int32_t put_address(uint8_t *where, uint64_t address) {
    memcpy(where, &address, sizeof address);
    return NETS_OK;
}

#if defined(__x86_64__)

const uint16_t nets_elf_machine = EM_X86_64;

size_t nets_reference_bytes(uint32_t type) {
    return type == R_X86_64_NONE ? 0 : type == R_X86_64_64 || type == R_X86_64_PC64 ? 8 : 4;
}

bool nets_needs_slot(uint32_t type) {
    return type == R_X86_64_GOTPCREL || type == R_X86_64_GOTPCRELX ||
           type == R_X86_64_REX_GOTPCRELX;
}

int32_t nets_put_reference(const struct reference *reference) {
    uint64_t here = (uint64_t)(uintptr_t)reference->where;
    switch (reference->type) {
    case R_X86_64_64:
        return put_address(reference->where, reference->target);
    case R_X86_64_PC64:
        return put_address(reference->where, reference->target - here);
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
        return put_word(reference->where, reference->target - here);
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCRELX:
    case R_X86_64_REX_GOTPCRELX:
        return put_word(reference->where, reference->slot - here);
    default:
        return NETS_BAD_OBJECT;
    }
}

void nets_put_stub(uint8_t *stub, uint64_t address) {
    /* jmp *0(%rip); the address follows */
    static const uint8_t JUMP[6] = {0xff, 0x25, 0, 0, 0, 0};
    memcpy(stub, JUMP, sizeof JUMP);
    memcpy(stub + sizeof JUMP, &address, sizeof address);
}

#else

const uint16_t nets_elf_machine = EM_AARCH64;

enum { PAGE = 4096 };

size_t nets_reference_bytes(uint32_t type) {
    return type == R_AARCH64_NONE ? 0 : type == R_AARCH64_ABS64 || type == R_AARCH64_PREL64 ? 8 : 4;
}

bool nets_needs_slot(uint32_t type) {
    return type == R_AARCH64_ADR_GOT_PAGE || type == R_AARCH64_LD64_GOT_LO12_NC;
}

/* Sets the bits of `field` in an instruction. */
static int32_t put_field(uint8_t *where, uint32_t field, uint64_t bits) {
    uint32_t instruction;
    memcpy(&instruction, where, sizeof instruction);
    instruction = (instruction & ~field) | ((uint32_t)bits & field);
    memcpy(where, &instruction, sizeof instruction);
    return NETS_OK;
}

/* adrp: how many pages further on the target's lies. */
static int32_t put_page(uint8_t *where, uint64_t here, uint64_t target) {
    uint64_t distance = target / PAGE * PAGE - here / PAGE * PAGE;
    if (!fits(distance, 33)) {
        return NETS_BAD_OBJECT;
    }
    uint64_t pages = distance / PAGE;
    return put_field(where, 0x60ffffe0, (pages & 3) << 29 | (pages >> 2 & 0x7ffff) << 5);
}

/* add, ldr, str: the place in the page, counted in units of 1 << shift bytes. */
static int32_t put_place_in_page(uint8_t *where, uint64_t target, int shift) {
    uint64_t place = target % PAGE;
    if (place % ((uint64_t)1 << shift) != 0) {
        return NETS_BAD_OBJECT;
    }
    return put_field(where, 0x003ffc00, place >> shift << 10);
}

/* b, bl, b.cond, cbz: how many instructions further on. */
static int32_t put_branch(uint8_t *where, uint64_t distance, int bits, int shift) {
    if (distance % 4 != 0 || !fits(distance, bits + 2)) {
        return NETS_BAD_OBJECT;
    }
    uint32_t field = ((uint32_t)1 << bits) - 1;
    return put_field(where, field << shift, (distance / 4 & field) << shift);
}

int32_t nets_put_reference(const struct reference *reference) {
    uint8_t *where = reference->where;
    uint64_t here = (uint64_t)(uintptr_t)where;
    uint64_t target = reference->target;
    switch (reference->type) {
    case R_AARCH64_ABS64:
        return put_address(where, target);
    case R_AARCH64_PREL64:
        return put_address(where, target - here);
    case R_AARCH64_PREL32:
        return put_word(where, target - here);
    case R_AARCH64_CALL26:
    case R_AARCH64_JUMP26:
        return put_branch(where, target - here, 26, 0);
    case R_AARCH64_CONDBR19:
        return put_branch(where, target - here, 19, 5);
    case R_AARCH64_ADR_PREL_PG_HI21:
        return put_page(where, here, target);
    case R_AARCH64_ADD_ABS_LO12_NC:
    case R_AARCH64_LDST8_ABS_LO12_NC:
        return put_place_in_page(where, target, 0);
    case R_AARCH64_LDST16_ABS_LO12_NC:
        return put_place_in_page(where, target, 1);
    case R_AARCH64_LDST32_ABS_LO12_NC:
        return put_place_in_page(where, target, 2);
    case R_AARCH64_LDST64_ABS_LO12_NC:
        return put_place_in_page(where, target, 3);
    case R_AARCH64_LDST128_ABS_LO12_NC:
        return put_place_in_page(where, target, 4);
    case R_AARCH64_ADR_GOT_PAGE:
        return put_page(where, here, reference->slot);
    case R_AARCH64_LD64_GOT_LO12_NC:
        return put_place_in_page(where, reference->slot, 3);
    default:
        return NETS_BAD_OBJECT;
    }
}

void nets_put_stub(uint8_t *stub, uint64_t address) {
    /* ldr x16, .+8; br x16; the address follows */
    static const uint32_t JUMP[2] = {0x58000050, 0xd61f0200};
    memcpy(stub, JUMP, sizeof JUMP);
    memcpy(stub + sizeof JUMP, &address, sizeof address);
}

#endif
#endif
