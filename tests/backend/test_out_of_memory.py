"""Compiling under a limit on memory: right, or MemoryError; never the end of the process."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import nets
from nets.backend import containment
from nets.errors import CompileError

resource = pytest.importorskip("resource")
if not os.path.exists("/proc/self/statm"):
    pytest.skip("the system does not tell what a process has taken", allow_module_level=True)

X = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)

PROGRAM = """
import os, resource, signal, sys
import numpy as np, nets
from nets.backend.containment import head_room

x = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)

def f(x):
    for i in range(size):
        x = nets.sin(x) * 1.01 + nets.exp(-x) * 0.1 * i
    return (x @ x).sum()

def limited(mb):
    kind, column = (resource.RLIMIT_AS, 0) if sys.argv[1] == "address space" else (
        resource.RLIMIT_DATA, 5)
    used = int(open("/proc/self/statm").read().split()[column]) * resource.getpagesize()
    resource.setrlimit(kind, (used + int(mb * 2**20), resource.RLIM_INFINITY))
    return kind

def attempt(mb):
    g = nets.trace(nets.grad(f))
    kind = limited(mb)
    try:
        found = g(x).numpy()
    except MemoryError:
        found = None
    resource.setrlimit(kind, (resource.RLIM_INFINITY,) * 2)
    assert (nets.trace(lambda x: x * 3.5)(x).numpy() == x * 3.5).all()
    if found is None:
        return 1
    return 0 if (nets.trace(nets.grad(f))(x).numpy() == found).all() else 2

size = int(sys.argv[3])
if sys.argv[2] == "warm":
    nets.trace(lambda x: x * 2.5)(x)
outcomes = []
for mb in map(float, sys.argv[4:]):
    child = os.fork()
    if child == 0:
        signal.alarm(120)
        os._exit(attempt(mb))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    outcomes.append({0: "right", 1: "refused"}.get(status, f"{mb}: {status}"))
print(*outcomes)
"""


def outcomes(kind: str, state: str, size: int, rooms: list[float]) -> list[str]:
    """What becomes of a compilation of that size with so many MB below the limit."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, state, str(size), *map(str, rooms)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "NETS_CACHE": "0", "NETS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("kind", "size", "rooms"),
    [("data", 2, [2, 60]), ("address space", 12, [6, 9, 10.5, 60])],
)
@pytest.mark.sampled(2)
def test_a_limit_refuses_or_changes_nothing(kind: str, size: int, rooms: list[float]) -> None:
    found = outcomes(kind, "warm", size, rooms)
    assert set(found) == {"refused", "right"}
    assert found == sorted(found)  # what is refused with more is refused with less
    assert found[0] == "refused"
    assert found[-1] == "right"


@pytest.mark.long
def test_a_limit_below_which_llvm_cannot_be_loaded() -> None:
    found = outcomes("address space", "cold", 1, [60, 150, 170, 400])
    assert set(found) == {"refused", "right"}
    assert found == sorted(found)


# ------------------------------------------------------------------------------- the parts


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """LLVM works in a child, as next to a limit."""
    monkeypatch.setattr(containment, "is_short_of", lambda needed: needed > containment._LEAST)
    monkeypatch.setenv("NETS_CACHE", "0")


def test_no_limit_costs_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise AssertionError

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(containment, "head_room", lambda: None)
    assert containment.contained(lambda: b"code", 10**9) == b"code"
    monkeypatch.setattr(containment, "head_room", lambda: 10**9)
    assert containment.contained(lambda: b"code", 10**6) == b"code"


def test_code_of_a_child_is_the_same(tight: None) -> None:
    def f(x: Any) -> Any:
        return nets.tanh(x @ x) + 1

    lowered = nets.trace(f).lower(X)
    np.testing.assert_array_equal(lowered.compile()(X), nets.trace(f)(X))
    assert "ret" in lowered.asm()


def test_what_goes_wrong_in_a_child() -> None:
    def refuses() -> bytes:
        raise CompileError("LLVM does not accept it")

    def exhausts() -> bytes:
        raise MemoryError

    with pytest.raises(CompileError, match="LLVM does not accept it"):
        containment._in_child(refuses)
    for end in (exhausts, lambda: os.kill(os.getpid(), 9), lambda: os._exit(3)):
        with pytest.raises(MemoryError, match="limit of this process"):
            containment._in_child(end)
    assert containment._in_child(lambda: b"x" * 10**6) == b"x" * 10**6


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, though who started this process may have it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_a_child_compiles(ctrl_c: None) -> None:
    parent, children = os.getpid(), []

    def interrupts() -> bytes:
        signal.alarm(60)  # who is not interrupted does not wait for ever
        os.read(waits, 1)
        os.kill(parent, signal.SIGINT)
        while True:
            os.read(source, 1)

    (waits, begins), (source, _) = os.pipe(), os.pipe()
    fork = os.fork

    def noted() -> int:
        children.append(fork())
        return children[-1]

    class Awaited(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            os.write(begins, b"!")  # now the parent waits for its child
            return super().read(size)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fork", noted)
        patched.setattr(os, "fdopen", lambda end, mode: Awaited(io.FileIO(end, mode)))
        with pytest.raises(KeyboardInterrupt):
            containment._in_child(interrupts)
    with pytest.raises(ChildProcessError):  # it is over, and has been waited for
        os.waitpid(children[0], 0)
