"""The file of an exported library: sealed when it is written, checked before its code runs.

A seal is the last bytes of the file: where the manifest lies, and a hash (SHA-256) of all bytes
before it. Loaders and linkers find what they need from the front of a file and do not see it. So a
file that was truncated, stripped, patched, linked again or damaged is refused, whatever a change
may have done to its code. The manifest is followed by a hash of its own, which is compiled: code
that was sealed again with another manifest is refused, too. None of this is a signature; native
code from a stranger can do anything.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nets.backend.library.binary import HEADER_BYTES, check_elf, check_native, check_target
from nets.backend.library.manifest import MARK, Library
from nets.backend.library.manifest_reading import from_json
from nets.backend.library.private_copy import Bytes, taken
from nets.errors import LoadError
from nets.files import open_regular
from nets.machine.targets import Target

_SEAL: Final = struct.Struct("<16sQQ32s")
_SEALED: Final = b"\x7fnets-sealed-1\0\0"
_HASH_BYTES: Final = 32


def embedded(manifest: bytes) -> bytes:
    """What a library holds as constant data: the mark, the manifest and NUL, its hash."""
    return MARK + manifest + b"\0" + hashlib.sha256(manifest).digest()


def sealed(code: bytes, manifest: bytes, target: Target) -> bytes:
    """The bytes of a shared library that holds this manifest behind MARK, with a seal.

    ``nets.load`` opens files of ELF alone; those of other systems stay as they are, for what comes
    behind their end may be wrong there. ValueError where the bytes are no shared library of that
    system, or do not hold the manifest.
    """
    if target.format == "elf":
        check_elf(code, target.architecture)
    start = code.index(MARK + manifest + b"\0") + len(MARK)
    if target.format != "elf":
        return code
    open_seal = _SEAL.pack(_SEALED, start, len(manifest), bytes(_HASH_BYTES))[:-_HASH_BYTES]
    digest = hashlib.sha256(code)
    digest.update(open_seal)
    return b"".join([code, open_seal, digest.digest()])


@dataclass(frozen=True, slots=True)
class LibraryFile:
    """A file that was read: its bytes, what they say of themselves, and where that stands."""

    path: Path
    data: Bytes
    place: slice
    library: Library

    @property
    def manifest(self) -> bytes:
        """The text that ``library`` was read from."""
        return self.data[self.place]

    @property
    def seal(self) -> bytes:
        """The hash in the seal, which tells a library from all others."""
        return self.data[-_HASH_BYTES:]

    def check_seal(self) -> None:
        """LoadError unless the bytes are those that were exported."""
        data = memoryview(self.data)
        is_sealed = bytes(data[-_SEAL.size :][: len(_SEALED)]) == _SEALED
        is_whole = hashlib.sha256(data[:-_HASH_BYTES]).digest() == self.seal
        constant = embedded(self.manifest)
        start = self.place.start - len(MARK)
        if not is_sealed or not is_whole or data[start : start + len(constant)] != constant:
            raise LoadError(
                f"{self.path} is not as it was exported: it is truncated or damaged, or a tool has "
                "changed it (strip, patchelf, another linker); export it again, and leave it so"
            )


def read_library(path: Path) -> LibraryFile:
    """The file of a library. LoadError where it is missing, or no library of this version and
    machine; whether it is as it was exported, ``check_seal`` tells."""
    try:
        data = _read(path)
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}") from None
    return library_of(path, data)


def library_of(path: Path, data: Bytes) -> LibraryFile:
    """The file of a library with these bytes. LoadError as of ``read_library``."""
    try:
        check_native(data)
        place = _place(data)
        library = from_json(data[place].decode())
        check_target(library.target)
        return LibraryFile(path, data, place, library)
    except (LoadError, UnicodeDecodeError) as error:
        raise LoadError(f"{path}: {error}") from None


def _read(path: Path) -> Bytes:
    """The bytes of a file; those of what is no library are not all read."""
    with open_regular(path) as file:
        start = file.read(HEADER_BYTES)
        if not start.startswith(b"\x7fELF"):
            return start
        file.seek(0)
        return taken(file, path.name)


def _place(data: Bytes) -> slice:
    """Where the manifest is: where the seal says, or behind the mark in a file without one."""
    mark, start, length, _ = _SEAL.unpack(data[-_SEAL.size :])
    if mark == _SEALED:
        end = start + length
        found = data[max(start - len(MARK), 0) : start] == MARK and data[end : end + 1] == b"\0"
    else:
        start = data.find(MARK) + len(MARK)
        end = data.find(b"\0", start)
        found = start >= len(MARK) and end >= 0
    if not found:
        raise LoadError("it is not a library made by nets")
    return slice(start, end)
