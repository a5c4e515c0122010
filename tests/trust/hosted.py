"""Programs whose results are the same bits on every machine: ``python -m tests.trust.hosted 0 10``.

Prints a line per program: its name and a hash of what it gives. Beside small ones that are traced,
trained, exported and loaded as a user does it, the random programs of these seeds.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

import nets
from nets import nn, optim
from nets.compiler.compile import Compilation
from tests.property.programs import arguments, random_program

PROGRAMS: Final[list[Callable[[], Any]]] = []

SIZES: Final = (3, 8, 12, 20)
"""Of random programs."""


def program(function: Callable[[], Any]) -> Callable[[], Any]:
    PROGRAMS.append(function)
    return function


def normal(*shape: int, dtype: str = "f") -> Any:
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


@program
def mathematics() -> Any:
    names = ("exp", "log1p", "tanh", "sin", "cos", "tan", "expm1", "sqrt", "arctan2")
    functions = [getattr(nets, name) for name in names if hasattr(nets, name)]
    both = nets.trace(lambda x: [f(x, x + 1) if "2" in f.__name__ else f(x) for f in functions])
    return [both(10 * np.abs(normal(33, 17, dtype=dtype))) for dtype in "fd"]


@program
def gradients() -> Any:
    slope = nets.trace(nets.value_and_grad(lambda w, x: (nets.tanh(x @ w) ** 2).mean()))
    return [slope(normal(17, 65, dtype=dtype), normal(33, 17, dtype=dtype)) for dtype in "fd"]


@program
def integers() -> Any:
    a, b = np.arange(-50, 51), np.full(101, 7)
    return nets.trace(lambda a, b: (a // b, a % b, a * b, a << 2, nets.cumsum(a)))(a, b)


@program
def products() -> Any:
    return nets.trace(lambda a, b: a @ b)(normal(130, 70), normal(70, 90))


@program
def convolutions() -> Any:
    images, weight = normal(2, 3, 12, 12), normal(4, 3, 3, 3)
    return nets.trace(lambda x, w: nets.conv(x, w, padding=1))(images, weight)


@program
def loops() -> Any:
    step = nets.trace(lambda x: nets.scan(lambda c, r: (c * 0.5 + r, c), np.zeros(17, "f"), x))
    return step(normal(33, 17))


@program
def training() -> Any:
    nets.manual_seed(0)
    model = nn.Sequential(nn.Linear(17, 9), nn.ReLU(), nn.Dropout(0.5), nn.Linear(9, 3))
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    @nets.trace
    def step(x: Any, y: Any) -> Any:
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    losses = [step(normal(33, 17), np.arange(33) % 3) for _ in range(4)]
    return losses, list(model.parameters())


@program
def libraries() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tiny")
        low = nets.trace(lambda x: nets.exp(-x * x).sum(axis=1)).lower(normal(4, 1000))
        nets.export(path, f=low)
        return nets.load(f"{path}.so").f(normal(4, 1000))


@program
def the_object_cache() -> Any:
    results = [nets.trace(lambda x: x * 3 + 1)(normal(99)) for _ in range(2)]
    assert results[0].tolist() == results[1].tolist()
    return results


@program
def refusals() -> Any:
    try:
        nets.trace(lambda x, i: x[i])(normal(33), np.array([40]))
    except IndexError as error:
        return len(str(error).splitlines()[0])
    raise AssertionError("an index out of bounds was not refused")


@program
def signals() -> Any:
    endless = nets.trace(lambda x: nets.while_loop(lambda c: c >= 0, lambda c: c + 1.0, x))
    endless(-1.0)  # which ends at once, and has been compiled then
    timer = threading.Timer(5.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        endless(1.0)
    except KeyboardInterrupt:
        return 1
    raise AssertionError("a loop without end has ended")


def random_results(seed: int) -> Any:
    function = random_program(seed, SIZES[seed % len(SIZES)])
    inputs = arguments(function, np.random.default_rng(seed))
    try:
        return Compilation(function).native(inputs)
    except nets.errors.NetsError as error:
        return len(type(error).__name__)


def bits(nest: Any) -> str:
    """A hash of the bits of all arrays; every NaN counts as the same."""
    found = hashlib.sha256()
    for array in leaves(nest):
        if array.dtype.kind == "f":
            array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
        found.update(f"{array.shape} {array.dtype};".encode() + array.tobytes())
    return found.hexdigest()[:16]


def leaves(nest: Any) -> Iterator[Any]:
    if isinstance(nest, (list, tuple)):
        for part in nest:
            yield from leaves(part)
    else:
        yield nest.numpy() if isinstance(nest, nets.Tensor) else np.asarray(nest)


def main() -> None:
    for function in PROGRAMS:
        print(function.__name__, bits(function()), flush=True)
    for seed in range(*map(int, sys.argv[1:3])):
        print(seed, bits(random_results(seed)), flush=True)


if __name__ == "__main__":
    main()
