"""C programs that call a library's functions and print a checksum of each; and what they print.

The programs need no C library: compilers for other systems come without one. NaN has one pattern in
the sums, for processors and operations differ in which one they give.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from nets.backend.library.manifest import MARK, Library, LibraryFunction
from nets.backend.library.manifest_reading import from_json
from nets.ops.definition.registry import Array

_FRAME = """\
#include "{name}.h"

void put(char);

static void print(const char *text) {{ while (*text) put(*text++); }}

static void print_number(uint32_t number) {{
    for (int shift = 28; shift >= 0; shift -= 4) put("0123456789abcdef"[number >> shift & 15]);
}}

static uint32_t sum_of(const uint8_t *bytes, uint32_t size, uint32_t sum) {{
    for (uint32_t i = 0; i < size; i++) {{
        sum ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) sum = sum >> 1 ^ (0xedb88320u & -(sum & 1));
    }}
    return sum;
}}

static int is_nan(const uint8_t *number, uint32_t size) {{
    uint32_t high = (number[size - 1] & 127) << 8 | number[size - 2], low = 0;
    for (uint32_t i = 0; i + 2 < size; i++) low |= number[i];
    uint32_t infinity = size == 8 ? 0x7ff0 : 0x7f80;
    return high > infinity || (high == infinity && low != 0);
}}

/* The sum of all numbers of a result, which come from the least byte on. */
static uint32_t add(uint32_t sum, const void *data, uint32_t count, uint32_t size, int is_float) {{
    static const uint8_t nan[2][8] = {{{{0, 0, 192, 127}}, {{0, 0, 0, 0, 0, 0, 248, 127}}}};
    for (const uint8_t *at = data; count > 0; count--, at += size)
        sum = sum_of(is_float && is_nan(at, size) ? nan[size == 8] : at, size, sum);
    return sum;
}}

static _Alignas(64) uint8_t workspace[{workspace}];

{data}
static void run(void) {{
{calls}
}}
"""

_CALL = """\
    {{
        int32_t status = {call};
        uint32_t sum = 0xffffffffu;
{sums}
        print("{word} "); print_number(status); put(' '); print_number(~sum); put('\\n');
    }}"""


_BACKWARDS = """\
static int shared_loops;
static void backwards(void *context, {name}_parallel_part part, void *task, int64_t count) {{
    for (int64_t i = count - 1; i >= 0; i--) part(task, i);
    *(int *)context += 1;
}}"""


def manifest(code: bytes) -> Library:
    """What a file of a library says of it."""
    start = code.index(MARK) + len(MARK)
    return from_json(code[start : code.index(b"\0", start)].decode())


def program(folder: Path, library: Library, arrays: dict[str, Sequence[Array]], steps: int) -> Path:
    """A C file that calls each function with its arrays, those of a state so many times.

    In a library for threads, it calls the twins, whose parts it runs in another order; where none
    has come, the status is -99.
    """
    data, calls = [_BACKWARDS.format(name=library.name)] if library.threads else [], []
    has_state = bool(library.state)
    if has_state:
        data.append(f"static {library.name}_state state;")
        calls.append(f"    {library.name}_init_state(&state);")
    for number, function in enumerate(library.functions):
        names = [f"a{number}_{i}" for i in range(len(function.arguments))]
        for name, array in zip(names, arrays[function.name], strict=True):
            data.append(_constant(name, array))
        found = []
        for i, result in enumerate(function.results):
            kind, size = np.dtype(_numpy(result.dtype)), int(np.prod(result.shape, dtype=int))
            name = f"r{number}_{i}"
            data.append(f"static _Alignas(8) uint8_t {name}[{max(size, 1) * kind.itemsize}];")
            is_float = int(kind.kind == "f")
            found.append(f"        sum = add(sum, {name}, {size}, {kind.itemsize}, {is_float});")
            names.append(name)
        given = ["&state"] * bool(function.state) + [f"(void *){name}" for name in names]
        call = _call(library, function, [*given, "workspace"])
        text = _CALL.format(call=call, word=function.name, sums="\n".join(found))
        calls += [text] * (steps if function.state else 1)
    sizes = [(f.workspace_bytes, f.parallel_workspace_bytes) for f in library.functions]
    workspace = max(64, *(size for pair in sizes for size in pair))
    path = folder / "caller.c"
    path.write_text(
        _FRAME.format(
            name=library.name, workspace=workspace, data="\n".join(data), calls="\n".join(calls)
        )
    )
    return path


def _call(library: Library, function: LibraryFunction, given: list[str]) -> str:
    symbol = f"{library.name}_{function.name}"
    if not library.threads:
        return f"{symbol}({', '.join(given)})"
    twin = f"{symbol}_parallel({', '.join([*given, 'backwards', '&shared_loops'])})"
    return f"{twin}; if (shared_loops == 0) status = -99"


def _numpy(dtype: str) -> str:
    return {"bool": "?", "f32": "f4", "f64": "f8"}.get(dtype) or f"{dtype[0]}{int(dtype[1:]) // 8}"


def _constant(name: str, array: Array) -> str:
    numbers = ",".join(map(str, array.tobytes())) or "0"
    return f"static const _Alignas(8) uint8_t {name}[] = {{{numbers}}};"


def expected(word: str, results: Iterable[Array], status: int = 0) -> str:
    """The line that a program prints for these results."""
    total = 0
    for result in results:
        kind = result.dtype
        if kind.kind == "f":
            result = np.where(np.isnan(result), np.array(np.nan, kind), result)
        total = zlib.crc32(result.tobytes(), total)
    return f"{word} {status:08x} {total:08x}"
