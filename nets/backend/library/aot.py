"""Ahead of time: from loop IR of several functions to ``.o``, ``.a``, ``.so`` and ``.h`` files.

Around the entry point that in-process code has too (``emit.py``) stands the flat C form: it checks
the pointers, lays them into an array and calls. The files are written aside and renamed, so that a
library in use is never seen half-written, and nothing is left behind where something fails.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from nets.backend.library.archive import archive
from nets.backend.library.c_header import header
from nets.backend.library.c_names import symbols
from nets.backend.library.library_file import embedded, sealed
from nets.backend.library.manifest import ABI_VERSION, MARK, Argument, Library, LibraryFunction
from nets.backend.llvm.constants import LargeData, constant
from nets.backend.llvm.structure import COMMIT_HOOK
from nets.backend.llvm.target import linked_object_code
from nets.backend.printing import HOOK
from nets.errors import ExportError
from nets.files import folder_aside
from nets.ir.types import DTYPES
from nets.machine.machine import ALIGNMENT, Machine

FORMATS: Final = ("so", "a", "o", "h")

NULL_POINTER: Final = -1
MISALIGNED: Final = -2

_MESSAGES: Final = {
    0: "success",
    NULL_POINTER: "a pointer is null",
    MISALIGNED: "a pointer is not aligned to its elements, or the workspace not to 64 bytes",
}


def entry_symbol(library: str, function: str) -> str:
    """The symbol of a function's internal entry point, which its flat form calls."""
    return f"{library}_{function}.entry"


def write_library(
    base: Path,
    library: Library,
    modules: Sequence[str],
    large: LargeData,
    machine: Machine,
    formats: Sequence[str],
    state: bytes = b"",
) -> list[Path]:
    """Write ``base.so``, ``.a``, ``.o``, ``.h`` as asked; gives their paths.

    ``modules`` are the LLVM IR of the functions, with the entry points of ``entry_symbol``, and
    ``large`` what has stand-ins there;
    ``state`` is the initial state, as it lies in memory.
    ExportError where a file cannot be written or there is no C compiler to link with.
    """
    interface = _interface(library, state, large)
    code = linked_object_code([*modules, interface], global_symbols(library), large, machine)
    contents: dict[str, bytes] = {"o": code, "h": header(library).encode()}
    if "a" in formats:
        contents["a"] = archive(f"{library.name}.o", code, global_symbols(library))
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
        with folder_aside(base.parent) as aside:
            if "so" in formats:
                linked = _link(code, f"{base}.so", aside)
                contents["so"] = _sealed(linked, library, f"{base}.so")
            return _put(base, {name: contents[name] for name in formats}, aside)
    except OSError as error:
        if isinstance(error, ExportError):
            raise
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ExportError(f"{base} cannot be written: {reason}") from None


def global_symbols(library: Library) -> list[str]:
    """The names the library defines."""
    names = [f"{library.name}_{word}" for word in ("abi_version", "describe", "status_message")]
    if library.state:
        words = ("state_bytes", "init_state", "save_state", "load_state")
        names += [f"{library.name}_{word}" for word in words]
    if library.prints:
        names += [f"{library.name}_set_print"]
    for function in library.functions:
        names += symbols(library.name, function.name)
    return names


# ---------------------------------------------------------------------------------- files


def _put(base: Path, contents: Mapping[str, bytes], aside: Path) -> list[Path]:
    """Write all files aside, then rename them into place."""
    for suffix, data in contents.items():
        (aside / suffix).write_bytes(data)
    if "so" in contents:
        (aside / "so").chmod(0o755 & ~_umask())
    paths = [base.with_name(f"{base.name}.{suffix}") for suffix in contents]
    for path in paths:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    for suffix, path in zip(contents, paths, strict=True):
        os.replace(aside / suffix, path)
    return paths


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


_OTHER_FORMATS: Final = 'or export with formats=("a", "o", "h"), which need none'


def _link(code: bytes, file: str, aside: Path) -> bytes:
    """The shared library of an object, by the system's C compiler."""
    compiler = _compiler(file)
    source, result = aside / "linked.o", aside / "linked.so"
    source.write_bytes(code)
    command = [*compiler, "-shared", "-nostdlib", "-o", str(result), str(source), "-lc"]
    options = ["-z", "noexecstack", "-z", "relro", "-z", "now", "--build-id=none", "-s"]
    for option in [*options, "-soname", Path(file).name]:
        command += ["-Xlinker", option]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise ExportError(
            f"{_shown(compiler)} cannot be run to link {file}: {error.strerror}; set CC to a C "
            f"compiler, {_OTHER_FORMATS}"
        ) from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip() or f"it exited with {done.returncode}"
        raise ExportError(
            f"{_shown(compiler)} could not link {file}; set CC to a C compiler that links shared "
            f"libraries, {_OTHER_FORMATS}. It said:\n{said}"
        )
    return result.read_bytes() if result.is_file() else b""


def _sealed(linked: bytes, library: Library, file: str) -> bytes:
    try:
        return sealed(linked, library.to_json().encode())
    except ValueError:
        raise ExportError(
            f"{_shown(_compiler(file))} ended without an error, but not with the library {file}; "
            f"set CC to a C compiler, {_OTHER_FORMATS}"
        ) from None


def _compiler(file: str) -> list[str]:
    """The command of a C compiler: CC, or what the system calls cc, gcc or clang."""
    given = os.environ.get("CC", "").strip()
    if not given:
        found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if found is None:
            raise ExportError(
                f"no C compiler to link {file} with; install one, set CC to it, {_OTHER_FORMATS}"
            )
        return [found]
    try:
        words = [given] if shutil.which(given) else shlex.split(given)
    except ValueError:  # a quotation mark alone
        words = [given]
    if shutil.which(words[0]) is None:
        raise ExportError(
            f"there is no program {words[0]!r} to link {file} with, which CC names; set CC to a C "
            f"compiler, unset it to take cc, {_OTHER_FORMATS}"
        )
    return words


def _shown(compiler: Sequence[str]) -> str:
    """The command, and where it comes from."""
    return f"{'CC=' if os.environ.get('CC', '').strip() else ''}{shlex.join(compiler)}"


# ------------------------------------------------------------------------------ interface


def _interface(library: Library, state: bytes, large: LargeData) -> str:
    """LLVM IR of the public functions."""
    parts = [
        _text("manifest", embedded(library.to_json().encode())),
        f"define i32 @{library.name}_abi_version() nounwind {{ ret i32 {ABI_VERSION} }}",
        f"define ptr @{library.name}_describe() nounwind {{\n"
        f"  ret ptr getelementptr (i8, ptr @manifest, i64 {len(MARK)})\n}}",
        _status_message(library),
        _CHECK_POINTERS,
    ]
    if library.state:
        parts += [_state_functions(library, state, large)]
    if library.prints:
        parts += [_printer_functions(library)]
    if any(function.updates for function in library.functions):
        # Calls of a library are always run to their end.
        parts += [f"define void @{COMMIT_HOOK}() nounwind {{ ret void }}"]
    for function in library.functions:
        parts += [_flat_form(library, function)]
    return "\n\n".join(parts) + "\n"


def _text(name: str, data: bytes) -> str:
    return constant(name, data, align=16)[1]


def _status_message(library: Library) -> str:
    """One function for all: positive codes mean what the functions' checks agree on."""
    messages = dict(_MESSAGES)
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


def _state_functions(library: Library, state: bytes, large: LargeData) -> str:
    """init_state, save_state, load_state: copies of all bytes, where the pointers are good."""
    name, size = library.name, library.state_bytes
    initial, definition = constant("state.initial", state, large, align=16)
    copies = {
        "init_state": ("ptr %state", "%state", f"@{initial}"),
        "save_state": ("ptr %state, ptr %bytes", "%bytes", "%state"),
        "load_state": ("ptr %state, ptr %bytes", "%state", "%bytes"),
    }
    parts = [
        definition,
        "declare ptr @memcpy(ptr, ptr, i64)",
        f"define i64 @{name}_state_bytes() nounwind {{ ret i64 {size} }}",
    ]
    for word, (parameters, target, source) in copies.items():
        alignments = {"%state": _state_alignment(library)}
        alignments |= {"%bytes": 1} if "%bytes" in parameters else {}
        definition, checks = _pointer_checks(f"{name}_{word}", alignments)
        parts += [
            f"""\
{definition}define i32 @{name}_{word}({parameters}) nounwind {{
entry:
{checks}
  %done = call ptr @memcpy(ptr {target}, ptr {source}, i64 {size})
  ret i32 0
}}"""
        ]
    return "\n\n".join(parts)


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


def _state_alignment(library: Library) -> int:
    return max(DTYPES[member.dtype].itemsize for member in library.state)


def _flat_form(library: Library, function: LibraryFunction) -> str:
    symbol, workspace_bytes = symbols(library.name, function.name)
    entry = entry_symbol(library.name, function.name)
    arguments, results = len(function.arguments), len(function.results)
    buffers = arguments + len(function.state) + results
    places = [f"%p{i}" for i in range(arguments)]
    places += [f"%s{number}" for number in function.state]
    places += [f"%p{arguments + i}" for i in range(results)]
    parameters = ["ptr %state"] if function.state else []
    parameters += [f"ptr %p{i}" for i in range(arguments + results)]
    parameters += ["ptr %workspace"]
    members = [
        f"  %s{number} = getelementptr i8, ptr %state, i64 {library.state[number].offset}"
        for number in function.state
    ]
    stores = "\n".join([*members, _stores("buffers", places)])
    alignments = _alignments([*function.arguments, *function.results], function.workspace_bytes)
    if function.state:
        alignments["%state"] = _state_alignment(library)
    definition, checks = _pointer_checks(symbol, alignments)
    return f"""\
declare i32 @{entry}(ptr, ptr, ptr)

define i64 @{workspace_bytes}() nounwind {{ ret i64 {function.workspace_bytes} }}

{definition}define i32 @{symbol}({", ".join(parameters)}) nounwind {{
entry:
  %buffers = alloca [{max(buffers, 1)} x ptr]
{stores}
{checks}
  %code = call i32 @{entry}(ptr %buffers, ptr %workspace, ptr null)
  ret i32 %code
}}"""


def _alignments(buffers: Sequence[Argument], workspace_bytes: int) -> dict[str, int]:
    """What each pointer must be a multiple of; buffers without elements are never touched."""
    alignments = {
        f"%p{i}": DTYPES[buffer.dtype].itemsize
        for i, buffer in enumerate(buffers)
        if 0 not in buffer.shape
    }
    if workspace_bytes:
        alignments["%workspace"] = ALIGNMENT
    return alignments


_CHECK_POINTERS: Final = f"""\
define internal i32 @check.pointers(ptr %pointers, ptr %masks, i64 %count) nounwind {{
entry:
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %i.after, %each ]
  %null = phi i1 [ false, %entry ], [ %null.after, %each ]
  %low = phi i64 [ 0, %entry ], [ %low.after, %each ]
  %is.over = icmp eq i64 %i, %count
  br i1 %is.over, label %done, label %each
each:
  %place = getelementptr i64, ptr %pointers, i64 %i
  %address = load i64, ptr %place
  %is.null = icmp eq i64 %address, 0
  %null.after = or i1 %null, %is.null
  %mask.place = getelementptr i64, ptr %masks, i64 %i
  %mask = load i64, ptr %mask.place
  %rest = and i64 %address, %mask
  %low.after = or i64 %low, %rest
  %i.after = add i64 %i, 1
  br label %next
done:
  %is.misaligned = icmp ne i64 %low, 0
  %otherwise = select i1 %is.misaligned, i32 {MISALIGNED}, i32 0
  %status = select i1 %null, i32 {NULL_POINTER}, i32 %otherwise
  ret i32 %status
}}"""
"""The status of pointers: that of null, or of one with a bit of its mask set, or 0."""


def _stores(array: str, pointers: Iterable[str]) -> str:
    """Stores of the pointers into an array of them.

    They are volatile, which keeps the code generator from looking, for each, at all the others for
    what it could join it with.
    """
    return "\n".join(
        f"  %{array}.{i} = getelementptr ptr, ptr %{array}, i64 {i}\n"
        f"  store volatile ptr {pointer}, ptr %{array}.{i}"
        for i, pointer in enumerate(pointers)
    )


def _pointer_checks(symbol: str, alignments: Mapping[str, int]) -> tuple[str, str]:
    """A definition, and code that returns the status of a pointer that is null or misaligned, or
    goes on in the block ``run``."""
    if not alignments:
        return "", "  br label %run\nrun:"
    count = len(alignments)
    masks = ", ".join(f"i64 {alignment - 1}" for alignment in alignments.values())
    table = f"@{symbol}.masks"
    code = f"""\
  %checked = alloca [{count} x ptr]
{_stores("checked", alignments)}
  %status = call i32 @check.pointers(ptr %checked, ptr {table}, i64 {count})
  %is.refused = icmp ne i32 %status, 0
  br i1 %is.refused, label %refuse, label %run
refuse:
  ret i32 %status
run:"""
    return f"{table} = internal unnamed_addr constant [{count} x i64] [{masks}]\n", code
