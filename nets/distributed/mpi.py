"""The communicator of a job of MPI.

Messages are sent and received without blocking; who waits for a transfer tests them, and gets on
with all others that are under way. While it waits it gives way, at once where ranks share CPUs,
else after a moment; signals interrupt it as they do Python.

A large transfer gets on while its rank computes: a thread tests it, as long as nobody waits.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

from nets import communicator
from nets.communicator import Kind, Transfer
from nets.distributed import steps
from nets.errors import ArgumentError, ForkError

AHEAD: Final = 1 << 18
"""Bytes to send from which on a transfer gets on by itself; what is smaller is over within 0.1 ms
between two ranks of a host, and MPI sends it ahead."""

_TAGS: Final = 1 << 20
"""Tags that transfers are told apart by; a library may have fewer."""

BUSY: Final = 4e-6
"""Seconds that a test takes when something came, or more; with nothing to do it takes less."""

_AWAKE: Final = 5e-3
"""Seconds of waiting after which a rank sleeps between two tests; before, it lets others run."""

_LATE: Final = 0.5
"""Seconds of waiting after which others may want to know."""


_yield: Final = getattr(os, "sched_yield", lambda: time.sleep(0))


@dataclass(eq=False, slots=True)
class UnderWay:
    """A transfer that has begun."""

    owner: Communicator
    number: int
    transfer: Transfer
    program: tuple[str, bytes]
    tag: int
    rest: steps.Messages
    messages: list[Any] = field(default_factory=list)
    is_over: bool = False
    error: BaseException | None = None

    def wait(self) -> None:
        if not self.is_over:
            self.owner.finish(self)
        if self.error is not None:
            raise self.error

    def advance(self) -> bool:
        """Go as far as it goes without waiting; whether it is over then."""
        try:
            while not self.is_over:
                while self.messages:
                    if not self.messages[-1].Test():
                        return False
                    self.messages.pop()
                self._next()
        except Exception as error:
            self.error, self.is_over = error, True
        return True

    def _next(self) -> None:
        following = next(self.rest, None)
        if following is None:
            self.is_over = True
        else:
            self.messages = following

    def pair(self) -> list[int]:
        """Of an exchange, the two ranks."""
        is_exchange = self.transfer.kind is Kind.EXCHANGE
        return sorted((self.owner.rank, self.transfer.peer)) if is_exchange else []

    def describe(self) -> str:
        name = self.program[0]
        kind = self.transfer.kind
        with_whom = {Kind.EXCHANGE: "with", Kind.BROADCAST: "from"}.get(kind)
        peer = f" {with_whom} rank {self.transfer.peer}" if with_whom else ""
        within = f" in {name}" if name else ""
        return (
            f"transfer {self.number} ({kind.name.lower()} of {self.transfer.send.size} bytes"
            f"{peer}{within})"
        )


@dataclass(frozen=True)
class Waiting:
    """What a rank waits for, and since when (``time.monotonic``)."""

    transfer: UnderWay
    since: float


class Communicator:
    """``MPI`` is the module ``mpi4py.MPI``; ``is_crowded``: ranks share CPUs."""

    def __init__(self, MPI: Any, is_crowded: bool) -> None:
        self._world = MPI.COMM_WORLD.Dup()
        self.rank: Final[int] = self._world.Get_rank()
        self.size: Final[int] = self._world.Get_size()
        self._steps = steps.World(self._world)
        self._tags = min(_TAGS, self._world.Get_attr(MPI.TAG_UB))
        self._spins = 2 if is_crowded else 300
        self._has_threads = MPI.Query_thread() == MPI.THREAD_MULTIPLE
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._active: list[UnderWay] = []
        self._helper: _Helper | None = None
        self._waiters = 0
        self.count = 0
        self.waiting: Waiting | None = None

    def begin(self, transfer: Transfer) -> UnderWay:
        self._check(transfer)
        program = communicator.program()
        tag = steps.tag(self.count, transfer, program[1], self._tags)
        rest = steps.Steps(self._steps, tag).of(transfer)
        begun = UnderWay(self, self.count, transfer, program, tag, rest)
        self.count += 1
        with self._lock:
            if begun.advance():
                return begun
            self._active.append(begun)
        if transfer.send.size >= AHEAD and self._has_threads:
            self._ask_for_help()
        return begun

    def _check(self, transfer: Transfer) -> None:
        if os.getpid() != self._process:
            raise ForkError("a forked process is no rank, and cannot send to any")
        if transfer.kind is not Kind.GATHER and not 0 <= transfer.peer < self.size:
            raise ArgumentError(f"there is no rank {transfer.peer} in a job of {self.size}")

    def advance(self) -> bool:
        """Get on with all that is under way; whether there is any."""
        with self._lock:
            self._active = [x for x in self._active if not x.advance()]
            return bool(self._active)

    def finish(self, begun: UnderWay) -> None:
        """Wait for a transfer."""
        turns, since = 0, time.monotonic()
        first = since
        self._waiters += 1
        try:
            while True:
                started = time.monotonic()
                self.advance()
                if begun.is_over:
                    return
                now = time.monotonic()
                if now > started + BUSY:
                    turns, since = 0, now
                turns += 1
                self._give_way(turns, now - since)
                if now > first + _LATE and self.waiting is None:
                    self.waiting = Waiting(begun, first)
        finally:
            self.waiting = None
            self._waiters -= 1

    def poke(self) -> None:
        """Let MPI get on with what it holds back: a message may count as sent and not have left."""
        if self._has_threads:
            self._world.Iprobe()

    def _give_way(self, turns: int, seconds: float) -> None:
        """After so many turns, and seconds, in which nothing came."""
        if turns < self._spins:
            return
        if seconds < _AWAKE:
            _yield()
        else:
            time.sleep(2e-5 if seconds < 10 * _AWAKE else 2e-4)

    def _ask_for_help(self) -> None:
        if self._helper is None:
            self._helper = _Helper(self)
        if not self._helper.wanted.is_set():
            self._helper.wanted.set()

    def help(self) -> bool:
        """Get on with what is under way, unless somebody waits and does so; whether to go on."""
        return not self._waiters and self.advance()

    def close(self) -> None:
        """No more transfers."""
        self._world.Free()


class _Helper(threading.Thread):
    """Gets on with transfers while their rank computes. It looks for some from the first large one
    on until there have been none for a while: to wake it for each would cost more."""

    PERIOD: Final = 1e-3
    """Seconds between two looks."""
    PATIENCE: Final = 500
    """Looks in vain until it sleeps."""
    BURST: Final = 32
    """Tests between two pauses."""

    def __init__(self, owner: Communicator) -> None:
        super().__init__(name="nets transfers", daemon=True)
        self._owner = owner
        self.wanted = threading.Event()
        self.start()

    def run(self) -> None:
        while True:
            self.wanted.wait()
            looks = 0
            while looks < self.PATIENCE:
                time.sleep(self.PERIOD)
                looks = 0 if self._help() else looks + 1
            self.wanted.clear()

    def _help(self) -> bool:
        """Test what is under way until it is over or somebody waits; whether there was any."""
        pause, bursts = 0.0, 0
        while True:
            started = time.perf_counter()
            if not all(self._owner.help() for _ in range(self.BURST)):
                return bursts > 0
            bursts += 1
            is_idle = time.perf_counter() - started < self.BURST * BUSY
            pause = min(2e-3, 2 * pause + 2e-5) if is_idle else 0.0
            time.sleep(pause)
