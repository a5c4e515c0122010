"""Containment: LLVM, which ends the process where it gets no memory, under a limit on memory.

Where the process may take little more (``ulimit -v``) LLVM works in a forked child, which comes to
its end in place of the process; what is left is a MemoryError. So nothing is refused that would
fit. Where there is no such limit, or much below it, this costs one question to the system.
"""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from nets.errors import CompileError

try:
    import resource as _found
except ImportError:  # a system that has no limits of this kind
    _found = None  # type: ignore[assignment]
_resource: Any = _found

_LIMITS: Final = (("RLIMIT_AS", 0), ("RLIMIT_DATA", 5))
"""The limits, and the column of /proc/self/statm that counts against each, in pages."""

_BASE: Final = 32 << 20
_PER_CHARACTER: Final = 200
"""Bytes that LLVM certainly does with: a few MB, and of a long text 11 to 60, of a short one up to
150 bytes per character were seen."""

_LOADED: Final = 256 << 20
"""Bytes that the library certainly is loaded in; its file has 180 MB."""

_LEAST: Final = 8 << 20
"""Bytes that Python needs for the simplest program."""

_NO_MEMORY: Final = "no memory to compile in, below the limit of this process"

_DONE, _REFUSED = b"\0", b"\1"


def head_room() -> int | None:
    """Bytes that the process may still take; None where nothing but the machine limits it."""
    if _resource is None:
        return None
    no_limit = _resource.RLIM_INFINITY
    known = [(getattr(_resource, name, None), column) for name, column in _LIMITS]
    limits = [(int(_resource.getrlimit(x)[0]), column) for x, column in known if x is not None]
    if all(limit == no_limit for limit, _ in limits):
        return None
    try:
        with open("/proc/self/statm", "rb") as file:
            page: int = _resource.getpagesize()
            used = [int(pages) * page for pages in file.read().split()]
    except (OSError, ValueError):  # a system that does not tell
        return None
    rooms = [limit - used[i] for limit, i in limits if limit != no_limit]
    return max(0, min(rooms))


def is_short_of(needed: int) -> bool:
    """May the process take less than this?"""
    room = head_room()
    return room is not None and room < needed


@contextmanager
def refused_below_limit() -> Iterator[None]:
    """MemoryError where the process is next to its limit, before or after what is done meanwhile.

    So close to it Python itself fails in any way; the system may even end it, for the stack counts
    against the limit as well.
    """
    if is_short_of(_LEAST):
        raise MemoryError(_NO_MEMORY)
    try:
        yield
    except (SystemError, ImportError, OSError, CompileError) as error:
        if is_short_of(_LEAST):
            raise MemoryError(_NO_MEMORY) from error
        raise


def contained(work: Callable[[], bytes], characters: int) -> bytes:
    """What ``work`` gives, which has LLVM compile a text of so many characters.

    MemoryError where there is not enough; CompileError passes through.
    """
    if not is_short_of(_BASE + _PER_CHARACTER * characters):
        return work()
    return _in_child(work)


def try_to_load(load: Callable[[], None]) -> None:
    """Call what loads LLVM; MemoryError where a child comes to no good end with it, or next to its
    limit."""

    def loaded() -> bytes:
        load()
        if is_short_of(_LEAST):
            raise MemoryError
        return b""

    if is_short_of(_LOADED):
        _in_child(loaded)
    load()


def _in_child(work: Callable[[], bytes]) -> bytes:
    """What ``work`` gives in a forked child."""
    try:
        source, target = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
            child = os.fork()
    except OSError as error:
        raise MemoryError(f"no memory to compile in: {error.strerror}") from None
    if child == 0:
        _work_in_child(work, target)
    os.close(target)
    try:
        with os.fdopen(source, "rb") as file:
            kind, result = file.read(1), file.read()
    except BaseException:  # Ctrl-C
        with suppress(OSError):
            os.kill(child, signal.SIGKILL)
        raise
    finally:
        with suppress(ChildProcessError):  # a process that does not hear of its children
            os.waitpid(child, 0)
    size, data = int.from_bytes(result[:8], "little"), result[8:]
    if len(data) != size or kind not in (_DONE, _REFUSED):
        raise MemoryError(_NO_MEMORY)
    if kind == _REFUSED:
        raise CompileError(data.decode())
    return data


def _work_in_child(work: Callable[[], bytes], target: int) -> None:
    """Write what ``work`` gives, and end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # LLVM tells of its end there
        _resource.setrlimit(_resource.RLIMIT_CORE, (0, 0))
        try:
            kind, data = _DONE, work()
        except CompileError as error:
            kind, data = _REFUSED, error.message.encode()
        with os.fdopen(target, "wb") as file:
            file.write(kind + len(data).to_bytes(8, "little"))
            file.write(data)
    finally:
        os._exit(0)
