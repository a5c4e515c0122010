"""Communicators: what a caller hands to functions of a library that talk to other ranks.

One is a structure of the caller's (``TYPES``), and a parameter before the workspace. Compiled code
calls it (``backend/llvm/transfers.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nets.backend.llvm.transfers import COMMUNICATOR
from nets.ops.loop.transfers import NO_TRANSFER

OTHER_RANKS: Final = -9
"""The status of a call with a communicator of another number of ranks."""

COMMUNICATOR_MESSAGES: Final = {
    NO_TRANSFER: "a transfer between ranks failed",
    OTHER_RANKS: "the function is for another number of ranks than the communicator has",
}

TYPES: Final = """\
typedef struct {name}_transfer {{
    int32_t kind;
    int32_t peer;
    int64_t bytes;
    const void *send;
    void *receive;
}} {name}_transfer;
typedef struct {name}_communicator {{
    void *user;
    int32_t rank;
    int32_t size;
    int32_t (*begin)(void *user, int32_t ticket, const {name}_transfer *transfer);
    int32_t (*finish)(void *user, int32_t ticket);
}} {name}_communicator;
"""
"""The types of C, for a library of that name."""


def stored_communicator(slot: int) -> str:
    """Code that puts its address behind those of the buffers."""
    return (
        f"  %communicator.place = getelementptr ptr, ptr %buffers, i64 {slot}\n"
        "  store volatile ptr %communicator, ptr %communicator.place"
    )


def check_ranks(ranks: Sequence[int]) -> str:
    """Code that returns a status where the communicator has another number of ranks, or goes on in
    the block ``ranked``; nothing where any number will do."""
    if not any(ranks):
        return ""
    (count,) = ranks
    return f"""
  %ranks.place = getelementptr {COMMUNICATOR}, ptr %communicator, i64 0, i32 2
  %ranks = load i32, ptr %ranks.place
  %ranks.fit = icmp eq i32 %ranks, {count}
  br i1 %ranks.fit, label %ranked, label %other.ranks
other.ranks:
  ret i32 {OTHER_RANKS}
ranked:"""


def communicator_text(name: str) -> str:
    """What a header says of communicators."""
    return f"""\
/* What goes to other ranks: `bytes` from `send`, as many to `receive`. kind 0, gather: `receive`
 * takes the bytes of all ranks, by rank. kind 1, exchange: with the rank `peer`, whose own `peer`
 * is this rank. kind 2, broadcast: all receive what the rank `peer` sends.
 *
 * A communicator is the caller's: `size` ranks, of which this one is `rank`. `begin` starts a
 * transfer, or makes it; `finish` returns when the one that began with that ticket is over. What is
 * sent and received stays where it is until then; the structure is there for the length of `begin`.
 * Both get `user`, are called on the calling thread, and return 0 or, to end the call there,
 * anything else. All ranks begin the same transfers in the same order.
 *
 * The status is {NO_TRANSFER} where the call ended like that; results are undefined then. It is
 * {OTHER_RANKS}, and nothing was done, where `size` is not what the function is for. */
{TYPES.format(name=name)}
"""
