"""A C program that calls every function of the exported corpus and prints a hash of its results.

It needs no more of C than stdio (``printf``) or, with ``-DPRINT=name``, a function that prints a
text, so that it runs on anything that has a C compiler and an emulator.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

import nets
from nets.backend.library.c_header import C_TYPES
from nets.backend.library.manifest import Argument, Library, LibraryFunction
from nets.ir.types import DTYPES
from nets.ops.definition.registry import Array
from tests.everywhere.programs import Program
from tests.targets.callers import manifest

NAME: Final = "everywhere"

_TOP: Final = """\
#include "everywhere.h"
#include <stddef.h>
#include <stdint.h>
#ifndef PRINT
#include <stdio.h>
#define PRINT(text) fputs(text, stdout)
#endif

static uint64_t hash;
static _Alignas(64) unsigned char workspace[WORKSPACE_BYTES];

static void add(const void *data, size_t count, size_t size, int is_float) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < count; i++, bytes += size) {
        uint64_t value = 0;
        for (size_t j = 0; j < size; j++) value |= (uint64_t)bytes[j] << 8 * j;
        if (is_float && size == 4 && (value & 0x7fffffff) > 0x7f800000) value = 0x7fc00000;
        if (is_float && size == 8 && (value & UINT64_C(0x7fffffffffffffff)) >
                                         UINT64_C(0x7ff0000000000000))
            value = UINT64_C(0x7ff8000000000000);
        for (size_t j = 0; j < size; j++) {
            hash = (hash ^ (value >> 8 * j & 0xff)) * UINT64_C(0x100000001b3);
        }
    }
}

static void report(const char *name, int32_t status) {
    char digits[18];
    for (int i = 0; i < 16; i++) digits[i] = "0123456789abcdef"[hash >> (60 - 4 * i) & 15];
    digits[16] = '\\n';
    digits[17] = 0;
    PRINT(name);
    PRINT(" ");
    PRINT(status == 0 ? digits : everywhere_status_message(status));
    if (status != 0) PRINT("\\n");
}
"""


def write(folder: Path, wanted: Mapping[str, Program], **options: Any) -> Path:
    """``everywhere.a``, ``.h`` and ``.c`` in the folder; the options are those of ``export``."""
    functions = {name: program.lowered for name, program in wanted.items()}
    formats = options.pop("formats", ("a", "h"))
    nets.export(folder / NAME, formats=formats, **options, **functions)
    source = folder / f"{NAME}.c"
    source.write_text(text(described(folder / f"{NAME}.a"), wanted))
    return source


def described(library: Path) -> Library:
    """The manifest in a library of any target."""
    return manifest(library.read_bytes())


def text(library: Library, wanted: Mapping[str, Program]) -> str:
    """The program."""
    most = max(function.workspace_bytes for function in library.functions)
    top = _TOP.replace("WORKSPACE_BYTES", str(max(most, 1)))
    state = f"static {NAME}_state state;\n" if library.state else ""
    by_name = {function.name: function for function in library.functions}
    parts = [_part(by_name[name], program) for name, program in wanted.items()]
    calls = "".join(f"    run_{name}();\n" for name in wanted)
    start = f"    {NAME}_init_state(&state);\n" if library.state else ""
    return "\n".join([top, state, *parts, f"int main(void) {{\n{start}{calls}    return 0;\n}}\n"])


def _part(function: LibraryFunction, program: Program) -> str:
    name, members = function.name, []
    given = _inputs(function, program.arguments)
    for argument, array in zip(function.arguments, given, strict=True):
        members.append(_array(f"{name}_{argument.name}", argument, array))
    for result in function.results:
        size = max(_size(result), 1)
        members.append(f"static {C_TYPES[result.dtype]} {name}_{result.name}[{size}];")
    buffers = [f"{name}_{a.name}" for a in (*function.arguments, *function.results)]
    operands = ", ".join(["&state"] * bool(function.state) + buffers + ["workspace"])
    adds = "\n".join(
        f"        add({name}_{result.name}, {_size(result)}, {DTYPES[result.dtype].itemsize}, "
        f"{int(DTYPES[result.dtype].is_float)});"
        for result in function.results
    )
    return "\n".join(
        [
            *members,
            f"static void run_{name}(void) {{",
            "    int32_t status = 0;",
            "    hash = UINT64_C(0xcbf29ce484222325);",
            f"    for (int call = 0; call < {program.calls} && status == 0; call++) {{",
            f"        status = {NAME}_{name}({operands});",
            adds,
            "    }",
            f'    report("{name}", status);',
            "}\n",
        ]
    )


def _inputs(function: LibraryFunction, arguments: Sequence[Array]) -> list[Array]:
    """The arguments in the order of the library's."""
    found = dict(zip((tree for _, tree in function.positional), arguments, strict=True))
    return [found[number] for number in range(len(function.arguments))]


def _size(argument: Argument) -> int:
    return int(np.prod(argument.shape))


def _array(name: str, argument: Argument, array: Array) -> str:
    """The bytes of an array, as a constant of its type."""
    words = _words(np.ascontiguousarray(array))
    kind = f"uint{8 * array.itemsize}_t"
    return (
        f"static const union {{ {kind} bits[{array.size}]; {C_TYPES[argument.dtype]} "
        f"values[{array.size}]; }}\n    {name}_data = {{{{ {words} }}}};\n"
        f"#define {name} {name}_data.values"
    )


def _words(array: Array) -> str:
    bits = array.ravel().view(f"u{array.itemsize}")
    suffix = "ull" if array.itemsize == 8 else "u"
    return ", ".join(f"0x{int(word):x}{suffix}" for word in bits)


def compiled(source: Path, command: Sequence[str] = ("cc",), output: str = NAME) -> Path:
    """The program, by that compiler and its options."""
    program = source.with_name(output)
    options = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{source.parent}"]
    library = source.with_suffix(".a")
    call = [*command, *options, str(source), str(library), "-o", str(program)]
    subprocess.run(call, check=True)
    return program


def printed(command: Iterable[str | Path]) -> dict[str, str]:
    """What the program prints, by function: a hash, or a sentence."""
    done = subprocess.run([*command], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())
