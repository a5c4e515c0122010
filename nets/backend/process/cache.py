"""The object cache: compiled programs on disk, found by a hash of what they were made from.

An entry is one file, written aside and renamed, so that readers see all of it or nothing, whatever
processes write at the same time. In front stands a checksum of the key and of what follows: an
entry that is truncated, damaged or renamed is refused. The checksum keeps nobody out who may write
to the files, which will be run; so only files are read that nobody else may write to.

Whatever is wrong with an entry or the folder, the program is compiled again, and a warning says
why, once per cause.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import stat
import struct
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from nets import config
from nets.backend.process.cache_size import SUFFIX, keep_below_limit, note_use
from nets.errors import CacheWarning
from nets.files import open_regular, replacing

_MAGIC: Final = b"netsobj2"
_DIGEST_BYTES: Final = 32
_MOST_BYTES: Final = 1 << 30
"""Entries larger than this are not ours."""

_PACKAGE: Final = Path(config.__file__).parent
_COMPILER: Final = ("ir", "machine", "ops", "passes", "backend", "compiler")
"""The packages that decide what code a traced program becomes."""

Entry = tuple[Any, bytes]
"""A manifest (what JSON can say) and object code."""

_warned: set[str] = set()


def folder() -> Path | None:
    """The folder of the cache (it need not exist); None where the user has none."""
    chosen = config.CACHE_DIR.get()
    if chosen:
        return Path(chosen)
    shared = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(shared):  # by the XDG specification others count as not set
        return Path(shared) / "nets"
    try:
        return Path.home() / ".cache" / "nets"
    except RuntimeError:  # no home
        return None


def is_on() -> bool:
    """Whether entries are read and written at all."""
    return bool(config.CACHE.get()) and folder() is not None


@functools.cache
def compiler_version() -> str:
    """A text that differs between versions of the code generator and of nets' own compiler.

    Found without loading either. Of nets the state of the source files counts, so that who works
    on a pass never runs code of the pass as it was.
    """
    import llvmlite

    digest = hashlib.sha256()
    for name in _COMPILER:
        for path, status in sorted(_files(str(_PACKAGE / name))):
            digest.update(f"{path}:{status.st_size}:{status.st_mtime_ns};".encode())
    return f"llvmlite {llvmlite.__version__}, {digest.hexdigest()}"


def _files(root: str) -> Iterator[tuple[str, os.stat_result]]:
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = os.path.join(place, name)
            yield os.path.relpath(path, root), os.stat(path)


def key_of(*parts: str) -> str:
    """A name for what these texts describe."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(struct.pack("<Q", len(data)))
        digest.update(data)
    return digest.hexdigest()


def load(key: str) -> Entry | None:
    """The entry of that key; None where there is none that can be trusted."""
    place = folder()
    if place is None:
        return None
    try:
        with open_regular(place / (key + SUFFIX)) as file:
            status = os.fstat(file.fileno())
            private = _is_private(status)
            data = file.read() if private and status.st_size <= _MOST_BYTES else b""
    except FileNotFoundError:
        return None
    except OSError as error:
        _warn(f"the object cache in {place} cannot be read: {error.strerror}")
        return None
    if not private:
        _warn(f"entries in {place} belong to or may be written by others; they are ignored")
        return None
    entry = _decode(key, data)
    if entry is None:
        refuse(key, "it is damaged")
    else:
        _narrate("hit", key)
        note_use(place / (key + SUFFIX))
    return entry


def refuse(key: str, why: str) -> None:
    """Say that an entry is not used."""
    _narrate(f"refused ({why})", key)
    _warn(f"an entry of the object cache in {folder()} is not used: {why}; compiling again")


def store(key: str, manifest: Any, code: bytes) -> None:
    """Keep an entry; a failure is a warning."""
    place = folder()
    if place is None:
        return
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(place / (key + SUFFIX), durably=False) as file:
            file.write(_encode(key, manifest, code))
    except OSError as error:
        _warn(f"the object cache in {place} cannot be written: {error.strerror}")
        return
    _narrate("stored", key)
    keep_below_limit(place, key)


def _is_private(status: os.stat_result) -> bool:
    """Whether the file is the user's and nobody else may write to it."""
    if not hasattr(os, "getuid"):
        return True
    mine = status.st_uid in (os.getuid(), 0)
    return mine and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _encode(key: str, manifest: Any, code: bytes) -> bytes:
    text = json.dumps(manifest, sort_keys=True).encode()
    body = struct.pack("<Q", len(text)) + text + code
    return _MAGIC + _checksum(key, body) + body


def _decode(key: str, data: bytes) -> Entry | None:
    start = len(_MAGIC) + _DIGEST_BYTES
    body = data[start:]
    if data[:start] != _MAGIC + _checksum(key, body):
        return None
    try:
        (length,) = struct.unpack_from("<Q", body)
        return json.loads(body[8 : 8 + length]), body[8 + length :]
    except (struct.error, ValueError, RecursionError):
        return None


def _checksum(key: str, body: bytes) -> bytes:
    return hashlib.sha256(key.encode() + body).digest()


def _warn(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, CacheWarning, stacklevel=3)


def _narrate(what: str, key: str) -> None:
    if "cache" in config.LOG.get():
        print(f"nets cache: {what}: {key[:16]}", file=sys.stderr)
