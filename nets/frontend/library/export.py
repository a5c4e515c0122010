"""nets.export: lowered functions become a library that runs without Python."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from nets.frontend.calls.lowered import Lowered
from nets.frontend.library.export_arguments import (
    CodeOptions,
    base_path,
    check_communicators,
    check_threads,
    chosen_optimize,
    chosen_prefix,
    chosen_threads,
    communicates,
    library_named,
    profile_of,
    refused,
)
from nets.frontend.library.exported import Exported
from nets.frontend.library.function_export import FunctionExport
from nets.frontend.library.library_state import LibraryState
from nets.frontend.tensor.variable import variable
from nets.version import NUMERICS_CONTRACT, __version__

if TYPE_CHECKING:
    from nets.backend.library.aot import LibraryFiles
    from nets.backend.library.manifest import Library
    from nets.backend.llvm.constants import LargeData


def export(
    path: str | os.PathLike[str] | None = None,
    /,
    *others: object,
    cpu: str | Iterable[str] | None = None,
    target: str | None = None,
    formats: str | Iterable[str] | None = None,
    optimize: str = "speed",
    prefix: str = "",
    threads: int | Lowered | None = None,
    numerics: str | None = None,
    **functions: Lowered,
) -> Exported:
    """Write ``path.so``, ``.a``, ``.o`` and ``.h`` with these functions.

    ``nets.export("build/digits", predict=predict.lower(x))`` gives the C function
    ``digits_predict``: arguments and results in flattened order as contiguous buffers, then a
    workspace. The last part of ``path`` names the library. Tensors that a function closes over
    are embedded with the values they have now; where one of the functions updates such a tensor,
    all of them but frozen weights are members of a structure that the functions share and the
    caller owns. ``target`` is the system that it is for, a triple such as ``aarch64-linux-gnu``;
    the default is this one. ``formats`` chooses among so, which is the shared library whatever its
    suffix on the target, a, o, h, and hpp (C++), rs (Rust), py (Python), go, js, pc (pkg-config),
    cmake. ``prefix="lib"`` writes ``libdigits.so`` and ``libdigits.a``.
    ``optimize="size"`` makes the code as small as it gets, and slower: one copy of each loop, one
    element at a time, the same bits. ``threads`` adds a parallel twin of each function,
    ``digits_predict_parallel``, which gets a function that runs parts of a loop on the caller's
    threads, up to so many parts at a time (1 to 1024); ``nets_threads.h``, written beside the
    header, has one. The bits are those of the serial function, whatever the threads. WebAssembly
    and microcontrollers have no threads, and no twins.

    Each function is there for x86-64-v2 (SSE4.2), v3 (AVX2 and FMA) and v4 (AVX-512), with the same
    results; the CPU chooses at the first call, and one below them gets a status. ``cpu`` names
    other levels, ``("x86-64-v3", "x86-64-v4")``, or one, or a CPU, whose level counts; ``"native"``
    is this one. NETS_CPU is what counts where ``cpu`` is not given. ``numerics`` is the profile,
    "strict" or "strict-nofma"; the default is that which the functions were traced with.

    ``others`` takes what is not named by mistake, for an error that says so. The library needs libc
    alone, allocates nothing and has no state of its own, but for a callback
    that gets what ``debug_print`` prints. ArgumentError for what cannot be exported, names that C
    cannot have among it; ExportError where a file cannot be written or linked. Then no
    file is. Where nothing links for another system and ``formats`` is left open, there is a
    LinkWarning.
    """
    from nets.frontend.library.export_target import chosen_files, machines_for

    if path is None:
        path = cast(Any, functions.pop("path", None))  # by its name
    parts_of_loops = chosen_threads(threads, functions)
    base, prefix = base_path(path, others), chosen_prefix(prefix)
    name = library_named(base, functions, parts_of_loops)
    code = CodeOptions(
        machines=machines_for(cpu, target),
        numerics=profile_of(numerics, functions.values()),
        optimize=chosen_optimize(optimize),
        threads=parts_of_loops,
    )
    check_threads(parts_of_loops, code.machines[0])
    files = chosen_files(formats, base, prefix, code.machines[0].target)
    return _exported(name, functions, code, files)


def _exported(
    name: str, functions: Mapping[str, Lowered], code: CodeOptions, files: LibraryFiles
) -> Exported:
    """Compile the functions and write the library of that name."""
    check_communicators(functions, files.formats, code.machines[0].target)
    from nets.backend.library.aot import write_library
    from nets.backend.library.c_names import declared
    from nets.backend.library.state.layout import marked
    from nets.backend.llvm.constants import LargeData
    from nets.frontend.library.export_target import around

    talks = communicates(functions.values())
    taken = declared(name, functions, code.threads, communicates=talks)
    state = LibraryState(functions.values(), taken)
    parts = [
        FunctionExport(name, word, lowered, code, state) for word, lowered in functions.items()
    ]
    library = _described(name, parts, code, state, taken)
    large = LargeData()
    modules = _modules(parts, large)
    initial = marked(library, _initial(library, state))
    machine = around(code.machines[0])
    paths = write_library(files, library, modules, large, machine, initial, _tables(parts, library))
    return Exported(name, tuple(paths), library, initial)


def _tables(parts: Sequence[FunctionExport], library: Library) -> dict[str, bytes]:
    """The tables of sparse results. ArgumentError where a function has the name of one."""
    found: dict[str, bytes] = {}
    for part, function in zip(parts, library.functions, strict=True):
        found |= part.tables(function)
    for function in library.functions:
        if f"{library.name}_{function.name}" in found:
            raise refused(f"{function.name!r} cannot name a function: it tells indices of a matrix")
    return found


_FIRST_SIZE_CODE: Final = 1 << 15
"""Statuses from here on are of sizes that a call tells; no two functions of a library share one, so
that each has a sentence."""


def _modules(parts: Sequence[FunctionExport], large: LargeData) -> list[str]:
    """The LLVM IR of all functions; their prints are numbered through."""
    modules, site = [], 0
    for part in parts:
        modules += part.modules(site, large)
        site += len(part.prints)
    return modules


def _described(
    name: str,
    parts: Sequence[FunctionExport],
    code: CodeOptions,
    state: LibraryState,
    taken: Collection[str],
) -> Library:
    """The manifest of the library; ``taken`` are names that buffers of functions cannot have."""
    from nets.backend.library.manifest import Argument, Form, Library
    from nets.backend.library.state.layout import state_layout

    forms = [
        Argument(member.name, variable(member.value).type.dtype.name, member.value.shape)
        for member in state.members
    ]
    functions: list[Any] = []
    for part in parts:
        code_of_sizes = _FIRST_SIZE_CODE + sum(len(f.size_checks) for f in functions)
        functions.append(part.describe(taken, code_of_sizes))
    members, size = state_layout(forms, [member.names for member in state.members])
    levels = tuple(Form(machine.cpu, machine.level) for machine in code.machines)
    return Library(
        name=name,
        nets_version=__version__,
        cpu=levels[0].cpu,
        level=levels[0].level,
        numerics=code.numerics,
        functions=tuple(functions),
        state=members,
        state_bytes=size,
        levels=levels,
        contract=NUMERICS_CONTRACT,
        threads=code.threads,
        target=code.machines[0].target.name,
    )


def _initial(library: Library, state: LibraryState) -> bytes:
    """The initial state, as it lies in memory, without the mark of its layout."""
    initial = bytearray(library.state_bytes)
    for place, member in zip(library.members, state.members, strict=True):
        data = member.value.tobytes()
        initial[place.offset : place.offset + len(data)] = data
    return bytes(initial)
