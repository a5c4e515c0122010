"""Communicators: how the ranks of a job hand bytes to each other, whatever carries them.

A job is one program that runs in ``size`` processes, or in as many threads that simulate them; each
is a *rank*, with a number from 0 on. All ranks make the same transfers in the same order. That is
all that programs know of each other: what is computed from what was received is up to them.

- ``GATHER``: every rank gets what all ranks send, by rank.
- ``EXCHANGE``: two ranks, which name each other as ``peer``, get what the other one sends.
- ``BROADCAST``: every rank gets what the rank ``peer`` sends.

Between ``begin`` and ``wait`` what is sent must not be changed and what is received must not be
looked at; the two do not overlap in memory.
"""

from __future__ import annotations

import hashlib
import threading
import time
import weakref
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from nets.errors import DisagreementError, UnsupportedObjectError

Array = np.ndarray[Any, Any]
Bytes = npt.NDArray[np.uint8]


class Kind(IntEnum):
    """What a transfer does. The numbers are part of the C interface of exported libraries."""

    GATHER = 0
    EXCHANGE = 1
    BROADCAST = 2


@dataclass(frozen=True, eq=False)
class Transfer:
    """One step of communication, as one rank sees it.

    ``send`` and ``receive`` are contiguous arrays of bytes, as many of each, but that a gather
    receives ``size`` times as many. ``peer`` counts for no gather.
    """

    kind: Kind
    peer: int
    send: Bytes
    receive: Bytes


class Pending(Protocol):
    """A transfer under way."""

    def wait(self) -> None:
        """Return when what was to be received is there."""


class Communicator(Protocol):
    """What carries the transfers of a job, for one of its ranks."""

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...
    def begin(self, transfer: Transfer) -> Pending:
        """Start a transfer, or make it. Every rank begins them in the same order."""


class Done:
    """A transfer that is over."""

    def wait(self) -> None:
        pass


DONE: Final = Done()


class Solo:
    """The only rank of a job: it gets what it sends."""

    rank: Final = 0
    size: Final = 1

    def begin(self, transfer: Transfer) -> Pending:
        transfer.receive[...] = transfer.send
        return DONE


class _OfThread(threading.local):
    """What belongs to a thread: its communicator, and the program whose transfers it makes."""

    communicator: Communicator | None = None
    program: tuple[str, bytes] = ("", b"")


_mine: Final = _OfThread()
_solo: Final = Solo()
_of_process: Communicator = _solo


def current() -> Communicator:
    """The communicator of this thread, else that of the process, else a ``Solo``."""
    return _of_process if _mine.communicator is None else _mine.communicator


def use(communicator: Communicator | None) -> None:
    """Make it the communicator of the process; None: the process is alone."""
    global _of_process
    _of_process = _solo if communicator is None else communicator


@contextmanager
def within(communicator: Communicator) -> Iterator[None]:
    """It is the communicator of this thread for the length of the ``with`` block."""
    before = _mine.communicator
    _mine.communicator = communicator
    try:
        yield
    finally:
        _mine.communicator = before


def of_thread() -> Communicator | None:
    """What ``within`` set in this thread."""
    return _mine.communicator


def gather(values: npt.ArrayLike) -> Array:
    """The values of all ranks: an array of (size, *shape), the same on every rank.

    Every rank gives an array of the same shape and dtype.
    """
    sent = _sendable(values)
    received = np.empty((current().size, *sent.shape), sent.dtype)
    return _made(Kind.GATHER, -1, sent, received)


def exchange(values: npt.ArrayLike, peer: int) -> Array:
    """The values of the rank ``peer``, which calls this with the number of this rank."""
    sent = _sendable(values)
    return _made(Kind.EXCHANGE, peer, sent, np.empty_like(sent, order="C"))


def broadcast(values: npt.ArrayLike, root: int = 0) -> Array:
    """The values of the rank ``root``. The others give an array of the same shape and dtype."""
    sent = _sendable(values)
    return _made(Kind.BROADCAST, root, sent, np.empty_like(sent, order="C"))


def barrier() -> None:
    """Return when every rank has called this."""
    gather(np.empty(0, np.uint8))


def _sendable(values: npt.ArrayLike) -> Array:
    found = np.asarray(values, order="C")
    if found.dtype.hasobject:
        raise UnsupportedObjectError(f"elements of {found.dtype} cannot be sent to other ranks")
    return found


def _made(kind: Kind, peer: int, sent: Array, received: Array) -> Array:
    current().begin(Transfer(kind, peer, as_bytes(sent), as_bytes(received))).wait()
    return received


def as_bytes(values: Array) -> Bytes:
    """The bytes of a contiguous array, in place."""
    return values.reshape(-1).view(np.uint8)


_agreed: Final[MutableMapping[Communicator, set[bytes]]] = weakref.WeakKeyDictionary()
"""The digests of programs that all ranks have, by communicator."""


def agree(name: str, digest: bytes, description: str) -> None:
    """Say which program the next transfers belong to: every rank calls this before each run of it.

    The first time the ranks compare their digests. ``description`` is a text of lines that tells
    what the digest was made of: shapes, the number of shards, the program; of two that differ the
    first lines that do are shown.

    DisagreementError, on every rank, where they differ.
    """
    communicator = current()
    if communicator.size > 1:
        known = _agreed.setdefault(communicator, set())
        if digest not in known:
            _compare(digest, f"{name}\n{description}")
            known.add(digest)
    _mine.program = (name, digest)


_TOLD: Final = 3
"""Lines that are shown of what differs."""


def _compare(digest: bytes, text: str) -> None:
    """DisagreementError where the ranks differ."""
    _mine.program = ("the comparison of programs", b"")
    hashed = hashlib.sha256(digest).digest()  # of one length, whatever it is made of
    digests = [bytes(row) for row in gather(np.frombuffer(hashed, np.uint8))]
    if len(set(digests)) > 1:
        raise DisagreementError(_difference(digests, _texts(text)))


def program() -> tuple[str, bytes]:
    """The name and the digest of the program that ``agree`` was last told of in this thread."""
    return _mine.program


def _texts(mine: str) -> list[str]:
    """The texts of all ranks."""
    encoded = mine.encode()
    lengths = gather(np.int64(len(encoded)))
    padded = np.zeros(int(lengths.max()), np.uint8)
    padded[: len(encoded)] = np.frombuffer(encoded, np.uint8)
    rows = gather(padded)
    return [row[:n].tobytes().decode() for row, n in zip(rows, lengths.tolist(), strict=True)]


def _difference(digests: list[bytes], texts: list[str]) -> str:
    """Which ranks differ from most others, and in what."""
    usual = max(digests, key=digests.count)  # of as many, that of the lowest rank
    same = [rank for rank, digest in enumerate(digests) if digest == usual]
    others = [rank for rank, digest in enumerate(digests) if digest != usual]
    model = texts[same[0]]
    told = [(same, _differences(model, texts[others[0]]))]
    told += [([rank], _differences(texts[rank], model)) for rank in others]
    return "\n".join(
        (
            "the ranks of this job run different programs, or the same with other sizes; "
            f"{of_ranks(others)} {'differs' if len(others) == 1 else 'differ'} from the others:",
            *(f"  {of_ranks(ranks)}: {lines}" for ranks, lines in told),
        )
    )


def of_ranks(ranks: list[int]) -> str:
    """ "rank 3", "ranks 1 and 2", "ranks 0, 1 and 5"."""
    *most, last = map(str, ranks)
    return f"ranks {', '.join(most)} and {last}" if most else f"rank {last}"


def _differences(text: str, other: str) -> str:
    """The first lines of the text that the other one does not have there."""
    theirs = other.splitlines()
    found = [
        line.strip()
        for i, line in enumerate(text.splitlines())
        if line.strip() and theirs[i : i + 1] != [line]
    ]
    return "; ".join(found[:_TOLD]) if found else "nothing more"


# ------------------------------------------------------------------- what takes long


@dataclass
class _Patience:
    """What the process is known to be busy with, and until when; and when it last ended to be."""

    reasons: dict[object, tuple[str, float]]
    ended: float = 0.0


_patience: Final = _Patience({})

LONGEST: Final = 600.0
"""Seconds that what nets itself does may keep other ranks waiting."""


@contextmanager
def busy(what: str, seconds: float = LONGEST) -> Iterator[None]:
    """The other ranks may wait for this one as long as that, and are not ended for it."""
    mine = object()
    _patience.reasons[mine] = (what, time.monotonic() + seconds)
    try:
        yield
    finally:
        del _patience.reasons[mine]
        _patience.ended = time.monotonic()


def patience() -> tuple[str, float, float]:
    """What this process is busy with, if anything, how many seconds it may go on with that, and how
    many have passed since it last ended."""
    now = time.monotonic()
    what, until = max(list(_patience.reasons.values()), key=lambda x: x[1], default=("", now))
    return what, max(0.0, until - now), now - _patience.ended
