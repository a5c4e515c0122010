"""Transfers of compiled code: from its calls in C to the communicator of the thread.

An exception cannot pass through compiled code: it waits in its thread for the end of the call, to
which the code goes at once. What is under way then may still be written to, and nobody knows how
long; so the memory that the call had is kept, and not used again.
"""

from __future__ import annotations

import functools
from types import TracebackType
from typing import Any, Final

import numpy as np

from nets import communicator
from nets.backend.printing import keep
from nets.communicator import Bytes, Communicator, Kind, Pending, Solo, Transfer
from nets.errors import CompileError
from nets.ops.collective.ranks import check_size

_kept: Final[list[object]] = []
"""Memory that transfers may still write to after their call has failed."""


class Job:
    """The ranks that a call communicates with, as compiled code sees them."""

    def __init__(self, ffi: Any, lib: Any, ranks: int) -> None:
        """Of the communicator of this thread. ArgumentError where it has another number of ranks
        than the code is for, which is 0 for any."""
        if ranks:
            check_size(ranks)
        self._ffi = ffi
        self._by: Communicator = communicator.current()
        self._pending: dict[int, Pending] = {}
        if isinstance(self._by, Solo):
            self.address = ffi.cast("nets_communicator *", lib.nets_solo())
            return
        _carry_in_python(ffi, lib)
        self._handle = ffi.new_handle(self)
        functions = lib.nets_transfer_begin, lib.nets_transfer_finish
        fields = [self._handle, self._by.rank, self._by.size, *functions]
        self.address = ffi.new("nets_communicator *", fields)

    def begin(self, ticket: int, transfer: Any) -> None:
        """Begin a ``nets_transfer``."""
        kind, size, peer = Kind(transfer.kind), transfer.bytes, transfer.peer
        times = self._by.size if kind is Kind.GATHER else 1
        send, receive = (
            self._bytes(transfer.send, size),
            self._bytes(transfer.receive, times * size),
        )
        self._pending[ticket] = self._by.begin(Transfer(kind, peer, send, receive))

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


@functools.cache
def _carry_in_python(ffi: Any, lib: Any) -> None:
    """Let compiled code call ``Job``. The GIL is taken for the length of each call."""

    def failed(kind: type, error: BaseException, trace: TracebackType) -> None:
        keep(error)

    @ffi.def_extern(  # type: ignore[untyped-decorator]
        name="nets_python_begin", error=lib.NETS_NO_TRANSFER, onerror=failed
    )
    def begin(user: object, ticket: int, transfer: object) -> int:
        ffi.from_handle(user).begin(ticket, transfer)
        return 0

    @ffi.def_extern(  # type: ignore[untyped-decorator]
        name="nets_python_finish", error=lib.NETS_NO_TRANSFER, onerror=failed
    )
    def finish(user: object, ticket: int) -> int:
        ffi.from_handle(user).finish(ticket)
        return 0

    lib.nets_set_carrier(lib.nets_python_begin, lib.nets_python_finish)
