"""One hash after 200 steps, whatever ranks, threads, MPI library and CPU: the matrix of them.

    python -m tests.acceptance.one_hash --mpiexec "mpiexec -n" --python bin/python

starts every model on 1, 2, 4 and 8 ranks, on 1 and 2 threads, on two levels of CPU. Each
``--mpiexec`` (and the ``--python`` that its mpi4py belongs to) is another MPI library. The exit
code is not 0 where two runs of a model differ.

As a program of a rank, ``python -m tests.acceptance.one_hash --model cnn``, it prints the SHA-256
of all weights.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

import nets
from nets import distributed, nn, optim

SHARDS: Final = 8
STEPS: Final = 200
RANKS: Final = (1, 2, 4, 8)
LEVELS: Final = ("x86-64-v3", "x86-64-v4")

F = nn.functional


class Words(nn.Module):
    """A small transformer over words of a small language."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(32, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.scores = nn.Linear(16, 32)

    def forward(self, x: Any) -> Any:
        return self.scores(self.layer(self.embedding(x))).reshape(-1, 32)


def mlp(rng: np.random.Generator) -> tuple[nn.Module, Any, Any]:
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10))
    return model, rng.standard_normal((64, 64)).astype(np.float32), rng.integers(0, 10, 64)


def cnn(rng: np.random.Generator) -> tuple[nn.Module, Any, Any]:
    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 12, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(48, 10)),
    )
    return model, rng.standard_normal((32, 1, 8, 8)).astype(np.float32), rng.integers(0, 10, 32)


def transformer(rng: np.random.Generator) -> tuple[nn.Module, Any, Any]:
    words = rng.integers(0, 32, (32, 12))
    return Words(), words, np.roll(words, -1, axis=1)


MODELS: Final[dict[str, Callable[[np.random.Generator], tuple[nn.Module, Any, Any]]]] = {
    "mlp": mlp,
    "cnn": cnn,
    "transformer": transformer,
}


def train(name: str) -> str:
    """The SHA-256 of the weights, the running statistics and the losses."""
    distributed.init()
    nets.manual_seed(7)
    rng = np.random.default_rng(11)
    model, x, y = MODELS[name](rng)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)

    @distributed.parallel(shards=SHARDS)
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y.reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    digest = hashlib.sha256()
    for _ in range(STEPS):
        order = rng.permutation(len(x))
        digest.update(step(x[order], y[order]).numpy().tobytes())
    state = model.state_dict()
    for key in sorted(state):
        digest.update(np.asarray(state[key]).tobytes())
    return digest.hexdigest()


def run_of(command: list[str], name: str, threads: int, level: str) -> tuple[str, float]:
    """The hash that a job prints, and how long it took."""
    start = time.monotonic()
    done = subprocess.run(
        [*command, "-m", "tests.acceptance.one_hash", "--model", name],
        env=os.environ | {"NETS_NUM_THREADS": str(threads), "NETS_CPU": level},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    found = {line for line in done.stdout.split() if len(line) == 64}
    return " and ".join(sorted(found)), time.monotonic() - start


def matrix(options: argparse.Namespace) -> bool:
    """Run all of it; whether there is one hash for each model."""
    is_one = True
    for name in options.models.split(","):
        hashes = set()
        for launcher, python in zip(options.mpiexec, options.python, strict=True):
            for ranks in map(int, options.ranks.split(",")):
                for level in options.levels.split(","):
                    for threads in map(int, options.threads.split(",")):
                        command = [*launcher.split(), str(ranks), python]
                        found, seconds = run_of(command, name, threads, level)
                        hashes.add(found)
                        words = f"{ranks} ranks, {threads} threads, {level}, {launcher}"
                        print(f"{name}: {found[:16]} {words}, {seconds:.1f} s", flush=True)
        print(f"{name}: {len(hashes)} hash{'es' if len(hashes) > 1 else ''}", flush=True)
        is_one = is_one and len(hashes) == 1
    return is_one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, help="be a rank that trains it")
    parser.add_argument("--mpiexec", action="append", help="how to start a job of so many ranks")
    parser.add_argument("--python", action="append", help="the Python of its mpi4py")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--ranks", default=",".join(map(str, RANKS)))
    parser.add_argument("--levels", default=",".join(LEVELS))
    parser.add_argument("--threads", default="1,2")
    options = parser.parse_args()
    if options.model is not None:
        found = train(options.model)
        if distributed.rank() == 0:
            print(found)
        return
    sys.exit(0 if matrix(options) else "there is more than one hash")


if __name__ == "__main__":
    main()
