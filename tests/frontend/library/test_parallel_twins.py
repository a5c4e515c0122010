"""Parallel twins of exported functions: the bits of the serial ones, on any threads."""

from __future__ import annotations

import ctypes
import pickle
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn, optim
from nets.errors import ArgumentError, IndexOutOfBoundsError
from tests.backend.guarded import Guarded
from tests.frontend.library.test_export import WARNINGS, bits

PARTS = 8
X = np.random.default_rng(0).normal(size=(96, 80)).astype("float32")
Y = np.random.default_rng(1).integers(0, 10, 96)
WRONG = np.where(np.arange(96) == 70, 10, Y)


class Training:
    """A training step of some size, and a prediction."""

    def __init__(self) -> None:
        nets.manual_seed(7)
        self.model = nn.Sequential(nn.Linear(80, 128), nn.Dropout(0.2), nn.Linear(128, 10))
        optimizer = optim.Adam(self.model.parameters(), lr=0.01)
        criterion = nn.CrossEntropyLoss()

        @nets.trace
        def fit(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = criterion(self.model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        self.fit = fit
        self.predict = nets.trace(lambda x: nets.softmax(nets.tanh(self.model(x)), axis=1))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    training, base = Training(), tmp_path_factory.mktemp("parallel") / "work"
    fit, predict = training.fit.lower(X, Y), training.predict.lower(X)
    exported = nets.export(base, threads=PARTS, cpu="x86-64-v3", fit=fit, predict=predict)
    assert exported.files[-1].name == "nets_threads.h"
    return base


# ------------------------------------------------------------------------------ from ctypes

Part = Callable[[int], None]
PART = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
FOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, PART, ctypes.c_void_p, ctypes.c_int64)


def in_order(part: Part, count: int) -> None:
    for i in range(count):
        part(i)


def backwards(part: Part, count: int) -> None:
    for i in reversed(range(count)):
        part(i)


def mixed(part: Part, count: int) -> None:
    for i in np.random.default_rng(count).permutation(count).tolist():
        part(i)


def beyond(part: Part, count: int) -> None:
    """Numbers that are no parts do nothing."""
    for i in (-1, count, 2**62, -(2**63), *range(count), count + 1):
        part(i)


class Twin:
    """A parallel twin, between guard pages, with a way to run the parts."""

    def __init__(self, base: Path, word: str) -> None:
        self._description = nets.load(base.with_suffix(".so")).description
        self.code = ctypes.CDLL(str(base.with_suffix(".so")))
        self._name = f"{self._description.name}_{word}_parallel"
        (self._told,) = [f for f in self._description.functions if f.name == word]
        size = getattr(self.code, f"{self._name}_workspace_bytes")
        size.restype = ctypes.c_size_t
        assert size() == self._told.parallel_workspace_bytes > 0
        self.counts: list[int] = []
        state = np.zeros(max(self._description.state_bytes, 1), np.uint8)
        self.state = Guarded(state, at_end=True)
        if self._told.state:
            init = getattr(self.code, f"{self._description.name}_init_state")
            assert init(ctypes.c_void_p(self.state.address)) == 0

    def __call__(self, way: Callable[[Part, int], None] | None, *arrays: Any) -> tuple[int, Any]:
        """The status, and the first result."""
        given = [Guarded(array, at_end=True).read_only() for array in arrays]
        (form,) = self._told.results
        result = Guarded(np.zeros(form.shape, "float32"), at_end=True)
        size = self._told.parallel_workspace_bytes
        workspace = Guarded(np.full(-(-size // 64) * 64, 0xFF, np.uint8), at_end=True)
        buffers = [self.state] * bool(self._told.state) + [*given, result, workspace]
        pointers = [ctypes.c_void_p(buffer.address) for buffer in buffers]
        caller = FOR() if way is None else FOR(lambda *told: self._run(way, *told))
        status = getattr(self.code, self._name)(*pointers, caller, ctypes.c_void_p(42))
        return status, result.array.copy()

    def _run(self, way: Callable[[Part, int], None], context: Any, part: Any, *rest: Any) -> None:
        task, count = rest
        assert context == 42
        self.counts.append(count)
        way(lambda i: part(task, i), count)


@pytest.fixture(params=[in_order, backwards, mixed, beyond])
def way(request: pytest.FixtureRequest) -> Iterator[Any]:
    return request.param


@pytest.mark.sampled(4)
def test_any_order_of_parts_gives_the_bits_of_python(library: Path, way: Any) -> None:
    training, fit, predict = Training(), Twin(library, "fit"), Twin(library, "predict")
    for _ in range(2):
        status, loss = fit(way, X, Y)
        assert (status, bits(loss)) == (0, bits(training.fit(X, Y).numpy()))
    predict.state = fit.state
    status, found = predict(way, X)
    assert (status, bits(found)) == (0, bits(training.predict(X).numpy()))
    assert set(fit.counts) <= set(range(2, PARTS + 1))
    assert PARTS in fit.counts
    assert PARTS in predict.counts


def test_what_is_refused(library: Path) -> None:
    fit = Twin(library, "fit")
    before = bytes(fit.state.array)
    assert fit(None, X, Y)[0] == -1
    assert bytes(fit.state.array) == before
    assert fit(backwards, X, WRONG)[0] > 0
    assert bytes(fit.state.array) == before
    loaded = nets.load(library.with_suffix(".so"))
    with pytest.raises(IndexOutOfBoundsError):
        loaded.fit(X, WRONG)


@pytest.mark.parametrize("parts", [1, 2, 3, 1024])
@pytest.mark.sampled(4)
def test_any_number_of_parts_gives_the_same_bits(tmp_path: Path, parts: int) -> None:
    training = Training()
    predict = training.predict.lower(X)
    nets.export(tmp_path / "n", threads=parts, predict=predict, formats="so", cpu="x86-64-v3")
    twin = Twin(tmp_path / "n", "predict")
    status, found = twin(mixed, X)
    assert (status, bits(found)) == (0, bits(training.predict(X).numpy()))
    assert max(twin.counts, default=1) <= parts


def test_names_and_numbers_that_cannot_be(tmp_path: Path) -> None:
    low = nets.trace(lambda x: x + 1).lower(np.ones(3))
    for threads, said in [(0, "positive"), (True, "positive"), ("2", "positive"), (1025, "1024")]:
        with pytest.raises(ArgumentError, match=said):
            nets.export(tmp_path / "no", threads=threads, f=low)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="'f' and 'f_parallel' would both"):
        nets.export(tmp_path / "no", threads=2, f_parallel=low, f=low)
    with pytest.raises(ArgumentError, match="has a no_parallel_for of its own"):
        nets.export(tmp_path / "no", threads=2, parallel_for=low)
    files = nets.export(tmp_path / "yes", threads=low, parallel_for=low, formats=("so", "h")).files
    assert [file.name for file in files] == ["yes.so", "yes.h"]
    assert nets.load(files[0]).threads(np.ones(3)).tolist() == [2, 2, 2]
    assert not list(tmp_path.glob("no.*"))


def on_threads(part: Part, count: int) -> None:
    threads = [threading.Thread(target=part, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


PRINTER = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p, ctypes.c_int32, ctypes.c_void_p
)


def test_prints_come_once_and_on_the_calling_thread(tmp_path: Path) -> None:
    def talking(x: Any) -> Any:
        found = nets.tanh(x @ x.T)
        nets.debug_print("found {}", found.sum())
        return found

    rows = np.tile(X, (3, 1))
    low = nets.trace(talking).lower(rows)
    nets.export(tmp_path / "say", threads=4, f=low, formats=("so",), cpu="x86-64-v3")
    expected, twin, said = nets.load(tmp_path / "say.so").f(rows), Twin(tmp_path / "say", "f"), []
    printer = PRINTER(lambda user, site, *told: said.append((site, threading.get_ident())))
    twin.code.say_set_print(printer, None)
    status, found = twin(on_threads, rows)
    assert (status, bits(found)) == (0, bits(expected))
    assert twin.counts
    assert said == [(0, threading.get_ident())]


# ------------------------------------------------------------------------------ from C

PROGRAM = r"""
#include "work.h"
#include "nets_threads.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static float x[96 * 80];
static int64_t y[96];
static void backwards(void *context, work_parallel_part part, void *task, int64_t count) {
    (void)context;
    while (count-- > 0) part(task, count);
}
static void *memory(size_t bytes) { return aligned_alloc(64, (bytes + 63) / 64 * 64); }
static int train(work_parallel_for loop, void *context, int steps) {
    work_state *state = (work_state *)memory(sizeof *state);
    void *workspace = memory(work_fit_parallel_workspace_bytes());
    float loss;
    if (work_init_state(state) != 0) return 1;
    for (int i = 0; i < steps; i++) {
        if (work_fit_parallel(state, x, y, &loss, workspace, loop, context) != 0) return 2;
        uint32_t u;
        memcpy(&u, &loss, 4);
        printf("%08x ", (unsigned)u);
    }
    printf("\n");
    free(state);
    free(workspace);
    return 0;
}
int main(int argc, char **argv) {
    FILE *file = fopen(argv[1], "rb");
    int steps = atoi(argv[2]);
    if (argc != 3 || fread(x, sizeof x, 1, file) + fread(y, sizeof y, 1, file) != 2) return 3;
    fclose(file);
    const int counts[] = {1, 2, 3, 8};
    for (int i = 0; i < 4; i++) {
        nets_threads *threads = nets_threads_new(counts[i]);
        if (threads == NULL || train(nets_threads_for, threads, steps) != 0) return 4;
        nets_threads_free(threads);
    }
    nets_threads_free(NULL);
    return train(nets_threads_for, NULL, steps) + train(backwards, NULL, steps);
}
"""
SANITIZERS = {"thread": ["-fsanitize=thread"], "address": ["-fsanitize=address,undefined"]}


@pytest.mark.parametrize("how", ["c", "c++", "valgrind", *SANITIZERS])
@pytest.mark.sampled(4)
def test_c_programs_with_threads_of_any_number(library: Path, tmp_path: Path, how: str) -> None:
    compiler = "c++" if how == "c++" else "cc"
    for needed in (compiler, "valgrind") if how == "valgrind" else (compiler,):
        if shutil.which(needed) is None:
            pytest.skip(f"no {needed}")
    source = tmp_path / ("main.cpp" if how == "c++" else "main.c")
    source.write_text(PROGRAM)
    (tmp_path / "data").write_bytes(X.tobytes() + Y.tobytes())
    command = [compiler, "-std=c++17" if how == "c++" else "-std=c11", *WARNINGS, "-g", "-O1"]
    command += [f"-I{library.parent}", "-pthread", *SANITIZERS.get(how, []), str(source)]
    program = tmp_path / "main"
    subprocess.run([*command, str(library.with_suffix(".a")), "-o", str(program)], check=True)
    runner = ["valgrind", "-q", "--error-exitcode=99"] if how == "valgrind" else []
    steps = 1 if how == "valgrind" else 3
    done = subprocess.run(
        [*runner, str(program), str(tmp_path / "data"), str(steps)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    training = Training()
    losses = [bits(training.fit(X, Y).numpy()) for _ in range(steps)]
    assert done.stdout.splitlines() == ["".join(losses)] * 6


@pytest.mark.parametrize("threads", [2, 5])
def test_loaded_libraries_share_loops(library: Path, threads: int) -> None:
    training, path = Training(), library.with_suffix(".so")
    loaded = nets.load(path, threads=threads)
    before = threading.active_count()
    for _ in range(3):
        assert bits(loaded.fit(X, Y)) == bits(training.fit(X, Y).numpy())
    assert threading.active_count() == before + threads
    with pytest.raises(IndexOutOfBoundsError):
        loaded.fit(X, WRONG)
    again = pickle.loads(pickle.dumps(loaded))
    assert bits(again.predict(X)) == bits(training.predict(X).numpy())
    del loaded, again


def test_a_signal_leaves_no_part_out(library: Path) -> None:
    """What a handler raises comes after the call, whose state is that of a whole step."""
    one, many = (nets.load(library.with_suffix(".so"), threads=n) for n in (1, 3))
    was = signal.signal(signal.SIGALRM, lambda *told: [][0])
    raised = 0
    try:
        for _ in range(40):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-4)
                many.fit(X, Y)
            except IndexError:
                raised += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, was)
    steps = next(name for name in many.state if name.endswith("step"))
    for _ in range(int(many.state[steps])):
        one.fit(X, Y)
    assert raised > 0
    assert many.state.save() == one.state.save()


def test_threads_that_cannot_share(library: Path, tmp_path: Path) -> None:
    nets.export(tmp_path / "one", f=nets.trace(nets.exp).lower(X), formats="so")
    with pytest.raises(ArgumentError, match="has no parallel twins; export it with threads="):
        nets.load(tmp_path / "one.so", threads=2)
    for threads in (0, 1025, True, "2"):
        with pytest.raises(ArgumentError, match="threads is 1 to 1024"):
            nets.load(library.with_suffix(".so"), threads=threads)  # type: ignore[arg-type]
