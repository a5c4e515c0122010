"""Simulated ranks: a job whose ranks are threads of this process, for tests and to learn with.

Everything goes through the same calls as between processes, and what MPI would answer with garbage
or not at all is an error here: other transfers than those of the other ranks, waiting for a rank
that has ended, what is sent changed before the transfer is over. What is received is filled when it
is waited for and not before, so that a program that does not wait shows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from nets import communicator
from nets.communicator import Bytes, Kind, Transfer, of_ranks
from nets.errors import ArgumentError, DisagreementError

R = TypeVar("R")


def run(function: Callable[[int], R], ranks: int) -> list[R]:
    """Call ``function(rank)`` in as many threads, each a rank of one job; the results, by rank.

    An exception in one rank ends the others at their next transfer, and is raised here.
    """
    if ranks < 1:
        raise ArgumentError(f"a job has one rank at least, not {ranks}")
    job: _Job[R] = _Job(ranks)
    threads = [
        threading.Thread(target=job.run, args=(function, rank), name=f"rank {rank}", daemon=True)
        for rank in range(ranks)
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as error:  # Ctrl-C
        job.fail(error)
        raise
    if job.error is not None:
        raise job.error
    return [job.results[rank] for rank in range(ranks)]


class _Ended(BaseException):
    """Another rank has failed: this one ends, and its own end is of no interest."""


@dataclass
class _Posted:
    """What one rank has to do with a transfer: what it is, and a copy of what it sends."""

    transfer: Transfer
    program: tuple[str, bytes]
    sent: Bytes

    @property
    def outline(self) -> tuple[Any, ...]:
        """What has to be the same on all ranks that take part."""
        kind = self.transfer.kind
        root = self.transfer.peer if kind is Kind.BROADCAST else None
        return self.program, kind, root, self.sent.size

    def describe(self) -> str:
        (name, _), kind, root, size = self.outline
        within = f" in {name}" if name else ""
        by = f" from rank {root}" if root is not None else ""
        article = "an" if kind is Kind.EXCHANGE else "a"
        return f"{article} {kind.name.lower()} of {size} bytes{by}{within}"


@dataclass
class _Job(Generic[R]):
    """What the ranks share. ``posted`` has, by number of the transfer, what each rank posted; an
    entry goes when all ranks have waited for it. All of it is guarded by ``changed``."""

    size: int
    changed: threading.Condition = field(default_factory=threading.Condition)
    posted: dict[int, dict[int, _Posted]] = field(default_factory=dict)
    waited: dict[int, int] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    results: dict[int, R] = field(default_factory=dict)
    error: BaseException | None = None

    def run(self, function: Callable[[int], R], rank: int) -> None:
        """All of the life of a rank."""
        try:
            with communicator.within(_Rank(self, rank)):
                self.results[rank] = function(rank)
        except _Ended:
            pass
        except BaseException as error:
            error.add_note(f"raised by rank {rank} of {self.size}")
            self.fail(error)
        finally:
            with self.changed:
                self.ended.add(rank)
                self.changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """The first error ends the job."""
        with self.changed:
            self.error = self.error or error
            self.changed.notify_all()

    def post(self, number: int, rank: int, posted: _Posted) -> None:
        with self.changed:
            if self.error is not None:
                raise _Ended
            self.posted.setdefault(number, {})[rank] = posted
            self.changed.notify_all()

    def awaited(self, number: int, rank: int) -> dict[int, _Posted]:
        """What the ranks have posted for a transfer, when all that ``rank`` needs is there."""
        needed = self.needed(self.posted[number][rank].transfer)
        with self.changed:
            self.changed.wait_for(lambda: self.is_ready(number, needed))
            if self.error is not None:
                raise _Ended
            posted = self.posted[number]
            self.check(rank, posted, needed)
            return posted

    def needed(self, transfer: Transfer) -> set[int]:
        if transfer.kind is Kind.GATHER:
            return set(range(self.size))
        return {transfer.peer}

    def is_ready(self, number: int, needed: set[int]) -> bool:
        missing = needed - self.posted[number].keys()
        return not missing or self.error is not None or bool(missing & self.ended)

    def check(self, rank: int, posted: dict[int, _Posted], needed: set[int]) -> None:
        mine = posted[rank]
        gone = sorted((needed - posted.keys()) & self.ended)
        if gone:
            raise DisagreementError(
                f"rank {rank} waits for {of_ranks(gone)} in {mine.describe()}, "
                f"and {of_ranks(gone)} ended before"
            )
        for other in sorted(needed):
            theirs = posted[other]
            crossed = mine.transfer.kind is Kind.EXCHANGE and theirs.transfer.peer != rank
            if theirs.outline != mine.outline or crossed:
                to = f" with rank {theirs.transfer.peer}" if crossed else ""
                raise DisagreementError(
                    f"the ranks of this job make different transfers: rank {rank} "
                    f"{mine.describe()}, rank {other} {theirs.describe()}{to}"
                )

    def leave(self, number: int) -> None:
        """A rank has what it needed of this transfer."""
        with self.changed:
            self.waited[number] = self.waited.get(number, 0) + 1
            if self.waited[number] == self.size:
                del self.posted[number], self.waited[number]


class _Rank:
    """The communicator of one rank."""

    def __init__(self, job: _Job[Any], rank: int) -> None:
        self._job = job
        self.rank, self.size = rank, job.size
        self._count = 0

    def begin(self, transfer: Transfer) -> _Waiting:
        if transfer.kind is not Kind.GATHER and not 0 <= transfer.peer < self.size:
            raise ArgumentError(f"there is no rank {transfer.peer} in a job of {self.size}")
        number = self._count
        self._count += 1
        posted = _Posted(transfer, communicator.program(), transfer.send.copy())
        transfer.receive[...] = 0xFF
        self._job.post(number, self.rank, posted)
        return _Waiting(self._job, self.rank, number, posted)


@dataclass(eq=False)
class _Waiting:
    """A transfer under way, for one rank."""

    job: _Job[Any]
    rank: int
    number: int
    mine: _Posted

    def wait(self) -> None:
        posted = self.job.awaited(self.number, self.rank)
        transfer = self.mine.transfer
        if not np.array_equal(transfer.send, self.mine.sent):
            raise DisagreementError(
                f"rank {self.rank} changed what it sends before {self.mine.describe()} was over"
            )
        if transfer.kind is Kind.GATHER:
            rows = transfer.receive.reshape(self.job.size, transfer.send.size)
            for rank, row in enumerate(rows):
                row[...] = posted[rank].sent
        else:
            transfer.receive[...] = posted[transfer.peer].sent
        self.job.leave(self.number)
