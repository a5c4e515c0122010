"""Native callables under threads, processes, signals, and with too little memory."""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nets
from nets.backend.process.callable import NativeFunction, load_object
from nets.compiler.compile import ENTRY, Compilation, CompileOptions
from nets.errors import ArgumentError, CompileError

Array = npt.NDArray[Any]

rng = np.random.default_rng(0)
X = rng.normal(size=(48, 200)).astype(np.float32)
W = rng.normal(size=(200, 24)).astype(np.float32)


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_CACHE", "0")


def layer(scale: float, threads: int = 3) -> Any:
    """A traced function that uses the pool, a workspace and a reduction."""
    return nets.trace(threads=threads)(
        lambda x, w: nets.sum(nets.softmax((x @ w) * scale, axis=1) @ w.T, axis=0)
    )


def bits(result: Any) -> bytes:
    found: bytes = result.numpy().tobytes()
    return found


def in_threads(count: int, body: Callable[[int], None]) -> None:
    """Run body(0) … body(count − 1) at once; the first exception of any is raised."""
    failures: list[BaseException] = []
    start = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            start.wait()
            body(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


# ------------------------------------------------------------------------------ threads


def test_many_threads_get_the_serial_bits() -> None:
    functions = [layer(scale, threads) for scale, threads in ((1.0, 1), (2.0, 2), (3.0, 3))]
    expected = [bits(layer(scale, 1)(X, W)) for scale in (1.0, 2.0, 3.0)]

    def call(number: int) -> None:
        for i in range(20):
            k = (number + i) % 3
            assert bits(functions[k](X, W)) == expected[k]

    in_threads(32, call)


def test_threads_that_come_first_together_compile_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[str] = []
    plain = Compilation.object_code

    def object_code(self: Compilation, symbol: str) -> bytes:
        compiled.append(symbol)
        return plain(self, symbol)

    monkeypatch.setattr(Compilation, "object_code", object_code)
    function, results = layer(1.5), set()
    in_threads(16, lambda number: results.add(bits(function(X, W))))
    assert len(results) == len(compiled) == 1


def test_different_functions_compile_at_once() -> None:
    def compile(number: int) -> None:
        function = nets.trace(lambda x: nets.exp(x) * number)
        np.testing.assert_allclose(function(X).numpy(), np.exp(X) * number, rtol=1e-5)

    in_threads(8, compile)


def test_a_function_may_be_dropped_while_it_runs() -> None:
    big = np.ones((400, 2000), np.float32)
    results: list[float] = []

    def call(function: Any) -> None:
        results.extend(float(function(big)) for _ in range(5))

    for _ in range(3):
        function: Any = nets.trace(threads=2)(lambda x: nets.sum(nets.exp(nets.tanh(x))))
        function(big)
        calls = threading.Thread(target=call, args=(function,))
        calls.start()
        del function
        gc.collect()
        calls.join()
    np.testing.assert_allclose(results, [big.size * np.exp(np.tanh(1))] * 15, rtol=1e-5)


# ---------------------------------------------------------------------------- processes

FAMILY = """
import multiprocessing, os
import numpy as np, nets

X = np.linspace(-1, 1, 64 * 50).astype(np.float32).reshape(64, 50)
f = nets.trace(threads=3)(lambda x: nets.softmax(x @ x.T, axis=1))

def bits():
    return f(X).numpy().tobytes()

def child(expected):
    ok = all(bits() == expected for _ in range(3))
    os._exit(0 if ok else 1)

if __name__ == "__main__":
    expected = bits()
    for method in ("fork", "spawn", "forkserver", "fork"):
        context = multiprocessing.get_context(method)
        count = 2 if method == "fork" else 1  # the others share nothing with each other
        children = [context.Process(target=child, args=(expected,)) for _ in range(count)]
        for process in children:
            process.start()
        assert bits() == expected
        for process in children:
            process.join(60)
        assert all(process.exitcode == 0 for process in children), method
    print("done")
"""


def fresh(code: str, folder: Path, *options: str) -> str:
    """What a fresh process prints that runs the code as its main program."""
    script = folder / "main_program.py"
    script.write_text(code)
    command = [sys.executable, *options, str(script)]
    environment = {**os.environ, "NETS_CACHE_DIR": str(folder / "cache"), "NETS_CACHE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_child_processes_of_every_kind(tmp_path: Path) -> None:
    assert fresh(FAMILY, tmp_path) == "done\n"


# ------------------------------------------------------------------------------ signals


@pytest.fixture
def interrupt() -> Iterator[Callable[[float], None]]:
    """Sends this thread a signal after some seconds whose handler raises KeyboardInterrupt."""

    def handler(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)

    def after(seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)

    yield after
    after(0)
    signal.signal(signal.SIGALRM, before)


def test_an_interrupt_while_a_kernel_runs(interrupt: Callable[[float], None]) -> None:
    function = nets.trace(threads=2)(lambda x: x @ x)
    x = np.eye(1200, dtype=np.float32)
    assert function(x).numpy().tobytes() == x.tobytes()

    def call_for_ever() -> None:
        interrupt(0.004)
        while True:
            function(x)

    with pytest.raises(KeyboardInterrupt):
        call_for_ever()
    assert function(x).numpy().tobytes() == x.tobytes()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_while_compiling(interrupt: Callable[[float], None]) -> None:
    expected = bits(layer(1.0)(X, W))
    interrupted = 0
    for step in range(10):
        function = layer(1.0)
        try:
            interrupt(0.001 + 0.006 * step)
            function(X, W)
            interrupt(0)
        except KeyboardInterrupt:
            interrupted += 1
        assert bits(function(X, W)) == expected
    assert interrupted > 0


# ------------------------------------------------------------------------------- memory


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def held() -> tuple[int, int, int]:
    """Threads, open files, and mappings of code that is in no file."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    code = sum("r-xp 00000000 00:00 0" in line for line in maps)
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd")), code


def test_calls_hold_on_to_nothing() -> None:
    function = layer(1.0)
    for _ in range(200):
        function(X, W)
    before, memory = held(), resident_bytes()
    for _ in range(2000):
        function(X, W)
    assert held() == before
    assert resident_bytes() < memory + (1 << 20)


def test_dropped_functions_leave_nothing() -> None:
    def cycle() -> None:
        nets.trace(threads=3)(lambda x: nets.sum(x * 2))(X)

    for _ in range(3):
        cycle()
    gc.collect()
    before, memory = held(), resident_bytes()
    for _ in range(10):
        cycle()
    gc.collect()
    assert held() == before
    assert resident_bytes() < memory + (1 << 20)


NO_MEMORY = """
import resource
import numpy as np, nets
f = nets.trace(lambda x: nets.sum((x @ x.T) @ x))
small = np.ones((20, 4), np.float32)
expected = float(f(small))
huge = np.broadcast_to(np.ones(1, np.float32), (200_000, 4))
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, -1))
for attempt in (lambda: f(huge), lambda: nets.trace(lambda x: x[:, None] + x)(np.ones(40_000))):
    try:
        attempt()
    except MemoryError as error:
        print("MemoryError")
assert float(f(small)) == expected
print("alive")
"""


@pytest.mark.long
def test_too_little_memory_is_an_error_and_no_end(tmp_path: Path) -> None:
    assert fresh(NO_MEMORY, tmp_path).split() == ["MemoryError", "MemoryError", "alive"]


# ---------------------------------------------------------------------- floating-point mode

FLUSH = """
#include <xmmintrin.h>
unsigned exchange(unsigned mode) {
    unsigned before = _mm_getcsr();
    _mm_setcsr(mode);
    return before;
}
"""


def test_another_library_has_set_flush_to_zero(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "flush.c").write_text(FLUSH)
    library = str(tmp_path / "flush.so")
    built = subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, tmp_path / "flush.c"], capture_output=True
    )
    if built.returncode != 0:
        pytest.skip("not an x86 machine")
    exchange = ctypes.CDLL(library).exchange
    x = np.full(30_000, np.finfo(np.float32).tiny, np.float32)
    expected = (x / 2).tobytes()
    function = nets.trace(threads=3)(lambda x: x / 2)
    for _ in range(2):  # with workers that start now, and with those that are there
        before = exchange(0x9FC0)
        try:
            found = bits(function(x))
        finally:
            left = exchange(before)
        assert found == expected
        assert left & 0xFFC0 == 0x9FC0  # and it finds its mode again


# ---------------------------------------------------------------------------- arguments


@pytest.fixture(scope="module")
def difference() -> NativeFunction:
    """x − y for f64[3, 4]."""
    x = np.zeros((3, 4))
    compilation = Compilation(nets.trace(lambda x, y: x - y).lower(x, x).function)
    native = compilation.native
    assert isinstance(native, NativeFunction)
    return native


def unaligned(x: Array) -> Array:
    block = np.zeros(x.nbytes + 1, np.uint8)
    view = block[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def read_only(x: Array) -> Array:
    copy = x.copy()
    copy.flags.writeable = False
    return copy


@pytest.mark.parametrize(
    "form",
    [
        np.asfortranarray,
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
        lambda x: x.astype(">f8"),
        lambda x: x.view(np.memmap),
        unaligned,
        read_only,
    ],
    ids=["Fortran", "strided", "reversed", "big-endian", "subclass", "unaligned", "read-only"],
)
def test_any_layout(difference: NativeFunction, form: Callable[[Array], Array]) -> None:
    x, y = rng.normal(size=(2, 3, 4))
    given = form(x)
    (result,) = difference([given, y])
    assert result.tobytes() == (x - y).tobytes()
    assert type(result) is np.ndarray
    assert not np.shares_memory(result, given)
    assert np.array_equal(given, x)


def test_one_array_twice(difference: NativeFunction) -> None:
    x = np.ones((3, 4))
    assert not difference([x, x])[0].any()
    assert not difference([np.broadcast_to(1.0, (3, 4))] * 2)[0].any()


@pytest.mark.parametrize(
    "arrays",
    [
        [],
        [np.zeros((3, 4))],
        [np.zeros((3, 4))] * 3,
        [np.zeros((3, 4)), np.zeros((4, 3))],
        [np.zeros((3, 4)), np.zeros(12)],
        [np.zeros((3, 4)), np.zeros((3, 4), np.float32)],
        [np.zeros((3, 4)), np.zeros((3, 4), np.int64)],
        [np.zeros((3, 4)), np.zeros((3, 4), "V8")],
    ],
)
def test_other_arguments_are_refused(difference: NativeFunction, arrays: list[Array]) -> None:
    with pytest.raises(ArgumentError, match="needed, not"):
        difference(arrays)


def test_no_arguments_and_no_elements() -> None:
    function = nets.trace(lambda: (nets.zeros((0, 3)), nets.full((2,), 7.0), np.float32(1)))
    empty, full, scalar = function()
    assert empty.shape == (0, 3)
    assert full.tolist() == [7.0, 7.0]
    assert scalar.shape == ()


# ----------------------------------------------------------------------------- object code


@pytest.mark.parametrize("code", [b"", b"\x7fELF", bytes(1000)], ids=["empty", "cut", "zeros"])
def test_what_is_no_object_is_refused(code: bytes) -> None:
    with pytest.raises(CompileError, match="not an object file of this machine"):
        load_object(code, ENTRY)


def test_a_missing_entry_point() -> None:
    low = nets.trace(lambda x: x + 1).lower(X)
    code = Compilation(low.function, CompileOptions()).object_code("elsewhere")
    with pytest.raises(CompileError, match="lacks the entry point nets_entry"):
        load_object(code, ENTRY)
