"""The C header of an exported library, readable by C11 and C++17 compilers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from nets.backend.library.c_names import guard, symbols, table_symbols
from nets.backend.library.c_sizes import FunctionSizes, definition, function_sizes
from nets.backend.library.callers.description import Buffer, Description, Function, described
from nets.backend.library.manifest import ABI_VERSION, Library, Matrix, Member
from nets.backend.printing import DTYPE_NUMBERS
from nets.ops.loop.failures import FAILURES
from nets.ops.loop.transfers import NO_TRANSFER

C_TYPES: Final = {
    "bool": "uint8_t",
    "i8": "int8_t",
    "i16": "int16_t",
    "i32": "int32_t",
    "i64": "int64_t",
    "u8": "uint8_t",
    "u16": "uint16_t",
    "u32": "uint32_t",
    "u64": "uint64_t",
    "f32": "float",
    "f64": "double",
}
"""C type of each dtype; a bool is a byte, 0 or 1."""

OTHER_RANKS: Final = -9
"""The status of a call with a communicator of another number of ranks."""

_RANK_TYPES: Final = """\
typedef struct {name}_transfer {{
    int32_t kind;
    int32_t peer;
    int64_t bytes;
    const void *send;
    void *receive;
}} {name}_transfer;
typedef struct {name}_communicator {{
    void *user;
    int32_t rank;
    int32_t size;
    int32_t (*begin)(void *user, int32_t ticket, const {name}_transfer *transfer);
    int32_t (*finish)(void *user, int32_t ticket);
}} {name}_communicator;
"""
"""The types of C, for a library of that name."""


def header(library: Library) -> str:
    """The text of the header."""
    name = library.name
    has_own = library.state or library.prints
    keeps = "keeps no other state" if has_own else "keeps no state"
    return f"""\
/* {name}: {", ".join(f.name for f in library.functions)}. Made by nets {library.nets_version} for \
{_cpus(library)}.
 *
 * Arrays are contiguous and row-major; results must not overlap arguments. `workspace` is memory
 * of FUNCTION_workspace_bytes() bytes, also a constant, at an address that is a multiple of 64
 * (null if that is 0), and holds nothing between calls. The library allocates nothing and {keeps}:
 * threads may call it at once, each with memory of its own. A function returns 0, or a status that
 * {name}_status_message() puts into words: negative where a pointer was null or misaligned, or the
 * CPU is none of those above (nothing was done), positive where a value was refused (results are
 * undefined){_failing(library)}.
 */
#ifndef {guard(name)}
#define {guard(name)}

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {name.upper()}_ABI_VERSION {ABI_VERSION}

/* The ABI version of the library at hand; compare it with {name.upper()}_ABI_VERSION. */
int32_t {name}_abi_version(void);

/* A JSON text that describes the library. */
const char *{name}_describe(void);

/* A sentence for a status, never null. */
const char *{name}_status_message(int32_t status);

{_failures(library)}{_printer(library)}{_state(library)}{_communicator(library)}{_parallel(library)}\
{declarations(described(library))}
#ifdef __cplusplus
}}
#endif
#endif
"""


def _cpus(library: Library) -> str:
    *first, last = [form.cpu for form in library.forms]
    chosen = f"{', '.join(first)} and {last}, the best of which\n * the CPU chooses"
    return chosen if first else f"{last or 'the CPU it was made on'} and better"


def _failing(library: Library) -> str:
    """What a positive status may mean besides."""
    if not failures_of(library):
        return ""
    first = min(failures_of(library))
    return (
        f", or, from {first} to 32767, a matrix has no\n"
        " * such factor or solution (results are there, NaN or infinite where they depend on it)"
    )


def failures_of(library: Library) -> list[int]:
    """The statuses of failures that functions of the library may return."""
    checks = (check for function in library.functions for check in function.checks)
    return sorted({status for status, *_ in checks} & FAILURES.keys())


def _failures(library: Library) -> str:
    """Macros for the statuses of failures, which are the same in all libraries."""
    found = [FAILURES[status] for status in failures_of(library)]
    upper = library.name.upper()
    lines = [f"#define {upper}_{f.word} {f.status} /* {f.sentence} */\n" for f in found]
    return "".join([*lines, "\n"]) if lines else ""


def _printer(library: Library) -> str:
    """What a printer is given, and how to set one."""
    if not library.prints:
        return ""
    name, upper = library.name, library.name.upper()
    dtypes = ",\n".join(
        f"    {upper}_{dtype.upper()} = {number} /* {C_TYPES[dtype]} */"
        for dtype, number in DTYPE_NUMBERS.items()
    )
    return f"""\
/* The dtypes of printed values, and their C types; a bool is 0 or 1. */
enum {name}_dtype {{
{dtypes}
}};

/* A printed value: contiguous elements, row-major, there for the length of the call. */
typedef struct {name}_printed {{
    int32_t dtype;
    int32_t rank;
    const int64_t *shape; /* null for rank 0 */
    const void *data;
}} {name}_printed;

/* Called where a function prints, in the order of the program, on the thread that called it. `text`
 * has the fields {{0}}, {{1}}, ... of Python's str.format for the values. The sites are
{_sites(library)}
 */
typedef void (*{name}_printer)(
    void *user, int32_t site, const char *text, int32_t count, const {name}_printed *values);

/* From now on `printer` is called, with `user`; null is for printing nothing, as at the start. No
 * call may be running. */
void {name}_set_print({name}_printer printer, void *user);

"""


def _sites(library: Library) -> str:
    """A line for each print."""
    owners = [function.name for function in library.functions for _ in function.prints]
    return "\n".join(
        f" *   {number} {owner}: {json.dumps(text)}".replace("/*", r"/\u002a").replace("*/", r"*\/")
        for number, (owner, text) in enumerate(zip(owners, library.prints, strict=True))
    )


def _state(library: Library) -> str:
    """The structure of the state, and what is done with it as a whole."""
    if not library.state:
        return ""
    name = library.name
    members = "\n".join(_member(member) for member in library.state)
    return f"""\
/* What the functions share; the caller owns it. A call that refuses a value leaves it as it was.
 * The last member says which saved states fit; leave it as it is. */
typedef struct {name}_state {{
{members}
}} {name}_state;

#ifdef __cplusplus
static_assert(sizeof({name}_state) == {library.state_bytes}, "the layout of the state");
#else
_Static_assert(sizeof({name}_state) == {library.state_bytes}, "the layout of the state");
#endif

#define {name.upper()}_STATE_BYTES {library.state_bytes}
size_t {name}_state_bytes(void);

/* The state at the time of the export. */
int32_t {name}_init_state({name}_state *state);

/* The state as {name}_state_bytes() bytes at any address, and back. Bytes that are no saved state,
 * or one of another layout, are refused with a negative status: the state is as it was then. */
int32_t {name}_save_state(const {name}_state *state, void *bytes);
int32_t {name}_load_state({name}_state *state, const void *bytes);

"""


def _member(member: Member) -> str:
    size = f"[{member.size}]" if member.shape else ""
    shape = f" /* {', '.join(map(str, member.shape))} */" if len(member.shape) > 1 else ""
    return f"    {C_TYPES[member.dtype]} {member.name}{size};{shape}"


def _communicator(library: Library) -> str:
    """What functions that talk to other ranks are given."""
    if not library.communicates:
        return ""
    return f"""\
/* What goes to other ranks: `bytes` from `send`, as many to `receive`. kind 0, gather: `receive`
 * takes the bytes of all ranks, by rank. kind 1, exchange: with the rank `peer`, whose own `peer`
 * is this rank. kind 2, broadcast: all receive what the rank `peer` sends.
 *
 * A communicator is the caller's: `size` ranks, of which this one is `rank`. `begin` starts a
 * transfer, or makes it; `finish` returns when the one that began with that ticket is over. What is
 * sent and received stays where it is until then; the structure is there for the length of `begin`.
 * Both get `user`, are called on the calling thread, and return 0 or, to end the call there,
 * anything else. All ranks begin the same transfers in the same order.
 *
 * The status is {NO_TRANSFER} where the call ended like that; results are undefined then. It is
 * {OTHER_RANKS}, and nothing was done, where `size` is not what the function is for. */
{_RANK_TYPES.format(name=library.name)}
"""


def _parallel(library: Library) -> str:
    """The type of what parallel twins are given."""
    if not library.threads:
        return ""
    name = library.name
    return f"""\
/* Runs part(task, i) once for each i from 0 to count - 1, in any order and on any threads, and
 * returns when all have ended; nets_threads.h has a ready one. count is {library.threads} at most.
 * `context` is what the caller of a parallel function gives along. */
typedef void (*{name}_parallel_part)(void *task, int64_t i);
typedef void (*{name}_parallel_for)(
    void *context, {name}_parallel_part part, void *task, int64_t count);

"""


def declarations(library: Description) -> str:
    """What the header says of the functions."""
    sizes = function_sizes(library)
    return "\n".join(
        _declaration(library.name, function, sizes[function.name]) for function in library.functions
    )


def _declaration(library: str, function: Function, sizes: FunctionSizes) -> str:
    dims = [f"int64_t {dim}" for dim in function.dims]
    state = f"{'' if function.updates else 'const '}{library}_state *state"
    parameters = [*dims, *([state] if function.uses_state else [])]
    parameters += _parameters(function.arguments, "const ")
    parameters += _parameters(function.results, "")
    parameters += [f"const {library}_communicator *communicator"] if function.communicates else []
    parameters += ["void *workspace"]
    macros = "\n".join(definition(name, size, function.dims) for name, size in sizes.macros)
    told = ", ".join(dims) or "void"
    text = f"""\
/* {function.sentence} */
{macros}
{_function(function.symbol, parameters)}
size_t {function.workspace_symbol}({told});
"""
    text += "".join(_matrix(library, function, matrix) for matrix in function.matrices)
    if not function.twin:
        return text
    parameters += [f"{library}_parallel_for parallel_for", "void *parallel_context"]
    symbol, workspace_symbol = function.twin
    return f"""\
{text}
/* The same, with the same bits, on the caller's threads; its workspace has another size. */
{_function(symbol, parameters)}
size_t {workspace_symbol}({told});
"""


def _matrix(library: str, function: Function, matrix: Matrix) -> str:
    """What a caller needs to know of a result that is sparse."""
    rows, cols, indptr = table_symbols(library, function.name, matrix.word)
    name, (height, width) = function.results[matrix.result].name, matrix.shape
    return f"""
/* {name} holds the elements of a matrix of {height} rows and {width} columns: the row and the
 * column of each, sorted by row, then by column; and where each row begins, and the last one ends.
 */
enum {{ {rows.removesuffix("rows")}nnz = {matrix.nnz} }};
const int32_t *{rows}(void);   /* {matrix.nnz} */
const int32_t *{cols}(void);   /* {matrix.nnz} */
const int32_t *{indptr}(void); /* {height + 1} */
"""


def _function(symbol: str, parameters: Sequence[str]) -> str:
    joined = ",\n    ".join(parameters)
    return f"int32_t {symbol}(\n    {joined});\n"


def _parameters(buffers: Sequence[Buffer], qualifier: str) -> list[str]:
    return [f"{qualifier}{C_TYPES[a.dtype]} *{a.name}" for a in buffers]


def called_declarations(library: Library) -> str:
    """What a loader calls, without the names of parameters and all that only compilers read."""
    lines = [
        f"int32_t {library.name}_abi_version(void);",
        f"const char *{library.name}_describe(void);",
        f"const char *{library.name}_status_message(int32_t status);",
    ]
    if library.prints:
        lines += [
            "typedef struct { int32_t dtype, rank; const int64_t *shape; const void *data; }",
            "nets_printed;",
            f"typedef void (*{library.name}_printer)"
            "(void *, int32_t, const char *, int32_t, const nets_printed *);",
            f"void {library.name}_set_print({library.name}_printer, void *);",
        ]
    if library.state:
        lines += [
            f"int32_t {library.name}_init_state(void *state);",
            f"size_t {library.name}_state_bytes(void);",
        ]
    name = library.name
    if library.communicates:
        lines += [_RANK_TYPES.format(name=name)]
    if library.threads:
        lines += [
            f"typedef void (*{name}_parallel_part)(void *, int64_t);",
            f"typedef void (*{name}_parallel_for)(void *, {name}_parallel_part, void *, int64_t);",
        ]
    for function in library.functions:
        state = ["void *"] if function.state else []
        inputs = [f"const {C_TYPES[a.dtype]} *" for a in function.arguments]
        outputs = [f"{C_TYPES[a.dtype]} *" for a in function.results]
        sizes = ["int64_t" for _ in function.dims]
        ranks = [f"const {name}_communicator *"] if function.ranks else []
        parameters = ", ".join([*sizes, *state, *inputs, *outputs, *ranks, "void *"])
        call, *others = symbols(library.name, function.name, library.threads)
        lines += [f"int32_t {call}({parameters});"]
        if library.threads:
            lines += [f"int32_t {others[1]}({parameters}, {name}_parallel_for, void *);"]
        told = ", ".join(sizes) or "void"
        lines += [f"size_t {name}({told});" for name in others if name.endswith("_bytes")]
        for matrix in function.matrices:
            tables = table_symbols(library.name, function.name, matrix.word)
            lines += [f"const int32_t *{name}(void);" for name in tables]
    return "\n".join(lines)
