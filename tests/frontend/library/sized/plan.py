"""A C program that calls functions of a library as a plan says, between forbidden pages.

Each buffer ends, or begins, exactly where its page does; a workspace is full of ones. Where a call
is to be refused, no page of it may be touched at all. With ``heap`` the buffers are of ``malloc``
and not written to before, for valgrind to watch. Each call prints its status and a checksum of the
results and of the state, a refused one what the library says of it.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nets.backend.library.manifest import Library, LibraryFunction
from nets.ops.definition.registry import Array
from tests.frontend.library.test_export import WARNINGS

_TOP = r"""
#define _GNU_SOURCE
#include "NAME.h"
#include "nets_threads.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
enum { PAGE = 4096, MOST = 16 };
typedef struct { unsigned char *memory, *at; size_t bytes, inner; } buffer;
static int at_end, on_heap;
static int64_t next(FILE *file) {
    int64_t value;
    if (fread(&value, sizeof value, 1, file) != 1) exit(90);
    return value;
}
static void check(int is_right, int code) { if (!is_right) exit(code); }
/* Memory of so many bytes, at a multiple of `unit`. */
static buffer place(size_t bytes, size_t unit, int in_pages) {
    buffer b = {NULL, NULL, bytes, (bytes / PAGE + 1) * PAGE};
    if (!in_pages) {
        check(posix_memalign((void **)&b.at, unit < 8 ? 8 : unit, bytes ? bytes : 1) == 0, 91);
        return b;
    }
    b.memory = (unsigned char *)mmap(NULL, b.inner + 2 * PAGE, PROT_NONE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(b.memory != MAP_FAILED, 92);
    check(mprotect(b.memory + PAGE, b.inner, PROT_READ | PROT_WRITE) == 0, 93);
    b.at = b.memory + PAGE + (at_end ? (b.inner - bytes) / unit * unit : 0);
    memset(b.memory + PAGE, 0xff, b.inner);
    return b;
}
static void allow(const buffer *b, int access) {
    if (b->memory != NULL) check(mprotect(b->memory + PAGE, b->inner, access) == 0, 94);
}
/* Is all around the buffer as it was? */
static int is_clean(const buffer *b) {
    for (size_t i = 0; b->memory != NULL && i < b->inner; i++) {
        const unsigned char *byte = b->memory + PAGE + i;
        if ((byte < b->at || byte >= b->at + b->bytes) && *byte != 0xff) return 0;
    }
    return 1;
}
static int is_untouched(const buffer *b) {
    for (size_t i = 0; i < b->bytes; i++) if (b->at[i] != 0xff) return 0;
    return is_clean(b);
}
static void drop(buffer *b) {
    if (b->memory == NULL) free(b->at);
    else munmap(b->memory, b->inner + 2 * PAGE);
}
static uint32_t sum_of(uint32_t sum, const buffer *b) {
    for (size_t i = 0; i < b->bytes; i++) {
        sum ^= b->at[i];
        for (int bit = 0; bit < 8; bit++) sum = sum >> 1 ^ (0xedb88320u & -(sum & 1));
    }
    return sum;
}
"""

_MAIN = r"""
static void run(FILE *plan, buffer *state) {
    int64_t number = next(plan), threads = next(plan), is_refused = next(plan), d[MOST];
    int64_t many = next(plan);
    for (int64_t i = 0; i < many; i++) d[i] = next(plan);
    buffer b[MOST];
    int64_t inputs = next(plan), count = inputs + next(plan);
    for (int64_t i = 0; i < count; i++) {
        size_t unit = (size_t)next(plan), bytes = (size_t)next(plan);
        b[i] = place(bytes, unit, is_refused || !on_heap);
        if (i < inputs) {
            check(fread(b[i].at, 1, bytes, plan) == bytes, 95);
            allow(&b[i], PROT_READ);
        }
        if (is_refused) allow(&b[i], PROT_NONE);
    }
    size_t room = workspace_bytes(number, threads, d);
    check(!is_refused || room == 0, 96);
    buffer w = place(room, 64, is_refused || !on_heap);
    if (is_refused) {
        allow(&w, PROT_NONE);
        allow(state, PROT_NONE);
    }
    nets_threads *pool = threads ? nets_threads_new((int)threads) : NULL;
    int32_t status = call(number, threads, d, b, state->at, w.at, pool);
    nets_threads_free(pool);
    allow(state, PROT_READ | PROT_WRITE);
    uint32_t sum = UINT32_MAX;
    for (int64_t i = inputs; i < count; i++) {
        allow(&b[i], PROT_READ);
        check(is_refused ? is_untouched(&b[i]) : is_clean(&b[i]), 97);
        if (!is_refused) sum = sum_of(sum, &b[i]);
    }
    allow(&w, PROT_READ);
    check(is_clean(&w) && is_clean(state), 98);
    if (is_refused) printf("%s\n", NAME_status_message(status));
    else printf("%" PRId32 " %08" PRIx32 "\n", status, (uint32_t)~sum);
    for (int64_t i = 0; i < count; i++) drop(&b[i]);
    drop(&w);
}
int main(int argc, char **argv) {
    check(argc == 3, 89);
    on_heap = strcmp(argv[2], "heap") == 0;
    at_end = strcmp(argv[2], "end") == 0;
    FILE *plan = fopen(argv[1], "rb");
    buffer state = place(NAME_state_bytes(), 64, !on_heap);
    check(NAME_init_state((NAME_state *)(void *)state.at) == 0, 88);
    for (int64_t calls = next(plan); calls > 0; calls--) {
        if (next(plan)) check(NAME_init_state((NAME_state *)(void *)state.at) == 0, 99);
        uint32_t before = sum_of(0, &state);
        int64_t keeps = next(plan);
        run(plan, &state);
        check(!keeps || sum_of(0, &state) == before, 100);
    }
    drop(&state);
    fclose(plan);
    return 0;
}
"""


@dataclass(frozen=True)
class Call:
    """A call, and what it prints. ``threads``: of the parallel twin, 0 for the serial function.
    ``sentence``: why the call is refused, if it is; then the arrays are of no matter."""

    function: str
    sizes: Sequence[int]
    arrays: Sequence[Array] = ()
    results: Sequence[Array] = ()
    threads: int = 0
    sentence: str = ""
    starts: bool = False
    """Is the state as new before it?"""

    @property
    def printed(self) -> str:
        total = 0
        for result in self.results:
            total = zlib.crc32(np.ascontiguousarray(result).tobytes(), total)
        return self.sentence or f"0 {total:08x}"


def compiled(folder: Path, library: Library) -> Path:
    """The program, beside the library."""
    if shutil.which("cc") is None:
        pytest.skip("no cc")
    parts = [_TOP, _switch(library), _MAIN]
    source = folder / "plan.c"
    source.write_text("".join(parts).replace("NAME", library.name))
    program = folder / "plan"
    command = ["cc", "-std=c11", *WARNINGS, "-g", "-O1", f"-I{folder}", str(source), "-pthread"]
    subprocess.run([*command, str(folder / f"{library.name}.a"), "-o", str(program)], check=True)
    return program


def _switch(library: Library) -> str:
    """The calls of all functions by their number."""
    calls, rooms = [], []
    for number, function in enumerate(library.functions):
        dims = [f"d[{i}]" for i in range(len(function.dims))]
        count = len(function.arguments) + len(function.results)
        state = ["(NAME_state *)state"] * bool(function.state)
        given = ", ".join([*dims, *state, *(f"(void *)b[{i}].at" for i in range(count)), "w"])
        word = f"NAME_{function.name}"
        calls.append(
            f"    case {number}: return threads ? {word}_parallel({given}, nets_threads_for, pool)"
            f" : {word}({given});"
        )
        told = ", ".join(dims)
        rooms.append(
            f"    case {number}: return threads ? {word}_parallel_workspace_bytes({told})"
            f" : {word}_workspace_bytes({told});"
        )
    return "\n".join(
        [
            "static int32_t call(int64_t number, int64_t threads, const int64_t *d, buffer *b,",
            "                    void *state, void *w, nets_threads *pool) {",
            "    switch (number) {",
            *calls,
            "    default: return -1000;\n    }\n}",
            "static size_t workspace_bytes(int64_t number, int64_t threads, const int64_t *d) {",
            "    switch (number) {",
            *rooms,
            "    default: return 0;\n    }\n}\n",
        ]
    )


def printed(
    program: Path, library: Library, calls: Sequence[Call], where: str, runner: Iterable[str] = ()
) -> list[str]:
    """What the program prints of these calls, with buffers at the "end" or "start" of their pages,
    or on the "heap"."""
    numbers = {function.name: i for i, function in enumerate(library.functions)}
    parts = [_word(len(calls))]
    for each in calls:
        number = numbers[each.function]
        parts += _told(each, number, library.functions[number])
    (program.parent / "plan.bin").write_bytes(b"".join(parts))
    command = [*runner, str(program), str(program.parent / "plan.bin"), where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.returncode} {done.stdout[-300:]} {done.stderr}"
    return done.stdout.splitlines()


def _told(each: Call, number: int, function: LibraryFunction) -> list[bytes]:
    """A call in the words of the program."""
    is_refused = bool(each.sentence)
    keeps = is_refused or not function.updates
    words = [each.starts, keeps, number, each.threads, is_refused, len(each.sizes), *each.sizes]
    inputs, outputs = len(function.arguments), len(function.results)
    parts = [*map(_word, (*words, inputs, outputs))]
    nothing = [np.zeros(8)] * (inputs + outputs)
    arrays = nothing if is_refused else [*each.arrays, *each.results]
    for i, array in enumerate(arrays):
        parts += [_word(array.itemsize), _word(array.nbytes)]
        parts += [array.tobytes()] if i < inputs else []
    return parts


def _word(number: int) -> bytes:
    return struct.pack("<q", number)
