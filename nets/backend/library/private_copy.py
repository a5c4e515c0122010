"""Opens a shared library from its bytes: what was checked is what runs.

To open a path directly would not be safe. Where the path, or the file, is open already, the
system's loader gives the library that it has, even if the file holds another one now; and somebody
may change a file while it is open. So each library is opened from a copy that only this process
knows. The copy is a file in memory, which the maps of the process show as ``/memfd:NAME.so``. Where
the system has no files in memory, or runs no code from them, the copy is a file in a temporary
folder that is deleted as soon as it is open.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

_LONGEST: Final = 200
"""Bytes of a name; the system takes 249."""

_count: Final = itertools.count(1)


def open_copy(ffi: Any, data: bytes, name: str, beside: Path) -> Any:
    """cffi's library of these bytes, which stays open until ``ffi.dlclose``.

    ``beside`` is a folder that libraries run from if need be. OSError where there is no way.
    """
    first: OSError | None = None
    for place in _places(data, f"{name[:_LONGEST]}.so", beside):
        try:
            with place() as path:
                return _opened(ffi, path, name)
        except OSError as error:
            first = first or error
    assert first is not None
    raise first


def _places(
    data: bytes, name: str, beside: Path
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
def _in_memory(data: bytes, name: str) -> Iterator[str]:
    descriptor = os.memfd_create(name)
    with open(descriptor, "wb", buffering=0) as file:
        _write(file, data)
        yield f"/proc/self/fd/{_spelling(next(_count))}{descriptor}"


def _spelling(number: int) -> str:
    """A way from a folder to itself, another one for each number.

    Numbers of descriptors come again, and the loader takes two libraries of one path for the same.
    """
    return f"{number:b}".replace("0", "/").replace("1", "./")


@contextmanager
def _in_folder(data: bytes, name: str, folder: Path | None) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="nets-", dir=folder) as aside:
        path = Path(aside, f"{next(_count)}-{name}")
        with open(path, "wb", buffering=0) as file:
            _write(file, data)
        path.chmod(0o500)
        yield str(path)


def _write(file: Any, data: bytes) -> None:
    """All of it: one call of the system writes 2 GB at most."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
