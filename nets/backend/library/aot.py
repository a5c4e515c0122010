"""Ahead of time: from loop IR of several functions to ``.o``, ``.a``, ``.so`` and ``.h`` files, and
to what other languages call them by.

The files are written aside and renamed, so that a library in use is never seen half-written, and
nothing is left behind where something fails.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nets.backend.library.archive import archive_of
from nets.backend.library.c_header import header
from nets.backend.library.c_threads import THREADS_FILE, THREADS_HEADER
from nets.backend.library.callers.description import described
from nets.backend.library.callers.files import Files
from nets.backend.library.callers.wrappers import WRAPPERS
from nets.backend.library.interface import Tables, global_symbols, interface
from nets.backend.library.linking import Linker
from nets.backend.library.manifest import Library
from nets.backend.llvm.constants import LargeData
from nets.backend.llvm.target import linked_object_code
from nets.errors import ExportError
from nets.files import folder_aside
from nets.machine.machine import Machine
from nets.machine.targets import Target

FORMATS: Final = ("so", "a", "o", "h")
"""What an export writes unless it is told what to write."""

ALL_FORMATS: Final = (*FORMATS, *WRAPPERS)

_SHARED: Final = (".so", ".dll", ".dylib", ".wasm")
"""Suffixes of shared libraries, which are files that run."""


@dataclass(frozen=True, slots=True)
class LibraryFiles:
    """The files of a library: their path without a suffix, their formats, what begins the names of
    the shared and the static library, and what links the shared one where that is asked for, by
    "so" whatever its suffix."""

    base: Path
    formats: tuple[str, ...]
    prefix: str = ""
    linker: Linker | None = None


def write_library(
    wanted: LibraryFiles,
    library: Library,
    modules: Sequence[str],
    large: LargeData,
    machine: Machine,
    state: bytes = b"",
    tables: Tables | None = None,
) -> list[Path]:
    """Write the files and give their paths.

    ``modules`` are the LLVM IR of the functions at all levels, each function in it with its CPU,
    and with the entry points of ``entry_symbol``; ``large`` is what has stand-ins there;
    ``machine`` is what the functions around them are compiled for; ``state`` is the initial state,
    as it lies in memory; ``tables`` are those of its sparse results. ExportError where a file
    cannot be written or linked.
    """
    public = interface(library, tables or {}, state, large, machine)
    code = linked_object_code([*modules, public], global_symbols(library), large, machine)
    base, linker = wanted.base, wanted.linker
    files = Files(base.name, wanted.formats, wanted.prefix, machine.target.suffix)
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
        with folder_aside(base.parent) as aside:
            contents: dict[str, bytes] = {}
            for word in wanted.formats:
                if word == "so" and linker is not None:
                    shared = str(base.with_name(files.shared))
                    contents[files.shared] = linker.linked(code, library, shared, aside)
                else:
                    contents |= _contents(word, code, library, files, machine.target)
            return _put(base.parent, contents, aside)
    except OSError as error:
        if isinstance(error, ExportError):
            raise
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ExportError(f"{base} cannot be written: {reason}") from None


def _contents(
    word: str, code: bytes, library: Library, files: Files, target: Target
) -> dict[str, bytes]:
    """The files of that format, but for shared libraries, by their paths from the folder of the
    library; ``code`` is the object."""
    match word:
        case "a":
            symbols = global_symbols(library)
            return {files.archive: archive_of(target, f"{library.name}.o", code, symbols)}
        case "o":
            return {f"{files.stem}.o": code}
        case "h":
            threads = {THREADS_FILE: THREADS_HEADER.encode()} if library.threads else {}
            return {files.header: header(library).encode(), **threads}
    texts = WRAPPERS[word](described(library), files)
    return {path: text.encode() for path, text in texts.items()}


def _put(folder: Path, contents: Mapping[str, bytes], aside: Path) -> list[Path]:
    """Write all files aside, then rename them into place."""
    for number, (name, data) in enumerate(contents.items()):
        (aside / f"file{number}").write_bytes(data)
        if name.endswith(_SHARED):
            (aside / f"file{number}").chmod(0o755 & ~_umask())
    paths = [folder / name for name in contents]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    for number, path in enumerate(paths):
        os.replace(aside / f"file{number}", path)
    return paths


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
