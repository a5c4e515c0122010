"""Signals in long calls: Ctrl-C ends a call and leaves everything as it was; the next is right.

The loops have no end, so a call that gives a result was not interrupted, and nothing depends on
how long anything takes. The signal is sent by a thread that has seen the call begin.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest

import nets
from nets.backend.llvm import target
from nets.compiler.compile import Compilation
from nets.frontend.calls.specialisation import Specialisation, _do_all

SMALL, LARGE = np.ones(5), np.linspace(0.1, 0.9, 200_000)
IMAGE = np.linspace(0, 1, 2 * 3 * 16 * 16, dtype=np.float32).reshape(2, 3, 16, 16)
KERNEL = np.linspace(-1, 1, 3 * 3 * 3 * 3, dtype=np.float32).reshape(3, 3, 3, 3)
MATRIX = np.eye(200)

THREADS = pytest.mark.parametrize("threads", [1, 2, 5])


def repeat(times: Any, step: Callable[[Any], Any], x: Any) -> Any:
    """``step`` again and again; for a negative number of times without end."""
    return nets.while_loop(lambda c: c[0] != 0, lambda c: (c[0] - 1, step(c[1])), (times, x))[1]


BODIES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "small": (lambda x: nets.cos(x), SMALL),
    "large": (lambda x: nets.cos(x), LARGE),
    "sum": (lambda x: x / x.sum(), LARGE),
    "matmul": (lambda x: x @ x, MATRIX),
    "conv": (lambda x: nets.conv(x, KERNEL, padding=1) * 0.1, IMAGE),
    "sort of": (lambda x: nets.where(x > 0.5, x * 0.5, x * 1.5), LARGE),
    "scan": (lambda x: nets.fori_loop(0, 10, lambda i, x: x * 1.0, x), LARGE),
}


class Interrupted(Exception):
    """What the handlers of these tests raise."""


@contextmanager
def when_called(traced: Any, *signals: int) -> Iterator[None]:
    """Sends the signals once the function's native code has been called again."""
    before = traced.stats()["native_calls"]
    over = threading.Event()

    def send() -> None:
        while traced.stats()["native_calls"] == before and not over.is_set():
            pass
        for number in signals:
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def handled(number: int, handler: Any) -> Iterator[None]:
    """The signal has that handler meanwhile."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    with handled(signal.SIGINT, signal.default_int_handler):
        yield


@THREADS
@pytest.mark.parametrize("name", BODIES)
@pytest.mark.sampled(4)
def test_ctrl_c_ends_a_loop_without_end(name: str, threads: int) -> None:
    step, x = BODIES[name]
    traced = nets.trace(lambda times, x: repeat(times, step, x), threads=threads)
    expected = traced(3, x).numpy()
    before = x.copy()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), when_called(traced, signal.SIGINT):
            traced(-1, x)
        np.testing.assert_array_equal(x, before)
        np.testing.assert_array_equal(traced(3, x), expected)


def test_ctrl_c_ends_the_first_call() -> None:
    traced = nets.trace(lambda times, x: repeat(times, nets.cos, x))
    with pytest.raises(KeyboardInterrupt), when_called(traced, signal.SIGINT):
        traced(-1, SMALL)
    np.testing.assert_allclose(traced(1, SMALL), np.cos(SMALL))


def test_the_exception_comes_from_the_line_of_the_call() -> None:
    traced = nets.trace(lambda times, x: repeat(times, nets.cos, x))
    traced(1, SMALL)
    with pytest.raises(KeyboardInterrupt) as found, when_called(traced, signal.SIGINT):
        traced(-1, SMALL)
    assert found.traceback[0].path.name == "test_interrupts.py"


# ----------------------------------------------------------------------------------- state


def trained(early: bool, inside: bool) -> tuple[Any, dict[str, nets.Tensor]]:
    """A function that updates two tensors, before or after its loop or by it."""
    state = {"w": nets.Tensor(LARGE), "count": nets.Tensor(0)}

    def step(times: Any, x: Any) -> Any:
        if early:
            state["count"][...] = state["count"] + 1
            state["w"][...] = nets.sin(state["w"])
        if inside:
            state["w"][...] = repeat(times, lambda w: w * 0.5 + x, state["w"])
            found = state["w"].sum()
        else:  # of what it starts from, some has been updated already
            found = repeat(times, nets.cos, x + state["w"])
        if not early:
            state["count"][...] = state["count"] + 1
            state["w"][...] = state["w"] + found
        return found

    return nets.trace(step), state


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.sampled(3)
def test_state_is_as_before_the_call(early: bool, inside: bool) -> None:
    traced, state = trained(early, inside)
    other, expected = trained(early, inside)
    for _ in range(3):
        traced(2, LARGE), other(2, LARGE)
        places = {name: tensor.numpy().copy() for name, tensor in state.items()}
        with pytest.raises(KeyboardInterrupt), when_called(traced, signal.SIGINT):
            traced(-1, LARGE)
        for name, tensor in state.items():
            np.testing.assert_array_equal(tensor, places[name], name)
            np.testing.assert_array_equal(tensor, expected[name], name)


def test_an_update_that_a_loop_needs_is_stored_behind_it() -> None:
    """Nothing is checked here, so that the loop alone is the reason."""
    state = nets.Tensor(LARGE)

    def step(limit: Any) -> Any:
        state[...] = nets.sin(state)
        return nets.while_loop(lambda x: x[0] < limit, lambda x: x + 1.0, state * 0.5)

    traced = nets.trace(step)
    traced(3.0), traced(3.0)
    before = state.numpy().copy()
    with pytest.raises(KeyboardInterrupt), when_called(traced, signal.SIGINT):
        traced(np.inf)
    np.testing.assert_array_equal(state, before)
    np.testing.assert_allclose(before, np.sin(np.sin(LARGE)))


def test_updates_stand_behind_loops_that_do_not_need_them() -> None:
    state = nets.Tensor(LARGE)

    def step(times: Any, x: Any) -> Any:
        state[...] = state + x
        return repeat(times, nets.cos, x)

    lowered = nets.trace(step).lower(3, LARGE)
    function = Specialisation(lowered.program, lowered.options)._in_place()
    loops = Compilation(function).loops
    names = [op.name for op in loops.body]
    assert names.index("loop.repeat") < names.index("loop.commit")
    behind = names[names.index("loop.commit") :]
    assert {"loop.for", "loop.parallel"} & set(behind)
    assert LARGE.shape not in [
        op.result.type.shape for op in loops.walk() if op.name == "loop.alloc"
    ]


def test_a_handler_sees_the_state_before_the_call() -> None:
    state = nets.Tensor(LARGE)

    def step(times: Any) -> None:
        state[...] = repeat(times, lambda x: x * 0.5, state)

    traced = nets.trace(step)
    traced(1), traced(1)
    seen: list[Any] = []

    def handler(number: int, frame: Any) -> None:
        seen.append(state.numpy().copy())
        raise Interrupted

    with (
        handled(signal.SIGUSR1, handler),
        pytest.raises(Interrupted),
        when_called(traced, signal.SIGUSR1),
    ):
        traced(-1)
    np.testing.assert_array_equal(seen[0], LARGE * 0.25)
    traced(1)
    np.testing.assert_array_equal(state, LARGE * 0.125)


def test_a_signal_among_the_changes_after_a_call_comes_before_or_after_all() -> None:
    for place in range(4):
        done: dict[str, int] = {}
        signals = iter([place])

        def change(name: str, number: int, done: Any = done, signals: Any = signals) -> None:
            done[name] = number
            if next(signals, None) == number:
                raise KeyboardInterrupt

        names = ("a", "b", "c", "d")
        changes = [partial(change, name, i) for i, name in enumerate(names)]
        for i in range(place):  # the signal comes in the one at that place
            changes[i] = partial(done.__setitem__, names[i], i)
        with pytest.raises(KeyboardInterrupt):
            _do_all(changes)
        assert done == {"a": 0, "b": 1, "c": 2, "d": 3}


@pytest.mark.both_roads
def test_donated_arguments_are_still_there() -> None:
    traced = nets.trace(lambda times, x: repeat(times, lambda x: x * 0.5, x), donate_argnums=(1,))
    np.testing.assert_array_equal(traced(1, nets.Tensor(LARGE)), LARGE * 0.5)
    traced(1, nets.Tensor(LARGE))
    x = nets.Tensor(LARGE)
    with pytest.raises(KeyboardInterrupt), when_called(traced, signal.SIGINT):
        traced(-1, x)
    np.testing.assert_array_equal(x, LARGE)
    np.testing.assert_array_equal(traced(2, x), LARGE * 0.25)


# -------------------------------------------------------------------------------- handlers


@THREADS
def test_a_handler_that_returns_lets_the_call_go_on(threads: int) -> None:
    seen: list[int] = []
    helper = nets.trace(lambda x: nets.sin(x), threads=threads)

    def handler(number: int, frame: Any) -> None:
        seen.append(len(seen))
        helper(LARGE)  # in the midst of the other call
        if len(seen) == 3:
            raise Interrupted
        os.kill(os.getpid(), number)

    traced = nets.trace(lambda times, x: repeat(times, nets.cos, x), threads=threads)
    traced(1, LARGE)
    with (
        handled(signal.SIGUSR1, handler),
        pytest.raises(Interrupted),
        when_called(traced, signal.SIGUSR1),
    ):
        traced(-1, LARGE)
    assert seen == [0, 1, 2]
    np.testing.assert_allclose(traced(1, LARGE), np.cos(LARGE))


def test_a_handler_may_be_interrupted_itself() -> None:
    inner = nets.trace(lambda times, x: repeat(times, nets.sin, x))
    inner(1, SMALL)
    seen: list[str] = []

    def handler(number: int, frame: Any) -> None:
        with when_called(inner, signal.SIGINT):
            try:
                inner(-1, SMALL)
            except KeyboardInterrupt:
                seen.append("inner")
        raise Interrupted

    outer = nets.trace(lambda times, x: repeat(times, nets.cos, x))
    outer(1, SMALL)
    with (
        handled(signal.SIGUSR1, handler),
        pytest.raises(Interrupted),
        when_called(outer, signal.SIGUSR1),
    ):
        outer(-1, SMALL)
    assert seen == ["inner"]
    np.testing.assert_allclose(outer(1, SMALL), np.cos(SMALL))
    np.testing.assert_allclose(inner(1, SMALL), np.sin(SMALL))


def test_ctrl_c_while_a_loop_prints(capsys: pytest.CaptureFixture[str]) -> None:
    def step(x: Any) -> Any:
        nets.debug_print("{}", x)
        return nets.cos(x)

    traced = nets.trace(lambda times, x: repeat(times, step, x))
    printed: list[str] = []

    class Output:
        def write(self, text: str) -> int:
            printed.append(text)
            if len(printed) == 10:
                signal.raise_signal(signal.SIGINT)
            return len(text)

        def flush(self) -> None:
            pass

    real, sys.stdout = sys.stdout, Output()
    try:
        with pytest.raises(KeyboardInterrupt):
            traced(-1, np.ones(2))
    finally:
        sys.stdout = real
    assert len(printed) == 10  # the call asks after each print
    traced(1, np.ones(2))
    assert capsys.readouterr().out == "[1. 1.]\n"


# ------------------------------------------------------------- other threads, other owners

ALONE = """
import os, signal, sys, threading
import numpy as np, nets

traced = nets.trace(
    lambda times, x: nets.while_loop(
        lambda c: c[0] != 0, lambda c: (c[0] - 1, nets.cos(c[1])), (times, x))[1],
    threads=2)
x = np.ones(50_000)
traced(1, x)
"""

PROGRAMS = {
    # A call of another thread goes on, and neither hinders the other.
    "another thread": """
def endless():
    traced(-1, x)
    os._exit(3)

threading.Thread(target=endless, daemon=True).start()
before = 1
def send():
    while traced.stats()["native_calls"] < 3: pass
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=send).start()
try:
    traced(-1, x)
except KeyboardInterrupt:
    traced(2, x)
    os._exit(0)
""",
    # The signal that the runtime uses is somebody else's: then long calls run to their end.
    "taken signal": """
seen = []
signal.signal(signal.SIGURG, lambda *_: seen.append(1))
other = nets.trace(lambda x: nets.fori_loop(0, 3000, lambda i, x: nets.sin(x), x), threads=2)
other(x)
assert not seen
os._exit(0)
""",
    # A child has no watcher at first.
    "child": """
child = os.fork()
if child == 0:
    before = traced.stats()["native_calls"]
    def send():
        while traced.stats()["native_calls"] == before: pass
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=send).start()
    try:
        traced(-1, x)
    except KeyboardInterrupt:
        traced(2, x)
        os._exit(0)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.sampled(2)
def test_in_a_process_of_its_own(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE + PROGRAMS[name]], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------------------- compiling


def test_ctrl_c_while_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_CACHE", "0")
    real = target._generated

    def generated(*args: Any) -> bytes:
        signal.raise_signal(signal.SIGINT)
        return real(*args)

    traced = nets.trace(lambda x: x * 2.5)
    with monkeypatch.context() as patched:
        patched.setattr(target, "_generated", generated)
        with pytest.raises(KeyboardInterrupt):
            traced(SMALL)
    np.testing.assert_array_equal(traced(SMALL), SMALL * 2.5)
