"""Ahead of time: from loop IR of several functions to ``.o``, ``.a``, ``.so`` and ``.h`` files.

The files are written aside and renamed, so that a library in use is never seen half-written, and
nothing is left behind where something fails.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from nets.backend.library.archive import archive
from nets.backend.library.c_header import header
from nets.backend.library.interface import global_symbols, interface
from nets.backend.library.linking import linked, with_manifest
from nets.backend.library.manifest import Library
from nets.backend.llvm.constants import LargeData
from nets.backend.llvm.target import linked_object_code
from nets.errors import ExportError
from nets.files import folder_aside
from nets.machine.machine import Machine

FORMATS: Final = ("so", "a", "o", "h")


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
    public = interface(library, state, large)
    code = linked_object_code([*modules, public], global_symbols(library), large, machine)
    contents: dict[str, bytes] = {"o": code, "h": header(library).encode()}
    if "a" in formats:
        contents["a"] = archive(f"{library.name}.o", code, global_symbols(library))
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
        with folder_aside(base.parent) as aside:
            if "so" in formats:
                library_file = linked(code, f"{base}.so", aside)
                contents["so"] = with_manifest(library_file, library, f"{base}.so")
            return _put(base, {name: contents[name] for name in formats}, aside)
    except OSError as error:
        if isinstance(error, ExportError):
            raise
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ExportError(f"{base} cannot be written: {reason}") from None


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
