"""The object cache: compiled programs on disk, found by a hash of what they were made from.

An entry is one file, written aside and renamed, so that readers see all of it or nothing, whatever
processes write at the same time; a checksum in front refuses what is truncated or damaged. The
folder is private to the user: its files are run. Whatever is wrong with an entry or the folder, the
program is compiled again; a folder that cannot be used is said once.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, Final

from nets import config
from nets.errors import CacheWarning

_MAGIC: Final = b"netsobj1"
_DIGEST_BYTES: Final = 32
_SUFFIX: Final = ".nets-object"

Entry = tuple[dict[str, Any], bytes]
"""A manifest (JSON) and object code."""

_warned: set[str] = set()


def folder() -> Path | None:
    """The folder of the cache (it need not exist); None where the user has none."""
    chosen = config.CACHE_DIR.get() or os.environ.get("XDG_CACHE_HOME", "")
    if config.CACHE_DIR.get():
        return Path(chosen)
    if chosen:
        return Path(chosen) / "nets"
    try:
        return Path.home() / ".cache" / "nets"
    except RuntimeError:  # no home
        return None


def compiler_version() -> str:
    """The version of the code generator, found without loading it."""
    import llvmlite

    return str(llvmlite.__version__)


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
    if place is None or not config.CACHE.get():
        return None
    path = place / (key + _SUFFIX)
    try:
        with open(path, "rb") as file:
            if not _is_private(os.fstat(file.fileno())):
                _warn(f"{path} may be written by others, or is not yours; it is ignored")
                return None
            data = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        _warn(f"the object cache cannot be read: {error}")
        return None
    entry = _decode(data)
    _narrate("hit" if entry else "damaged entry, ignored", key)
    return entry


def store(key: str, manifest: dict[str, Any], code: bytes) -> None:
    """Keep an entry; a failure is a warning."""
    place = folder()
    if place is None or not config.CACHE.get():
        return
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(prefix=key[:16], suffix=".part", dir=place)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_encode(manifest, code))
            os.replace(aside, place / (key + _SUFFIX))
        except BaseException:
            os.unlink(aside)
            raise
    except OSError as error:
        _warn(f"the object cache cannot be written: {error}")
        return
    _narrate("stored", key)


def _is_private(status: os.stat_result) -> bool:
    """Whether the file is the user's and nobody else may write to it."""
    if not hasattr(os, "getuid"):
        return True
    mine = status.st_uid in (os.getuid(), 0)
    return mine and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _encode(manifest: dict[str, Any], code: bytes) -> bytes:
    text = json.dumps(manifest, sort_keys=True).encode()
    body = struct.pack("<Q", len(text)) + text + code
    return _MAGIC + hashlib.sha256(body).digest() + body


def _decode(data: bytes) -> Entry | None:
    start = len(_MAGIC) + _DIGEST_BYTES
    body = data[start:]
    if data[: len(_MAGIC)] != _MAGIC or hashlib.sha256(body).digest() != data[len(_MAGIC) : start]:
        return None
    (length,) = struct.unpack_from("<Q", body)
    manifest: dict[str, Any] = json.loads(body[8 : 8 + length])
    return manifest, body[8 + length :]


def _warn(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, CacheWarning, stacklevel=2)


def _narrate(what: str, key: str) -> None:
    if "cache" in config.LOG.get():
        print(f"nets cache: {what}: {key[:16]}", file=sys.stderr)
