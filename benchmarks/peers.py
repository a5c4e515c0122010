"""The parent's side of the workers: start, stop between turns, ask."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.systems import environment, python_of

ROOT = Path(__file__).parent.parent


class PeerError(Exception):
    """A system failed at a workload, or its process ended."""


@dataclass(frozen=True)
class Seat:
    """Where workers run: so many threads, on these CPUs; the peers of nets by this Python."""

    threads: int
    cores: Sequence[int]
    peer_python: str = sys.executable

    def command(self, name: str) -> list[str]:
        """Starts the worker of a system."""
        python = python_of(name, self.peer_python)
        cores = ",".join(map(str, self.cores))
        return [python, "-m", "benchmarks.worker", name, str(self.threads), cores]


class Peer:
    """A worker process of one system; stopped (SIGSTOP) whenever it is not asked something."""

    def __init__(self, name: str, seat: Seat, caches: Path) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile("w+", prefix="nets-bench-")  # noqa: SIM115
        self._process = subprocess.Popen(
            seat.command(name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env={**environment(name, seat.threads, caches), "PYTHONPATH": _path()},
        )
        try:
            self.import_seconds: float = self._answer()["import_seconds"]
        except PeerError:
            self.close()
            raise
        self._signal(signal.SIGSTOP)

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """The answer of the worker, which runs only meanwhile. PeerError where it fails."""
        self._signal(signal.SIGCONT)
        assert self._process.stdin is not None
        try:
            print(json.dumps({"do": do, **what}), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise self._ended() from None
        answer = self._answer()
        self._signal(signal.SIGSTOP)
        if "error" in answer:
            raise PeerError(f"{self.name}: {answer['error']}")
        return answer

    @property
    def alive(self) -> bool:
        """False once the process has ended, as by a crash."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ended(self) -> PeerError:
        code = self._process.wait()
        self._log.seek(0)
        return PeerError(f"{self.name} ended with code {code}:\n{self._log.read()[-2000:]}")

    def _signal(self, number: int) -> None:
        if self._process.poll() is None:
            os.kill(self._process.pid, number)


def _path() -> str:
    """PYTHONPATH of the workers: the checkout, before what there is already."""
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
