"""The process of one system: builds workloads, calls them, and says how long that took.

``python -m benchmarks.worker system threads cores`` reads commands, a line of JSON each, from
standard input and answers each with a line of JSON on standard output; what the systems print goes
to standard error. The parent stops it between turns, so that no idle pool of threads takes time
from another system.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.systems import SYSTEMS, System, leaves
from benchmarks.workload import Run, Workload

SEED = 20

CHECKED_STEPS = 3
"""More steps before results are compared, so that the updates are compared too."""


class Worker:
    """One system and the workload it has at hand."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._run: Run | None = None
        self._workload: Workload | None = None
        self._arguments: tuple[Any, ...] = ()

    def prepare(self, name: str, folder: str) -> dict[str, Any]:
        """Make the arguments and call once, which compiles; the results go to the folder.

        ``supported`` is false where the workload is not written for this system.
        """
        workload = find(name)
        arguments = workload.arguments(np.random.default_rng(SEED))
        run = self._system.build(workload, arguments)
        if run is None:
            return {"supported": False}
        before = peak_bytes()
        start = time.perf_counter()
        result = self._system.wait(run())
        seconds = time.perf_counter() - start
        for _ in range(CHECKED_STEPS * workload.steps):
            result = self._system.wait(run())
        self._run, self._workload, self._arguments = run, workload, arguments
        files = []
        for number, leaf in enumerate(leaves(result)):
            files.append(str(Path(folder) / f"{number}.npy"))
            np.save(files[-1], self._system.numpy(leaf))
        return {
            "supported": True,
            "first_seconds": seconds,
            "peak_bytes": peak_bytes() - before,
            "results": files,
        }

    def artifact(self, folder: str) -> dict[str, Any]:
        """Bytes of the compiled code on disk; 0 where the system has none to show."""
        assert self._workload is not None
        return {"bytes": self._system.artifact_bytes(self._workload, self._arguments, Path(folder))}

    def calibrate(self, sample_seconds: float) -> dict[str, Any]:
        """How many calls make one sample of at least that long, after warming up."""
        calls = 1
        while (seconds := self._sample(calls)) < sample_seconds:
            grow = 1.3 * sample_seconds / max(seconds, 1e-9)
            calls = max(calls + 1, int(calls * min(grow, 100)))
        return {"calls": calls, "seconds": seconds / calls}

    def sample(self, calls: int, count: int) -> dict[str, Any]:
        """Seconds per call of ``count`` samples; what another system left in caches goes first."""
        self._sample(max(1, calls // 4))
        return {"seconds": [self._sample(calls) / calls for _ in range(count)]}

    def forget(self) -> dict[str, Any]:
        """Drop the workload and its memory."""
        self._run, self._workload, self._arguments = None, None, ()
        gc.collect()
        return {}

    def _sample(self, calls: int) -> float:
        run, wait = self._run, self._system.wait
        assert run is not None
        start = time.perf_counter()
        for _ in repeat(None, calls):
            wait(run())
        return time.perf_counter() - start


def find(name: str) -> Workload:
    """The workload of that name."""
    from benchmarks.workloads import WORKLOADS

    return WORKLOADS[name]


def peak_bytes() -> int:
    """The most memory this program has held so far.

    Not the ``ru_maxrss`` of getrusage: that begins with what the process held before ``exec``, as
    a copy of its parent.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def serve(worker: Worker, commands: Any, answers: Any) -> None:
    """Answer commands until the parent closes the pipe."""
    for line in commands:
        command = json.loads(line)
        try:
            answer = getattr(worker, command.pop("do"))(**command)
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


def main() -> None:
    name, threads, cores = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    gc.disable()
    start = time.perf_counter()
    system = SYSTEMS[name](int(threads))
    print(json.dumps({"import_seconds": time.perf_counter() - start}), file=answers, flush=True)
    serve(Worker(system), sys.stdin, answers)


if __name__ == "__main__":
    main()
