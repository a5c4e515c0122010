"""What ranks cost: messages, reductions beside those of MPI, and the parts of a training step.

    python -m benchmarks.scaling --mpiexec "mpiexec -n" --python bin/python

starts jobs of 2 and 4 ranks and prints tables of medians; each ``--mpiexec``, with the ``--python``
that its mpi4py belongs to, is another MPI library. What is compared is measured in turns, in one
job. It needs an idle machine with a CPU for each rank: where ranks share CPUs, the times of
messages are those of the system's scheduler. ``benchmarks/scaling_model.py`` makes a model of what
is found.

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
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

import nets
from nets import communicator, distributed, nn, optim
from nets.passes.distribution import transfers
from nets.passes.manager import PASSES, find_pass

MESSAGES: Final = (8, 1 << 10, 1 << 14, 1 << 18, 1 << 20, 1 << 24)
REDUCTIONS: Final = (1_000, 10_000, 100_000, 1_000_000, 16_000_000)
SHARDS: Final = 8
ROOT: Final = Path(__file__).parent.parent

Found = dict[str, float]


def interleaved(
    runs: Mapping[str, Callable[[], object]],
    rounds: int,
    typical: Callable[[list[float]], float] = statistics.median,
) -> Found:
    """Median seconds of each, or what is ``typical``, one after the other in each round, from a
    barrier on: of all ranks the one that takes longest."""
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
    return {name: typical(row.tolist()) for name, row in slowest.items()}


def _rounds(size: int) -> int:
    return 100 if size < 1 << 16 else 30 if size < 1 << 22 else 8


# --------------------------------------------------------------------------- parts of a job


def messages() -> dict[str, Found]:
    """Least seconds of a gather and of exchanges, by bytes that a rank sends."""
    from mpi4py import MPI

    found = {}
    rank, world = distributed.rank(), MPI.COMM_WORLD
    for size in MESSAGES:
        sent, got = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
        runs: dict[str, Callable[[], object]] = {
            "exchange by MPI": partial(
                world.Sendrecv, sent, rank ^ 1, recvbuf=got, source=rank ^ 1
            ),
            "gather": partial(communicator.gather, sent),
            "exchange": partial(communicator.exchange, sent, rank ^ 1),
        }
        found[str(size)] = interleaved(runs, _rounds(size), min)
    return found


def reductions() -> dict[str, Found]:
    """Seconds of a sum over all ranks, by bytes: of MPI in place, of nets, and of both its ways."""
    from mpi4py import MPI

    found = {}
    for size in REDUCTIONS:
        ours, theirs = nets.zeros(size // 4, dtype="float32"), np.zeros(size // 4, np.float32)
        runs: dict[str, Callable[[], object]] = {
            "MPI": partial(MPI.COMM_WORLD.Allreduce, MPI.IN_PLACE, theirs),
            "nets": _way(transfers.GATHERED_BYTES, ours),
        }
        if distributed.size() > 2:
            runs |= {
                "gathering": _way(1 << 62, ours),
                "doubling": _way(0, ours, distributed.size()),
                "halving": _way(0, ours, 0),
            }
        found[str(size)] = interleaved(runs, _rounds(size))
    return found


def _way(
    limit: int, x: nets.Tensor, doubled: int = transfers.DOUBLED_RANKS
) -> Callable[[], object]:
    """A sum over ranks, in place, compiled with those limits for gathering and doubling."""

    @nets.trace(donate_argnums=0)
    def total(x: Any) -> Any:
        return distributed.all_reduce(x)

    with (
        _set(vars(transfers), "GATHERED_BYTES", limit),
        _set(vars(transfers), "DOUBLED_RANKS", doubled),
    ):
        held = [total(x + 0)]

    def run() -> None:
        held[0] = total(held[0])

    return run


@contextmanager
def _set(where: dict[str, Any], name: str, value: object) -> Iterator[None]:
    before = where[name]
    where[name] = value
    try:
        yield
    finally:
        where[name] = before


def steps() -> dict[str, Found]:
    """Seconds of a training step of an MLP, and of its parts: the shards of this rank alone, the
    update alone, and the step without ``overlap``."""
    x, y = _images(128)
    local = 128 // distributed.size()
    runs: dict[str, Callable[[], object]] = {}
    if distributed.size() == 1:
        runs["plain"] = _step(lambda step: nets.trace(step), x, y)
        for shards in (2, SHARDS, 32):
            runs[f"{shards} shards"] = _step(_cut(shards), x, y)
    else:
        runs["step"] = _step(_cut(SHARDS), x, y)
        find_pass("overlap")
        with _set(PASSES, "overlap", lambda function, options: function):
            runs["without overlap"] = _step(_cut(SHARDS), x, y)
        runs["shards of a rank"] = _step(
            lambda step: distributed.parallel(step, shards=SHARDS // distributed.size(), ranks=1),
            x[:local],
            y[:local],
        )
    runs["update"] = _step(None, x, y)
    return {"128 images": interleaved(runs, 30)}


def _images(count: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, 784)).astype(np.float32), rng.integers(0, 10, count)


def _cut(shards: int) -> Callable[[Any], Any]:
    return lambda step: distributed.parallel(step, shards=shards)


def _step(
    make: Callable[[Any], Any] | None, x: Any, y: Any, model: nn.Module | None = None
) -> Callable[[], object]:
    """A call of a step of a model of its own; with no ``make`` of its update alone."""
    nets.manual_seed(0)
    model = model or nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    def update() -> None:
        optimizer.step()

    made = nets.trace(step) if make is None else make(step)
    made(x, y)
    if make is None:
        alone = nets.trace(update)
        alone()
        return lambda: alone()
    return lambda: made(x, y)


class Words(nn.Module):
    """A transformer with about ten million parameters, which tells words by those before."""

    def __init__(self, words: int = 4096, width: int = 320, layers: int = 6) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(width, 5, 4 * width, 0.0, batch_first=True)
                for _ in range(layers)
            ),
        )
        self.scores = nn.Linear(width, words)

    def forward(self, x: Any) -> Any:
        return self.scores(self.layers(self.embedding(x))).reshape(-1, self.scores.weight.shape[0])


def models() -> dict[str, Found]:
    """Seconds that one more shard takes, with its part of the additions, seconds of the rest of a
    step, and megabytes of parameters, by model."""
    convolutional = nn.Sequential(
        *(nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        nn.Linear(32 * 49, 10),
    )
    words = np.random.default_rng(0).integers(0, 4096, (4, 128))
    given = {
        "MLP": (nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)), *_images(64)),
        "CNN": (convolutional, *_images(64)),
        "transformer": (Words(), words, words),
    }
    found = {}
    for name, (model, x, y) in given.items():
        runs = {"2": _step(_cut(2), x[: len(x) // 2], y[: len(x) // 2], model)}
        runs["4"] = _step(_cut(4), x, y, model)
        times = interleaved(runs, 4 if name == "transformer" else 40, min)
        shard = (times["4"] - times["2"]) / 2
        size = sum(p.numel() for p in model.parameters()) * 4
        found[name] = {
            "one shard": shard,
            "the rest": times["2"] - 2 * shard,
            "parameters in MB": size * 1e-12,
        }
    return found


PARTS: Final[dict[str, Callable[[], dict[str, Found]]]] = {
    "messages": messages,
    "reductions": reductions,
    "steps": steps,
    "models": models,
}


# ------------------------------------------------------------------------------- the jobs


def run_job(command: Sequence[str], part: str) -> dict[str, Found]:
    """What a job finds."""
    done = subprocess.run(
        [*command, "-m", "benchmarks.scaling", "--part", part],
        env=os.environ | {"NETS_NUM_THREADS": "1", "NETS_CACHE": "0"},
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
            many = [int(n) for n in options.ranks.split(",")] if part != "models" else []
            for ranks in [1] * (part in ("steps", "models")) + many:
                command = [*launcher.split(), str(ranks), python]
                print(f"\n{part}, {ranks} ranks, {launcher}: microseconds\n", flush=True)
                first = "bytes" if part in ("messages", "reductions") else ""
                print(table(run_job(command, part), first), flush=True)


if __name__ == "__main__":
    main()
