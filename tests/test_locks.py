"""Locks, threads and forks: nobody waits for what has nothing to do with it, nor for the dead.

Each test brings threads to a certain place by events, so it is the same every time. A wait that
ends by its limit is a failure: nothing here takes long.
"""

from __future__ import annotations

import functools
import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets import locks
from nets.backend.llvm import target
from nets.compiler import compile as compilation
from nets.data import DataLoader, TensorDataset
from nets.frontend.calls import staged
from nets.frontend.world import world

LIMIT = 120
"""Seconds after which something is said to hang."""

X = np.arange(6, dtype=np.float32)


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_CACHE", "0")


def in_child(check: Callable[[], Any]) -> None:
    """Assert that a forked child finds ``check`` true."""
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT)
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class Stop:
    """A place where a thread waits until it is let go."""

    def __init__(self) -> None:
        self.reached, self.released = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.released.wait(LIMIT)


@contextmanager
def another_thread_at(stop: Stop, work: Callable[[], Any]) -> Iterator[None]:
    """``work`` runs in a thread that is at ``stop`` meanwhile, and then comes to its end."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    try:
        assert stop.reached.wait(LIMIT)
        yield
    finally:
        stop.released.set()
        thread.join(LIMIT)
    assert found


def stopping(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> Stop:
    """The first call of a function of the package stops."""
    stop, real = Stop(), getattr(owner, name)

    @functools.wraps(real)
    def stops(*args: Any, **kwargs: Any) -> Any:
        if not stop.reached.is_set():
            stop()
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, stops)
    return stop


# -------------------------------------------------------------------------------- the parts


def test_a_lock_of_another_thread_is_free_in_a_child() -> None:
    lock, stop = locks.lock(), Stop()

    def hold() -> bool:
        with lock:
            stop()
        return True

    with another_thread_at(stop, hold):
        assert not lock.acquire(blocking=False)
        in_child(lambda: lock.acquire(blocking=False))


def test_a_lock_of_the_forking_thread_stays_held() -> None:
    lock = locks.lock()

    def is_free() -> bool:
        found: list[bool] = []
        thread = threading.Thread(target=lambda: found.append(lock.acquire(blocking=False)))
        thread.start()
        thread.join()
        return found[0]

    with lock:
        in_child(lambda: not is_free())
    in_child(is_free)


def test_a_crowd_without_its_members_is_over_in_a_child() -> None:
    told: list[str] = []
    crowd = locks.Crowd(lambda: told.append("first"), lambda: told.append("last"))
    stop = Stop()

    def stay() -> bool:
        with crowd.inside():
            stop()
        return True

    with another_thread_at(stop, stay):
        with crowd.inside():
            in_child(lambda: told == ["first"])
        in_child(lambda: told == ["first", "last"])
        assert told == ["first"]
    assert told == ["first", "last"]


def test_a_fork_waits_until_a_gate_is_empty() -> None:
    stop = Stop()

    class Watched(locks.Gate):
        def _others(self) -> list[int]:
            found = super()._others()
            if found and stop.reached.is_set():
                stop.released.set()  # a fork is waiting now
            return found

    gate = Watched()

    def stay() -> bool:
        with gate.inside():
            stop()
        return True

    with another_thread_at(stop, stay):
        in_child(lambda: not gate._inside)
        assert stop.released.is_set()
    with gate.inside():  # a thread does not wait for itself
        in_child(lambda: len(gate._inside) == 1)


@pytest.mark.parametrize("kind", [locks.made_once, locks.made_alone])
def test_objects_do_not_wait_for_each_other(kind: Any) -> None:
    meeting = threading.Barrier(2)

    class Thing:
        def __init__(self) -> None:
            self._lock = locks.lock()

        @kind
        def value(self) -> int:
            """What all threads meet at."""
            meeting.wait(LIMIT)
            return id(self)

    things = [Thing(), Thing()]
    threads = [threading.Thread(target=lambda x=x: x.value) for x in things]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert [vars(x)["value"] for x in things] == [id(x) for x in things]
    assert [x.value for x in things] == [id(x) for x in things]
    assert Thing.value.__doc__ == "What all threads meet at."


def test_one_thread_makes_what_is_made_alone() -> None:
    stop, count = Stop(), [0]

    class Thing:
        _lock = locks.lock()

        @locks.made_alone
        def value(self) -> int:
            stop()
            count[0] += 1
            return count[0]

    thing = Thing()
    with another_thread_at(stop, lambda: thing.value):
        second = threading.Thread(target=lambda: thing.value)
        second.start()
    second.join(LIMIT)
    assert thing.value == count[0] == 1


# ------------------------------------------------------------------------------ compilations


def test_code_of_two_functions_is_generated_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting, real = threading.Barrier(2), target._generated

    def meet(*args: Any) -> bytes:
        meeting.wait(LIMIT)  # broken where the other thread cannot come here
        return real(*args)

    monkeypatch.setattr(target, "_generated", meet)
    other = nets.trace(lambda x: x * 3.0)
    stop = Stop()
    stop.released.set()

    def call() -> Any:
        stop()
        return other(X)

    with another_thread_at(stop, call):
        np.testing.assert_array_equal(nets.trace(lambda x: x * 2.0)(X), X * 2)
    np.testing.assert_array_equal(other(X), X * 3)


PLACES: list[tuple[Any, str]] = [
    (compilation.Compilation, "_run"),
    (compilation.Compilation, "object_code"),
    (target, "_parsed"),
]


@pytest.mark.parametrize(("owner", "name"), PLACES)
def test_a_compilation_waits_for_no_other_one(
    owner: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = stopping(monkeypatch, owner, name)
    with another_thread_at(stop, lambda: nets.trace(lambda x: x * 3.0)(X)):
        np.testing.assert_array_equal(nets.trace(lambda x: x * 2.0)(X), X * 2)


@pytest.mark.parametrize(("owner", "name"), PLACES)
def test_a_child_compiles_while_another_thread_did(
    owner: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = stopping(monkeypatch, owner, name)
    shared = nets.trace(lambda x: x * 3.0)

    def works() -> bool:
        fresh = nets.trace(nets.grad(lambda x: (x * 5.0).sum()))
        right = (fresh(X).numpy() == 5).all() and (shared(X).numpy() == X * 3).all()
        return bool(right) and gc.isenabled()

    with another_thread_at(stop, lambda: shared(X)):
        assert not gc.isenabled()
        in_child(works)
    assert gc.isenabled()


def test_a_fork_waits_for_llvm(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, stop = target._binding.generating, stopping(monkeypatch, target, "_generated")
    real = locks.Gate._others

    def others(self: locks.Gate) -> list[int]:
        found = real(self)
        if self is gate and found and stop.reached.is_set():
            stop.released.set()
        return found

    monkeypatch.setattr(locks.Gate, "_others", others)
    shared = nets.trace(lambda x: x * 3.0)
    with another_thread_at(stop, lambda: shared(X)):
        in_child(lambda: (nets.trace(lambda x: x - 2.0)(X).numpy() == X - 2).all())


# ------------------------------------------------------------------------------------ traces


def test_a_trace_of_another_thread_is_put_back_in_a_child() -> None:
    stop, table, weight = Stop(), np.ones(6, np.float32), nets.Tensor(X)
    state = {"last": nets.zeros(6)}

    def step(x: nets.Tensor) -> nets.Tensor:
        state["last"] = x * weight
        weight[...] = weight + 1
        if not stop.released.is_set():
            stop()
        return x + state["last"] + table

    traced = nets.trace(step)

    def is_as_before() -> bool:
        stop.released.set()
        plain = type(table) is np.ndarray and (state["last"].numpy() == 0).all()
        right = traced(X).numpy() == X + X * X + 1
        return plain and bool(right.all()) and (state["last"].numpy() == X * X).all()

    with another_thread_at(stop, lambda: traced(X)):
        assert type(table) is not np.ndarray
        in_child(is_as_before)
    np.testing.assert_array_equal(state["last"], X * X)


def test_a_thread_that_forks_within_its_own_trace_keeps_the_lock() -> None:
    def child(x: nets.Tensor) -> nets.Tensor:
        in_child(world._tracing._is_owned)  # type: ignore[attr-defined]
        return x * 2

    np.testing.assert_array_equal(nets.trace(child)(X), X * 2)


def test_a_trace_may_call_what_another_thread_is_about_to_trace() -> None:
    """One holds the lock of traces and comes to the function, the other has come to the function
    and wants the lock of traces."""
    inside, asked = threading.Event(), threading.Event()

    class Key:
        def __hash__(self) -> int:
            if inside.is_set():
                asked.set()
            return 1

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Key)

    inner = nets.trace(lambda x, key: x * 2, static_argnames=("key",))

    def outer(x: nets.Tensor) -> nets.Tensor:
        inside.set()
        assert asked.wait(LIMIT)
        with nets.suspended():
            known = inner(X, key=Key())
        return x + known

    def call() -> Any:
        assert inside.wait(LIMIT)
        return inner(X, key=Key())

    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda f=f: found.append(f()), daemon=True)  # type: ignore[misc]
        for f in (call, lambda: nets.trace(outer)(X))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert len(found) == 2
    assert "lock" not in staged.OfSignature.__slots__


# -------------------------------------------------------------------------------------- data


def test_a_child_goes_on_with_the_batches_of_its_parent() -> None:
    loader = DataLoader(TensorDataset(np.arange(10)), batch_size=2)
    batches = iter(loader)
    first = next(batches)

    def rest() -> bool:
        found = [np.asarray(batch[0]).tolist() for batch in batches]
        return found == [[2, 3], [4, 5], [6, 7], [8, 9]]

    in_child(rest)
    assert rest(), first


def test_a_fork_waits_for_a_library_that_is_being_loaded(tmp_path: Path) -> None:
    nets.export(tmp_path / "twice", double=nets.trace(lambda x: x * 2).lower(X), formats=("so",))
    stop = Stop()

    def load_slowly() -> Any:
        with locks.imports.inside():
            stop()
            return nets.load(tmp_path / "twice.so")

    real = locks.Gate._others

    def others(self: locks.Gate) -> list[int]:
        found = real(self)
        if self is locks.imports and found:
            stop.released.set()
        return found

    with pytest.MonkeyPatch.context() as patched, another_thread_at(stop, load_slowly):
        patched.setattr(locks.Gate, "_others", others)
        in_child(lambda: (nets.load(tmp_path / "twice.so").double(X) == X * 2).all())
