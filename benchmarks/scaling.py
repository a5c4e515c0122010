"""What ranks cost: messages, reductions beside those of MPI, and the parts of a training step.

    python -m benchmarks.scaling --mpiexec "mpiexec -n" --python bin/python

starts jobs of 2 and 4 ranks and prints tables of medians; each ``--mpiexec``, with the ``--python``
that its mpi4py belongs to, is another MPI library. What is compared is measured in turns, in one
job. ``--docs`` writes the tables and the plot of the model (``benchmarks/scaling_model.py``) to
``docs/scaling.md``; it needs an idle machine with a CPU for each rank.

``python -m benchmarks.scaling --part NAME`` is a rank.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

import nets
from nets import communicator, distributed, nn, optim
from nets.passes.distribution import transfers
from nets.passes.manager import find_pass

MESSAGES: Final = (8, 1 << 10, 1 << 14, 1 << 18, 1 << 20, 1 << 24)
REDUCTIONS: Final = (1_000, 10_000, 100_000, 1_000_000, 16_000_000)
SHARDS: Final = 8
ROOT: Final = Path(__file__).parent.parent

Found = dict[str, float]


def interleaved(runs: Mapping[str, Callable[[], object]], rounds: int) -> Found:
    """Median seconds of each, one after the other in each round, from a barrier on: of all ranks
    the one that takes longest."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            communicator.barrier()
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    slowest = {name: communicator.gather(np.array(row)).max(0) for name, row in times.items()}
    return {name: statistics.median(row.tolist()) for name, row in slowest.items()}


def _rounds(size: int) -> int:
    return 100 if size < 1 << 16 else 30 if size < 1 << 22 else 8


# --------------------------------------------------------------------------- parts of a job


def messages() -> dict[str, Found]:
    """Seconds of a gather and an exchange, by bytes that a rank sends."""
    found = {}
    rank = distributed.rank()
    for size in MESSAGES:
        sent = np.zeros(size, np.uint8)
        runs = {
            "gather": lambda x=sent: communicator.gather(x),
            "exchange": lambda x=sent: communicator.exchange(x, rank ^ 1),
        }
        found[str(size)] = interleaved(runs, _rounds(size))
    return found


def reductions() -> dict[str, Found]:
    """Seconds of a sum over all ranks, by bytes: of MPI in place, of nets, and of both its ways."""
    from mpi4py import MPI

    found = {}
    for size in REDUCTIONS:
        ours = nets.ones(size // 4, dtype="float32")
        theirs = np.ones(size // 4, np.float32)
        runs: dict[str, Callable[[], object]] = {
            "MPI": lambda x=theirs: MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, x),
            "nets": _way(transfers.GATHERED_BYTES, ours),
        }
        if distributed.size() > 2:
            runs |= {"gathering": _way(1 << 62, ours), "halving": _way(0, ours)}
        found[str(size)] = interleaved(runs, _rounds(size))
    return found


def _way(limit: int, x: nets.Tensor) -> Callable[[], object]:
    """A sum over ranks, compiled with that limit for gathering."""

    @nets.trace
    def total(x: Any) -> Any:
        return distributed.all_reduce(x)

    with _set(transfers, "GATHERED_BYTES", limit):
        total(x)
    return lambda: total(x)


@contextmanager
def _set(where: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(where, name)
    setattr(where, name, value)
    try:
        yield
    finally:
        setattr(where, name, before)


def steps() -> dict[str, Found]:
    """Seconds of a training step of an MLP, and of its parts: the shards of this rank alone, the
    update alone, and the step without ``overlap``."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((128, 784)).astype(np.float32)
    y = rng.integers(0, 10, 128)
    local = 128 // distributed.size()
    runs: dict[str, Callable[[], object]] = {}
    if distributed.size() == 1:
        runs["plain"] = _step(lambda step: nets.trace(step), x, y)
        for shards in (2, SHARDS, 32):
            runs[f"{shards} shards"] = _step(_cut(shards), x, y)
    else:
        runs["step"] = _step(_cut(SHARDS), x, y)
        with _set(find_pass("overlap"), "run", lambda function, options: function):
            runs["without overlap"] = _step(_cut(SHARDS), x, y)
        runs["shards of a rank"] = _step(
            lambda step: distributed.parallel(step, shards=SHARDS // distributed.size(), ranks=1),
            x[:local],
            y[:local],
        )
    runs["update"] = _step(None, x, y)
    return {"128 images": interleaved(runs, 30)}


def _cut(shards: int) -> Callable[[Any], Any]:
    return lambda step: distributed.parallel(step, shards=shards)


def _step(make: Callable[[Any], Any] | None, x: Any, y: Any) -> Callable[[], object]:
    """A call of a step of its own model; with no ``make`` of its update alone."""
    nets.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    def update() -> None:
        optimizer.step()

    if make is None:
        nets.trace(step)(x, y)
        alone = nets.trace(update)
        alone()
        return lambda: alone()
    made = make(step)
    made(x, y)
    return lambda: made(x, y)


PARTS: Final[dict[str, Callable[[], dict[str, Found]]]] = {
    "messages": messages,
    "reductions": reductions,
    "steps": steps,
}


# ------------------------------------------------------------------------------- the jobs


def run_job(command: Sequence[str], part: str) -> dict[str, Found]:
    """What a job finds."""
    done = subprocess.run(
        [*command, "-m", "benchmarks.scaling", "--part", part],
        env=os.environ | {"NETS_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"')]
    return json.loads(lines[-1])  # type: ignore[no-any-return]


def table(found: Mapping[str, Found], first: str) -> str:
    """Times in microseconds; of reductions also how much nets takes more than MPI."""
    names = list(next(iter(found.values())))
    has_ratio = "MPI" in names
    head = [first, *names, *(["nets ÷ MPI"] if has_ratio else [])]
    lines = [head, ["--:"] * len(head)]
    for size, times in found.items():
        row = [size, *(f"{1e6 * times[name]:,.0f}" for name in names)]
        lines.append([*row, f"{times['nets'] / times['MPI']:.2f}"] if has_ratio else row)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, help="be a rank, and measure that")
    parser.add_argument("--mpiexec", action="append", help="how to start a job of so many ranks")
    parser.add_argument("--python", action="append", help="the Python of its mpi4py")
    parser.add_argument("--ranks", default="2,4")
    parser.add_argument("--parts", default=",".join(PARTS))
    options = parser.parse_args()
    if options.part is not None:
        distributed.init(timeout=120)
        found = PARTS[options.part]()
        if distributed.rank() == 0:
            print(json.dumps(found), flush=True)
        return
    for launcher, python in zip(options.mpiexec, options.python, strict=True):
        for part in options.parts.split(","):
            counts = [1] * (part == "steps") + [int(n) for n in options.ranks.split(",")]
            for ranks in counts:
                command = [*launcher.split(), str(ranks), python]
                print(f"\n{part}, {ranks} ranks, {launcher}: microseconds\n", flush=True)
                first = "" if part == "steps" else "bytes"
                print(table(run_job(command, part), first), flush=True)


if __name__ == "__main__":
    main()
