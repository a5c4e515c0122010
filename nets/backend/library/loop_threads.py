"""Threads of Python's that share the loops of loaded libraries: what parallel twins are given.

The thread that calls only waits, for handlers of signals run on it, and a part that an exception
left out would be a wrong result.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from nets.backend.library.manifest import MOST_THREADS, Library
from nets.backend.printing import keep
from nets.errors import ArgumentError
from nets.ieee import in_ieee_mode


def check_threads(path: Path, library: Library, threads: Any) -> None:
    """ArgumentError where so many threads could not share the loops of the library."""
    is_count = isinstance(threads, int) and not isinstance(threads, bool)
    if not is_count or not 1 <= threads <= MOST_THREADS:
        raise ArgumentError(f"threads is 1 to {MOST_THREADS}, not {threads!r}")
    if threads > 1 and not library.threads:
        raise ArgumentError(f"{path} has no parallel twins; export it with threads=")


def sharing(ffi: Any, library: str, count: int) -> tuple[Any, Any]:
    """What parallel twins of a library take last, so that so many threads share their loops."""
    threads = LoopThreads(count)

    def share(context: Any, part: Any, task: Any, count: int) -> None:
        loop = _Loop(part, task, count)
        raised = threads.finish(loop)
        if raised is not None:
            keep(raised)

    # A handler of a signal that came in compiled code runs before the first line of the above.
    def interrupted(kind: Any, error: BaseException, trace: Any) -> None:
        told = trace.tb_frame.f_locals
        threads.finish(told.get("loop") or _Loop(told["part"], told["task"], told["count"]))
        keep(error)

    return ffi.callback(f"{library}_parallel_for", share, onerror=interrupted), ffi.NULL


class LoopThreads:
    """So many threads, started at the first loop, and again in a child of a fork."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._process = 0
        self._queue: SimpleQueue[_Loop | None] = SimpleQueue()

    def __del__(self) -> None:
        if self._process == os.getpid():
            for _ in range(self.count):
                self._queue.put(None)

    def finish(self, loop: _Loop) -> BaseException | None:
        """Run all parts that nobody has run; all have ended when this returns.

        Gives what a handler of a signal has raised meanwhile.
        """
        raised = None
        while loop.left > 0:
            try:
                self._start()
                for _ in range(min(self.count, loop.left)):
                    self._queue.put(loop)
                loop.wait()
            except BaseException as error:
                raised = error
        return raised

    def _start(self) -> None:
        if self._process == os.getpid():
            return
        self._queue = SimpleQueue()
        for _ in range(self.count):
            threading.Thread(target=_help, args=(self._queue,), daemon=True).start()
        self._process = os.getpid()


class _Loop:
    """A loop under way: ``left`` is how many parts have not ended."""

    def __init__(self, part: Callable[[Any, int], None], task: Any, count: int) -> None:
        self._part, self._task = in_ieee_mode(part), task
        self._lock = threading.Lock()
        self._next, self._count = 0, count
        self.left = count
        # Not an Event: what a handler of a signal raises in its wait may leave it locked for good.
        self._under_way = threading.Lock()
        self._under_way.acquire()

    def help(self) -> None:
        """Run parts until none are left to take."""
        while (i := self._taken()) is not None:
            self._part(self._task, i)
            with self._lock:
                self.left -= 1
                is_last = self.left == 0
            if is_last:
                self._under_way.release()

    def wait(self) -> None:
        """Return when all parts have ended, to one thread once."""
        self._under_way.acquire()

    def _taken(self) -> int | None:
        with self._lock:
            self._next += 1
            return self._next - 1 if self._next <= self._count else None


def _help(queue: SimpleQueue[_Loop | None]) -> None:
    while (loop := queue.get()) is not None:
        loop.help()
        del loop  # which holds the library
