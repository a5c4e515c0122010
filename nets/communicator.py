"""Communicators: what carries bytes between the ranks of a job.

A job is one program on several ranks. All of them make the same transfers in the same order. The
communicator of a thread is the one it is ``within``, else that of the process, else ``Solo``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]


class Kind(IntEnum):
    """What a transfer does."""

    GATHER = 0
    """Each rank sends k bytes and receives those of all ranks, by rank."""
    EXCHANGE = 1
    """Two ranks that name each other swap their bytes."""
    BROADCAST = 2
    """All receive what one rank has."""


@dataclass(frozen=True)
class Transfer:
    """Bytes that go from rank to rank; ``peer`` is the other rank, or the one that broadcasts."""

    kind: Kind
    peer: int
    send: Bytes
    receive: Bytes


class Pending(Protocol):
    """A transfer under way."""

    def wait(self) -> None:
        """Return when it is done; then what was received is there, and what was sent is free."""


class Communicator(Protocol):
    """The ranks of a job, seen from one of them."""

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...
    def begin(self, transfer: Transfer) -> Pending: ...


class _Done:
    def wait(self) -> None:
        pass


class Solo:
    """Rank 0 of 1."""

    rank = 0
    size = 1

    def begin(self, transfer: Transfer) -> Pending:
        transfer.receive[...] = transfer.send
        return _Done()


_SOLO = Solo()
_process: list[Communicator] = []
_thread = threading.local()


def current() -> Communicator:
    """The communicator of this thread."""
    found: Communicator | None = getattr(_thread, "communicator", None)
    return found or (_process[-1] if _process else _SOLO)


def use(communicator: Communicator) -> None:
    """Let the process have this communicator."""
    _process[:] = [communicator]


@contextmanager
def within(communicator: Communicator) -> Iterator[None]:
    """Let this thread have this communicator for the length of the ``with`` block."""
    before = getattr(_thread, "communicator", None)
    _thread.communicator = communicator
    try:
        yield
    finally:
        _thread.communicator = before


def gather(values: Array) -> Array:
    """What each rank has, by rank: an array of shape [size, *shape]."""
    communicator = current()
    found = np.empty((communicator.size, *values.shape), values.dtype)
    _transfer(communicator, Kind.GATHER, communicator.rank, values, found)
    return found


def exchange(values: Array, peer: int) -> Array:
    """What the rank ``peer`` has, which names this one."""
    found = np.empty(values.shape, values.dtype)
    _transfer(current(), Kind.EXCHANGE, peer, values, found)
    return found


def broadcast(values: Array, root: int) -> Array:
    """What the rank ``root`` has."""
    found = np.empty(values.shape, values.dtype)
    _transfer(current(), Kind.BROADCAST, root, values, found)
    return found


def _transfer(by: Communicator, kind: Kind, peer: int, send: Array, receive: Array) -> None:
    by.begin(Transfer(kind, peer, _bytes_of(send), _bytes_of(receive))).wait()


def _bytes_of(array: Array) -> Bytes:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
