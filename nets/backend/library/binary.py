"""What kind of file code is in: the formats of systems, and the processors they name."""

from __future__ import annotations

import platform
import struct
from typing import Final

from nets.backend.library.private_copy import Bytes
from nets.errors import CompileError, LoadError
from nets.machine.targets import Architecture, Target, native_target

HEADER_BYTES: Final = 4096
"""So much of a file tells what it is."""

_SHARED: Final = 3
"""ELF's kind of file."""

_PROCESSORS: Final[dict[int, Architecture]] = {
    62: "x86-64",
    183: "aarch64",
    243: "riscv64",
    40: "arm",
}
"""ELF's numbers of the processors."""

_HEADERS: Final = {1: struct.Struct("<16xHHIIIIIHHHHHH"), 2: struct.Struct("<16xHHIQQQIHHHHHH")}
"""ELF's first header, for pointers of 4 bytes and of 8."""

_SEGMENTS: Final = {1: (struct.Struct("<8I"), 1, 4), 2: (struct.Struct("<2I6Q"), 2, 5)}
"""ELF's headers of segments, and which words of them are the place and the bytes in the file."""

_OTHERS: Final = {
    b"MZ": "Windows",
    b"\xcf\xfa\xed\xfe": "macOS",
    b"\0asm": "WebAssembly",
}
"""What files of other systems begin with."""


def is_native(target: Target) -> bool:
    """Whether this process could load libraries of the target."""
    return target.format == "elf" and target == _here()


def _here() -> Target | None:
    """That of this process; None where nets does not know it."""
    try:
        return native_target()
    except CompileError:
        return None


def check_native(data: Bytes) -> None:
    """LoadError unless the bytes are a whole shared library of this system."""
    system = next((word for start, word in _OTHERS.items() if data[: len(start)] == start), None)
    if system is not None:
        raise LoadError(f"it is a library for another machine, with {system}")
    if data[:4] != b"\x7fELF" or len(data) < _HEADERS[2].size:
        raise LoadError("it is not a shared library of this system")
    found = _elf(data)
    here = _here()
    if here is None or found != here.architecture:
        name = f", {found}; this one is {platform.machine()}" if found else ""
        raise LoadError(f"it is a library for another machine{name}")


def check_target(name: str) -> None:
    """LoadError where a manifest says that the library is for another system than this one, which
    the file alone may not tell; those of earlier revisions say nothing."""
    here = _here()
    if name and (here is None or name != here.name):
        raise LoadError(f"it is a library for {name}; this is {here or platform.machine()}")


def check_elf(data: bytes, architecture: Architecture) -> None:
    """ValueError unless the bytes are a whole shared library in ELF for the processor."""
    try:
        if data[:4] != b"\x7fELF" or _elf(data) != architecture:
            raise LoadError("it is not a shared library of the system")
    except LoadError as error:
        raise ValueError(str(error)) from None


def _elf(data: Bytes) -> Architecture | None:
    """The processor of a shared library in ELF; None where nets knows none of the kind.

    LoadError where it is no shared library, or not a whole one.
    """
    bits = data[4]
    if bits not in _HEADERS or data[5] != 1:
        return None
    header = _HEADERS[bits].unpack_from(data)
    kind, machine, _, _, program, sections, _, _, entry_size, count, section_size, number, _ = (
        header
    )
    if kind != _SHARED:
        raise LoadError("it is not a shared library")
    segment, place, size = _SEGMENTS[bits]
    ends = [sections + section_size * number, program + entry_size * count]
    if max(ends) <= len(data) and entry_size == segment.size:
        headers = [segment.unpack_from(data, program + i * entry_size) for i in range(count)]
        ends += [words[place] + words[size] for words in headers]
    if max(ends) > len(data):
        raise LoadError("it is truncated")
    return _PROCESSORS.get(machine)
