"""The link of a rank to the watch over its job (``watcher.py``).

A thread of the rank says when the rank waits for long and where it is, and ends it when the watch
says so. What the rank raises, in any thread, is told as Python is about to show it.
"""

from __future__ import annotations

import atexit
import faulthandler
import json
import os
import secrets
import select
import socket
import struct
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn

from nets import communicator, tracebacks
from nets.distributed import watcher
from nets.distributed.mpi import Communicator
from nets.errors import LinkError, NetsError
from nets.locks import at_fork

_LIBRARIES: Final = (
    *tracebacks.LIBRARIES,
    *tracebacks.INSTALLED,
    *(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "purelib", "platlib")),
    "<frozen ",
)
"""Where code is nobody's own."""

_SIOCGIFADDR: Final = 0x8915
"""Asks Linux for the address of an interface."""

_PERIOD: Final = 0.25
"""Seconds between two looks at what the rank does."""


# ------------------------------------------------------------------- where a rank is


def users_line(frames: list[tuple[str, int]]) -> str:
    """Of frames from the innermost on, the first that is the user's; else the innermost."""
    for file, line in frames:
        if not file.startswith(_LIBRARIES):
            return f"{file}:{line}"
    return f"{frames[0][0]}:{frames[0][1]}" if frames else "an unknown place"


def main_line() -> str:
    """Where the main thread is."""
    frame: FrameType | None = sys._current_frames().get(threading.main_thread().ident or 0)
    frames = []
    while frame is not None:
        frames.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return users_line(frames)


def described(error: BaseException, entry: TracebackType | None) -> str:
    """Class, first line of the message and the user's line of an error."""
    frames = []
    while entry is not None:
        frames.append((entry.tb_frame.f_code.co_filename, entry.tb_lineno))
        entry = entry.tb_next
    message = error.message if isinstance(error, NetsError) else str(error)
    first = message.strip().split("\n")[0][:500]
    name = type(error).__qualname__
    return (
        f"{name}: {first} ({users_line(frames[::-1])})"
        if first
        else f"{name} ({users_line(frames[::-1])})"
    )


# ------------------------------------------------------------------------- the watch


def start_watch(size: int, timeout: float, is_one_host: bool) -> dict[str, Any]:
    """Start the watch; what a rank needs to find it."""
    token = secrets.token_hex(16)
    address = "127.0.0.1" if is_one_host else ""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", watcher.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    given = {"size": size, "timeout": timeout, "token": token, "address": address}
    with suppress(OSError):
        process.stdin.write(json.dumps(given).encode() + b"\n")
        process.stdin.close()
    port = process.stdout.readline().strip()
    process.stdout.close()
    process.returncode = 0  # nobody waits for it: it outlives this process
    if not port:
        raise LinkError("the watch over the job could not be started")
    hosts = ["127.0.0.1"] if is_one_host else addresses()
    return {"hosts": hosts, "port": int(port), "token": token}


def addresses() -> list[str]:
    """The addresses of this host, those first that others are likely to reach."""
    found: list[str] = []
    with suppress(OSError):
        found += [str(x[4][0]) for x in socket.getaddrinfo(socket.gethostname(), 0, socket.AF_INET)]
    with suppress(ImportError):
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            for _, name in socket.if_nameindex():
                with suppress(OSError):  # an interface without an address
                    request = struct.pack("256s", name.encode()[:15])
                    told = fcntl.ioctl(asking, _SIOCGIFADDR, request)
                    found.append(socket.inet_ntoa(told[20:24]))
    return sorted(dict.fromkeys(found), key=lambda x: x.startswith("127."))


def connect(watch: dict[str, Any], hello: dict[str, Any]) -> socket.socket:
    """A connection to the watch. LinkError where no address of its host leads there."""
    problem: Exception | None = None
    for host in watch["hosts"]:
        try:
            found = socket.create_connection((host, watch["port"]), timeout=3)
            found.sendall(json.dumps({**hello, "token": watch["token"]}).encode() + b"\n")
            if found.recv(64):
                found.settimeout(None)
                watcher.keep_alive(found)
                return found
        except OSError as error:
            problem = error
    raise LinkError(
        f"rank {hello['hello']} cannot reach the host of rank 0 by TCP at "
        f"{', '.join(watch['hosts'])}, port {watch['port']} ({problem})"
    )


# -------------------------------------------------------------------------- the link


class Link:
    """Of a rank: from ``init`` to its end."""

    def __init__(self, MPI: Any, of: Communicator, watch: dict[str, Any]) -> None:
        host = socket.gethostname()
        hello = {"hello": of.rank, "host": host, "process": os.getpid(), "home": watcher.home()}
        self._mpi, self._communicator = MPI, of
        self._socket = connect(watch, hello)
        self._process = os.getpid()
        self._sending = threading.Lock()
        self._told: Any = None
        self._is_over = threading.Event()
        self._exit_code = 0
        self._buffer = b""
        at_fork(in_child=self._socket.close)
        self._hook()
        threading.Thread(target=self._run, name="nets watch", daemon=True).start()

    @property
    def is_here(self) -> bool:
        """Not over, and not in a forked child."""
        return os.getpid() == self._process and not self._is_over.is_set()

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        with suppress(OSError, ValueError):
            while not self._is_over.is_set():
                if select.select([self._socket], [], [], _PERIOD)[0]:
                    self._read()
                self._tell_waiting()
                self._communicator.poke()
        if self.is_here:
            self._lost()

    def _read(self) -> None:
        found = self._socket.recv(1 << 16)
        if not found:
            raise ConnectionError
        *lines, self._buffer = (self._buffer + found).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, message: dict[str, Any]) -> None:
        match message:
            case {"ask": _}:
                _, left, rested = communicator.patience()
                self._send({"at": main_line(), "left": left, "rested": rested})
            case {"over": _}:
                self._is_over.set()
            case {"end": code, "abort": is_to_abort}:
                self._end(code, is_to_abort)

    def _send(self, message: dict[str, Any]) -> None:
        with self._sending, suppress(OSError):
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def _tell_waiting(self) -> None:
        waiting = self._communicator.waiting
        if waiting is self._told:
            return
        self._told = waiting
        if waiting is None:
            self._send({"waiting": None})
            return
        transfer = waiting.transfer
        found = {
            "number": transfer.number,
            "mark": transfer.tag,
            "pair": transfer.pair(),
            "text": transfer.describe(),
        }
        duration = time.monotonic() - waiting.since
        self._send({"waiting": {**found, "line": main_line(), "for": duration}})

    def _lost(self) -> None:
        """The watch is gone, most likely with rank 0; the lowest rank that is left says so."""
        time.sleep(min(2.0, 0.1 * self._communicator.rank))
        rank, size = self._communicator.rank, self._communicator.size
        where = "the host of rank 0, or the watch over the job there, is gone"
        os.write(2, f"nets: {where}, says rank {rank} of {size}; the job ends\n".encode())
        self._end(1, True)

    def _end(self, code: int, is_to_abort: bool) -> NoReturn:
        """End this process, and the job."""
        self._aside(_flush, 0.3)
        if is_to_abort and not self._mpi.Is_finalized():
            self._aside(lambda: self._mpi.COMM_WORLD.Abort(code), 1.0)
        os._exit(code)

    def _aside(self, call: Callable[[], object], seconds: float) -> None:
        """Call what may never return."""
        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        thread.join(seconds)

    # ------------------------------------------------------------------- the hooks

    def _hook(self) -> None:
        of_main, of_threads, leave = sys.excepthook, threading.excepthook, sys.exit

        def shown(kind: type[BaseException], error: BaseException, entry: Any) -> None:
            if not self.is_here:
                of_main(kind, error, entry)
            elif isinstance(error, KeyboardInterrupt):
                self._fail({"interrupted": True})
            else:
                of_main(kind, error, entry)
                self._fail(self._error(error, entry))

        def shown_of_thread(given: Any) -> None:
            of_threads(given)
            if self.is_here and given.exc_value is not None:
                self._send(self._error(given.exc_value, given.exc_traceback))

        def left(code: Any = None, /) -> NoReturn:
            self._exit_code = code if isinstance(code, int) else int(code is not None)
            leave(code)

        sys.excepthook, threading.excepthook, sys.exit = shown, shown_of_thread, left
        atexit.register(self.close)
        if not faulthandler.is_enabled():
            faulthandler.enable()  # a crash shows where it was

    def _error(self, error: BaseException, entry: TracebackType | None) -> dict[str, Any]:
        """Of MPI it is most likely that another rank has failed."""
        return {
            "error": described(error, entry),
            "secondary": isinstance(error, self._mpi.Exception),
        }

    def _fail(self, message: dict[str, Any]) -> NoReturn:
        """Tell of the end of this rank, and wait for that of the job."""
        _flush()
        self._send(message)
        with suppress(BaseException):
            time.sleep(5)
        os._exit(130 if "interrupted" in message else 1)

    def close(self) -> None:
        """Say bye, and wait until all ranks have."""
        if not self.is_here:
            return
        _flush()
        self._send({"bye": self._exit_code, "count": self._communicator.count})
        try:
            while not self._is_over.wait(0.01):
                self._communicator.poke()
        except KeyboardInterrupt:
            self._fail({"interrupted": True})
        self._socket.close()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
