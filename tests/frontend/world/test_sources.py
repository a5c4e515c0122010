"""What is used up by whoever asks: refused in a trace, at your line, and free outside of it."""

from __future__ import annotations

import itertools
import queue
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import TraceError

generator, legacy, own = np.random.default_rng(0), np.random.RandomState(0), random.Random(0)
counter, rows = itertools.count(), iter([1.0, 2.0, 3.0] * 10)


def numbers() -> Any:
    yield from range(100)


steps = numbers()

DRAWS: dict[str, Callable[[Any], Any]] = {
    "np.random": lambda x: x + np.random.rand(),
    "a generator": lambda x: x + generator.normal(),
    "a RandomState": lambda x: x + legacy.rand(),
    "random": lambda x: x + random.random(),
    "a Random": lambda x: x + own.random(),
    "itertools": lambda x: x + next(counter),
    "an iterator of a list": lambda x: x + next(rows),
    "a Python generator": lambda x: x + next(steps),
}


CHOICE: dict[str, Callable[[Any], Any]] = {"choice": lambda x: x + random.choice([1.0, 2.0])}


@pytest.mark.parametrize("kind", DRAWS)
def test_a_trace_refuses(kind: str) -> None:
    with pytest.raises(TraceError, match="same at every call"):
        nets.trace(DRAWS[kind])(1.0)


def test_another_thread_may_draw_meanwhile() -> None:
    asked, drawn, traces = threading.Event(), threading.Event(), queue.SimpleQueue[int]()

    def draw() -> None:
        asked.wait(10)
        random.random()
        drawn.set()

    def f(x: Any) -> Any:
        traces.put(1)
        asked.set()
        drawn.wait(10)
        return x + 1

    other = threading.Thread(target=draw, daemon=True)
    other.start()
    assert nets.trace(f)(1.0).item() == 2
    assert traces.qsize() == 2
    other.join()


@pytest.mark.parametrize("kind", ["np.random", "random", "choice"])
def test_who_draws_is_refused_whatever_other_threads_do(kind: str) -> None:
    asked = threading.Event()
    other = threading.Thread(target=asked.wait, args=(60,), daemon=True)
    other.start()
    with pytest.raises(TraceError, match="same at every call") as caught:
        nets.trace((DRAWS | CHOICE)[kind])(1.0)
    assert type(caught.value) is TraceError
    assert sys.getprofile() is None
    asked.set()
    other.join()


@pytest.mark.parametrize("kind", ["np.random", "a generator", "random", "itertools"])
def test_transforms_of_plain_functions_draw_at_each_call(kind: str) -> None:
    f = DRAWS[kind]
    slope = nets.grad(lambda x: x * f(x))
    assert len({slope(1.0).item() for _ in range(4)}) == 4


def test_the_first_draw_of_a_process_is_in_a_trace() -> None:
    code = """
import numpy as np, nets
try:
    nets.trace(lambda x: x + np.random.rand())(1.0)
except nets.errors.TraceError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "refused\n", done.stderr
