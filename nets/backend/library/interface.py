"""The public functions of a library, as LLVM IR around the entry points of its functions.

The flat C form of a function checks the pointers, lays them into an array and calls the entry point
that in-process code has too (``backend/llvm/emit.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from nets.backend.library.c_header import OTHER_RANKS
from nets.backend.library.c_names import symbols, table_symbols
from nets.backend.library.cpu_level import UNKNOWN_CPU, level_function
from nets.backend.library.library_file import embedded
from nets.backend.library.manifest import (
    ABI_VERSION,
    MARK,
    Form,
    Library,
    LibraryFunction,
)
from nets.backend.library.parallel import PARALLEL_FOR, pool_of
from nets.backend.library.pointer_checks import (
    MISALIGNED,
    NULL_POINTER,
    check_pointers,
    pointer_checks,
    stores,
)
from nets.backend.library.size_checks import NOTHING_TEXT, SizesOfCall
from nets.backend.library.state.functions import OTHER_STATE, state_alignment, state_functions
from nets.backend.llvm.constants import LargeData, constant
from nets.backend.llvm.structure import COMMIT_HOOK
from nets.backend.llvm.transfers import COMMUNICATOR
from nets.backend.printing import HOOK
from nets.ir.sizes import Dim
from nets.ir.types import DTYPES
from nets.machine.machine import ALIGNMENT, Machine
from nets.ops.loop.transfers import NO_TRANSFER

Tables = Mapping[str, bytes]
"""Symbols of functions that tell tables, and the tables."""

_MESSAGES: Final = {
    0: "success",
    NULL_POINTER: "a pointer is null",
    MISALIGNED: "a pointer is not aligned to its elements, or the workspace not to 64 bytes",
}

_COMMUNICATOR_MESSAGES: Final = {
    NO_TRANSFER: "a transfer between ranks failed",
    OTHER_RANKS: "the function is for another number of ranks than the communicator has",
}


def entry_symbol(library: str, function: str, level: int, *, parallel: bool = False) -> str:
    """The symbol of a function's internal entry point at a level, which its flat form calls."""
    words = [f"{library}_{function}", *(["parallel"] if parallel else []), "entry"]
    return ".".join([*words, *([f"v{level}"] if level else [])])


def global_symbols(library: Library) -> list[str]:
    """The names the library defines."""
    names = [f"{library.name}_{word}" for word in ("abi_version", "describe", "status_message")]
    if library.state:
        words = ("state_bytes", "init_state", "save_state", "load_state")
        names += [f"{library.name}_{word}" for word in words]
    if library.prints:
        names += [f"{library.name}_set_print"]
    for function in library.functions:
        names += symbols(library.name, function.name, library.threads)
        for matrix in function.matrices:
            names += table_symbols(library.name, function.name, matrix.word)
    return names


def interface(
    library: Library, tables: Tables, state: bytes, large: LargeData, machine: Machine
) -> str:
    """LLVM IR of the public functions, which are compiled for that machine."""
    target = machine.target
    parts = [
        _text("manifest", embedded(library.to_json().encode())),
        f"define i32 @{library.name}_abi_version() nounwind {{ ret i32 {ABI_VERSION} }}",
        f"define ptr @{library.name}_describe() nounwind {{\n"
        f"  ret ptr getelementptr (i8, ptr @manifest, i64 {len(MARK)})\n}}",
        _status_message(library),
        check_pointers(target),
    ]
    if library.level:
        parts += [level_function([form.level for form in library.forms])]
    if library.state:
        parts += [state_functions(library, state, large, target)]
    if library.prints:
        parts += [_printer_functions(library)]
    if any(function.updates for function in library.functions):
        # Calls of a library are always run to their end.
        parts += [f"define void @{COMMIT_HOOK}() nounwind {{ ret void }}"]
    if library.threads:
        parts += [PARALLEL_FOR]
    if any(function.dims for function in library.functions):
        parts += [NOTHING_TEXT]
    parts += [_table(name, data, large) for name, data in tables.items()]
    for function in library.functions:
        parts += [_status_of_sizes(library, function, machine)] if function.dims else []
        parts += [_flat_form(library, function, machine)]
        parts += [_flat_form(library, function, machine, parallel=True)] if library.threads else []
    return "\n\n".join(parts) + "\n"


def _text(name: str, data: bytes) -> str:
    return constant(name, data, align=16)[1]


def _table(name: str, data: bytes, large: LargeData) -> str:
    """A function that gives the address of a table."""
    symbol, definition = constant(f"table.{name}", data, large)
    return f"{definition}\n\ndefine ptr @{name}() nounwind {{ ret ptr @{symbol} }}"


def _status_message(library: Library) -> str:
    """One function for all: positive codes mean what the functions' checks agree on."""
    messages = dict(_MESSAGES)
    if library.state:
        messages[OTHER_STATE] = "the bytes are no saved state of this library, or of another layout"
    if library.communicates:
        messages |= _COMMUNICATOR_MESSAGES
    if library.level:
        messages[UNKNOWN_CPU] = f"this CPU lacks instructions of {library.cpu}"
    for function in library.functions:
        for code, message, _ in function.checks:
            known = messages.get(code)
            messages[code] = message if known in (None, message) else "a value was refused"
    texts = [_text(f"message.{code & 0xFFFF}", m.encode() + b"\0") for code, m in messages.items()]
    cases = "\n".join(f"    i32 {code}, label %case.{code & 0xFFFF}" for code in messages)
    blocks = "\n".join(
        f"case.{code & 0xFFFF}:\n  ret ptr @message.{code & 0xFFFF}" for code in messages
    )
    return "\n".join(
        [
            *texts,
            _text("message.unknown", b"unknown status\0"),
            f"define ptr @{library.name}_status_message(i32 %status) nounwind {{",
            f"entry:\n  switch i32 %status, label %unknown [\n{cases}\n  ]",
            f"{blocks}\nunknown:\n  ret ptr @message.unknown\n}}",
        ]
    )


def _printer_functions(library: Library) -> str:
    """set_print, and the hook of the functions, which calls the printer if there is one."""
    return f"""\
@printer = internal global ptr null, align 8
@printer.user = internal global ptr null, align 8

define void @{library.name}_set_print(ptr %printer, ptr %user) nounwind {{
entry:
  store ptr %user, ptr @printer.user
  store ptr %printer, ptr @printer
  ret void
}}

define void @{HOOK}(i32 %site, ptr %text, i32 %count, ptr %values) nounwind {{
entry:
  %printer = load ptr, ptr @printer
  %silent = icmp eq ptr %printer, null
  br i1 %silent, label %done, label %print
print:
  %user = load ptr, ptr @printer.user
  call void %printer(ptr %user, i32 %site, ptr %text, i32 %count, ptr %values)
  br label %done
done:
  ret void
}}"""


def _flat_form(
    library: Library, function: LibraryFunction, machine: Machine, *, parallel: bool = False
) -> str:
    """The function as C calls it, or its parallel twin, and the function of its workspace."""
    target, sizes = machine.target, SizesOfCall(function, machine)
    defined = symbols(library.name, function.name, library.threads)
    symbol, workspace_bytes = defined[2:] if parallel else defined[:2]
    size = function.parallel_workspace_bytes if parallel else function.workspace_bytes
    arguments, results = len(function.arguments), len(function.results)
    buffers = arguments + len(function.state) + results
    places = [f"%p{i}" for i in range(arguments)]
    places += [f"%s{number}" for number in function.state]
    places += [f"%p{arguments + i}" for i in range(results)]
    parameters = list(sizes.parameters)
    parameters += ["ptr %state"] if function.state else []
    parameters += [f"ptr %p{i}" for i in range(arguments + results)]
    parameters += ["ptr %communicator"] if function.ranks else []
    parameters += ["ptr %workspace"]
    members = [
        f"  %s{number} = getelementptr i8, ptr %state, i64 {library.state[number].offset}"
        for number in function.state
    ]
    code = [*members, stores("buffers", places)]
    alignments = _alignments(function, size, sizes)
    if function.dims:
        code = [_told_sizes(library, function, sizes), *code]
        code += [stores("dims", sizes.registers, "i64")]
        code += [f"  %told = getelementptr ptr, ptr %buffers, i64 {buffers}"]
        code += ["  store volatile ptr %dims, ptr %told"]
    if function.ranks:
        code += [_stored_communicator(buffers + bool(function.dims))]
        alignments["%communicator"] = target.pointer_bytes
    if function.state:
        alignments["%state"] = state_alignment(library)
    if parallel:
        parameters += ["ptr %parallel.caller", "ptr %parallel.context"]
        alignments["%parallel.caller"] = 1
        code += [pool_of(library.threads)]
    definition, checks = pointer_checks(symbol, alignments, target)
    addresses = "\n".join(code)
    checks += _check_ranks(function.ranks)
    slots = max(buffers + bool(function.dims) + bool(function.ranks), 1)
    return f"""\
{_entries(library, function, parallel)}

{_workspace_form(library, function, workspace_bytes, size, machine)}

{definition}define i32 @{symbol}({", ".join(parameters)}) nounwind {{
entry:
  %buffers = alloca [{slots} x ptr]
{addresses}
{checks}
{_calls(library, function, parallel)}
}}"""


def _stored_communicator(slot: int) -> str:
    """Code that puts its address behind those of the buffers."""
    return (
        f"  %communicator.place = getelementptr ptr, ptr %buffers, i64 {slot}\n"
        "  store volatile ptr %communicator, ptr %communicator.place"
    )


def _check_ranks(ranks: Sequence[int]) -> str:
    """Code that returns a status where the communicator has another number of ranks, or goes on in
    the block ``ranked``; nothing where any number will do."""
    if not any(ranks):
        return ""
    (count,) = ranks
    return f"""
  %ranks.place = getelementptr {COMMUNICATOR}, ptr %communicator, i64 0, i32 2
  %ranks = load i32, ptr %ranks.place
  %ranks.fit = icmp eq i32 %ranks, {count}
  br i1 %ranks.fit, label %ranked, label %other.ranks
other.ranks:
  ret i32 {OTHER_RANKS}
ranked:"""


def _entry(library: Library, function: LibraryFunction, form: Form, parallel: bool) -> str:
    return entry_symbol(library.name, function.name, form.level, parallel=parallel)


def _entries(library: Library, function: LibraryFunction, parallel: bool) -> str:
    return "\n".join(
        f"declare i32 @{_entry(library, function, form, parallel)}(ptr, ptr, ptr)"
        for form in library.forms
    )


def _calls(library: Library, function: LibraryFunction, parallel: bool) -> str:
    """Calls of the entry points, of which the CPU chooses one."""
    pool = "%pool" if parallel else "null"
    calls = [
        f"  %code{form.level} = call i32 @{_entry(library, function, form, parallel)}"
        f"(ptr %buffers, ptr %workspace, ptr {pool})\n  ret i32 %code{form.level}"
        for form in library.forms
    ]
    if not library.level:
        return calls[0]
    cases = " ".join(f"i32 {form.level}, label %v{form.level}" for form in library.forms)
    blocks = [f"v{form.level}:\n{call}" for form, call in zip(library.forms, calls, strict=True)]
    return "\n".join(
        [
            "  %level = call i32 @cpu.level()",
            f"  switch i32 %level, label %none [ {cases} ]",
            *blocks,
            "none:",
            "  ret i32 %level",
        ]
    )


def _sizes_symbol(library: Library, function: LibraryFunction) -> str:
    """The symbol of what tells the status of sizes."""
    return f"{library.name}_{function.name}.sizes"


def _status_of_sizes(library: Library, function: LibraryFunction, machine: Machine) -> str:
    sizes = SizesOfCall(function, machine)
    status = sizes.status()
    return f"""\
define internal i32 @{_sizes_symbol(library, function)}({", ".join(sizes.parameters)}) nounwind {{
entry:
{sizes.lines}
  ret i32 {status}
}}"""


def _workspace_form(
    library: Library,
    function: LibraryFunction,
    symbol: str,
    workspace_bytes: Dim,
    machine: Machine,
) -> str:
    """The function that tells the size of the workspace: 0 for sizes that are refused."""
    word, sizes = machine.target.word, SizesOfCall(function, machine)
    if not function.dims:
        return f"define {word} @{symbol}() nounwind {{ ret {word} {workspace_bytes} }}"
    size, parameters = sizes.number(workspace_bytes), ", ".join(sizes.parameters)
    cast = "" if word == "i64" else f"\n  %few = trunc i64 %bytes to {word}"
    return f"""\
define {word} @{symbol}({parameters}) nounwind {{
entry:
{sizes.lines}
  %status = call i32 @{_sizes_symbol(library, function)}({parameters})
  %fits = icmp eq i32 %status, 0
  %bytes = select i1 %fits, i64 {size}, i64 0{cast}
  ret {word} {"%few" if cast else "%bytes"}
}}"""


def _told_sizes(library: Library, function: LibraryFunction, sizes: SizesOfCall) -> str:
    """Code that returns the status of sizes that are refused, or goes on in the block ``told``."""
    return f"""\
  %dims = alloca [{len(sizes.registers)} x i64]
  %sizes.status = call i32 @{_sizes_symbol(library, function)}({", ".join(sizes.parameters)})
  %sizes.fit = icmp eq i32 %sizes.status, 0
  br i1 %sizes.fit, label %told.sizes, label %other.sizes
other.sizes:
  ret i32 %sizes.status
told.sizes:
{sizes.lines}"""


def _alignments(
    function: LibraryFunction, workspace_bytes: Dim, sizes: SizesOfCall
) -> dict[str, int]:
    """What each pointer must be a multiple of; buffers without elements are never touched."""
    alignments = {}
    for i, buffer in enumerate((*function.arguments, *function.results)):
        elements = math.prod(buffer.shape)
        if elements != 0:
            place = _checked(f"%p{i}", elements, sizes)
            alignments[place] = DTYPES[buffer.dtype].itemsize
    if workspace_bytes != 0:
        alignments[_checked("%workspace", workspace_bytes, sizes)] = ALIGNMENT
    return alignments


def _checked(pointer: str, size: Dim, sizes: SizesOfCall) -> str:
    """The pointer that is checked, for a buffer that a call may have no elements of."""
    return pointer if isinstance(size, int) else sizes.where_some(size, pointer)
