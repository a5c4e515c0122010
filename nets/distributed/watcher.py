"""The watch over a job: a process of its own that every rank tells how it is.

It notices ranks that raise, die or hang, says so in one sentence, and ends the job. It is a
process, not a thread of a rank, for a launcher that sees a rank die kills the others in no time,
before they could say which one it was; and it does not wait for any rank's Python.

It is started as a script, without nets and without what is installed. Ranks connect by TCP, show a
token that only the ranks know, and send lines of JSON:

- ``hello``: rank, host, process, and ``home``, which tells whether that host is this one.
- ``waiting``: for which transfer, for how long, at which line; ``null`` when it goes on.
- ``at``: the answer to ``ask``: the line, and whether it is busy with what is known to take long.
- ``error``: what a rank raised; ``interrupted``: it was Ctrl-C.
- ``bye``: the rank has come to its end, with this exit code, after so many transfers.

It sends ``ask``; ``end``, with the exit code that the job is to have; ``over``, when all have said
bye.
"""

from __future__ import annotations

import hmac
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]

ANSWER = 1.0
"""Seconds that a rank has for an answer."""

DEATH = 0.4
"""Seconds that a launcher has for ending a job in which a rank has died, before it is done here."""

SECONDARY = 0.3
"""Seconds until an error is told that comes of the failure of another rank, most likely."""

ABORT, LEAVE, KILL, GIVE_UP = 0.0, 1.0, 2.0, 4.0
"""Seconds after a failure: one rank aborts, all leave, those of this host are killed, enough."""


@dataclass
class Rank:
    """What is known of a rank. Times are those of the watch's clock."""

    number: int
    host: str = ""
    process: int = 0
    is_here: bool = False
    is_connected: bool = False
    waiting: Message | None = None
    waits_since: float = 0.0
    word: float = 0.0
    """When it last said something, or will have ended what it is known to be busy with."""
    asked: float | None = None
    answered: float = 0.0
    place: str = ""
    bye: Message | None = None

    def describe(self, size: int) -> str:
        return f"rank {self.number} of {size} (host {self.host}, process {self.process})"

    @property
    def is_silent(self) -> bool:
        """It neither waits nor has ended: it computes, or hangs."""
        return self.is_connected and self.waiting is None and self.bye is None


class Watch:
    """What is decided, whoever carries the messages."""

    def __init__(
        self,
        size: int,
        timeout: float,
        send: Callable[[int, Message], None],
        say: Callable[[str], None],
        how_it_ended: Callable[[Rank], str] = lambda rank: "died",
    ) -> None:
        self.size, self.timeout = size, timeout
        self.ranks = [Rank(i) for i in range(size)]
        self._send, self._say, self._how_it_ended = send, say, how_it_ended
        self.failed: float | None = None
        """When a failure was found: from then on the job is being ended."""
        self.is_over = False
        self._code = 1
        self._later: tuple[float, str] | None = None
        self._ended_by: set[str] = set()

    # ---------------------------------------------------------------- what is told

    def hello(self, number: int, host: str, process: int, is_here: bool) -> None:
        self.ranks[number] = Rank(number, host, process, is_here, is_connected=True)

    def told(self, number: int, message: Message, now: float) -> None:
        rank = self.ranks[number]
        rank.asked = None
        match message:
            case {"waiting": found}:
                rank.waiting, rank.word = found, now
                rank.waits_since = now - (found["for"] if found else 0.0)
            case {"at": place, "left": left, "rested": rested}:
                rank.place, rank.answered = place, now
                rank.word = max(rank.word, now + left if left else now - rested)
            case {"error": error, "secondary": is_secondary}:
                self._raised(f"{rank.describe(self.size)} raised {error}", is_secondary, now)
            case {"interrupted": _}:
                self.fail("", now, code=130)
            case {"bye": _}:
                rank.bye, rank.waiting, rank.word = message, None, now
                self._end_together()

    def _raised(self, sentence: str, is_secondary: bool, now: float) -> None:
        if is_secondary:
            self._later = self._later or (now + SECONDARY, sentence)
        else:
            self.fail(sentence, now)

    def _end_together(self) -> None:
        if self.failed is None and all(rank.bye is not None for rank in self.ranks):
            self.is_over = True
            for rank in self.ranks:
                self._send(rank.number, {"over": True})

    def closed(self, number: int, now: float) -> None:
        """The connection to a rank is at its end, and so is the rank."""
        rank = self.ranks[number]
        rank.is_connected = False
        if not self.is_over and self.failed is None:
            sentence = f"{rank.describe(self.size)} {self._how_it_ended(rank)}"
            self.fail(sentence, now, grace=DEATH)

    # ---------------------------------------------------------------- what is found

    def tick(self, now: float) -> None:
        """Look whether a rank keeps others waiting; to be called a few times a second."""
        if self.failed is not None:
            self._press(now - self.failed)
            return
        if self._later is not None and now >= self._later[0]:
            self.fail(self._later[1], now)
            return
        waiting = sorted((x for x in self.ranks if x.waiting), key=lambda x: x.waits_since)
        if waiting:
            sentence, code = self._found(waiting, now)
            if sentence:
                self.fail(sentence, now, code)

    def _found(self, waiting: list[Rank], now: float) -> tuple[str, int]:
        return (
            self._ended_early(waiting)
            or self._apart(waiting)
            or self._stuck(waiting, now)
            or self._silent(waiting, now)
            or ("", 0)
        )

    def _ended_early(self, waiting: list[Rank]) -> tuple[str, int] | None:
        """A rank that has ended without making a transfer that another one waits in."""
        for rank in self.ranks:
            for other in waiting:
                if rank.bye and other.waiting and rank.bye["count"] <= other.waiting["number"]:
                    code = rank.bye["bye"]
                    how = f"by sys.exit({code})" if code else "its program"
                    return (
                        f"{rank.describe(self.size)} has ended {how} while {self._wait(other)}",
                        code or 1,
                    )
        return None

    def _apart(self, waiting: list[Rank]) -> tuple[str, int] | None:
        """Two ranks that have made as many transfers and now make different ones. Exchanges may
        differ, but for those of one pair."""
        first: dict[tuple[int, ...], Rank] = {}
        for rank in waiting:
            mine = rank.waiting or {}
            for key in ((mine["number"],), (mine["number"], *mine["pair"])):
                other = first.setdefault(key, rank)
                theirs = other.waiting or {}
                are_exchanges = len(key) == 1 and mine["pair"] and theirs["pair"]
                if mine["mark"] != theirs["mark"] and not are_exchanges:
                    return self._different(*sorted((rank, other), key=lambda x: x.number)), 1
        return None

    def _different(self, one: Rank, two: Rank) -> str:
        return (
            f"{two.describe(self.size)} makes another transfer than rank {one.number}: "
            f"{self._wait(one)}, {self._wait(two)}"
        )

    def _stuck(self, waiting: list[Rank], now: float) -> tuple[str, int] | None:
        """Every rank waits, and no rank has said a word for long."""
        since = max(waiting[-1].waits_since, *(rank.word for rank in self.ranks))
        if any(rank.is_silent for rank in self.ranks) or now < since + self.timeout:
            return None
        places = ", ".join(self._wait(rank) for rank in sorted(waiting, key=lambda x: x.number)[:8])
        return f"none of the ranks gets on: {places}", 1

    def _silent(self, waiting: list[Rank], now: float) -> tuple[str, int] | None:
        """Ranks that others wait for, which are not busy with what takes long, or do not answer."""
        since = waiting[0].waits_since
        found = [rank for rank in self.ranks if rank.is_silent and self._hangs(rank, since, now)]
        if not found or any(rank.asked is not None for rank in self.ranks if rank not in found):
            return None  # so that what they answer is told together
        one = found[0]
        others = "".join(f", rank {rank.number} {_place(rank)}" for rank in found[1:8])
        return (
            f"{one.describe(self.size)} keeps others waiting for {now - since:.0f} seconds: it "
            f"{_place(one)}{others}, while {self._wait(waiting[0])} (what is known to take long "
            "goes into nets.distributed.patience(seconds))",
            1,
        )

    def _hangs(self, rank: Rank, since: float, now: float) -> bool:
        """Whether a rank has been silent for too long, by its own answer."""
        due = max(since, rank.word) + self.timeout
        if now < due:
            return False
        if rank.asked is not None:
            return now >= rank.asked + ANSWER
        if rank.answered >= due:
            return True
        rank.asked, rank.place = now, ""
        self._send(rank.number, {"ask": True})
        return False

    def _wait(self, rank: Rank) -> str:
        found = rank.waiting or {}
        return f"rank {rank.number} waits in {found['text']} at {found['line']}"

    # ---------------------------------------------------------------- the end

    def fail(self, sentence: str, now: float, code: int = 1, grace: float = 0.0) -> None:
        """End the job; only the first failure is told."""
        if self.failed is not None or self.is_over:
            return
        self.failed, self._code = now + grace, code
        if sentence:
            self._say(f"nets: {sentence}; the job ends")
        self.tick(now)

    def _press(self, passed: float) -> None:
        """Harder with every second."""
        connected = [rank for rank in self.ranks if rank.is_connected]
        if passed >= ABORT and "abort" not in self._ended_by:
            self._ended_by.add("abort")
            for rank in [x for x in connected if x.asked is None][:1]:
                self._send(rank.number, {"end": self._code, "abort": True})
        if passed >= LEAVE and "leave" not in self._ended_by:
            self._ended_by.add("leave")
            for rank in connected:
                self._send(rank.number, {"end": self._code, "abort": False})
        if passed >= KILL and "kill" not in self._ended_by:
            self._ended_by.add("kill")
            for rank in connected:
                if rank.is_here:
                    with suppress(OSError):
                        os.kill(rank.process, signal.SIGKILL)
        self.is_over = not connected or passed >= GIVE_UP


def _place(rank: Rank) -> str:
    if not rank.place:
        return "does not answer, for it is stopped, or in code that holds Python's lock"
    return f"is at {rank.place}"


def home() -> str:
    """What tells hosts apart, and containers on a host that cannot see each other."""
    parts = [socket.gethostname()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/net", "/proc/self/ns/pid"):
        with suppress(OSError):
            parts.append(os.readlink(path) if "/ns/" in path else _read(path))
    return " ".join(parts)


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def how_it_ended(rank: Rank) -> str:
    """By what the system still knows of the process."""
    code = -1
    with suppress(OSError, ValueError, IndexError):
        if rank.is_here:
            fields = _read(f"/proc/{rank.process}/stat").rpartition(")")[2].split()
            code = int(fields[-1]) if fields[0] in "ZXR" else -1
    if code < 0:
        return "died, and could not say why: it was killed, or has crashed"
    number = code & 0x7F
    if number:
        return f"died of signal {number} ({signal.Signals(number).name})"
    return f"ended all at once with exit code {code >> 8}, as by os._exit"


# ------------------------------------------------------------------------------ messages


class Line:
    """One connection."""

    def __init__(self, given: socket.socket) -> None:
        given.setblocking(False)
        keep_alive(given)
        self.socket = given
        self.rank: int | None = None
        self.since = time.monotonic()
        self._buffer = b""

    def read(self) -> tuple[list[Message], bool]:
        """What has come, and whether that was all there will be."""
        try:
            found = self.socket.recv(1 << 16)
        except BlockingIOError:
            return [], False
        except OSError:
            return [], True
        *lines, self._buffer = (self._buffer + found).split(b"\n")
        if len(self._buffer) > 1 << 20:
            return [], True
        return [json.loads(line) for line in lines], not found

    def write(self, message: Message) -> None:
        with suppress(OSError):  # who does not read is not helped by waiting
            self.socket.send(json.dumps(message).encode() + b"\n")


def keep_alive(given: socket.socket) -> None:
    """Notice within seconds that the other host is gone."""
    given.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 3), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            given.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Server:
    """Carries the messages."""

    CONNECT = 60.0
    """Seconds until all ranks have to be there."""

    def __init__(self, size: int, timeout: float, token: str, address: str) -> None:
        self._token = token
        self._home = home()
        self._lines: dict[int, Line] = {}
        self._watch = Watch(size, timeout, self._send, _say, how_it_ended)
        self._listener = socket.create_server((address, 0), backlog=min(size, 4096))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._started = time.monotonic()

    def _send(self, rank: int, message: Message) -> None:
        if rank in self._lines:
            self._lines[rank].write(message)

    def run(self) -> None:
        """Until the job is over."""
        following = 0.0
        while not self._watch.is_over:
            for key, _ in self._selector.select(0.2):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._read(key.data)
            now = time.monotonic()
            if now < self._started + self.CONNECT or len(self._lines) == self._watch.size:
                if now >= following:
                    following = now + 0.1
                    self._watch.tick(now)
            elif not any(rank.is_connected for rank in self._watch.ranks):
                return

    def close(self) -> None:
        self._selector.close()
        self._listener.close()

    def _accept(self) -> None:
        line = Line(self._listener.accept()[0])
        self._selector.register(line.socket, selectors.EVENT_READ, line)

    def _read(self, line: Line) -> None:
        try:
            messages, is_end = line.read()
            for message in messages:
                self._take(line, message)
        except (ValueError, KeyError, TypeError, IndexError):  # it is none of ours
            is_end = True
        if is_end:
            self._selector.unregister(line.socket)
            line.socket.close()
            if line.rank is not None:
                self._watch.closed(line.rank, time.monotonic())

    def _take(self, line: Line, message: Message) -> None:
        if line.rank is not None:
            self._watch.told(line.rank, message, time.monotonic())
            return
        if not hmac.compare_digest(str(message["token"]), self._token):
            raise ValueError("a stranger")
        number = int(message["hello"])
        if number in self._lines or not 0 <= number < self._watch.size:
            raise ValueError("no such rank, or it is there already")
        line.rank = number
        self._lines[line.rank] = line
        is_here = message["home"] == self._home
        self._watch.hello(line.rank, message["host"], message["process"], is_here)
        line.write({"welcome": True})


def _say(sentence: str) -> None:
    with suppress(OSError):
        os.write(2, sentence.encode(errors="backslashreplace") + b"\n")


def main() -> None:
    """Read what to watch from the standard input, write the port to the standard output."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for name in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(name, signal.SIG_IGN)
    server = Server(**json.loads(sys.stdin.readline()))
    os.write(1, f"{server.port}\n".encode())
    os.close(0)
    os.close(1)
    server.run()


if __name__ == "__main__":
    main()
