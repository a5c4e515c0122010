"""Steps: transfers as messages between two ranks, which are all that is asked of MPI.

A transfer is a generator that posts messages and yields them; it goes on when they have arrived.
Each message carries a tag that is made of the transfer: what another rank sends for another
transfer does not fit and stays where it is, so that ranks that do not do the same wait and are
found, and no rank takes something for what it is not. All of it works for any number of ranks.

The algorithms are in R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of Collective
Communication Operations in MPICH", 2005: gathers by dissemination (J. Bruck et al., "Efficient
Algorithms for All-to-All Communications in Multiport Message-Passing Systems", 1997), in place;
broadcasts along a binomial tree, or, where they are large, of one block per rank, which are then
gathered.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final

from nets.communicator import Bytes, Kind, Transfer

LARGE = 1 << 16
"""Bytes from which on a broadcast is one of blocks that are gathered."""

LONGEST = 1 << 30
"""Bytes of a message; more are several. MPI counts to 2**31 - 1."""

Messages = Iterator[list[Any]]


def tag(number: int, transfer: Transfer, program: bytes, tags: int) -> int:
    """What all ranks that take part in a transfer compute alike, and those of another do not."""
    root = transfer.peer if transfer.kind is Kind.BROADCAST else -1
    outline = struct.pack("<qqqq", number, transfer.kind, root, transfer.send.size)
    return zlib.crc32(outline + program) % tags


class World:
    """What messages go through, as one rank sees it: ``world`` is a communicator of mpi4py."""

    def __init__(self, world: Any) -> None:
        self.rank: Final[int] = world.Get_rank()
        self.size: Final[int] = world.Get_size()
        self.send: Final = world.Isend
        self.receive: Final = world.Irecv


class Steps:
    """The steps of one transfer of one rank."""

    def __init__(self, world: World, tag: int) -> None:
        self._world = world
        self._tag = tag

    def of(self, transfer: Transfer) -> Messages:
        if transfer.kind is Kind.EXCHANGE:
            return self._exchange(transfer)
        return self._gather(transfer) if transfer.kind is Kind.GATHER else self._broadcast(transfer)

    def _receive(self, into: Bytes, peer: int) -> list[Any]:
        if into.size <= LONGEST:
            return [self._world.receive(into, peer, self._tag)]
        return [self._world.receive(x, peer, self._tag) for x in _pieces(into)]

    def _send(self, out: Bytes, peer: int) -> list[Any]:
        if out.size <= LONGEST:
            return [self._world.send(out, peer, self._tag)]
        return [self._world.send(x, peer, self._tag) for x in _pieces(out)]

    def _exchange(self, transfer: Transfer) -> Messages:
        received = self._receive(transfer.receive, transfer.peer)
        yield received + self._send(transfer.send, transfer.peer)

    def _gather(self, transfer: Transfer) -> Messages:
        size = transfer.send.size
        transfer.receive[self._world.rank * size : (self._world.rank + 1) * size] = transfer.send
        return self._spread(transfer.receive, size, 0)

    def _spread(self, whole: Bytes, size: int, first: int) -> Messages:
        """All ranks get all blocks of ``whole``, which are of ``size`` bytes but maybe the last.
        The rank ``first`` has the first, the next rank the next. In step i of about log2 n every
        rank has 2**i blocks, its own and those after it, and gets as many that follow."""
        me = (self._world.rank - first) % self._world.size
        distance = 1
        while distance < self._world.size:
            count = min(distance, self._world.size - distance)
            ahead, behind = me + distance, me - distance
            messages: list[Any] = []
            for block in _runs(whole, size, ahead % self._world.size, count, self._world.size):
                messages += self._receive(block, (ahead + first) % self._world.size)
            for block in _runs(whole, size, me, count, self._world.size):
                messages += self._send(block, (behind + first) % self._world.size)
            yield messages
            distance *= 2

    def _broadcast(self, transfer: Transfer) -> Messages:
        if self._world.rank == transfer.peer:
            transfer.receive[...] = transfer.send
        whole = transfer.receive
        if whole.size < LARGE or self._world.size == 2:
            yield from self._scatter(whole, 0, transfer.peer)
            return
        size = -(-whole.size // self._world.size)
        yield from self._scatter(whole, size, transfer.peer)
        yield from self._spread(whole, size, transfer.peer)

    def _scatter(self, whole: Bytes, size: int, root: int) -> Messages:
        """From the root along a binomial tree, to each rank the blocks of ``size`` bytes of those
        below it, counted from the root on; with no size everything."""
        me = (self._world.rank - root) % self._world.size
        below = me & -me or 1 << (self._world.size - 1).bit_length()

        def of(first: int, count: int) -> Bytes:
            return whole[first * size : (first + count) * size] if size else whole

        if me:
            yield self._receive(of(me, below), (me - below + root) % self._world.size)
        messages: list[Any] = []
        while below > 1:
            below //= 2
            if me + below < self._world.size:
                messages += self._send(
                    of(me + below, below), (me + below + root) % self._world.size
                )
        yield messages


def _pieces(whole: Bytes) -> list[Bytes]:
    return [whole[i : i + LONGEST] for i in range(0, whole.size, LONGEST)]


def _runs(whole: Bytes, size: int, first: int, count: int, blocks: int) -> list[Bytes]:
    """So many blocks from the first on, and on from the start: in one piece or in two."""
    straight = min(count, blocks - first)
    found = [whole[first * size : (first + straight) * size]]
    return found if straight == count else [*found, whole[: (count - straight) * size]]
