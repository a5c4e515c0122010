"""Reads a shared library and opens it from its bytes: what was checked is what runs.

To open a path directly would not be safe. Where the path, or the file, is open already, the
system's loader gives the library that it has, even if the file holds another one now; and somebody
may change a file while it is open. So each library is opened from a copy that only this process
knows. The copy is a file in memory, which the maps of the process show as ``/memfd:NAME.so``. Where
the system has no files in memory, or runs no code from them, the copy is a file in a temporary
folder that is deleted as soon as it is open. The system copies the file into memory, once; what is
looked at and what runs are the same pages.
"""

from __future__ import annotations

import itertools
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, Final

_LONGEST: Final = 200
"""Bytes of a name; the system takes 249."""

_MOST: Final = 1 << 30
"""Bytes asked for at a time."""

_count: Final = itertools.count(1)


class InMemory(mmap.mmap):
    """The bytes of a file in memory, to be read; ``descriptor`` until it is released."""

    descriptor: int

    def release(self) -> None:
        """Nobody opens it any more."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.release()


Bytes = bytes | InMemory


def taken(file: IO[bytes], name: str) -> Bytes:
    """What is in a file, from its start: where the system can do that, in memory under that name,
    from where it can be opened."""
    return _in_memory_file(name, lambda descriptor: _sent(file, descriptor)) or file.read()


def received(data: bytes | memoryview, name: str) -> Bytes:
    """These bytes, likewise."""

    def write(descriptor: int) -> int:
        with open(descriptor, "wb", buffering=0, closefd=False) as file:
            _write(file, data)
        return len(data)

    return _in_memory_file(name, write) or bytes(data)


def _in_memory_file(name: str, fill: Callable[[int], int]) -> InMemory | None:
    """A file in memory; ``fill`` writes to its descriptor and tells how many bytes. None where that
    cannot be done."""
    try:
        descriptor = os.memfd_create(_short(name))
    except (AttributeError, OSError):
        return None
    try:
        found = InMemory(descriptor, fill(descriptor), prot=mmap.PROT_READ)
    except (OSError, ValueError):  # of file systems that do not send, and files that got empty
        os.close(descriptor)
        return None
    found.descriptor = descriptor
    return found


def _sent(file: IO[bytes], descriptor: int) -> int:
    """How many bytes the system has copied; one call of it takes 2 GB at most."""
    offset = 0
    while count := os.sendfile(descriptor, file.fileno(), offset, _MOST):
        offset += count
    return offset


def open_copy(ffi: Any, data: Bytes, name: str, beside: Path) -> Any:
    """cffi's library of these bytes, which stays open until ``ffi.dlclose``.

    ``beside`` is a folder that libraries run from if need be. OSError where there is no way.
    """
    first: OSError | None = None
    for place in _places(data, f"{_short(name)}.so", beside):
        try:
            with place() as path:
                return _opened(ffi, path, name)
        except OSError as error:
            first = first or error
    assert first is not None
    raise first


def _short(name: str) -> str:
    return os.fsdecode(os.fsencode(name)[:_LONGEST])


def _places(
    data: Bytes, name: str, beside: Path
) -> Iterator[Callable[[], AbstractContextManager[str]]]:
    """Where a copy may be, the best first."""
    if hasattr(os, "memfd_create"):
        yield lambda: _in_memory(data, name)
    for folder in (None, beside):
        yield lambda folder=folder: _in_folder(data, name, folder)  # type: ignore[misc]


def _opened(ffi: Any, path: str, name: str) -> Any:
    try:
        return ffi.dlopen(path)
    except OSError as error:
        # The rest of the text is what a search for a library of that name came to.
        reason = str(error).partition(".  Additionally")[0].rpartition(f"{path}: ")[2]
        raise OSError(reason) from None


@contextmanager
def _in_memory(data: Bytes, name: str) -> Iterator[str]:
    if isinstance(data, InMemory):
        yield _path_of(data.descriptor)
        return
    descriptor = os.memfd_create(name)
    with open(descriptor, "wb", buffering=0) as file:
        _write(file, data)
        yield _path_of(descriptor)


def _path_of(descriptor: int) -> str:
    return f"/proc/self/fd/{_spelling(next(_count))}{descriptor}"


def _spelling(number: int) -> str:
    """A way from a folder to itself, another one for each number.

    Numbers of descriptors come again, and the loader takes two libraries of one path for the same.
    """
    return f"{number:b}".replace("0", "/").replace("1", "./")


@contextmanager
def _in_folder(data: Bytes, name: str, folder: Path | None) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="nets-", dir=folder) as aside:
        path = Path(aside, f"{next(_count)}-{name}")
        with open(path, "wb", buffering=0) as file:
            _write(file, data)
        path.chmod(0o500)
        yield str(path)


def _write(file: Any, data: Bytes | memoryview) -> None:
    """All of it: one call of the system writes 2 GB at most."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
