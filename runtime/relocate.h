/* Between code.c and relocate.c: how an object refers to addresses. */
#ifndef NETS_RELOCATE_H
#define NETS_RELOCATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STUB_BYTES = 16, GOT_BYTES = 8 };

/* A place in an object where an address belongs, in one form or another. */
struct reference {
    uint32_t type;   /* ELF's number of the form */
    uint8_t *where;
    uint64_t target; /* with what is to be added */
    uint64_t slot;   /* the same of a place that holds the address */
};

/* ELF's number of this machine. */
extern const uint16_t nets_elf_machine;

/* Bytes that a reference of that type writes; 0 for one that stands for nothing. */
size_t nets_reference_bytes(uint32_t type);

/* Does it need the slot? */
bool nets_needs_slot(uint32_t type);

/* Writes the reference. NETS_BAD_OBJECT where the type is unknown or the target too far away. */
int32_t nets_put_reference(const struct reference *reference);

/* Writes code that jumps to an address, however far away: STUB_BYTES. */
void nets_put_stub(uint8_t *stub, uint64_t address);

#endif
