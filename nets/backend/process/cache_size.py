"""The size of the object cache: what it holds, and how it stays below its limit.

An entry's file is as young as its last use, so what has not been used for longest goes first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from nets import config
from nets.files import remove_left_over

SUFFIX: Final = ".nets-object"
"""Of the names of entries."""

_KEPT: Final = 0.75
"""Part of the limit that is left after a clean-up, so that the next one is not needed at once."""

_STORES: Final = 16
"""One in so many new entries has the size looked at, for reading the folder takes its time."""


class CacheEntry(NamedTuple):
    """The file of an entry."""

    used: float
    """Time of its last use, in seconds since the epoch."""
    bytes: int
    path: Path


def entries(folder: Path | None) -> list[CacheEntry]:
    """The entries in a folder, the longest unused first; none where it cannot be read."""
    return sorted(_files(folder)) if folder is not None else []


def _files(folder: Path) -> Iterator[CacheEntry]:
    with suppress(OSError), os.scandir(folder) as found:
        for file in found:
            with suppress(OSError):  # another process may have removed it
                if file.name.endswith(SUFFIX) and file.is_file():
                    status = file.stat()
                    yield CacheEntry(status.st_mtime, status.st_size, Path(file.path))


def trim(folder: Path | None, limit: int) -> int:
    """Remove entries until the rest takes at most ``limit`` bytes; how many went.

    Programs that have loaded an entry keep running; one that is about to read it compiles again.
    """
    found = entries(folder)
    total = sum(entry.bytes for entry in found)
    gone = 0
    for entry in found:
        if total <= limit:
            break
        with suppress(OSError):
            entry.path.unlink()
            gone += 1
        total -= entry.bytes
    return gone


def note_use(path: Path) -> None:
    """Make an entry the youngest; that of somebody else stays as it is."""
    with suppress(OSError):
        os.utime(path)


def keep_below_limit(folder: Path, key: str) -> None:
    """After a new entry: remove old ones where all take more than NETS_CACHE_LIMIT, and what
    processes that were killed have left over."""
    limit = config.CACHE_LIMIT.get() * 10**6
    if int(key[:8], 16) % _STORES:
        return
    remove_left_over(folder)
    if not limit:
        return
    if sum(entry.bytes for entry in entries(folder)) > limit:
        trim(folder, int(limit * _KEPT))
