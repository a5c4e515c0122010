"""The limits of this machine, measured: FMA peak, and bandwidth of each level of memory.

Three loops in LLVM IR, compiled and loaded by the backend of nets, know no program: FMAs on
registers, a sum over memory, a scaled copy. ``python -m benchmarks.machine threads cores`` prints
them as JSON; each thread has memory of its own and is pinned to one core.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

LEVELS: Final = {"L2": 1 << 17, "L3": 1 << 22, "memory": 1 << 27}
"""Bytes of an array that lives in each level (a copy uses two), for CPUs of this kind."""

_ACCUMULATORS: Final = 12
_LINE: Final = 64


@dataclass(frozen=True)
class Level:
    """A level of memory: bytes per second read by a sum, and read and written by a copy."""

    bytes: int
    read: float
    copy: float

    def seconds(self, reads: float, writes: float) -> float:
        """The least time for so many bytes.

        A copy spends its time on a byte read and a byte written, so that a byte written costs
        what is left of it (with the reading of the line that it is written to, where there is).
        """
        written = max(2 / self.copy - 1 / self.read, 0.0)
        return reads / self.read + writes * written


@dataclass(frozen=True)
class Machine:
    """What this CPU does at most with so many threads."""

    threads: int
    flops: dict[str, float]
    """dtype → operations per second, an FMA counting two."""
    levels: dict[str, Level]

    def bound_seconds(self, flops: float, dtype: str, reads: float, writes: float) -> float:
        """No implementation is faster: the larger of the time of arithmetic and of memory."""
        moved = reads + writes
        fitting = [v for v in self.levels.values() if moved <= 2 * v.bytes * self.threads]
        level = fitting[0] if fitting else list(self.levels.values())[-1]
        rate = self.flops.get(dtype, self.flops["float32"])
        return max(flops / rate, level.seconds(reads, writes))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(threads: int, cores: Sequence[int], quick: bool = False) -> Machine:
    """The limits, measured in a process of its own on those cores."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.machine", str(threads), ",".join(map(str, cores))]
        + ["quick"] * quick,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    levels = {name: Level(**level) for name, level in found["levels"].items()}
    return Machine(found["threads"], found["flops"], levels)


def describe() -> dict[str, Any]:
    """What the system says of the CPU and the load."""
    from nets.backend.llvm.target import host

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {
        "cpu": f"{_model()} with {'AVX-512' if host().instruction_set == 'avx512' else 'AVX2'}",
        "cpus": os.cpu_count(),
        "load_before": round(load, 2),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


# -------------------------------------------------------------------------------- kernels


def _fma_text(lanes: int, scalar: str, count: int) -> str:
    """``count`` rounds of independent FMAs on registers."""
    vector, suffix = f"<{lanes} x {scalar}>", f"v{lanes}f{32 if scalar == 'float' else 64}"
    numbers = range(_ACCUMULATORS)
    phis = "\n".join(f"  %a{i} = phi {vector} [ %x, %entry ], [ %b{i}, %loop ]" for i in numbers)
    steps = "\n".join(
        f"  %b{i} = call {vector} @llvm.fma.{suffix}({vector} %a{i}, {vector} %x, {vector} %y)"
        for i in numbers
    )
    sums, last = _sum(vector, [f"%b{i}" for i in numbers])
    return (
        _entry(
            f"""  %x = load {vector}, ptr %source, align {_LINE}
  %y = fmul {vector} %x, %x
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{phis}
{steps}
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, {count}
  br i1 %more, label %loop, label %done
done:
{sums}
  store {vector} {last}, ptr %target, align {_LINE}"""
        )
        + f"declare {vector} @llvm.fma.{suffix}({vector}, {vector}, {vector})\n"
    )


def _stream_text(lanes: int, size: int, passes: int, kind: str) -> str:
    """``passes`` times over ``size`` bytes.

    kind: "read", "read at once" (in four places), "copy" or "stream" (past the caches).
    """
    vector, step, unrolled = f"<{lanes} x float>", 4 * lanes, 8
    places = 4 if kind == "read at once" else 1
    in_place = unrolled // places
    hint = ", !nontemporal !0" if kind == "stream" else ""
    body, phis, outer, inner = [], [], [], []
    for i in range(unrolled):
        body.append(f"  %p{i} = getelementptr i8, ptr %source, i64 %o{i}")
        at = i // in_place * (size // places) + i % in_place * step
        body.insert(0, f"  %o{i} = add i64 %at, {at}")
        body.append(f"  %v{i} = load {vector}, ptr %p{i}, align {_LINE // 2}")
        if kind.startswith("read"):
            outer.append(f"  %s{i} = phi {vector} [ zeroinitializer, %entry ], [ %b{i}, %end ]")
            phis.append(f"  %a{i} = phi {vector} [ %s{i}, %pass ], [ %b{i}, %loop ]")
            body.append(f"  %b{i} = fadd {vector} %a{i}, %v{i}")
        else:
            body.append(f"  %w{i} = fadd {vector} %v{i}, splat (float 1.0)")
            body.append(f"  %q{i} = getelementptr i8, ptr %target, i64 %o{i}")
            body.append(f"  store {vector} %w{i}, ptr %q{i}, align {_LINE // 2}{hint}")
    sums, last = _sum(vector, [f"%b{i}" for i in range(unrolled)])
    if kind.startswith("read"):
        inner = [sums, f"  store {vector} {last}, ptr %target, align {_LINE}"]
    lines = "\n".join
    text = _entry(
        f"""  br label %pass
pass:
  %r = phi i64 [ 0, %entry ], [ %r_next, %end ]
{lines(outer)}
  br label %loop
loop:
  %at = phi i64 [ 0, %pass ], [ %next, %loop ]
{lines(phis)}
{lines(body)}
  %next = add i64 %at, {in_place * step}
  %more = icmp ult i64 %next, {size // places}
  br i1 %more, label %loop, label %end
end:
  %r_next = add i64 %r, 1
  %again = icmp ult i64 %r_next, {passes}
  br i1 %again, label %pass, label %done
done:
{lines(inner)}"""
    )
    return text + "!0 = !{i32 1}\n"


def _entry(body: str) -> str:
    """An entry point of the backend's kind, with its two buffers at hand."""
    return f"""define i32 @probe(ptr %buffers, ptr %workspace, ptr %pool) {{
entry:
  %source = load ptr, ptr %buffers, align 8
  %second = getelementptr ptr, ptr %buffers, i64 1
  %target = load ptr, ptr %second, align 8
{body}
  ret i32 0
}}
"""


def _sum(vector: str, values: list[str]) -> tuple[str, str]:
    """Lines that add the values, and the name of their sum."""
    lines, last = [], values[0]
    for i, value in enumerate(values[1:]):
        lines.append(f"  %sum{i} = fadd {vector} {last}, {value}")
        last = f"%sum{i}"
    return "\n".join(lines), last


# -------------------------------------------------------------------------------- measuring


class _Probe:
    """One kernel with memory of its own for each thread."""

    def __init__(self, text: str, size: int, cores: Sequence[int]) -> None:
        from cffi import FFI

        from nets.backend.llvm.target import host, object_code
        from nets.backend.process.callable import load_object

        self._handle, self._entry = load_object(object_code(text, host()), "probe")
        self._cores = cores
        ffi = FFI()
        self._arrays = [[_aligned(size), _aligned(size)] for _ in cores]
        self._buffers = []
        for arrays in self._arrays:
            pointers = [ffi.cast("void *", array.ctypes.data) for array in arrays]
            self._buffers.append((ffi.new("void *[]", pointers), pointers))
        self._null = ffi.NULL

    def seconds(self, samples: int) -> float:
        """The best time of all threads for one call each, side by side."""
        return min(self._once() for _ in range(samples))

    def _once(self) -> float:
        barrier = threading.Barrier(len(self._cores))
        spans: list[tuple[float, float]] = []

        def work(core: int, buffers: Any) -> None:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, {core})
            barrier.wait()
            start = time.perf_counter()
            self._entry(buffers, self._null, self._null)
            spans.append((start, time.perf_counter()))

        threads = [
            threading.Thread(target=work, args=(core, buffers))
            for core, (buffers, _) in zip(self._cores, self._buffers, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return max(end for _, end in spans) - min(start for start, _ in spans)


def _aligned(size: int) -> np.ndarray[Any, Any]:
    # Written to: reading pages that never were reads one page of zeros again and again.
    memory = np.full(size + _LINE, 0, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + size]


def _measure(threads: int, cores: list[int], quick: bool) -> Machine:
    from nets.backend.llvm.target import host

    width = host().vector_bytes
    samples, work = (2, 0.1) if quick else (10, 1.0)

    def rate(text: Callable[[int], str], size: int, amount: float, count: int) -> float:
        probe = _Probe(text(count), size, cores)
        return len(cores) * amount * count / probe.seconds(samples)

    flops = {}
    for dtype, scalar, size in (("float32", "float", 4), ("float64", "double", 8)):
        lanes = width // size
        per_round = 2.0 * lanes * _ACCUMULATORS
        kernel = lambda n, lanes=lanes, scalar=scalar: _fma_text(lanes, scalar, n)  # noqa: E731
        flops[dtype] = rate(kernel, _LINE, per_round, int(6_000_000 * work))

    levels = {}
    for name, size in LEVELS.items():
        passes = max(1, int((1 << 28) * work) // size)

        def stream(kind: str, size: int = size, passes: int = passes) -> float:
            moved = size if kind.startswith("read") else 2 * size
            text = lambda n: _stream_text(width // 4, size, n, kind)  # noqa: E731
            return rate(text, size, moved, passes)

        reads, copies = [stream("read")], [stream("copy")]
        if name == "memory":
            reads.append(stream("read at once"))
            copies.append(stream("stream"))
        levels[name] = Level(size, max(reads), max(copies))
    return Machine(len(cores), flops, levels)


def main() -> None:
    threads, cores, *rest = sys.argv[1:]
    chosen = [int(core) for core in cores.split(",")][: int(threads)]
    json.dump(_measure(int(threads), chosen, bool(rest)).as_json(), sys.stdout)


if __name__ == "__main__":
    main()
