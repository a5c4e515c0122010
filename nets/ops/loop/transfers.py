"""Transfers: what goes between the ranks of a job, through the communicator of the call."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from typing import Final

from nets.communicator import Kind
from nets.errors import VerifyError
from nets.ir.core import Operation, Trait
from nets.ir.types import BufferType, ScalarType, Type, i64, index
from nets.ops.definition.registry import structural
from nets.ops.loop.register_types import listed

BEGIN: Final = "loop.transfer_begin"
FINISH: Final = "loop.transfer_finish"

NO_TRANSFER: Final = -7
"""The status of a call that ends since a transfer has failed: NETS_NO_TRANSFER of the runtime."""


@structural("loop.rank", Trait.PURE)
class Rank:
    """The number of this rank, the same through a call."""

    operands = ()

    def infer() -> Type:
        return ScalarType(i64)


@structural(BEGIN, attributes=("kind", "ranks", "peer"))
class TransferBegin:
    """Begins a transfer of a job of so many ranks; the result is the ticket to finish it with.

    ``kind`` is the number of a ``Kind``. ``peer``: of an exchange, this rank exclusive or that of
    the other one; of a broadcast, the rank that all receive from; else 0. Transfers begin in the
    order of the program, in no parallel loop. Until the finish nothing writes to ``send``, and
    nothing but the transfer reads or writes ``receive``.
    """

    operands = ("send", "receive")

    def infer(send: Type, receive: Type, *, kind: int, ranks: int, peer: int) -> Type:
        if not isinstance(send, BufferType) or not isinstance(receive, BufferType):
            raise VerifyError(f"{BEGIN} needs buffers, not {listed((send, receive))}")
        if kind not in tuple(Kind):
            raise VerifyError(f"{BEGIN} knows no kind {kind}")
        times = ranks if kind == Kind.GATHER else 1
        if send.dtype != receive.dtype or send.elements * times != receive.elements:
            raise VerifyError(f"{BEGIN} among {ranks} ranks from {send} to {receive}")
        return ScalarType(index)


@structural(FINISH)
class TransferFinish:
    """Waits until the transfer with that ticket is over, which stands before in the same block."""

    operands = ("ticket", "send", "receive")

    def infer(ticket: Type, send: Type, receive: Type) -> tuple[Type, ...]:
        if ticket != ScalarType(index) or not all(
            isinstance(buffer, BufferType) for buffer in (send, receive)
        ):
            raise VerifyError(f"{FINISH} needs a ticket and buffers")
        return ()


def has_transfers(op: Operation) -> bool:
    """Is it, or does it hold, part of a transfer?"""
    return is_transfer(op) or any(map(is_transfer, op.walk_regions()))


def is_transfer(op: Operation) -> bool:
    """Whether the operation talks to the communicator."""
    return op.name in (BEGIN, FINISH)
