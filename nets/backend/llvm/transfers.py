"""Transfers: calls of the communicator, whose address stands behind those of all buffers.

It is a ``nets_communicator`` (``runtime/nets_runtime.h``): what to call it with, this rank, the
number of ranks, and the two functions that begin and finish a transfer. Where one of them gives
something else than 0 the call ends there.
"""

from __future__ import annotations

from typing import Final

from nets.backend.llvm.code import Code
from nets.backend.llvm.memory import buffer_base
from nets.communicator import Kind
from nets.ir.core import Operation
from nets.ir.types import BufferType
from nets.ops.loop.transfers import NO_TRANSFER

COMMUNICATOR: Final = "{ ptr, i32, i32, ptr, ptr }"
_RANK, _BEGIN, _FINISH = 1, 3, 4
_TRANSFER: Final = "{ i32, i32, i64, ptr, ptr }"
"""Kind, peer, bytes, send, receive."""


def emit_rank(code: Code, op: Operation) -> None:
    """loop.rank."""
    rank = _field(code, _communicator(code), _RANK, "i32")
    code.bind(op.result, code.value(f"sext i32 {rank} to i64", code.entry), 0)


def emit_begin(code: Code, op: Operation) -> None:
    """loop.transfer_begin: fill a structure on the stack, and call."""
    send, receive = op.operands
    type = send.type
    assert isinstance(type, BufferType)
    fields = (
        f"i32 {op.attributes['kind']}",
        f"i32 {_peer(code, op)}",
        f"i64 {code.size(type.elements * type.dtype.itemsize)}",
        f"ptr {buffer_base(code, send)}",
        f"ptr {buffer_base(code, receive)}",
    )
    place = code.value(f"alloca {_TRANSFER}, align 8", code.entry)
    for number, field in enumerate(fields):
        slot = code.value(f"getelementptr {_TRANSFER}, ptr {place}, i64 0, i32 {number}")
        code.line(f"store {field}, ptr {slot}")
    ticket = code.module.tickets[op]
    code.fence_streams()  # another thread reads what is sent
    _call(code, _BEGIN, f"i32 {ticket}, ptr {place}")
    code.bind(op.result, str(ticket), 0)


def emit_finish(code: Code, op: Operation) -> None:
    """loop.transfer_finish."""
    _call(code, _FINISH, f"i32 {code.name(op.operands[0])}")


def _peer(code: Code, op: Operation) -> str:
    """The number of the other rank."""
    peer = op.attributes["peer"]
    if op.attributes["kind"] != Kind.EXCHANGE:
        return str(peer)
    rank = _field(code, _communicator(code), _RANK, "i32")
    return code.value(f"xor i32 {rank}, {peer}", code.entry)


def _communicator(code: Code) -> str:
    """Its address."""
    slot = f"getelementptr ptr, ptr %buffers, i64 {code.module.communicator_slot}"
    return code.value(f"load ptr, ptr {code.value(slot, code.entry)}", code.entry)


def _field(code: Code, communicator: str, number: int, type: str) -> str:
    place = f"getelementptr {COMMUNICATOR}, ptr {communicator}, i64 0, i32 {number}"
    return code.value(f"load {type}, ptr {code.value(place, code.entry)}", code.entry)


def _call(code: Code, function: int, arguments: str) -> None:
    """Call a function of the communicator; where that fails, return."""
    communicator, number = _communicator(code), code.fresh()
    user = _field(code, communicator, 0, "ptr")
    callee = _field(code, communicator, function, "ptr")
    status = code.value(f"call i32 {callee}(ptr {user}, {arguments})")
    passed = code.value(f"icmp eq i32 {status}, 0")
    code.line(f"br i1 {passed}, label %goes.on{number}, label %stops{number}")
    code.start(f"stops{number}")
    code.line(f"ret i32 {NO_TRANSFER}")
    code.start(f"goes.on{number}")
