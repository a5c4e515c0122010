"""Transfers of compiled code: from its calls in C to the communicator of the thread.

An exception cannot pass through compiled code: it waits in its thread for the end of the call, to
which the code goes at once. What is under way then may still be written to, and nobody knows how
long; so the memory that the call had is kept, and not used again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import numpy as np

from nets import communicator
from nets.backend.printing import keep
from nets.communicator import DONE, Bytes, Communicator, Kind, Pending, Solo, Transfer
from nets.errors import CompileError
from nets.ops.collective.ranks import check_size
from nets.ops.loop.transfers import NO_TRANSFER

_kept: Final[list[object]] = []
"""Memory that transfers may still write to after their call has failed."""


@dataclass(frozen=True)
class Carrier:
    """How compiled code reaches Python: the type of the structure it is given, and the functions in
    there; ``solo`` is the structure of the only rank of a job, where C has one."""

    ffi: Any
    structure: Any
    begin: Any
    finish: Any
    solo: SoloJob | None = None

    def job(self, ranks: int) -> Job | SoloJob:
        """The ranks of this thread. ArgumentError where there is another number of them than the
        code is for, which is 0 for any."""
        if ranks:
            check_size(ranks)
        by = communicator.current()
        return self.solo if self.solo is not None and isinstance(by, Solo) else Job(self, by)

    def told(self, ranks: int) -> Job | int:
        """The same for the extension ``nets._dispatch``: an address, where C does all by itself."""
        job = self.job(ranks)
        return job.number if isinstance(job, SoloJob) else job


class SoloJob:
    """The only rank of a job, whose transfers C makes by itself."""

    def __init__(self, ffi: Any, address: Any) -> None:
        self.address = address
        self.number = int(ffi.cast("uintptr_t", address))

    def leave(self, *memory: object) -> bool:
        """The call is over, and nothing is under way."""
        return True


class Job:
    """The ranks that a call communicates with, as compiled code sees them."""

    def __init__(self, carrier: Carrier, by: Communicator) -> None:
        self._ffi = ffi = carrier.ffi
        self._by = by
        self._pending: dict[int, Pending] = {}
        self._handle = ffi.new_handle(self)
        fields = [self._handle, by.rank, by.size, carrier.begin, carrier.finish]
        self.address = ffi.new(carrier.structure, fields)
        self.number = int(ffi.cast("uintptr_t", self.address))

    def begin(self, ticket: int, transfer: Any) -> None:
        """Begin a ``nets_transfer``."""
        kind, size = Kind(transfer.kind), transfer.bytes
        received = size * (self._by.size if kind is Kind.GATHER else 1)
        send, receive = self._bytes(transfer.send, size), self._bytes(transfer.receive, received)
        self._pending[ticket] = DONE  # from here on something may be under way
        self._pending[ticket] = self._by.begin(Transfer(kind, transfer.peer, send, receive))

    def finish(self, ticket: int) -> None:
        """Wait for it."""
        if ticket not in self._pending:
            raise CompileError(f"no transfer began with ticket {ticket}")
        self._pending[ticket].wait()
        del self._pending[ticket]

    def _bytes(self, place: Any, size: int) -> Bytes:
        """Memory of compiled code, in place."""
        if not size:
            return np.empty(0, np.uint8)
        return np.frombuffer(self._ffi.buffer(place, size), np.uint8)

    def leave(self, *memory: object) -> bool:
        """The call is over. Whether nothing is under way any more; else its memory is kept."""
        if self._pending:
            _kept.append((self, memory))
        return not self._pending


def callbacks(ffi: Any) -> tuple[Callable[..., int], Callable[..., int]]:
    """What C calls to begin and to finish a transfer of the ``Job`` that it hands over."""

    def begin(user: object, ticket: int, transfer: object) -> int:
        ffi.from_handle(user).begin(ticket, transfer)
        return 0

    def finish(user: object, ticket: int) -> int:
        ffi.from_handle(user).finish(ticket)
        return 0

    return begin, finish


def failed(kind: type, error: BaseException, trace: TracebackType) -> None:
    """Let the error of a callback, which gives ``NO_TRANSFER`` then, wait for the end."""
    keep(error)


def foreign_carrier(ffi: Any, library: str) -> Carrier:
    """That of a library which was loaded with this interface."""
    transfer, structure = f"const {library}_transfer *", f"{library}_communicator *"
    begin, finish = callbacks(ffi)
    return Carrier(
        ffi,
        structure,
        ffi.callback(f"int32_t(void *, int32_t, {transfer})", begin, NO_TRANSFER, failed),
        ffi.callback("int32_t(void *, int32_t)", finish, NO_TRANSFER, failed),
    )
