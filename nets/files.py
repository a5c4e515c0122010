"""Files: read without waiting for anybody, written so that there is all of one or nothing.

A file is written without a name where the system can do that, else aside, and then takes the place
of an old one in one step; a process that is killed meanwhile leaves nothing half-written that could
be taken for the file. What it does leave, a name at most, the next one to write removes: whoever
writes holds a lock on what it writes, which ends with the process.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

try:
    import fcntl as _found
except ImportError:  # without it nothing is taken for left over
    _found = None  # type: ignore[assignment]
_fcntl: Any = _found

_PART: Final = ".nets-part"
"""The ending of files on their way."""

_FOLDER: Final = ".nets-aside-"
"""What the names of folders begin with in which files are made ready."""


def open_regular(path: str | os.PathLike[str]) -> IO[bytes]:
    """The file, to be read. OSError where it is none with an end: a pipe, a socket, a device."""
    flags = ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
    handle = os.open(path, os.O_RDONLY | sum(getattr(os, flag, 0) for flag in flags))
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is a pipe, a socket or a device", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: str | os.PathLike[str]) -> bytes:
    """What is in the file. OSError as ``open_regular``."""
    with open_regular(path) as file:
        return file.read()


@contextmanager
def replacing(target: Path, *, durably: bool = True) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of ``target`` when the ``with`` block has ended.

    Only its owner may read it. ``durably``: it is on the disk then, and what others have left over
    of writing this file is removed before.
    """
    if durably:
        remove_left_over(target.parent, f".{target.name}.")
    handle, name = _new_file(target)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            if durably:
                os.fsync(handle)
            if name is None:
                name = _name_for(target)
                _give_name(handle, name)
            if _fcntl is None:
                file.close()  # for there are systems that give an open file no other name
            os.replace(name, target)
        if durably:
            _settle(target.parent)
    except BaseException:
        if name is not None:
            with suppress(FileNotFoundError):
                os.unlink(name)
        raise


@contextmanager
def folder_aside(parent: Path) -> Iterator[Path]:
    """A folder in ``parent`` to make files ready in; those that are left over are removed."""
    for path in _names(parent, _FOLDER, ""):
        if path.is_dir() and not path.is_symlink():
            with _claimed(path) as is_left_over:
                if is_left_over:
                    shutil.rmtree(path, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_FOLDER, dir=parent) as name, _claimed(Path(name)):
        yield Path(name)


def remove_left_over(folder: Path, prefix: str = ".") -> None:
    """Remove files on their way whose writers are gone."""
    for path in _names(folder, prefix, _PART):
        with _claimed(path) as is_left_over:
            if is_left_over:
                with suppress(OSError):
                    path.unlink()


def _names(folder: Path, prefix: str, ending: str) -> list[Path]:
    with suppress(OSError):
        names = [x for x in os.listdir(folder) if x.startswith(prefix) and x.endswith(ending)]
        return [folder / name for name in names]
    return []


@contextmanager
def _claimed(path: Path) -> Iterator[bool]:
    """Whether this process could lock the file or folder, and does so meanwhile."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        yield False
        return
    try:
        yield _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    if _fcntl is None:
        return False
    try:
        _fcntl.flock(handle, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _name_for(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.urandom(8).hex()}{_PART}")


def _new_file(target: Path) -> tuple[int, Path | None]:
    """A file for writing, and its name if it has one yet."""
    unnamed = getattr(os, "O_TMPFILE", None)
    if unnamed is not None and os.path.isdir("/proc/self/fd"):
        with suppress(OSError):  # a file system, or a system, that has none
            handle = os.open(target.parent, os.O_WRONLY | os.O_CLOEXEC | unnamed, 0o600)
            _lock(handle)
            return handle, None
    while True:
        name = _name_for(target)
        as_is = getattr(os, "O_BINARY", 0)
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | as_is, 0o600)
        _lock(handle)
        if name.exists():  # nobody took it for left over before it was locked
            return handle, name
        os.close(handle)


def _give_name(handle: int, name: Path) -> None:
    folder = os.open(name.parent, os.O_RDONLY)
    try:
        # With a folder given, links are followed: this one leads to the file.
        os.link(f"/proc/self/fd/{handle}", name.name, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def _settle(folder: Path) -> None:
    """Make sure that the names in a folder are on the disk."""
    with suppress(OSError):  # not every system can
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
